// What goes wrong, when, and for how long.
#include <algorithm>
#include <cmath>

#include "tests/sim/cluster.h"

namespace rhz::sim {

void Cluster::arm_faults() {
  for (size_t k = 0; k < kFaults; ++k) arm(static_cast<Fault>(k));
}

void Cluster::arm(Fault fault) {
  const double rate = config_.per_second[static_cast<size_t>(fault)];
  if (rate == 0) return;
  const double seconds = -std::log(1 - world_.faults.unit()) / rate;
  world_.after(Duration(static_cast<int64_t>(seconds * 1e9)), [this, fault] {
    if (healing_) return;
    strike(fault);
    arm(fault);
  });
}

void Cluster::strike(Fault fault) {
  bool struck = false;
  switch (fault) {
    case Fault::kPartition:
    case Fault::kOneWay:
    case Fault::kEdge:
    case Fault::kBreak:
    case Fault::kIsolate: struck = strike_network(fault); break;
    case Fault::kCoordinatorCrash:
    case Fault::kCoordinatorPause:
    case Fault::kCutLog: struck = strike_coordinator(fault); break;
    default: struck = strike_peer(fault);
  }
  if (!struck) return;
  ++outcome_.faults[static_cast<size_t>(fault)];
  outcome_.churn += is_churn(fault);
}

// Somebody who lives; ~0 when a blow would leave nobody to go on (a run without members is over,
// and proves nothing).
NodeIndex Cluster::victim() {
  std::vector<NodeIndex> members, all = living();
  for (NodeIndex who : all)
    if (oracles_.is_member(who) && !processes_[who]->paused() && !processes_[who]->ended())
      members.push_back(who);
  if (all.empty()) return kCoordinator;
  const NodeIndex who = all[world_.faults.below(all.size())];
  const bool last = members.size() <= 2 && oracles_.is_member(who);
  if (last && (members.size() <= 1 || world_.faults.chance(0.9))) return kCoordinator;
  return who;
}

bool Cluster::strike_peer(Fault fault) {
  if (fault == Fault::kJoin) {
    if (living().size() > config_.processes) return false;
    begin_process();
    return true;
  }
  const NodeIndex who = victim();
  if (who == kCoordinator) return false;
  Process& process = *processes_[who];
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  world_.trace(fault_name(fault), static_cast<int>(who));
  switch (fault) {
    case Fault::kCrash: gone(who); return true;
    case Fault::kPause:
    case Fault::kLongPause: {
      if (process.paused()) return false;
      process.pause();
      const Duration time = fault == Fault::kPause
                                ? World::between(world_.faults, milliseconds(1), suspicion / 2)
                                : World::between(world_.faults, suspicion, 6 * suspicion);
      world_.after(time, [this, who] { processes_[who]->unpause(); });
      return true;
    }
    case Fault::kLeave: run(who, [&process] { process.trainer().leave_when_idle(); }); return true;
    case Fault::kAccuse: {
      const auto others = living();
      const NodeIndex target = others[world_.faults.below(others.size())];
      const auto evidence = static_cast<Evidence>(1 + world_.faults.below(4));
      run(who, [this, &process, target, evidence] {
        if (target != process.self()) process.transport().lost(id_of(target), evidence);
      });
      return true;
    }
    case Fault::kSlow:
      network_.slow(who, world_.faults.chance(0.3) ? 1 : World::log_uniform(world_.faults, 2, 50));
      return true;
    case Fault::kControlReset: run(who, [&process] { process.drop_control(); }); return true;
    case Fault::kCancel:
      run(who,
          [&process, which = world_.faults.next()] { process.trainer().cancel_something(which); });
      return true;
    default: return false;
  }
}

bool Cluster::strike_coordinator(Fault fault) {
  switch (fault) {
    case Fault::kCoordinatorCrash:
      if (!coordinator_.up()) return false;
      coordinator_.crash();
      world_.after(World::between(world_.faults, milliseconds(1), milliseconds(300)),
                   [this] { coordinator_.start(); });
      return true;
    case Fault::kCoordinatorPause:
      coordinator_.pause();
      world_.after(World::between(world_.faults, milliseconds(1),
                                  4 * milliseconds(config_.run.suspicion_ms)),
                   [this] { coordinator_.unpause(); });
      return true;
    case Fault::kCutLog: coordinator_.cut_log(); return true;
    default: return false;
  }
}

bool Cluster::strike_network(Fault fault) {
  std::vector<NodeIndex> all = living();
  if (all.size() < 2) return false;
  std::vector<std::pair<NodeIndex, NodeIndex>> pairs;
  const bool both = world_.faults.chance(fault == Fault::kOneWay ? 0 : 0.8);
  auto cut = [&](NodeIndex a, NodeIndex b) {
    pairs.emplace_back(a, b);
    if (both) pairs.emplace_back(b, a);
  };
  if (fault == Fault::kEdge || fault == Fault::kBreak) {
    const size_t a = world_.faults.below(all.size()), b = world_.faults.below(all.size());
    if (a == b) return false;
    cut(all[a], all[b]);
  } else if (fault == Fault::kIsolate) {
    const NodeIndex one = all[world_.faults.below(all.size())];
    for (NodeIndex other : all)
      if (other != one) cut(one, other);
    if (world_.faults.chance(0.7)) cut(one, kCoordinator);
  } else {
    all.push_back(kCoordinator);
    std::vector<NodeIndex> left, right;
    for (NodeIndex who : all) (world_.faults.chance(0.5) ? left : right).push_back(who);
    for (NodeIndex a : left)
      for (NodeIndex b : right) cut(a, b);
    if (pairs.empty()) return false;
  }
  world_.trace(fault_name(fault), static_cast<int>(pairs.front().first), pairs.front().second,
               pairs.size());
  if (fault == Fault::kBreak)
    for (auto [from, to] : pairs) network_.sever(from, to);
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  cut_for(pairs, World::between(world_.faults, milliseconds(5), 5 * suspicion));
  return true;
}

void Cluster::cut_for(const std::vector<std::pair<NodeIndex, NodeIndex>>& pairs, Duration time) {
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  for (auto [from, to] : pairs) {
    network_.cut(from, to);
    if (from == kCoordinator || to == kCoordinator) continue;
    // A transport notices that nothing gets through, or its connection breaks: at either end.
    for (auto [observer, target] : {std::pair{from, to}, std::pair{to, from}}) {
      const auto evidence = static_cast<Evidence>(2 + world_.faults.below(3));
      const Duration delay = World::between(world_.faults, suspicion / 2, 2 * suspicion);
      world_.after(delay, [this, observer = observer, target = target, evidence] {
        if (!network_.is_cut(observer, target) && !network_.is_cut(target, observer)) return;
        run(observer, [this, observer, target, evidence] {
          processes_[observer]->transport().lost(id_of(target), evidence);
        });
      });
    }
  }
  world_.after(time, [this, pairs] {
    for (auto [from, to] : pairs) network_.mend(from, to);
  });
}

void Cluster::replenish() {
  if (healing_ || config_.per_second[static_cast<size_t>(Fault::kJoin)] == 0) return;
  world_.after(World::between(world_.faults, milliseconds(1), milliseconds(200)), [this] {
    if (!healing_ && living().size() < config_.processes) strike(Fault::kJoin);
  });
}

void Cluster::heal() {
  healing_ = true;
  world_.trace("heal", -1);
  network_.mend_all();
  coordinator_.unpause();
  coordinator_.start();
  for (const auto& process : processes_) process->unpause();
}

}  // namespace rhz::sim
