// A peer's side of membership as a step function: owns the view, follows the decision log, reports when sealed.
//
// Order of actions matters, as with the Coordinator.  The owner answers Seal with sealed().
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/agreement/message.h"

namespace rhz {

struct MemberSend {
  ControlMessage message;
};
// Freeze the epoch and report (rule E).  `view`: the view that is sealed for.
struct SealAction {
  View view;
};
// Carry out the resolution of `view`; both are complete and durable.
struct InstallAction {
  View view;
  Resolution resolution;
};
// The admit op: with joiners, serve them this state and stand still; without, it has ended.
struct AdmitAction {
  AdmitRecord record;
};
// To a joiner: fetch the state, then call synced().  `bulk`: from copies, while the members go on; it does not enter yet.
struct SyncAction {
  AdmitRecord record;
  std::vector<MemberInfo> donors;
  bool bulk = false;
};
// Over for this peer id: quiesce, end every op with this status.  Nothing follows.
struct EndAction {
  Status status;
};
struct PendingAction {  // newcomers that wait, and those of them that want the state in bulk
  uint32_t waiting = 0, bulk = 0;
};
// A generation is sealed; each record of a stage once, in their order.
struct GenerationAction {
  GenerationRecord record;
};
struct ProposalRefusedAction {
  ProposalRefusedMessage refusal;
};
struct VaultsAction {  // of the run, as the coordinator knows them now
  VaultsMessage vaults;
};
using MemberAction =
    std::variant<MemberSend, SealAction, InstallAction, AdmitAction, SyncAction, EndAction,
                 PendingAction, GenerationAction, ProposalRefusedAction, VaultsAction>;

struct MemberTiming {
  Duration isolation = std::chrono::seconds(60);
  Duration repeat = milliseconds(200);  // FAIL, SUSPECT, LEAVE, AdmitBegun: said again until answered
};

class Member {
 public:
  Member(std::string run_id, MemberInfo self, MemberTiming timing = {});

  // The control connection.
  void connected(Time now);
  void disconnected(Time now);
  void receive(Time now, const ControlMessage& message);

  // From the layers above and beside.
  // Before the first connected().  From then on this keeps how far the bulk of the state is.
  void set_state(StateNote note) { state_ = std::move(note); }
  void suspect(Time now, PeerId target, uint8_t evidence, bool self_doubt);
  // By this peer itself: takes back that it was silent.
  void heard(PeerId target);
  void sealed(Time now, SealReport report);
  void fail(Time now, GroupId group, OpSeq seq, Status status);
  // The op is over: its FAIL needs no answer any more.
  void op_ended(GroupId group, OpSeq seq);
  void admit_begun(Time now, AdmitBegunMessage message);
  void synced(Time now, SyncedMessage message);
  // For the view that is seen now; forgotten when a newer one comes, whose keeper then proposes anew.
  void propose(Time now, GenerationRecord generation);
  void leave(Time now);
  // It cannot go on, and leaves without waiting for an answer.
  void resign(Time now, Status status);
  void beat(Time now, PeerBeatMessage message);

  // Returns when it wants to be called next.
  Time tick(Time now);
  std::vector<MemberAction> take_actions() { return std::exchange(actions_, {}); }

  bool is_member() const { return installed_ != Epoch(0) && !ended_; }
  bool ended() const { return ended_; }
  bool sealed_now() const { return view_.epoch != installed_; }
  const View& view() const { return view_; }  // the newest one seen
  const MemberInfo& self() const { return self_; }
  const RunConfig& config() const { return config_; }
  LogIndex last_index() const { return last_index_; }

 private:
  const char* breaks_off(const LogEntry& entry) const;
  void entry(Time now, const LogEntry& entry);
  void see_view(Time now, const View& view);
  void see_resolution(const Resolution& resolution);
  void see_generation(const GenerationRecord& generation);
  void carry_over_facts();
  void end(Status status);
  void send(ControlMessage message);
  void say_again(Time now);
  bool needs_coordinator() const;

  const std::string run_id_;
  const MemberTiming timing_;
  MemberInfo self_;
  RunConfig config_;
  StateNote state_;
  OpSeq bulk_op_ = kNoOp;  // whose state is being pulled in bulk
  std::optional<SyncedMessage> bulk_synced_;  // to be said after WELCOME
  std::vector<MemberAction> actions_;

  Term term_;
  LogIndex last_index_;
  Term last_term_;    // of that record
  View view_;         // newest seen
  Epoch installed_;   // newest installed
  bool ended_ = false;
  bool connected_ = false, welcomed_ = false;
  bool leaving_ = false;
  Time needed_since_ = kNever;  // the coordinator is out of reach, and needed, since
  Time say_again_at_ = kNever;

  std::optional<SealReport> report_;  // of view_, until it is installed
  std::map<PeerId, SuspectMessage> suspects_;
  std::set<PeerId> carried_over_;  // of these: from before this seal
  std::map<std::pair<GroupId, OpSeq>, Status> fails_;
  std::optional<AdmitBegunMessage> admit_;
  std::optional<SyncedMessage> synced_;
  std::map<uint32_t, GenerationRecord> proposals_;  // by stage, not answered yet
  // By stage: the newest (revision, placement) that is logged.
  std::map<uint32_t, std::pair<uint64_t, uint32_t>> generations_;
};

}  // namespace rhz
