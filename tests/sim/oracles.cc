#include "tests/sim/oracles.h"

#include <algorithm>

#include "runtime/agreement/group.h"
#include "runtime/agreement/message.h"
#include "tests/sim/directory.h"

namespace rhz::sim {
namespace {

std::string number(uint64_t n) { return std::to_string(n); }

std::string list_of(const std::vector<NodeIndex>& who) {
  std::string text = "{";
  for (NodeIndex p : who) text += (text.size() > 1 ? " p" : "p") + number(p);
  return text + "}";
}

std::string describe(const OpKey& op) { return number(op.step) + "." + number(op.index); }

}  // namespace

void Oracles::fail(const char* invariant, const std::string& text) {
  if (violated()) return;
  violation_ = std::string(invariant) + ": " + text;
  world_.trace("VIOLATION", -1, 0, 0, violation_.c_str());
}

void Oracles::ended(NodeIndex who, const OpKey& op) {
  if (const std::string late = deadlines_.ended(who, op); !late.empty()) fail("O5", late);
}

void Oracles::appended(const LogEntry& entry) {
  log_[entry.index] = entry;
  if (const auto* record = std::get_if<ViewRecord>(&entry.record)) {
    const View& view = record->view;
    if (view.epoch <= view_.epoch)
      fail("V1", "epoch " + number(view.epoch.value) + " after " + number(view_.epoch.value));
    view_ = view;
    members_seen_ += view.size();
    const std::set<NodeIndex> before = std::exchange(members_, {});
    for (const MemberInfo& member : view.members) {
      const NodeIndex who = index_of(member.id);
      if (once_members_.contains(who) && !before.contains(who))
        fail("V2", "p" + number(who) + " is a member again");
      members_.insert(who);
      once_members_.insert(who);
    }
    for (NodeIndex who : members_) entered_count_ += !before.empty() && !before.contains(who);
    for (NodeIndex who : before) removed_count_ += !members_.contains(who);
    rerouted_count_ += view.cause.starts_with("rerouted");
    past_[view.epoch] = {view, {}, false};
    world_.trace("VIEW", -1, view.epoch.value, view.size(), view.cause.c_str());
  } else if (const auto* resolve = std::get_if<ResolveRecord>(&entry.record)) {
    Past& past = past_[resolve->resolution.epoch];
    if (past.resolved) fail("V1", "two resolutions of epoch " + number(past.view.epoch.value));
    past.resolution = resolve->resolution;
    past.resolved = true;
    check_answers(resolve->resolution);
    std::vector<NodeIndex> ring;
    for (Rank r : past.resolution.groups.front().ring) ring.push_back(index_of(past.view.members[r.value].id));
    const bool relayed = resolve->resolution.groups.front().relayed;
    world_.trace("RESOLVE", -1, past.view.epoch.value,
                 resolve->resolution.groups.front().ops.size(),
                 (list_of(ring) + (relayed ? " relayed" : "")).c_str());
  } else if (const auto* admit = std::get_if<AdmitRecord>(&entry.record)) {
    admits_.push_back(*admit);
    world_.trace("ADMIT", -1, admit->op.value, admit->joiners.size());
  }
}

void Oracles::cut(const LogEntry& snapshot) {
  log_.clear();
  log_[snapshot.index] = snapshot;
}

bool Oracles::is_durable(const LogEntry& entry) const {
  auto at = log_.find(entry.index);
  return at != log_.end() &&
         (at->second == entry || std::holds_alternative<SnapshotRecord>(at->second.record));
}

void Oracles::reported(NodeIndex who, const SealReport& report) {
  if (!is_member(who)) return;
  for (const MemberInfo& member : view_.members) {
    if (index_of(member.id) != who) continue;
    for (const GroupReport& group : report.groups)
      for (const OpReport& op : group.open)
        if (op.fail.code() == Code::kCancelled || op.fail.code() == Code::kMismatch)
          carried_on_.insert({report.epoch, group.group, member.id, op.seq});
  }
}

// Of an op that completes after all, a cancel or a mismatch ends a later one, so that every program hears of it ("Errors are
// uniform too", 4).
void Oracles::check_answers(const Resolution& resolution) {
  for (const GroupResolution& group : resolution.groups) {
    for (const AnsweredFail& answered : group.answered) {
      if (!carried_on_.contains({resolution.epoch, group.group, answered.peer, answered.seq})) continue;
      const bool heard = std::any_of(group.ops.begin(), group.ops.end(), [&](const OpDecision& op) {
        return op.outcome == OpDecision::Outcome::kAbort && op.seq >= answered.seq;
      });
      if (!heard)
        fail("abort4", "p" + number(index_of(answered.peer)) + " failed op seq " + number(answered.seq.value) +
                           " for everybody, and is answered in epoch " + number(resolution.epoch.value) + " without an ABORT");
    }
  }
}

void Oracles::told(const ControlMessage& message) {
  if (const auto* entries = std::get_if<EntriesMessage>(&message)) {
    for (const LogEntry& entry : entries->entries)
      if (!log_.empty() && entry.index >= log_.begin()->first && !is_durable(entry))
        fail("C1", "entry " + number(entry.index.value) + " was told and is not in the log");
  } else if (const auto* start = std::get_if<SyncStartMessage>(&message)) {
    if (std::find(admits_.begin(), admits_.end(), start->admit) == admits_.end())
      fail("C1", "a joiner was told of a state that is not in the log");
  }
}

// Null: there was no such epoch.
const Oracles::Stage* Oracles::stage(GroupId group, Epoch epoch) {
  const auto known = stages_.find({group, epoch});
  if (known != stages_.end()) return &known->second;
  const auto at = past_.find(epoch);
  if (at == past_.end() || !at->second.resolved) return nullptr;
  const auto& [view, resolution, resolved] = at->second;
  Stage stage{view, resolution.groups.front()};
  if (group != kRootGroup) {
    stage.view = group_view(view, groups_[group]);
    stage.resolution = fresh_group(group, stage.view, edges_within(stage.view, view, resolution.broken));
    for (const GroupResolution& other : resolution.groups)
      if (other.group == group) stage.resolution = other;
  }
  return &stages_.emplace(std::pair{group, epoch}, std::move(stage)).first->second;
}

std::vector<NodeIndex> Oracles::contributors(GroupId group, Epoch lineage, OpSeq seq) {
  std::vector<NodeIndex> who;
  const Stage* past = stage(group, lineage);
  if (!past) return who;
  for (uint32_t r = 0; r < past->view.size(); ++r)
    if (past->resolution.first_op[r] <= seq) who.push_back(index_of(past->view.members[r].id));
  std::sort(who.begin(), who.end());
  return who;
}

std::vector<NodeIndex> Oracles::contributors(GroupId group, const HeldRun& run, OpSeq seq) {
  std::vector<NodeIndex> who = contributors(group, run.lineage, seq);
  for (const Slot slot : run.departed) {
    // The last participant in that slot before.
    for (uint64_t epoch = run.lineage.value; epoch-- > 1;) {
      const Stage* past = stage(group, Epoch(epoch));
      if (!past) continue;
      const auto& members = past->view.members;
      const auto at = std::find_if(members.begin(), members.end(), [&](const MemberInfo& m) { return m.slot == slot; });
      if (at == members.end() || past->resolution.first_op[static_cast<size_t>(at - members.begin())] > seq) continue;
      who.push_back(index_of(at->id));
      break;
    }
  }
  std::sort(who.begin(), who.end());
  return who;
}

// In which they are summed: the one of the ring, which shows in the bits of floats.
std::vector<NodeIndex> Oracles::order(const Release& release, Epoch lineage, OpSeq seq, uint32_t chunk) {
  std::vector<NodeIndex> who = contributors(release.group, lineage, seq);
  if (!release.workload.floats || who.empty()) return who;
  const Stage& past = *stage(release.group, lineage);
  who.clear();
  for (Rank r : past.resolution.ring)
    if (past.resolution.first_op[r.value] <= seq) who.push_back(index_of(past.view.members[r.value].id));
  std::rotate(who.begin(), who.begin() + chunk % static_cast<uint32_t>(who.size()), who.end());
  return who;
}

void Oracles::entered_group(NodeIndex who, GroupId group, const std::vector<PeerId>& members) {
  const auto [at, fresh] = groups_.try_emplace(group, members);
  if (fresh) told_group_[group] = who;
  if (at->second == members) return;
  // Whoever told of it was evicted meanwhile, or is about to be: the others' word counts.
  const NodeIndex other = told_group_[group];
  if (is_member(who) && is_member(other))
    return fail("O1", "p" + number(who) + " and p" + number(other) + " have other members in one group");
  if (!is_member(who)) return;
  at->second = members;
  told_group_[group] = who;
  std::erase_if(stages_, [&](const auto& stage) { return stage.first.first == group; });
}

void Oracles::learned(NodeIndex who, GroupId group, const Chooser& chooser) {
  if (chooser.from() == kNoOp) return;
  const auto [at, fresh] = learned_.try_emplace({group, chooser.from()}, chooser.costs(), who);
  auto& [costs, teller] = at->second;
  if (fresh || costs == chooser.costs() || !is_member(who)) return;
  if (is_member(teller))
    return fail("O6", "p" + number(who) + " and p" + number(teller) + " were told other costs by op seq " +
                          number(chooser.from().value));
  at->second = {chooser.costs(), who};
}

void Oracles::installed(NodeIndex who, const View& view) {
  auto past = past_.find(view.epoch);
  if (past == past_.end() || !past->second.resolved)
    return fail("C1", "p" + number(who) + " installed an epoch that is not resolved");
  if (!(past->second.view == view)) fail("V1", "two views of epoch " + number(view.epoch.value));
  Epoch& newest = installed_[who];
  if (view.epoch <= newest) fail("V1", "p" + number(who) + " went back in epochs");
  newest = view.epoch;
}

namespace {
std::string slots_text(const std::vector<Slot>& slots) {
  std::string text;
  for (Slot slot : slots) text += " " + std::to_string(slot.value);
  return text;
}
}  // namespace

void Oracles::check_contributors(const Release& release, OpSeq seq, const View& installed,
                                 const OpOutcome& outcome) {
  std::vector<NodeIndex> first;
  const std::vector<NodeIndex> present = contributors(release.group, installed.epoch, seq);
  const auto& begun = submitters_[release.op];
  for (size_t i = 0; i < release.held.size(); ++i) {
    const HeldRun& run = release.held[i];
    const std::vector<NodeIndex> set = contributors(release.group, run, seq);
    if (!run.departed.empty()) ++included_;
    const std::string where =
        " in op " + describe(release.op) + " at p" + number(release.who) + " of " + list_of(set);
    if (set.empty()) fail("O3", "no contributors" + where);
    if (past_[run.lineage].view.size() < min_world_ && !release.unprotected)
      fail("min_world", "a value was made in a smaller view" + where);
    for (NodeIndex p : present)
      if (!std::binary_search(set.begin(), set.end(), p))
        fail("O3", "p" + number(p) + " is in the view and did not contribute" + where);
    for (NodeIndex p : set)
      if (!begun.contains(p)) fail("O3", "p" + number(p) + " never began it" + where);
    if (i == 0) first = set;
    if (release.workload.mode == RebuildMode::kStrict && set != first)
      fail("O3", "strict, and chunks differ: " + list_of(first) + where);
    if (std::adjacent_find(set.begin(), set.end()) != set.end()) fail("D2", "somebody counts twice" + where);
    std::vector<Slot> slots = run.departed;
    for (const MemberInfo& m : past_[run.lineage].view.members)
      if (std::binary_search(set.begin(), set.end(), index_of(m.id))) slots.push_back(m.slot);
    std::sort(slots.begin(), slots.end());
    const auto& named = outcome.contributors();
    if (i >= named.size() || named[i].slots != slots)
      fail("O3", "the op info names slots" + (i < named.size() ? slots_text(named[i].slots) : " of nobody") + ", not" +
                     slots_text(slots) + where);
  }
}

// Which inputs are in a wrong value: tries every multiplicity up to two of those who ever began the
// op.
std::string Oracles::compose(const Release& release, const Layout& layout, uint32_t chunk,
                             const std::byte* result) const {
  auto begun = submitters_.find(release.op);
  if (begun == submitters_.end() || release.workload.average || release.workload.floats) return "?";
  const std::vector<NodeIndex> who(begun->second.begin(), begun->second.end());
  const uint64_t e = layout.chunk_offset(chunk);
  const uint64_t value = load<uint64_t>(result + e * 8);
  uint64_t combinations = 1;
  for (size_t i = 0; i < who.size() && combinations < 100000; ++i) combinations *= 3;
  for (uint64_t code = 0; code < combinations; ++code) {
    uint64_t sum = 0, rest = code;
    std::string text;
    for (NodeIndex p : who) {
      const uint64_t times = rest % 3;
      rest /= 3;
      sum += times * input_of(seed_, release.op, p, e);
      if (times > 0) text += " " + number(times) + "xp" + number(p);
    }
    if (sum == value) return text;
  }
  return "? (first element " + number(value) + ")";
}

void Oracles::check_value(const Release& release, OpSeq seq, const Layout& layout,
                          const std::byte* result) {
  if (release.workload.kind == OpKind::kVerify) {
    const auto word = [&](size_t i) { return load<uint64_t>(result + 8 * i); };
    if ((word(0) != ~word(2) || word(1) != ~word(3)) && !tainted_)
      fail("O2", "op " + describe(release.op) + ": members stand at different states");
    return;
  }
  if (!release.workload.has_known_order()) return;  // that all have the same bits is seen all the same
  for (const HeldRun& run : release.held) {
    if (release.workload.floats && !run.departed.empty()) continue;  // a sum that took another way
    for (uint32_t c = run.first; c < run.first + run.count; ++c) {
      const std::vector<NodeIndex> set =
          run.departed.empty() ? order(release, run.lineage, seq, c) : contributors(release.group, run, seq);
      auto& known = right_[{release.op, c}];
      auto at = known.find(set);
      if (at == known.end()) {
        const auto value = result_of(seed_, release.op, release.workload, set,
                                     layout.chunk_offset(c), layout.chunk_count(c));
        at = known.emplace(set, hash_bytes(value.data(), value.size())).first;
      }
      if (at->second == release.chunk_hashes[c]) continue;
      fail("D2", "op " + describe(release.op) + " seq " + number(seq.value) + " chunk " +
                     number(c) + " at p" + number(release.who) + " is not the sum over " +
                     list_of(set) + " (lineage " + number(run.lineage.value) + ") but" +
                     compose(release, layout, c, result));
      return;
    }
  }
}

// Of an op whose bits were changed on their way.  That they are not the sum is no surprise; that they differ is found before
// the return (rule a), or makes an end of all who took part soon after (rule b).
bool Oracles::excuses_bits(const Release& release, OpSeq seq) {
  const bool flipped = flipped_.contains({release.group, seq});
  tainted_ |= flipped && !release.rule_a;
  return flipped;
}

void Oracles::finalised(NodeIndex who, GroupId group, OpSeq seq) {
  std::vector<Release>& all = releases_[{group, seq}];
  const auto own = std::find_if(all.begin(), all.end(), [&](const Release& r) { return r.who == who; });
  if (own == all.end() || own->chunk_hashes.empty()) return;
  own->final = true;
  for (const Release& other : all)
    if (other.final && !other.chunk_hashes.empty() && other.chunk_hashes != own->chunk_hashes)
      fail("O2", "op " + describe(own->op) + " seq " + number(seq.value) + " is final with other bits at p" + number(who) +
                     " and p" + number(other.who));
}

void Oracles::released(NodeIndex who, GroupId group, const OpKey& op, const Workload& workload,
                       const OpOutcome& outcome, const std::vector<HeldRun>& held,
                       const Layout& layout, const std::byte* result, const View& installed,
                       Care care) {
  const Code code = outcome.status.code();
  ++releases_count_;
  rebuilt_ += outcome.rebuilds > 0;
  aborts_ += code != Code::kOk;
  Release release{who, group, op, workload, code, care.rule_a, care.unprotected, outcome.algorithm, held, {}, {}, {}};
  if (code == Code::kOk) {
    uint32_t chunks = 0;
    for (const HeldRun& run : held) chunks += run.count;
    if (chunks != layout.chunks) return fail("B", "released with chunks missing");
    for (uint32_t c = 0; c < layout.chunks; ++c)
      release.chunk_hashes.push_back(
          hash_bytes(result + layout.chunk_offset(c) * workload.element(), layout.chunk_bytes(c)));
    check_contributors(release, outcome.seq, installed, outcome);
    if (!excuses_bits(release, outcome.seq)) check_value(release, outcome.seq, layout, result);
  }
  auto& others = releases_[{group, outcome.seq}];
  for (const Release& other : others) compare(other, release, outcome.seq);
  others.push_back(std::move(release));
}

void Oracles::compare(const Release& a, const Release& b, OpSeq seq) {
  const std::string which = " op " + describe(b.op) + " seq " + number(seq.value) + " at p" +
                            number(a.who) + " and p" + number(b.who);
  if (a.who == b.who) return fail("O4", "ended twice:" + which);
  const bool both_members = is_member(a.who) && is_member(b.who);
  if (!both_members && !(a.rule_a && b.rule_a)) return;
  // Whoever returned the counts of an all-to-all by rule b and is no member any more was a number ahead; what it began then was aborted.
  if (!both_members && a.op != b.op && a.code != Code::kOk && b.code != Code::kOk) return;
  if (a.op != b.op) return fail("O4", "two ops have one number: " + describe(a.op) + which);
  if (a.unprotected && (a.code == Code::kPeerLost || b.code == Code::kPeerLost)) return;
  if (a.code != b.code) {
    return fail("O1", std::string("ended with \"") + code_text(a.code) + "\" and \"" +
                          code_text(b.code) + "\":" + which);
  }
  if (a.algorithm != b.algorithm && a.algorithm != Algorithm::kAuto && b.algorithm != Algorithm::kAuto)
    return fail("O6", std::string(name(a.algorithm)) + " and " + name(b.algorithm) + " were chosen:" + which);
  if (a.code != Code::kOk) return;
  if (a.held != b.held) return fail("O1", "released with two lineages:" + which);
  const bool excused = !(a.rule_a && b.rule_a) && flipped_.contains({b.group, seq});
  const bool both = !a.chunk_hashes.empty() && !b.chunk_hashes.empty();  // the root of a broadcast has no result
  if (both && !excused && a.chunk_hashes != b.chunk_hashes) return fail("O1", "released with other bits:" + which);
  for (const auto& [chunk, piece] : a.pieces) {
    const auto other = b.pieces.find(chunk);
    if (other != b.pieces.end() && other->second != piece)
      return fail("O1", "chunk " + number(chunk) + " was released with two lineages:" + which);
  }
}

void Oracles::left_boundary(NodeIndex who, const OpKey& op, const OpOutcome& outcome) {
  const Code code = outcome.status.code();
  Release release{who, kRootGroup, op, {}, code, false, false, {}, {}, {outcome.joined}, {}, {}};
  auto& others = releases_[{kRootGroup, outcome.seq}];
  for (const Release& other : others) compare(other, release, outcome.seq);
  others.push_back(std::move(release));
}

void Oracles::finished_step(NodeIndex who, uint64_t step, uint64_t state_hash) {
  auto& states = states_[step];
  for (const auto& [other, hash] : states) {
    if (!is_member(who) || !is_member(other) || hash == state_hash || tainted_) continue;
    fail("O1", "after step " + number(step) + " the states of p" + number(who) + " and p" +
                   number(other) + " differ");
  }
  states.emplace_back(who, state_hash);
}

void Oracles::entered(NodeIndex who, uint64_t step, uint64_t state_hash) {
  const auto logged = std::find_if(admits_.rbegin(), admits_.rend(), [&](const AdmitRecord& admit) {
    return std::any_of(admit.joiners.begin(), admit.joiners.end(),
                       [&](const MemberInfo& joiner) { return index_of(joiner.id) == who; });
  });
  if (logged != admits_.rend() && logged->revision != step)
    fail("R2", "p" + number(who) + " entered with revision " + number(step) + ", and " +
                   number(logged->revision) + " is logged");
  check_state(who, step, state_hash, "entered with");
  states_[step].emplace_back(who, state_hash);
}

void Oracles::pulled(NodeIndex who, uint64_t step, uint64_t state_hash) {
  ++pulled_count_;
  bases_[who] = {step, state_hash};
  astray_.erase(who);
  if (!strays(who)) check_state(who, step, state_hash, "pulled");
}

void Oracles::followed(NodeIndex who, uint64_t step, uint64_t state_hash) {
  ++followed_count_;
  bases_[who] = {step, state_hash};
  if (!strays(who)) check_state(who, step, state_hash, "made by an update");
}

// What a joiner goes on from, or the update that it followed, is of somebody who was evicted meanwhile, and who had released by rule b
// what the members then made anew.  It is found out when it is to enter.
bool Oracles::strays(NodeIndex who) {
  if (astray_.contains(who)) return true;
  const auto base = bases_.find(who);
  if (base == bases_.end()) return false;
  const auto at = states_.find(base->second.first);
  if (at == states_.end()) return false;
  bool of_a_former_member = false, of_members = true;
  for (const auto& [other, hash] : at->second) {
    const bool same = hash == base->second.second;
    if (is_member(other)) of_members &= same;
    else of_a_former_member |= same && other != who;
  }
  if (of_a_former_member && !of_members) astray_.insert(who);
  return astray_.contains(who);
}

void Oracles::check_state(NodeIndex who, uint64_t step, uint64_t state_hash, const char* how) {
  for (const auto& [other, hash] : states_[step]) {
    if (!is_member(other) || other == who || tainted_) continue;
    if (hash != state_hash)
      fail("R2", "p" + number(who) + " " + how + " another state than p" + number(other) +
                     " has after step " + number(step));
  }
}

void Oracles::check_lineages(const std::vector<Holding>& holdings) {
  // With its signature: what ranks take for one op may be two, until a frame of one meets the other.
  std::map<std::tuple<GroupId, OpSeq, uint64_t, uint32_t>, std::pair<Epoch, NodeIndex>> seen;
  for (const Holding& holding : holdings) {
    if (!is_member(holding.who)) continue;
    for (const auto& op : holding.ops) {
      for (const HeldRun& run : op.held) {
        for (uint32_t c = run.first; c < run.first + run.count; ++c) {
          auto [at, fresh] = seen.try_emplace({holding.group, op.seq, op.signature, c}, run.lineage, holding.who);
          if (fresh || at->second.first == run.lineage) continue;
          return fail("L1", "op seq " + number(op.seq.value) + " chunk " + number(c) + ": p" +
                                number(at->second.second) + " holds lineage " +
                                number(at->second.first.value) + ", p" + number(holding.who) +
                                " lineage " + number(run.lineage.value));
        }
      }
    }
  }
}

}  // namespace rhz::sim
