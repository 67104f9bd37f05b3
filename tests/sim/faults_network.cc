// Cuts between processes, and what is healed of them in the end.
#include <algorithm>

#include "tests/sim/cluster.h"

namespace rhz::sim {

using Pairs = std::vector<std::pair<NodeIndex, NodeIndex>>;

bool Cluster::strike_network(Fault fault, Prng& dice) {
  std::vector<NodeIndex> all = living();
  if (all.size() < 2) return false;
  if (fault == Fault::kClog) return clog(dice);
  if (fault == Fault::kCollapse) return narrow(dice);
  if (fault == Fault::kZeroWindow) return shut_window(dice);
  Pairs pairs;
  const bool both = dice.chance(fault == Fault::kOneWay ? 0 : 0.8);
  auto cut = [&](NodeIndex a, NodeIndex b) {
    pairs.emplace_back(a, b);
    if (both) pairs.emplace_back(b, a);
  };
  if (fault == Fault::kEdge || fault == Fault::kBreak) {
    const size_t a = dice.below(all.size()), b = dice.below(all.size());
    if (a == b) return false;
    cut(all[a], all[b]);
  } else if (fault == Fault::kIsolate) {
    const NodeIndex one = all[dice.below(all.size())];
    for (NodeIndex other : all)
      if (other != one) cut(one, other);
    if (dice.chance(0.7)) cut(one, kCoordinator);
  } else {
    std::vector<NodeIndex> left, right;
    const double share = dice.chance(0.5) ? 0.5 : 0.15;
    for (NodeIndex who : all) (dice.chance(share) ? left : right).push_back(who);
    // A coordinator among few removes the many, and soon nobody is left.
    const bool with_left = left.size() > right.size() ? dice.chance(0.9) : dice.chance(0.1);
    (with_left ? left : right).push_back(kCoordinator);
    for (NodeIndex a : left)
      for (NodeIndex b : right) cut(a, b);
    if (pairs.empty()) return false;
  }
  world_.trace(fault_name(fault), static_cast<int>(pairs.front().first), pairs.front().second,
               pairs.size());
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  if (fault == Fault::kBreak) {
    for (auto [from, to] : pairs) sever(from, to);
    // One end stands still long enough to doubt itself, not long enough to be suspected, when it
    // would notice.
    if (dice.chance(0.5)) stun(pairs.front().first, dice);
    if (dice.chance(0.5)) return true;  // whoever sends there finds out
  }
  cut_for(pairs, World::between(dice, milliseconds(5), 5 * suspicion), dice);
  return true;
}

// Swizzled: which edge is the first to work again has nothing to do with which was the first to be cut.
bool Cluster::clog(Prng& dice) {
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  const double share = dice.chance(0.5) ? 0.2 : 0.5;
  Duration begins{};
  std::vector<NodeIndex> ends = living();
  ends.push_back(kCoordinator);
  bool any = false;
  for (NodeIndex from : ends) {
    for (NodeIndex to : ends) {
      if (from == to || !dice.chance(from == kCoordinator || to == kCoordinator ? share / 4 : share)) continue;
      any = true;
      begins += World::between(dice, Duration(0), suspicion / 8);
      const Duration time = World::between(dice, milliseconds(1), 3 * suspicion);
      Prng own = dice.split(static_cast<uint64_t>(begins.count()));
      world_.after(begins, [this, from, to, time, own]() mutable {
        if (!healing_) cut_for({{from, to}}, time, own);
      });
    }
  }
  return any;
}

// Of an edge, or of all that a peer has.
bool Cluster::narrow(Prng& dice) {
  const std::vector<NodeIndex> all = living();
  const NodeIndex a = all[dice.below(all.size())];
  const NodeIndex b = dice.chance(0.5) ? a : all[dice.below(all.size())];
  network_.narrow(a, b, Duration(static_cast<int64_t>(World::log_uniform(dice, 200, 20'000))));
  world_.after(World::between(dice, milliseconds(5), 6 * milliseconds(config_.run.suspicion_ms)), [this, a, b] {
    if (!healing_) network_.narrow(a, b, Duration::zero());  // with everything else
  });
  return true;
}

bool Cluster::shut_window(Prng& dice) {
  const std::vector<NodeIndex> all = living();
  const NodeIndex a = all[dice.below(all.size())], b = all[dice.below(all.size())];
  if (a == b || !processes_[a]->transport().names(id_of(b))) return false;
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  const Duration time = World::between(dice, milliseconds(1), 3 * suspicion);
  if (!processes_[a]->transport().shut(id_of(b), dice.chance(0.3) ? LaneClass::kExpress : LaneClass::kBulk, time)) return false;
  const Duration notices = World::between(dice, suspicion, 3 * suspicion);
  if (notices >= time) return true;
  world_.after(notices, [this, a, b] {
    run(b, [this, a, b] {
      SimTransport& sender = processes_[b]->transport();
      if (sender.stalls(id_of(a))) sender.lost(id_of(a), Evidence::kStall);
    });
  });
  return true;
}

void Cluster::stun(NodeIndex who, Prng& dice) {
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  world_.after(World::between(dice, Duration(0), 3 * suspicion), [this, who, suspicion] {
    if (processes_[who]->alive() && !processes_[who]->paused()) pause_for(who, suspicion * 9 / 10);
  });
}

void Cluster::cut_for(const Pairs& pairs, Duration time, Prng& dice) {
  const Duration suspicion = milliseconds(config_.run.suspicion_ms);
  for (auto [from, to] : pairs) {
    network_.cut(from, to);
    if (from == kCoordinator || to == kCoordinator) continue;
    // A transport notices that nothing gets through, or its connection breaks: at either end.
    for (auto [observer, target] : {std::pair{from, to}, std::pair{to, from}}) {
      const auto evidence = static_cast<Evidence>(3 + dice.below(3));
      const Duration delay = World::between(dice, suspicion / 2, 2 * suspicion);
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

void Cluster::sever(NodeIndex from, NodeIndex to) {
  network_.sever(from, to);
  if (from != kCoordinator && to != kCoordinator) processes_[from]->transport().cut(id_of(to));
}

// An edge in the core, at a time after which no view need come any more: whatever is lost of what
// was noticed then stays lost.
void Cluster::break_late(const std::vector<NodeIndex>& core, Prng& dice) {
  const NodeIndex a = core[dice.below(core.size())], b = core[dice.below(core.size())];
  if (a == b) return;
  world_.trace("broken for good", static_cast<int>(a), b);
  sever(a, b);
  if (dice.chance(0.5)) sever(b, a);
  stun(a, dice);
  stun(b, dice);
}

// The end of the chaos.  What is severed stays so; with core_only the same goes for everything that
// does not lie in a random core around the coordinator: cuts, standstills, slowness, and every link
// of some who are cut off altogether.
void Cluster::heal() {
  healing_ = true;
  world_.trace("heal", -1);
  Prng dice(mix64(config_.seed ^ 0x4ea1));
  std::set<NodeIndex> core{kCoordinator};
  NodeIndex sound = kCoordinator;  // a member that can go on
  for (NodeIndex who : living()) {
    if (!config_.core_only || dice.chance(0.8)) core.insert(who);
    if (oracles_.is_member(who) && !processes_[who]->paused() && !processes_[who]->ended())
      sound = who;
  }
  core.insert(sound);
  for (NodeIndex who : living()) {
    if (core.contains(who)) continue;
    world_.trace("lost for good", static_cast<int>(who));
    if (processes_[who]->paused()) stuck_.insert(who);
    if (dice.chance(0.5)) continue;
    for (NodeIndex other : living()) sever(who, other), sever(other, who);
    if (dice.chance(0.5)) network_.sever(who, kCoordinator), network_.sever(kCoordinator, who);
  }
  network_.mend_within(core);
  if (config_.late_break && core.size() > 3)
    break_late({core.begin(), std::prev(core.end())}, dice);
  oracles_.healed(core, network_.slowest());
  coordinator_.end_zombies();
  coordinator_.spare();
  coordinator_.unpause();
  coordinator_.start();
  for (const auto& process : processes_) process->doom(Mark::kCount);
  for (const auto& process : processes_)
    if (!stuck_.contains(process->self())) process->unpause();
}

}  // namespace rhz::sim
