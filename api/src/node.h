// One peer of a run: membership, ops, failure detection and state, put together.  No thread and no socket of its own: the driver
// (api/src/peer_driver) or the simulator (tests/sim) feeds it and carries out what it asks for.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/src/sync_numbers.h"
#include "collectives/groups.h"
#include "collectives/p2p/messenger.h"
#include "recovery/state/manifest.h"
#include "recovery/state/state.h"
#include "recovery/sync/carrier.h"
#include "recovery/sync/donor.h"
#include "recovery/sync/follower.h"
#include "recovery/sync/state_copy.h"
#include "recovery/sync/puller.h"
#include "runtime/membership/failure_detector.h"
#include "runtime/membership/member.h"
#include "runtime/membership/prober.h"
#include "runtime/memory/pool.h"
#include "runtime/transport/transport.h"

namespace rhz {

// What the run says that concerns shards (recovery/shards).  The view: the newest one seen, empty
// when this peer's part in the run is over.
using ShardNews = std::variant<View, GenerationRecord, ProposalRefusedMessage, VaultsMessage>;

struct NodeOptions {
  std::string run_id;
  MemberInfo self;
  MemberTiming timing;
  CommunicatorLimits limits;
  MessageLimits message_limits;
  uint32_t cores = 1;              // of this host
  uint64_t reduce_ps_per_kib = 0;  // how long this peer reduces; 0: nobody looked
  std::function<void(ShardNews)> shard_news = {};  // not set: nobody keeps shards here
  // What this host could still give for a copy; empty: anything.
  std::function<uint64_t()> spare_memory;
  recovery::PageMaker* pages = nullptr;  // of such copies; outlives the node.  Null: they make theirs as they are made
  recovery::Carrier* carrier = nullptr;  // of shared tensors that are a device's; outlives the node.  Null: there are none
  uint64_t copy_step_bytes = 16u << 20;  // of a copy for newcomers, in one go: about 4 ms
  uint64_t bulk_bytes = UINT64_MAX;  // a newcomer with so much state pulls it first while the members go on
};

class Node final : public TransportEvents {
 public:
  // `clock` is read whenever a frame or an edge reports; all else is told the time.
  Node(NodeOptions options, std::function<Time()> clock, Transport& transport, BufferPool& pool,
       recovery::State& state);
  ~Node() override;

  // Before control_up().
  void set_strategy(SyncStrategy strategy) { strategy_ = strategy; }
  // As a joiner it applies updates that members recorded since the revision that it has pulled in bulk.
  void set_follows(bool follows) { follows_ = follows; }

  // The control connection; take_control() is what to send on it.
  void control_up(Time now);
  void control_down(Time now);
  void control(Time now, const ControlMessage& message);
  std::vector<ControlMessage> take_control() { return std::exchange(control_out_, {}); }

  // The program.
  Communicator::Handle submit(Time now, GroupId group, const OpSpec& spec, OpCompletion* completion);
  MessageHandle submit(Time now, const MessageSpec& spec, OpCompletion* completion);
  // Of an op of that group, or of a message.
  void cancel(Time now, GroupId group, uint64_t handle);
  // As in Communicator.
  void input_there(Time now, GroupId group, uint64_t handle, uint64_t bytes);
  uint64_t result_there(GroupId group, uint64_t handle);
  // As in Groups; of a group that is there.
  void split(Time now, GroupId parent, const SplitChoice& choice, Duration timeout, Groups::SplitDone done);
  void close_group(Time now, GroupId group);
  // False when there are too many names already.
  bool publish(const std::string& name, double value);
  // A generation that is to be sealed, by whoever keeps its stage in the view `epoch`.
  void propose(Time now, Epoch epoch, GenerationRecord generation);
  void leave(Time now);
  // Leaves at once, for what this status says; open ops end with it.
  void resign(Time now, const Status& status);
  // What made a revision, for newcomers who follow: memory for it, or none where there are none.
  std::optional<recovery::Update> update_memory(uint64_t bytes) { return copy_.update_memory(bytes); }
  void record(recovery::Update update) { copy_.record(std::move(update)); }
  // As a joiner: an update for the program to apply; until applied() the tensors are the program's.
  bool has_update() const { return !ended_ && follower_.has_update(); }
  recovery::Follower::Taken begin_applying();
  void applied(Time now, recovery::Follower::Taken&& update, bool well);
  // Ends every op with this status; nothing is sent any more.
  void abandon(Time now, const Status& status);

  Time tick(Time now);

  bool joined() const { return joined_; }
  bool ended() const { return ended_; }
  const Status& end_status() const { return end_status_; }
  bool synced() const { return synced_; }  // entered a run that had begun
  // An answer, or another question, about what a link costs should be here in a moment.
  bool probing(Time now) const { return prober_.waits() || now < asked_ + kAskedAgain; }
  bool idle() const { return groups_.idle() && messenger_.open() == 0; }
  const View& view() const { return installed_; }
  const Member& member() const { return member_; }
  const Communicator& communicator() const { return groups_.root(); }
  Groups& groups() { return groups_; }
  const Groups& groups() const { return groups_; }
  const Messenger& messenger() const { return messenger_; }
  const SyncNumbers& sync_numbers() const { return numbers_; }

