// The coordinator as a step function: control messages and time in, actions out.  docs/protocol.md, "Roles".
// It is not on the data path: while membership is stable, collectives run without a word to it.
//
// Actions must be carried out in the order given.  Whoever does so stops at an Append that fails or whose outcome is unknown, and
// starts a new Coordinator from what the log then holds: so no message reveals a decision that is not durable (C1).
#pragma once

#include <deque>
#include <map>
#include <set>
#include <variant>
#include <vector>

#include "runtime/agreement/message.h"
#include "runtime/agreement/resolve.h"
#include "runtime/base/status.h"

namespace rhz {

using SessionId = uint64_t;  // a control connection, numbered by the driver, never reused

struct AppendAction {
  LogEntry entry;
};
// Replaces the whole log by this snapshot.
struct CutAction {
  LogEntry snapshot;
};
struct CoordinatorSend {
  SessionId session;
  ControlMessage message;
};
// After what was sent before has left.
struct CloseSession {
  SessionId session;
};
using CoordinatorAction = std::variant<AppendAction, CutAction, CoordinatorSend, CloseSession>;

struct CoordinatorTiming {
  Duration hard_window = milliseconds(2);    // batches evidence that a process is gone
  Duration soft_window = milliseconds(100);  // … that it is silent
  Duration joiner_grace = milliseconds(50);  // members that stand at an admit op wait so long for a newcomer that was cut off
  Duration edge_memory = std::chrono::seconds(60);  // an edge that was tried again is not, once more, before
  Duration full_grace = milliseconds(3000);  // a newcomer waits so long for a slot to become vacant
  Duration vault_grace = milliseconds(250);  // so may that of a vault
  Duration vaults_return = milliseconds(2000);  // to a coordinator that was started again
  Duration sync_timeout = std::chrono::seconds(120);
  Duration bulk_timeout = std::chrono::minutes(10);  // a newcomer that pulls in bulk keeps others from it for so long
  Duration all_gone = std::chrono::seconds(10);  // every member disconnected for so long: the run is over
};

class Coordinator {
 public:
  // `recovered`: what the log holds; empty for a new run.  `config` must equal a recovered one except for timing fields.
  Coordinator(RunConfig config, std::vector<LogEntry> recovered, Time now,
              CoordinatorTiming timing = {});

  void receive(Time now, SessionId session, const ControlMessage& message);
  void disconnected(Time now, SessionId session);
  // Returns when it wants to be called next.
  Time tick(Time now);
  std::vector<CoordinatorAction> take_actions() { return std::exchange(actions_, {}); }

  // Asks for a cut of the log at the next moment at which no decision is pending.
  void cut_log() { cut_wanted_ = true; }

  // What a simulator or a tool looks at.
  const View& view() const { return view_; }
  bool resolved() const { return resolution_.epoch == view_.epoch && view_.epoch != Epoch(0); }
  const RunConfig& config() const { return config_; }
  StatusReply status(Time now) const;

 private:
  struct Peer {  // a member, or somebody who wants to be one
    MemberInfo info;
    SessionId session = 0;  // 0: not connected
    Time heard{}, lost{};   // newest message; when the session ended
    uint64_t words = 0;     // messages so far
    Time since{};           // first hello
    StateNote state;
    Time bulk_since{};  // of a newcomer that pulls in bulk
    bool leaving = false;
    PeerBeatMessage beat;
    std::optional<SealReport> report;  // for the newest view
    std::optional<AdmitBegunMessage> admit;
  };
  struct Accusation {
    uint8_t evidence;
    Time at;
    bool self_doubt;
    uint64_t words;  // of the accused, so far
  };
  struct Vault {
    VaultInfo info;
    SessionId session = 0;  // 0: not connected
    Time heard{}, lost{};
  };
  struct Admission {  // an AdmitRecord whose joiners have not entered yet
    AdmitRecord record;
    LogIndex index;
    Time started{};
    std::set<PeerId> synced, failed;
  };

  // coordinator.cc: sessions and the log
  void hello(Time now, SessionId session, const HelloMessage& message);
  bool in_log(LogIndex index, Term term) const;
  bool was_member(PeerId id) const;
  void forget_old_views();
  void newcomer(Time now, SessionId session, const HelloMessage& message);
  void reattach(Time now, Peer& peer, SessionId session, LogIndex last_index);
  void recover(std::vector<LogEntry> entries);
  void apply(const LogEntry& entry);
  LogIndex append(Record record);
  void send(SessionId session, ControlMessage message);
  void refuse(SessionId session, Status status);
  void send_entries_since(const Peer& peer, LogIndex after);
  void maybe_cut();
  Peer* peer_of(SessionId session);
  bool is_member(PeerId id) const { return members_.contains(id); }
  // As nearly always: newcomers are then not looked for among a thousand, at every message.  Members stay in peers_.
  bool knows_members_only() const { return peers_.size() == view_.size(); }
  std::vector<PeerId> waiting() const;  // newcomers that are there, by the time they came

  // coordinator_faults.cc: suspicion and judgement
  void suspect(Time now, PeerId accuser, const SuspectMessage& message);
  void take_back(PeerId accuser, PeerId target);
  void judge(Time now);
  // So much of the silence of all was not theirs.
  void excuse(Time now, Duration silence);
  void hear_somebody(Time now);
  void hear(Time now, Peer& peer);
  bool heard_since(const Peer& peer, const Accusation& accusation) const;
  bool silent(const Peer& peer, Time now) const;
  bool accused(PeerId id) const;  // by somebody who does not doubt itself
  const char* node_fault(PeerId id, Time now) const;  // why it is to go; null: it is not
  std::vector<PeerId> unroutable(View left) const;
  std::vector<PeerId> unroutable(const std::vector<View>& rings) const;
  Time watch_members(Time now);
  Time watch_all_gone(Time now);
  Time watch_seal(Time now);
  bool try_edges_again(Time now, const std::vector<View>& rings);
  std::vector<std::pair<Rank, Rank>> broken_edges(const View& view) const;
  void tell_pending();

