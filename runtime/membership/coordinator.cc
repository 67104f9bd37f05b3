// Sessions and the log.
#include "runtime/membership/coordinator.h"

#include "runtime/base/assert.h"
#include "runtime/base/canary.h"

namespace rhz {
namespace {

constexpr size_t kMaxPeers = 4096;     // B1: members and newcomers together
constexpr size_t kMaxMetrics = 8;
constexpr size_t kMaxHistory = 1024;  // B1: views that a lineage may name
constexpr size_t kEntriesPerMessage = 1;  // a record may be nearly as large as a message

}  // namespace

Coordinator::Coordinator(RunConfig config, std::vector<LogEntry> recovered, Time now,
                         CoordinatorTiming timing)
    : timing_(timing), config_(std::move(config)), started_(now), last_tick_(now), newest_word_(now) {
  if (recovered.empty()) {
    append(ConfigRecord{config_});
    return;
  }
  recover(std::move(recovered));
  vaults_complete_at_ = now + timing_.vaults_return;
  told_complete_ = false;
  // Members come back by themselves; until then nobody is suspect.
  for (const MemberInfo& member : view_.members) {
    Peer& peer = peers_[member.id];
    peer.info = member;
    peer.heard = peer.lost = peer.since = now;
  }
  view_logged_ = now;
  // The first record of the new term: two restarts in a row do not share one.
  append(ConfigRecord{config_});
  if (admission_) {
    admission_->started = now;
    for (const MemberInfo& joiner : admission_->record.joiners) {
      Peer& peer = peers_[joiner.id];
      peer.info = joiner;
      peer.heard = peer.lost = peer.since = now;
    }
  }
}

void Coordinator::recover(std::vector<LogEntry> entries) {
  for (LogEntry& entry : entries) {
    term_ = Term(entry.term.value + 1);
    apply(entry);
    if (const auto* generation = std::get_if<GenerationRecord>(&entry.record))
      kept_shards_ += generation->shards.size();
    entries_.push_back(std::move(entry));
    forget_old_entries();
  }
}

// Takes one durable (or about to be durable) record into account.
void Coordinator::apply(const LogEntry& entry) {
  last_index_ = entry.index;
  if (const auto* config = std::get_if<ConfigRecord>(&entry.record)) {
    config_ = config->config;
  } else if (const auto* record = std::get_if<ViewRecord>(&entry.record)) {
    const View& next = record->view;
    RHZ_ASSERT("V1", next.epoch > view_.epoch);
    for (const MemberInfo& member : view_.members)
      if (!next.contains(member.id) && !first_op_.contains(member.id)) retired_.insert(member.id);
    for (const MemberInfo& member : next.members) RHZ_ASSERT("V2", is_member(member.id) || !was_member(member.id));
    if (admission_) {
      for (const MemberInfo& joiner : admission_->record.joiners) {
        if (!next.contains(joiner.id) || view_.contains(joiner.id)) continue;
        admit_op_ = admit_over_ = admission_->record.op;
        admit_open_ = true;
      }
      if (admit_open_) admission_.reset();
    }
    view_ = next;
    members_ = RankIndex(view_);
    view_index_ = entry.index;
    auto& ids = history_[next.epoch];
    for (const MemberInfo& member : next.members) ids.push_back(member.id);
    forget_old_views();
  } else if (const auto* resolve = std::get_if<ResolveRecord>(&entry.record)) {
    resolution_ = resolve->resolution;
    const GroupResolution& root = resolution_.groups.front();
    for (uint32_t r = 0; r < view_.size(); ++r) first_op_[view_.members[r].id] = root.first_op[r];
    if (root.admit_ended != kNoOp) admit_open_ = false;
  } else if (const auto* admit = std::get_if<AdmitRecord>(&entry.record)) {
    admission_.reset();
    if (!admit->joiners.empty()) admission_ = Admission{*admit, entry.index, {}, {}, {}};
    else admit_over_ = admit->op;
  } else if (const auto* snapshot = std::get_if<SnapshotRecord>(&entry.record)) {
    config_ = snapshot->config;
    view_ = snapshot->view;
    members_ = RankIndex(view_);
    view_index_ = snapshot->view_index;
    resolution_ = snapshot->resolution;
    retired_ = {snapshot->retired.begin(), snapshot->retired.end()};
    for (const auto& past : snapshot->history) history_[past.epoch] = past.members;
    const GroupResolution& root = resolution_.groups.front();
    for (uint32_t r = 0; r < view_.size(); ++r) first_op_[view_.members[r].id] = root.first_op[r];
    admit_over_ = root.admit_ended;
    generations_.clear();
    generations_before_.clear();
    for (const GenerationRecord& generation : snapshot->generations) apply(generation);
  } else if (const auto* generation = std::get_if<GenerationRecord>(&entry.record)) {
    apply(*generation);
  }
}

LogIndex Coordinator::append(Record record) {
  LogEntry entry{term_, last_index_.next(), std::move(record)};
  apply(entry);
  entries_.push_back(entry);
  if (const auto* generation = std::get_if<GenerationRecord>(&entry.record))
    kept_shards_ += generation->shards.size();
  forget_old_entries();
  if (!canary(Rule::kC)) actions_.push_back(AppendAction{entry});
  // Behind the Append in the list of actions: told only once it is durable (rule C).
  for (auto& [id, peer] : peers_) {
    const bool concerned = is_member(id) || std::holds_alternative<ViewRecord>(entry.record);
    const bool knows_the_run = first_op_.contains(id) || is_member(id);
    if (peer.session != 0 && concerned && knows_the_run)
      send(peer.session, EntriesMessage{term_, {entry}});
  }
  if (canary(Rule::kC)) actions_.push_back(AppendAction{entry});
  return entry.index;
}

void Coordinator::send(SessionId session, ControlMessage message) {
  actions_.push_back(CoordinatorSend{session, std::move(message)});
}

void Coordinator::refuse(SessionId session, Status status) {
  send(session, RefusedMessage{term_, std::move(status)});
  actions_.push_back(CloseSession{session});
  if (auto at = sessions_.find(session); at != sessions_.end()) {
    if (auto peer = peers_.find(at->second); peer != peers_.end() && peer->second.session == session)
      peer->second.session = 0;
    sessions_.erase(at);
  }
}

Coordinator::Peer* Coordinator::peer_of(SessionId session) {
  auto at = sessions_.find(session);
  if (at == sessions_.end()) return nullptr;
  auto peer = peers_.find(at->second);
  return peer == peers_.end() ? nullptr : &peer->second;
}

void Coordinator::receive(Time now, SessionId session, const ControlMessage& message) {
  if (const auto* m = std::get_if<HelloMessage>(&message)) return hello(now, session, *m);
  if (const auto* m = std::get_if<StatusRequest>(&message)) {
    if (m->generations) send(session, GenerationsMessage{term_, known_generations()});
    return send(session, status(now));
  }
  if (const auto* m = std::get_if<VaultHereMessage>(&message)) return vault_here(now, session, *m);
  Peer* peer = peer_of(session);
  if (!peer) return;  // said before a hello, or by somebody already refused
  hear(now, *peer);
  if (const auto* m = std::get_if<SuspectMessage>(&message)) suspect(now, peer->info.id, *m);
  if (const auto* m = std::get_if<SealedMessage>(&message)) sealed(now, *peer, *m);
  if (const auto* m = std::get_if<FailMessage>(&message)) fail(now, *peer, *m);
  if (const auto* m = std::get_if<AdmitBegunMessage>(&message)) admit_begun(now, *peer, *m);
  if (const auto* m = std::get_if<SyncedMessage>(&message)) synced(now, *peer, *m);
  if (const auto* m = std::get_if<ProposeMessage>(&message)) propose(*peer, *m);
  if (const auto* m = std::get_if<PeerBeatMessage>(&message)) {
    peer->beat = *m;
    if (peer->beat.metrics.size() > kMaxMetrics) peer->beat.metrics.resize(kMaxMetrics);
  }
  if (std::get_if<LeaveMessage>(&message)) {
    peer->leaving = true;
    const std::string cause = "slot " + std::to_string(peer->info.slot.value) + " left";
    if (is_member(peer->info.id)) remove(now, {peer->info.id}, cause);
    else refuse(session, Status(Code::kClosed, "left before it was admitted"));
  }
}

void Coordinator::hello(Time now, SessionId session, const HelloMessage& message) {
  if (message.run_id != config_.run_id) {
    return refuse(session, Status(Code::kRunId, "this coordinator serves the run \"" +
                                                    config_.run_id + "\", not \"" +
                                                    message.run_id + "\"; check --run-id"));
  }
  if (!message.self.id.valid())
    return refuse(session, Status(Code::kArgument, "a peer id must not be zero"));
  if (!is_member(message.self.id) && was_member(message.self.id)) {
    return refuse(session, Status(Code::kEvicted,
                                  "this peer was removed from the run; it may join again as a new "
                                  "one"));
  }
  if (message.last_index > last_index_ || !in_log(message.last_index, message.term)) {
    return refuse(session,
                  Status(Code::kCorrupt, "this peer has seen record " +
                                             std::to_string(message.last_index.value) +
                                             " in term " + std::to_string(message.term.value) +
                                             " of the decision log, which holds another or none "
                                             "there: records were lost; restore the log or start a new "
                                             "run"));
  }
  auto at = peers_.find(message.self.id);
  if (at == peers_.end()) return newcomer(now, session, message);
  Peer& peer = at->second;
  if (peer.session != 0) {  // the old connection is a ghost
    sessions_.erase(peer.session);
    actions_.push_back(CloseSession{peer.session});
  }
  hear(now, peer);
  peer.state = message.state;
  reattach(now, peer, session, message.last_index);
  if (!is_member(message.self.id)) tell_pending();
}

// As far as it matters here: whoever has sealed once has seen the log, which its hello says for ever, and newcomer() refuses it (V2).  So the
// ids of such members are kept only while a lineage may name them, and those of the others, removed before they had sealed, always.
bool Coordinator::was_member(PeerId id) const {
  return retired_.contains(id) || std::any_of(history_.begin(), history_.end(), [&](const auto& past) {
           return std::find(past.second.begin(), past.second.end(), id) != past.second.end();
         });
}

// B1.  Nobody is a member twice: who is in the oldest view and not in the next one is in none of the others.
void Coordinator::forget_old_views() {
  while (history_.size() > kMaxHistory) {
    const std::vector<PeerId> oldest = std::move(history_.begin()->second);
    history_.erase(history_.begin());
    const std::vector<PeerId>& next = history_.begin()->second;
    for (PeerId id : oldest)
      if (std::find(next.begin(), next.end(), id) == next.end()) first_op_.erase(id);
  }
}

// False when another record stands there: the one that the peer has seen was lost.
bool Coordinator::in_log(LogIndex index, Term term) const {
  for (const LogEntry& entry : entries_)
    if (entry.index == index && !std::holds_alternative<SnapshotRecord>(entry.record))
      return entry.term == term;
  return true;  // before the first one or cut off
}

void Coordinator::newcomer(Time now, SessionId session, const HelloMessage& message) {
  if (message.last_index != LogIndex(0)) {
    return refuse(session, Status(Code::kEvicted,
                                  "this peer was removed from the run, or this coordinator's log does not know it; "
                                  "it may join as a new one"));
  }
  if (view_.epoch != Epoch(0) && view_.size() == 0) {
    return refuse(session, Status(Code::kState, "this run is over: its last member is gone; start "
                                                "a new one"));
  }
  if (peers_.size() >= kMaxPeers)
    return refuse(session, Status(Code::kWorldFull, "too many peers wait for this run"));
  if (message.self.slot != kAnySlot && message.self.slot.value >= config_.max_world) {
    return refuse(session, Status(Code::kArgument,
                                  "slot " + std::to_string(message.self.slot.value) +
                                      " does not exist: the run has " +
                                      std::to_string(config_.max_world) + " slots, from 0"));
  }
  if (Status foreign = foreign_tensors(message.state); !foreign) return refuse(session, std::move(foreign));
  hear_somebody(now);
  Peer& peer = peers_[message.self.id];
  peer.info = message.self;
  peer.heard = peer.since = peer.bulk_since = now;
  peer.state = message.state;
  reattach(now, peer, session, LogIndex(0));
  maybe_first_view(now);
  tell_pending();
}

// A session for a peer we know (again).
void Coordinator::reattach(Time now, Peer& peer, SessionId session, LogIndex last_index) {
  peer.session = session;
  if (accusations_.empty() && resolved()) evidence_at_ = kNever;  // the connection only had a hiccup
  peer.report.reset();  // it reports again
  sessions_[session] = peer.info.id;
  send(session, WelcomeMessage{term_, config_});
  tell_generations(peer);
  send(session, known_vaults(now));
  if (is_member(peer.info.id)) {
    send_entries_since(peer, last_index);
    told_pending_ = {};
    tell_pending();
  } else if (admission_) {
    start_sync(peer, admission_->record);
  }
}

void Coordinator::send_entries_since(const Peer& peer, LogIndex after) {
  // A member's log begins with the view that brought it in; whoever came back without having seen it starts there too.
  EntriesMessage message{term_, {}};
  bool begun = after != LogIndex(0);
  if (begun && !entries_.empty() && entries_.front().index > after.next()) {
    const auto* snapshot = std::get_if<SnapshotRecord>(&entries_.front().record);
    if (!snapshot || snapshot->view_index > after) {
      return refuse(peer.session, Status(Code::kEvicted, "this peer was away for too long: the log "
                                                         "was cut since"));
    }
  }
  for (const LogEntry& entry : entries_) {
    if (entry.index <= after) continue;
    const auto* record = std::get_if<ViewRecord>(&entry.record);
    begun |= record && record->view.contains(peer.info.id);
    if (begun) message.entries.push_back(entry);
    if (message.entries.size() < kEntriesPerMessage) continue;
    send(peer.session, std::move(message));
    message = EntriesMessage{term_, {}};
  }
  if (!message.entries.empty()) send(peer.session, std::move(message));
}

void Coordinator::disconnected(Time now, SessionId session) {
  if (vault_disconnected(now, session)) return;
  Peer* peer = peer_of(session);
  sessions_.erase(session);
  if (!peer || peer->session != session) return;
  peer->session = 0;
  peer->lost = now;
  if (is_member(peer->info.id)) {
    evidence_at_ = std::min(evidence_at_, now);
    judge_at_ = std::min(judge_at_, now + timing_.hard_window);
  } else if (!admission_) {
    peers_.erase(peer->info.id);
    tell_pending();
  }
}

void Coordinator::excuse(Time now, Duration silence) {
  for (auto& [id, peer] : peers_) peer.heard = std::min(now, peer.heard + silence);
  for (auto& [id, vault] : vaults_) vault.heard = std::min(now, vault.heard + silence);
}

// Nor because nobody at all was heard: then it is the network of this host.
void Coordinator::hear_somebody(Time now) {
  if (view_.size() > 0 && now - newest_word_ >= milliseconds(config_.suspicion_ms)) {
    excuse(now, now - newest_word_);
    for (auto& [id, other] : peers_)
      if (other.session == 0) other.lost = now;
  }
  newest_word_ = now;
}

void Coordinator::hear(Time now, Peer& peer) {
  hear_somebody(now);
  peer.heard = now;
  ++peer.words;
}

Time Coordinator::tick(Time now) {
  // Nobody is silent because this process was not running.
  if (now - last_tick_ > milliseconds(config_.suspicion_ms) / 2) excuse(now, now - last_tick_);
  last_tick_ = now;
  if (now >= next_beat_) {
    next_beat_ = now + milliseconds(config_.heartbeat_ms);
    for (auto& [id, peer] : peers_)
      if (peer.session != 0) send(peer.session, CoordinatorBeatMessage{term_});
    for (auto& [id, vault] : vaults_)
      if (vault.session != 0) send(vault.session, CoordinatorBeatMessage{term_});
  }
  if (now >= judge_at_) judge(now);
  Time next = std::min(next_beat_, judge_at_);
  next = std::min(next, watch_members(now));
  next = std::min(next, watch_seal(now));
  next = std::min(next, watch_newcomers(now));
  next = std::min(next, watch_vaults(now));
  maybe_cut();
  return std::min(next, judge_at_);
}

void Coordinator::maybe_cut() {
  if (!cut_wanted_ || !resolved() || admission_ || admit_open_) return;
  cut_wanted_ = false;
  SnapshotRecord snapshot{config_, view_, view_index_, resolution_, {}, {}, known_generations()};
  // Stands for the ADMIT records too: whoever missed them learns from here that the op is over.
  snapshot.resolution.groups.front().admit_ended = admit_over_;
  snapshot.retired.assign(retired_.begin(), retired_.end());
  for (const auto& [epoch, members] : history_) snapshot.history.push_back({epoch, members});
  LogEntry entry{term_, last_index_, std::move(snapshot)};
  actions_.push_back(CutAction{entry});
}

StatusReply Coordinator::status(Time now) const {
  auto to_ms = [](Duration d) {
    return static_cast<uint64_t>(std::chrono::duration_cast<milliseconds>(d).count());
  };
  StatusReply reply;
  reply.term = term_;
  reply.config = config_;
  reply.view = view_;
  reply.resolved = resolved();
  reply.uptime_ms = to_ms(now - started_);
  reply.last_index = last_index_;
  for (const auto& [id, peer] : peers_) {
    reply.peers.push_back({peer.info, is_member(id), peer.session != 0,
                           now > peer.heard ? to_ms(now - peer.heard) : 0, peer.beat});
  }
  std::sort(reply.peers.begin(), reply.peers.end(),
            [](const auto& a, const auto& b) { return a.info.slot < b.info.slot; });
  reply.faults.assign(faults_.begin(), faults_.end());
  VaultsMessage vaults = known_vaults(now);
  reply.vaults_complete = vaults.complete;
  reply.vaults = std::move(vaults.vaults);
  return reply;
}

}  // namespace rhz
