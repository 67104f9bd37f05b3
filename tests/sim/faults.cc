// What goes wrong, and when; faults_network.cc has what lies between processes.
#include <algorithm>
#include <cmath>

#include "tests/sim/cluster.h"

namespace rhz::sim {
namespace {
// Of one kind of fault: independent of all others, so that taking one away does not move them.
Prng stream_of(uint64_t seed, Fault fault, uint64_t number) {
  return Prng(mix64(seed ^ mix64(static_cast<uint64_t>(fault) + 0xfa17)) ^ mix64(number));
}
constexpr uint64_t kWhen = ~uint64_t{0};

// A run whose last member is gone is over, and proves nothing more: few of them are enough.
bool takes_members(Fault fault) {
  switch (fault) {
    case Fault::kJoin:
    case Fault::kPause:
    case Fault::kSlow:
    case Fault::kControlReset:
    case Fault::kReset:
    case Fault::kCancel:
    case Fault::kCutLog:
    case Fault::kReplay:
    case Fault::kFailedSync:
    case Fault::kFullDisk:
    case Fault::kLogFlip: return false;
    default: return true;
  }
}
}  // namespace

void Cluster::arm_faults() {
  for (size_t k = 0; k < kFaults; ++k) {
    const auto fault = static_cast<Fault>(k);
    arm(fault, std::make_shared<Prng>(stream_of(config_.seed, fault, kWhen)));
  }
}

void Cluster::arm(Fault fault, std::shared_ptr<Prng> when) {
  const double rate = config_.per_second[static_cast<size_t>(fault)];
  if (rate == 0) return;
  const double seconds = -std::log(1 - when->unit()) / rate;
  world_.after(Duration(static_cast<int64_t>(seconds * 1e9)), [this, fault, when] {
    if (healing_) return;
    strike(fault);
    arm(fault, when);
  });
}

void Cluster::strike(Fault fault) {
  const auto k = static_cast<size_t>(fault);
  const uint32_t number = blows_[k]++;
  if (config_.spared.contains({fault, number})) return;
  Prng dice = stream_of(config_.seed, fault, number);
  if (takes_members(fault) && hale().size() <= 3 && dice.chance(0.97)) return;
  bool struck = false;
  switch (fault) {
    case Fault::kPartition:
    case Fault::kOneWay:
    case Fault::kEdge:
    case Fault::kBreak:
    case Fault::kIsolate:
    case Fault::kClog:
    case Fault::kCollapse:
    case Fault::kZeroWindow: struck = strike_network(fault, dice); break;
    case Fault::kCoordinatorCrash:
    case Fault::kCoordinatorPause:
    case Fault::kZombie:
    case Fault::kCutLog:
    case Fault::kFailedSync:
    case Fault::kFullDisk:
    case Fault::kLogFlip: struck = strike_coordinator(fault, dice); break;
    default: struck = strike_peer(fault, dice);
  }
  if (!struck) return;
  ++outcome_.faults[k];
  outcome_.blows.emplace_back(fault, number);
}

// Members that are at work.
std::vector<NodeIndex> Cluster::hale() const {
  std::vector<NodeIndex> members = living();
  std::erase_if(members, [this](NodeIndex who) {
    Process& process = *processes_[who];
    return !oracles_.is_member(who) || !process.joined() || process.ended() || process.paused() ||
           process.trainer().leaving() || network_.is_cut(who, kCoordinator) ||
           network_.is_cut(kCoordinator, who);
  });
  return members;
}

// Somebody who lives; kCoordinator: nobody.
NodeIndex Cluster::victim(Prng& dice) const {
  const std::vector<NodeIndex> all = living();
  return all.empty() ? kCoordinator : all[dice.below(all.size())];
}

// A joiner before a member, so that what happens while it enters is hit as well.
NodeIndex Cluster::caller(Prng& dice) const {
  std::vector<NodeIndex> all = living(), entering;
  for (NodeIndex who : all)
    if (!processes_[who]->joined() || !oracles_.is_member(who)) entering.push_back(who);
  if (!entering.empty() && dice.chance(0.7)) all = entering;
  return all.empty() ? kCoordinator : all[dice.below(all.size())];
}

void Cluster::pause_for(NodeIndex who, Duration time) {
  processes_[who]->pause();
  world_.after(time, [this, who] {
    if (!stuck_.contains(who)) processes_[who]->unpause();
  });
}

bool Cluster::strike_peer(Fault fault, Prng& dice) {
  if (fault == Fault::kJoin) {
    if (living().size() > config_.processes) return false;
    begin_process();
    return true;
  }
  const NodeIndex who = fault == Fault::kControlReset ? caller(dice) : victim(dice);
  if (who == kCoordinator) return false;
  Process& process = *processes_[who];
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  world_.trace(fault_name(fault), static_cast<int>(who));
  switch (fault) {
    case Fault::kCrash: gone(who); return true;
    case Fault::kDomain: return strike_domain(who, dice);
    case Fault::kMark: process.doom(static_cast<Mark>(dice.below(kMarks))); return true;
    case Fault::kPause:
    case Fault::kLongPause: {
      if (process.paused()) return false;
      const bool brief = fault == Fault::kPause;
      pause_for(who, brief ? World::between(dice, milliseconds(1), suspicion)
                           : World::between(dice, suspicion, 6 * suspicion));
      return true;
    }
    case Fault::kLeave: run(who, [&process] { process.trainer().leave_when_idle(); }); return true;
    case Fault::kAccuse: {
      const auto others = living();
      const NodeIndex target = others[dice.below(others.size())];
      const auto evidence = static_cast<Evidence>(2 + dice.below(4));
      run(who, [this, &process, target, evidence] {
        if (target != process.self()) process.transport().lost(id_of(target), evidence);
      });
      return true;
    }
    case Fault::kSlow:
      network_.slow(who, dice.chance(0.3) ? 1 : World::log_uniform(dice, 2, 50));
      return true;
    case Fault::kControlReset: run(who, [&process] { process.drop_control(); }); return true;
    case Fault::kReset: {
      const auto others = living();
      const NodeIndex target = others[dice.below(others.size())];
      if (target == who) return false;
      process.transport().reset(id_of(target),
                                dice.chance(0.3) ? LaneClass::kExpress : LaneClass::kBulk);
      return true;
    }
    case Fault::kReplay: {
      const auto other = static_cast<NodeIndex>(dice.below(processes_.size()));  // perhaps dead by now
      return other != who && process.transport().names(id_of(other)) &&
             process.transport().replay(id_of(other), dice.chance(0.5) ? LaneClass::kExpress : LaneClass::kBulk,
                                        process.node().communicator().epoch());
    }
    case Fault::kFlip:
      process.transport().flip_next([this](const wire::FrameHeader& header) {
        oracles_.flipped(header.group, header.op_seq);
      });
      return true;
    case Fault::kCancel:
      run(who, [&process, which = dice.next()] { process.trainer().cancel_something(which); });
      return true;
    default: return false;
  }
}

// Slots lie two to a host, four to a rack.
bool Cluster::strike_domain(NodeIndex who, Prng& dice) {
  const uint32_t size = dice.chance(0.6) ? 2 : 4;
  const auto domain_of = [&](NodeIndex one) {
    for (const MemberInfo& member : oracles_.newest().members)
      if (index_of(member.id) == one) return member.slot.value / size;
    return ~0u;
  };
  const uint32_t domain = domain_of(who);
  std::vector<NodeIndex> inside;
  for (NodeIndex one : living())
    if (domain != ~0u && domain_of(one) == domain) inside.push_back(one);
  const std::vector<NodeIndex> able = hale();
  const auto stays = [&](NodeIndex one) { return std::find(inside.begin(), inside.end(), one) == inside.end(); };
  if (inside.size() < 2 || (std::none_of(able.begin(), able.end(), stays) && dice.chance(0.97))) return false;
  for (NodeIndex one : inside) gone(one);
  return true;
}

bool Cluster::strike_coordinator(Fault fault, Prng& dice) {
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  switch (fault) {
    case Fault::kCoordinatorCrash:
      if (!coordinator_.up()) return false;
      coordinator_.crash();
      world_.after(World::between(dice, milliseconds(1), milliseconds(300)),
                   [this] { coordinator_.start(); });
      return true;
    case Fault::kCoordinatorPause:
      coordinator_.pause();
      world_.after(World::between(dice, milliseconds(1), 4 * suspicion),
                   [this] { coordinator_.unpause(); });
      return true;
    case Fault::kZombie:
      return coordinator_.usurp(World::between(dice, milliseconds(1), 2 * suspicion),
                                World::between(dice, milliseconds(1), 3 * suspicion));
    case Fault::kCutLog: coordinator_.cut_log(); return true;
    case Fault::kFailedSync: coordinator_.fail_appends(Duration::zero()); return true;
    case Fault::kFullDisk: coordinator_.fail_appends(World::between(dice, milliseconds(5), 4 * suspicion)); return true;
    case Fault::kLogFlip: coordinator_.flip_log(); return true;
    default: return false;
  }
}

void Cluster::replenish() {
  if (healing_ || config_.per_second[static_cast<size_t>(Fault::kJoin)] == 0) return;
  world_.after(World::between(world_.topology, milliseconds(1), milliseconds(200)), [this] {
    if (!healing_ && living().size() < config_.processes) strike(Fault::kJoin);
  });
}

}  // namespace rhz::sim
