#include "runtime/membership/member.h"

#include <algorithm>

#include "runtime/base/assert.h"
#include "runtime/membership/evidence.h"

namespace rhz {

Member::Member(std::string run_id, MemberInfo self, MemberTiming timing)
    : run_id_(std::move(run_id)), timing_(timing), self_(std::move(self)) {}

void Member::send(ControlMessage message) {
  if (connected_) actions_.push_back(MemberSend{std::move(message)});
}

void Member::connected(Time) {
  if (ended_) return;
  connected_ = true;
  welcomed_ = false;
  send(HelloMessage{run_id_, self_, last_index_, last_term_, state_});
}

void Member::disconnected(Time now) {
  connected_ = welcomed_ = false;
  if (needs_coordinator()) needed_since_ = std::min(needed_since_, now);
}

bool Member::needs_coordinator() const {
  return sealed_now() || leaving_ || !suspects_.empty() || !fails_.empty() || admit_ || synced_;
}

void Member::receive(Time now, const ControlMessage& message) {
  if (ended_) return;
  // A stale term decides nothing (C1).
  auto fresh = [&](Term term) {
    if (term < term_) return false;
    term_ = term;
    return true;
  };
  if (const auto* m = std::get_if<WelcomeMessage>(&message)) {
    if (!fresh(m->term)) return;
    config_ = m->config;
    welcomed_ = true;
    needed_since_ = kNever;
    if (report_) send(SealedMessage{*report_});
    if (bulk_synced_) send(*std::exchange(bulk_synced_, {}));
    say_again(now);
  } else if (const auto* m = std::get_if<RefusedMessage>(&message)) {
    if (fresh(m->term)) end(m->status);
  } else if (const auto* m = std::get_if<EntriesMessage>(&message)) {
    if (!fresh(m->term)) return;
    for (const LogEntry& e : m->entries) {
      if (ended_) return;
      entry(now, e);
    }
  } else if (const auto* m = std::get_if<PendingMessage>(&message)) {
    if (fresh(m->term)) actions_.push_back(PendingAction{m->waiting, m->bulk});
  } else if (const auto* m = std::get_if<SyncStartMessage>(&message)) {
    if (!fresh(m->term) || is_member()) return;
    // Asked again, after a reconnect: the state is there already, and must not be written once more when this peer is a member.
    const AdmitRecord& admit = m->admit;
    if (synced_ && synced_->failed.is_ok() && synced_->op == admit.op && synced_->root == admit.root)
      return send(*synced_);
    synced_.reset();
    const bool bulk = std::any_of(admit.bulk.begin(), admit.bulk.end(),
                                  [&](const MemberInfo& info) { return info.id == self_.id; });
    bulk_op_ = bulk ? admit.op : kNoOp;
    if (bulk) state_.bulk = BulkStand::kPulling;
    actions_.push_back(SyncAction{admit, m->donors, bulk});
  } else if (const auto* m = std::get_if<GenerationsMessage>(&message)) {
    if (!fresh(m->term)) return;
    for (const GenerationRecord& generation : m->generations) see_generation(generation);
  } else if (const auto* m = std::get_if<ProposalRefusedMessage>(&message)) {
    if (!fresh(m->term)) return;
    const auto at = proposals_.find(m->stage);
    if (at == proposals_.end() || at->second.revision != m->revision ||
        at->second.placement != m->placement)
      return;
    proposals_.erase(at);
    actions_.push_back(ProposalRefusedAction{*m});
  } else if (const auto* m = std::get_if<VaultsMessage>(&message)) {
    if (fresh(m->term)) actions_.push_back(VaultsAction{*m});
  }
}

// What no coordinator of this run can have logged behind what this peer has seen; null: it goes on from there.
const char* Member::breaks_off(const LogEntry& e) const {
  const auto* const snapshot = std::get_if<SnapshotRecord>(&e.record);
  if (last_index_ != LogIndex(0) && e.index != last_index_.next() && !snapshot) return "a record is missing";
  if (const auto* view = std::get_if<ViewRecord>(&e.record); view && view->view.epoch <= view_.epoch) return "a view is older than the last one";
  const auto* const resolve = std::get_if<ResolveRecord>(&e.record);
  if (!resolve && !snapshot) return nullptr;
  const Resolution& resolution = resolve ? resolve->resolution : snapshot->resolution;
  const Epoch newest = snapshot ? std::max(snapshot->view.epoch, view_.epoch) : view_.epoch;
  if (resolution.groups.empty()) return "a resolution decides nothing";
  const bool known = snapshot && resolution.epoch <= installed_;
  return known || (resolution.epoch == newest && installed_ < newest) ? nullptr : "a resolution is of another view";
}

void Member::entry(Time now, const LogEntry& e) {
  if (ended_ || e.index <= last_index_) return;  // a duplicate, after a reconnect
  if (const char* why = breaks_off(e)) {
    return end(Status(Code::kCorrupt, "the coordinator's log does not go on from where this peer stands: " + std::string(why) + " (record " +
                                          std::to_string(e.index.value) + "); it is damaged, or another run's: start the coordinator on the run's own log"));
  }
  last_index_ = e.index;
  last_term_ = e.term;
  if (const auto* view = std::get_if<ViewRecord>(&e.record)) see_view(now, view->view);
  if (const auto* resolve = std::get_if<ResolveRecord>(&e.record))
    see_resolution(resolve->resolution);
  if (const auto* admit = std::get_if<AdmitRecord>(&e.record)) {
    if (admit_ && admit->joiners.empty() && admit->op == admit_->op) admit_.reset();
    actions_.push_back(AdmitAction{*admit});
  }
  if (const auto* generation = std::get_if<GenerationRecord>(&e.record))
    see_generation(*generation);
  if (const auto* s = std::get_if<SnapshotRecord>(&e.record)) {
    for (const GenerationRecord& generation : s->generations) see_generation(generation);
    if (s->view.epoch > view_.epoch) see_view(now, s->view);
    if (ended_) return;
    if (s->resolution.epoch > installed_) see_resolution(s->resolution);
    // It stands for ADMIT records as well.
    if (const OpSeq over = s->resolution.groups.front().admit_ended; over != kNoOp) {
      if (admit_ && admit_->op <= over) admit_.reset();
      actions_.push_back(AdmitAction{{over, {}, 0, {}}});
    }
  }
}

void Member::see_view(Time, const View& view) {
  RHZ_ASSERT("V1", view.epoch > view_.epoch);
  if (!view.contains(self_.id)) {
    if (leaving_) return end(Status(Code::kClosed, "left the run"));
    return end(Status(Code::kEvicted, "removed from the run in epoch " +
                                          std::to_string(view.epoch.value) + " (" + view.cause +
                                          "); join again as a new peer"));
  }
  view_ = view;
  self_.slot = view.members[view.rank_of(self_.id).value].slot;
  report_.reset();
  synced_.reset();
  proposals_.clear();
  carry_over_facts();
  actions_.push_back(SealAction{view});
}

// Suspicions are of the older epoch: what still holds is found again.  But a process that has ended does not come back, and nobody
// looks for it while all are sealed: the coordinator would have to wait for it.
void Member::carry_over_facts() {
  std::erase_if(suspects_, [&](const auto& suspect) {
    return !is_hard(suspect.second.evidence) || !view_.contains(suspect.first);
  });
  for (auto& [target, message] : suspects_) {
    carried_over_.insert(target);
    message.epoch = view_.epoch;
    if (welcomed_) send(message);
  }
}

void Member::sealed(Time now, SealReport report) {
  if (ended_ || report.epoch != view_.epoch || !sealed_now()) return;
  report_ = std::move(report);
  if (welcomed_) send(SealedMessage{*report_});
  else needed_since_ = std::min(needed_since_, now);
}

void Member::see_resolution(const Resolution& resolution) {
  RHZ_ASSERT("V1", resolution.epoch == view_.epoch && installed_ < resolution.epoch);
  installed_ = resolution.epoch;
  report_.reset();
  // From here on the transport looks again.
  for (const PeerId target : carried_over_) suspects_.erase(target);
  carried_over_.clear();
  for (const GroupResolution& group : resolution.groups) {
    for (const AnsweredFail& answered : group.answered)
      if (answered.peer == self_.id) fails_.erase({group.group, answered.seq});
    if (admit_ && group.group == kRootGroup && group.admit_ended != kNoOp &&
        group.admit_ended >= admit_->op)
      admit_.reset();
  }
  actions_.push_back(InstallAction{view_, resolution});
}

// The log and GENERATIONS messages both bring them.
void Member::see_generation(const GenerationRecord& generation) {
  const std::pair place{generation.revision, generation.placement};
  auto [known, first] = generations_.try_emplace(generation.stage, place);
  if (!first && place <= known->second) return;
  known->second = place;
  const auto mine = proposals_.find(generation.stage);
  if (mine != proposals_.end() && std::pair{mine->second.revision, mine->second.placement} <= place)
    proposals_.erase(mine);
  actions_.push_back(GenerationAction{generation});
}

// A silence that is over would be a broken edge to a coordinator that hears the accused again too, or has just been started.
void Member::heard(PeerId target) {
  if (suspects_.empty()) return;  // for each frame
  const auto at = suspects_.find(target);
  if (at == suspects_.end() || at->second.evidence != kOfSilence) return;
  suspects_.erase(at);
  if (welcomed_) send(SuspectMessage{view_.epoch, target, kTakenBack, false});
}

void Member::suspect(Time now, PeerId target, uint8_t evidence, bool self_doubt) {
  if (ended_ || !view_.contains(target)) return;
  SuspectMessage& message = suspects_[target];
  const bool surer = message.self_doubt && !self_doubt;
  if (message.evidence != 0 && message.evidence <= evidence && !surer) return;
  message = {view_.epoch, target, evidence, self_doubt};
  if (welcomed_) send(message);
  else needed_since_ = std::min(needed_since_, now);
  say_again_at_ = std::min(say_again_at_, now + timing_.repeat);
}

void Member::fail(Time now, GroupId group, OpSeq seq, Status status) {
  if (ended_ || !fails_.emplace(std::pair{group, seq}, status).second) return;
  // While sealed it travels in the report; afterwards it is said again if that came too late.
  if (welcomed_ && !sealed_now()) send(FailMessage{view_.epoch, group, seq, std::move(status)});
  if (!welcomed_) needed_since_ = std::min(needed_since_, now);
  say_again_at_ = std::min(say_again_at_, now + timing_.repeat);
}

void Member::op_ended(GroupId group, OpSeq seq) { fails_.erase({group, seq}); }

void Member::admit_begun(Time now, AdmitBegunMessage message) {
  if (ended_) return;
  admit_ = std::move(message);
  if (welcomed_) send(*admit_);
  else needed_since_ = std::min(needed_since_, now);
  say_again_at_ = std::min(say_again_at_, now + timing_.repeat);
}

void Member::synced(Time now, SyncedMessage message) {
  if (ended_) return;
  if (message.op == bulk_op_) {  // is not repeated: a new session's Hello says as much
    bulk_op_ = kNoOp;
    state_.bulk = BulkStand::kHad;
    if (welcomed_) send(std::move(message));
    else bulk_synced_ = std::move(message);  // this session's Hello did not, where it has been sent
    return;
  }
  synced_ = std::move(message);
  if (welcomed_) send(*synced_);
  say_again_at_ = std::min(say_again_at_, now + timing_.repeat);
}

void Member::propose(Time now, GenerationRecord generation) {
  if (ended_) return;
  if (welcomed_) send(ProposeMessage{view_.epoch, generation});
  // A proposal can wait for the coordinator as long as it takes: the older generation stays.
  proposals_[generation.stage] = std::move(generation);
  say_again_at_ = std::min(say_again_at_, now + timing_.repeat);
}

void Member::leave(Time now) {
  if (ended_) return;
  leaving_ = true;
  if (welcomed_) send(LeaveMessage{});
  else needed_since_ = std::min(needed_since_, now);
  say_again_at_ = std::min(say_again_at_, now + timing_.repeat);
}

void Member::beat(Time, PeerBeatMessage message) {
  if (!welcomed_ || ended_) return;
  message.epoch = installed_;
  send(std::move(message));
}

// What the coordinator may have forgotten in a restart, or was told in a wrong moment.
void Member::say_again(Time now) {
  say_again_at_ = kNever;
  if (!welcomed_ || ended_) return;
  if (leaving_) send(LeaveMessage{});
  for (const auto& [target, message] : suspects_) send(message);
  if (!sealed_now())
    for (const auto& [op, status] : fails_)
      send(FailMessage{view_.epoch, op.first, op.second, status});
  if (admit_) send(*admit_);
  if (synced_) send(*synced_);
  for (const auto& [stage, generation] : proposals_)
    send(ProposeMessage{view_.epoch, generation});
  if (needs_coordinator() || !proposals_.empty()) say_again_at_ = now + timing_.repeat;
}

void Member::resign(Time now, Status status) {
  if (ended_) return;
  leave(now);
  end(std::move(status));
}

void Member::end(Status status) {
  ended_ = true;
  actions_.push_back(EndAction{std::move(status)});
}

Time Member::tick(Time now) {
  if (ended_) return kNever;
  if (now >= say_again_at_) say_again(now);
  if (!needs_coordinator() || welcomed_) needed_since_ = kNever;
  else needed_since_ = std::min(needed_since_, now);
  // Founders and joiners may wait as long as they like: nothing of theirs is open.
  if (is_member() && needed_since_ != kNever && now >= needed_since_ + timing_.isolation) {
    end(Status(Code::kIsolated, "the coordinator was needed and out of reach for too long; join "
                                "again when it is back"));
    return kNever;
  }
  const Time isolated_at =
      needed_since_ == kNever || !is_member() ? kNever : needed_since_ + timing_.isolation;
  return std::min(say_again_at_, isolated_at);
}

}  // namespace rhz