  Landing on_header(PeerId from, const wire::FrameHeader& header) override;
  void on_frame(PeerId from, const wire::FrameHeader& header, Landing&& landing) override;
  void on_edge_down(PeerId peer, Evidence evidence) override;
  void on_goodbye(PeerId peer) override;

 private:
  // Carries out what the cores ask for until they ask for nothing.
  void settle(Time now);
  bool heed_news(Time now);
  void act(Time now, MemberAction&& action);
  void tell_shards(const MemberAction& action);
  void install(Time now, const View& view, const Resolution& resolution);
  void end(Time now, const Status& status);
  void name_peers();
  void heartbeat(Time now);
  void probe(Time now);
  void answer(Time now, PeerId to, const wire::FrameHeader& ping);
  static constexpr Duration kAskedAgain = microseconds(200);
  static constexpr Duration kFollowPatience = std::chrono::seconds(2);  // members stand so long for the next update to be applied

  // node_follow.cc
  void follow(Time now, SyncedMessage&& bulk);
  void follow_on(Time now);
  Time tick_follow(Time now);
  Duration follow_patience() const { return std::max(kFollowPatience, numbers_.bulk.took); }
  void lose_donor(Time now, PeerId peer);

  // node_carry.cc
  bool carries() const { return carrier_ && carrier_->needed(); }
  void carry(Time now, recovery::Carrier::Way way, std::function<void(Time)> then);
  Time tick_carry(Time now);

  // node_sync.cc
  void note_state();
  void stand_at_admit(Time now);
  void begin_root(Time now);
  void synced(Time now, const recovery::Synced& done);
  void admit(Time now, const AdmitRecord& record);
  uint64_t spare_share() const;
  bool can_copy() const { return state_.shared_bytes() <= spare_share(); }
  uint64_t most_recorded() const;
  bool begin_copy();
  Time prepare_copy(Time now);
  bool digest_some();
  void advance_copy(Time now);
  void leave_admit(Time now);
  void serve_copy(Time now);
  void begin_sync(Time now, const SyncAction& action);
  void pull(Time now, const SyncAction& action);
  void begin_pull(Time now, const SyncAction& action);
  void sync_actions(Time now, recovery::SyncActions&& actions);
  Time tick_sync(Time now);
  void on_state_frame(Time now, PeerId from, const wire::FrameHeader& header, Landing&& landing);
  void send_state(recovery::SendData&& answer);

  const PeerId self_;
  const std::function<Time()> clock_;
  Transport& transport_;
  BufferPool& pool_;
  recovery::State& state_;
  Member member_;
  Groups groups_;
  Messenger messenger_;
  FailureDetector detector_;
  Prober prober_;
  OwnCosts own_costs_;
  Time asked_ = -kAskedAgain;  // when the newest PING came
  recovery::Donor donor_;
  recovery::StateCopy copy_;
  recovery::Puller puller_;
  recovery::Follower follower_;

  recovery::Carrier* const carrier_;
  struct Carry {
    std::optional<recovery::Carrier::Way> wanted;  // not begun yet
    bool under_way = false;
    std::function<void(Time)> then;
  };
  Carry carry_;

  std::vector<ControlMessage> control_out_;
  View installed_;
  Groups::News news_;                    // that is being heeded
  std::vector<PeerId> neighbours_;       // before and behind this one in the ring
  std::map<PeerId, Evidence> doubted_;   // edges down, said while in doubt of ourselves
  std::vector<MemberInfo> guests_;       // joiners that pull from us, or donors that we pull from
  const uint64_t bulk_bytes_, copy_step_bytes_;
  const std::function<uint64_t()> spare_memory_;
  const std::function<void(ShardNews)> shard_news_;
  SyncStrategy strategy_ = SyncStrategy::kPopular;
  bool noted_ = false;                     // note_state() was called
  std::vector<MemberInfo> bulk_guests_;    // newcomers that pull from the copy
  PendingAction pending_;                  // who wait to be admitted
  Time room_since_{};                      // a room for a copy for them is being made
  bool copies_along_ = false;              // a copy is being made with the digest, of an admit op that may ask for one
  OpSeq copied_op_ = kNoOp;                // the admit op that is over once the state is copied
  bool bulk_ = false;                      // the newest sync is in bulk
  Time sync_since_{};
  bool follows_ = false;
  std::vector<PeerId> bulk_donors_;           // who have the copies
  std::optional<SyncedMessage> bulk_over_;    // is said when the updates since are applied
  std::optional<SyncAction> held_sync_;       // begins when those before its revision are
  Time follow_until_{}, follow_end_{};        // neither waits longer: without another update, and at all
  SyncNumbers numbers_;
  std::optional<recovery::ManifestBuilder> builder_;  // at the admit op, until the root is known
  OpSeq admit_op_ = kNoOp;
  bool joined_ = false, ended_ = false, synced_ = false, settling_ = false;
  Status end_status_;
  std::vector<Metric> metrics_;
  Time next_beat_{};
};

}  // namespace rhz