  // coordinator_views.cc: views and resolutions
  void maybe_first_view(Time now);
  void new_view(Time now, std::vector<MemberInfo> members, std::string cause);
  void remove(Time now, std::vector<PeerId> ids, std::string cause);
  void close_run();
  void sealed(Time now, Peer& peer, const SealedMessage& message);
  void maybe_resolve(Time now);
  void fail(Time now, const Peer& peer, const FailMessage& message);
  std::vector<PeerId> contributors(Epoch lineage, OpSeq seq) const;
  GroupResolution resolve_root();

  // coordinator_groups.cc: sub-communicators, as far as members report them
  using Members = std::vector<PeerId>;  // of a group, by rank, those included that are gone
  std::map<GroupId, Members> reported_groups() const;
  std::vector<View> views_of(const std::map<GroupId, Members>& groups) const;
  GroupResolution resolve_group(GroupId id, const Members& members) const;
  std::vector<OpDecision> aborts(GroupId group) const;

  // coordinator_generations.cc: shards with parity
  void propose(const Peer& peer, const ProposeMessage& message);
  void tell_generations(const Peer& peer);
  void apply(const GenerationRecord& record);
  std::vector<GenerationRecord> known_generations() const;
  void forget_old_entries();

  // coordinator_vaults.cc: who holds them
  void vault_here(Time now, SessionId session, const VaultHereMessage& message);
  bool vault_disconnected(Time now, SessionId session);
  void lose_vault(PeerId id);
  Time watch_vaults(Time now);
  bool vaults_complete(Time now) const { return now >= vaults_complete_at_; }
  VaultsMessage known_vaults(Time now) const;
  void tell_vaults(Time now);

  // coordinator_admission.cc: joins
  void admit_begun(Time now, Peer& peer, const AdmitBegunMessage& message);
  void maybe_admit(Time now);
  void synced(Time now, Peer& peer, const SyncedMessage& message);
  void maybe_enter(Time now);
  void start_sync(const Peer& joiner, const AdmitRecord& admit);
  void refuse_newcomers(const std::vector<PeerId>& ids, const Status& why);
  Slot vacant_slot(const std::set<Slot>& taken, Slot wanted) const;
  Time watch_newcomers(Time now);
  bool is_here(const Peer& newcomer) const { return newcomer.session != 0 && !silent(newcomer, last_tick_); }
  bool somebody_pulls_in_bulk() const;
  Time watch_bulk(Time now);

  // coordinator_election.cc: whose state counts, and who may have it
  struct Election {
    OpSeq op;
    uint64_t revision = 0;
    Digest root{};
    Status nobody;  // not ok: why no state is chosen
  };
  std::optional<Election> elect() const;  // empty: not every member stands at the admit op yet
  Status foreign_tensors(const StateNote& note) const;

  const CoordinatorTiming timing_;
  RunConfig config_;
  Time started_{}, last_tick_{};
  Time newest_word_{};  // of anybody
  Term term_{1};
  std::vector<CoordinatorAction> actions_;

  // From the log.
  std::deque<LogEntry> entries_;  // the newest kKeepEntries, for peers that come back
  size_t kept_shards_ = 0;        // in generations among them
  LogIndex last_index_;
  View view_;
  RankIndex members_;  // of view_
  LogIndex view_index_;
  Resolution resolution_;
  std::set<PeerId> retired_;  // removed before they had sealed once, and of an older log all that were removed: see was_member()
  std::map<Epoch, std::vector<PeerId>> history_;
  std::map<PeerId, OpSeq> first_op_;  // root group; also of former members that history_ names
  std::optional<Admission> admission_;
  OpSeq admit_op_ = kNoOp;      // admit op by which the newest joiners entered
  bool admit_open_ = false;     // … not yet ended by a RESOLVE
  std::map<uint32_t, GenerationRecord> generations_;         // the newest one of each stage
  std::map<uint32_t, GenerationRecord> generations_before_;  // of the revision before that
  OpSeq admit_over_ = kNoOp;    // newest admit op that is decided: who still says to stand there is late

  // Volatile.
  std::map<PeerId, Peer> peers_;
  std::map<SessionId, PeerId> sessions_;
  std::map<std::pair<PeerId, PeerId>, Accusation> accusations_;  // (accuser, target), of the newest view
  Time judge_at_ = kNever;
  using Edge = std::pair<PeerId, PeerId>;  // the lower id first
  std::set<Edge> broken_;  // to route around
  std::map<Edge, Time> tried_again_;  // were broken before
  Time view_logged_{};
  Time evidence_at_ = kNever;  // first evidence of the fault being healed
  std::pair<uint32_t, uint32_t> told_pending_{};  // who wait, and of them those who want the state in bulk
  bool cut_wanted_ = false;
  std::deque<FaultLine> faults_;
  std::map<PeerId, Vault> vaults_;  // that live, or may still come back
  std::map<SessionId, PeerId> vault_sessions_;
  std::set<PeerId> lost_vaults_;
  Time vaults_complete_at_{};  // all that live have said so by then
  bool told_complete_ = true;
  Time next_beat_{};
};

}  // namespace rhz
