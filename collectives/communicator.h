// A group's ops from submission to release, across views: numbers them, begins them, seals, installs, frees.
// A step function but for two things it calls directly: the transport, and the completion given at submission.
// Owned by Groups, which makes the transport quiet for all groups at once; ranks and views here are the group's own.
// Progress thread only.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <set>
#include <vector>

#include "collectives/executor.h"
#include "collectives/op.h"
#include "collectives/op_table.h"
#include "collectives/rebuild/wave.h"
#include "collectives/schedule/choose.h"
#include "collectives/window.h"
#include "runtime/agreement/report.h"
#include "runtime/agreement/resolution.h"
#include "runtime/agreement/view.h"
#include "runtime/memory/pool.h"
#include "runtime/memory/recycler.h"
#include "runtime/transport/transport.h"

namespace rhz {

// What membership has to know.
struct CommunicatorNews {
  struct Failed {
    OpSeq seq;
    Status status;
  };
  std::vector<Failed> failed;      // FAIL(op) raised here
  std::vector<OpSeq> withdrawn;    // released after all: their FAIL is not to be repeated
  std::vector<OpSeq> ended;        // ops that are over here
  OpSeq admit_begun = kNoOp;       // this member stands at its admit op
  Status diverged;                 // not ok: members have returned different results, and this peer is not to go on (O2)
  bool empty() const {
    return failed.empty() && withdrawn.empty() && ended.empty() && admit_begun == kNoOp && diverged.is_ok();
  }
  // Keeps the memory.
  void clear() {
    failed.clear();
    withdrawn.clear();
    ended.clear();
    admit_begun = kNoOp;
    diverged = Status::ok();
  }
};

struct CommunicatorLimits {
  uint32_t open_ops = 256;               // begun and not freed
  uint64_t window_bytes = 1u << 20;      // see Window
  uint32_t retained_ops = 32;            // released by rule b before it is seen what values proved of them (W13), and DONE sent of the others
  Duration done_delay = milliseconds(1);  // … otherwise DONE waits for company, or for values that say it (W13)
  Duration drain_look = microseconds(20);  // how often is looked whether what an unprotected op sends was taken
  Duration quiet = milliseconds(200);    // an op that is not full after so long tells its neighbours what it is (Q6)
};

// Landing::note: the op, or its group, was not there when the header came.
inline constexpr uint32_t kStashed = 1;

class Communicator final : private Outbox {
 public:
  using Handle = uint64_t;  // of a submission; never reused

  // `window`: of all groups of this peer; outlives them.
  Communicator(PeerId self, GroupId group, Transport& transport, BufferPool& pool, Window& window,
               CommunicatorLimits limits = {});
  ~Communicator() override;

  void set_config(const RunConfig& config) { config_ = config; }
  // A probe that one member answers with this finds nobody, however many wait.
  static constexpr uint32_t kNotYet = UINT32_MAX;
  // Newcomers that wait, as told by the coordinator: what the next probe contributes.
  void set_waiting(uint32_t count) { waiting_ = count; }
  // What this peer measures, for as long as this is here; null: nothing.
  void set_costs(const OwnCosts* costs) { own_costs_ = costs; }

  Handle submit(Time now, const OpSpec& spec, OpCompletion* completion);
  void cancel(Time now, Handle handle);
  // Of an op that was submitted with less (OpSpec::input_there).  One that is over is no error.
  void input_there(Time now, Handle handle, uint64_t bytes);
  // Of an op that is not over: as Executor::result_there; OpOutcome::remade tells what became of it.
  uint64_t result_there(Handle handle);
  std::optional<OpSeq> seq_of(Handle handle) const;  // of what has begun and is not final
  // The program is done with the group: what is open ends as kClosed on every member unless it is complete, and so does what others
  // submit after it.  gone() once all have closed it.
  void close(Time now);

  // The view changes: docs/protocol.md, "A peer dies, or is suspected", steps 2 and 4.  First freeze(), then the transport's
  // quiescence, then seal(): `next` is the run's view to come.
  void freeze(Time now);
  GroupReport seal(const View& next);
  // `view`: of the group; `world`: members of the run.
  void install(Time now, const View& view, const GroupResolution& resolution, uint32_t world);
  // Of a group that is split off another: the members it had in that one's views since the op that split it began here, for values of
  // that time may be in flight.
  void remember(const Communicator& parent, const std::vector<PeerId>& members, Epoch since);
  // The admit op is over and nobody entered.
  void admit_nobody(Time now, OpSeq seq);
  // Every op ends with this status; nothing is begun any more.
  void end_all(Time now, const Status& status);

  Landing on_header(Rank from, const wire::FrameHeader& header);
  void on_frame(Time now, Rank from, const wire::FrameHeader& header, Landing&& landing);

  // Returns when it wants to be called next.
  Time tick(Time now);
  bool has_news() const { return !news_.empty(); }
  CommunicatorNews take_news() { return std::exchange(news_, {}); }
  // The same, into memory that is used again and again.
  void take_news(CommunicatorNews& into) {
    into.clear();
    std::swap(into, news_);
  }

  Epoch epoch() const { return epoch_; }
  bool sealed() const { return sealed_; }
  // An unprotected op waits until what it sends is taken; tick() looks.
  bool draining() const { return draining_; }
  // Nothing of the program's is open.
  bool idle() const { return ops_.size() + queue_.size() == (closing_ && !closed_ ? size_t{1} + measuring_ : 0); }
  bool closing() const { return closing_; }
  // Closed by all, who know everything of it that they need.
  bool gone() const { return closed_ && ops_.empty() && announce_at_ == kNever; }
  const View& view() const { return view_; }
  size_t queued() const { return queue_.size(); }  // submitted, not begun
  OpSeq next_seq() const { return next_seq_; }
  uint64_t ended_ops() const { return ended_count_; }
  const Chooser& chooser() const { return chooser_; }
  // What an all-reduce of so many bytes would take now, and how long each algorithm should.
  struct Forecast {
    OpSeq from;  // kNoOp: nothing was measured
    Costs costs;
    Algorithm chosen = Algorithm::kAuto;
    std::array<uint64_t, kAlgorithms> ns{};  // kNoWay: not taken for that size, or not known
  };
  Forecast forecast(uint64_t bytes) const;

  // What a simulator or a dump looks at.
  struct OpState {
    OpSeq seq;
    OpKind kind;
    bool released;
    std::vector<HeldRun> held;
    bool full;
    Blocks blocks;
    Layout layout;
    uint64_t signature;
  };
  std::vector<OpState> open_ops() const;

 private:
  struct Exchange {  // communicator_exchange.cc
    OpSpec next;
    std::vector<uint64_t> rows;  // what each rank gives to each
  };
  struct Op {
    // Of the books of a small op.
    static constexpr size_t kBookBytes = 512;

    OpSeq seq;
    Handle handle = 0;
    OpSpec spec;
    OpCompletion* completion = nullptr;
    alignas(std::max_align_t) std::array<std::byte, kBookBytes> room;
    std::pmr::monotonic_buffer_resource books{room.data(), room.size()};
    std::optional<Executor> executor;    // none: an admit op
    std::unique_ptr<Exchange> exchange;  // of the counts of an all-to-all that follows
    uint64_t signature = 0;
    bool released = false, full = false;
    bool unprotected = false;  // communicator_unprotected.cc
    uint64_t digest = 0;       // of the result, once full
    Status fail;               // raised, not answered
    Time submitted{}, begun{}, full_at{}, frozen_at{};
    Time deadline = kNever, tell_at = kNever;
    OpOutcome outcome;
  };
  struct Submission {
    Handle handle;
    OpSpec spec;
    OpCompletion* completion;
    Time submitted;
    Status fail = Status::ok();     // raised before it was begun
    Status refused = Status::ok();  // not ok: nothing of it moves, it is begun only to fail everywhere
    std::unique_ptr<Exchange> exchange = nullptr;
  };
  struct Stashed {  // an eager frame of an op that was not begun here
    Rank from;
    wire::FrameHeader header;
    Buffer payload;
  };
  using OwnedOp = Recycler<Op>::Owner;
  struct Past {  // a view that a lineage, or a failure, may name
    std::vector<PeerId> ids;
    std::vector<Slot> slots;
    std::vector<OpSeq> first_op;
  };

  // communicator.cc
  void begin_ready(Time now);
  void begin(Time now, Submission&& submission);
  void begin_admit(Time now, Op& op);
  bool may_begin() const;
  void stand_at_admit();
  bool make_executor(Op& op);
  Blocks blocks_of(const OpSpec& spec, OpSeq seq) const;
  Status unfit(const Op& op) const;
  bool has_room_for(const Op& op) const;
  bool is_closed_by_all() const;
  void start(Time now, Op& op, const OpDecision* decision);
  void grant(const Op& op, const std::vector<Rank>& ranks);
  void replay_early(Time now, Op& op);
  void pump(Time now);
  void fail(Op& op, Status status);
  bool same_signature(Op& op, Rank from, uint64_t signature);
  const std::vector<Rank>& ring_of(OpSeq seq) const;
  std::shared_ptr<const Schedule> schedule(Algorithm algorithm, const std::vector<Rank>& ring);
  Op* find(OpSeq seq) { return ops_.find(seq); }
  bool ended(OpSeq seq) const;
  void emit(OpSeq op, Rank to, LaneClass lane, OutFrame frame) override;
  OpSeq full_upto() override;
  void out_of_memory(OpSeq op) override;
  void deliver_to(Time now, Op& op, Rank from, const wire::FrameHeader& header, Landing&& landing);

  // communicator_release.cc
  void progress(Time now, Op& op);
  void take_proof(OpKind kind, OpSeq upto);
  void act_on_proofs(Time now);
  void announce(Time now);
  void announce_one(OpSeq op, OpSeq upto, std::optional<uint64_t> digest);
  void send_done(Rank to, Rank about, OpSeq op, OpSeq upto, std::optional<uint64_t> digest);
  Rank successor() const;
  void on_done(Time now, const wire::FrameHeader& header);
  bool has_all(const Op& op) const;
  bool wave_known(const Op& op) const;
  void free_known(Time now);
  void release(Time now, Op& op);
  void free(Time now, Op& op);
  void end(Time now, Op& op, const Status& status);
  void probe_over(Time now, Op& op);
  void mark_ended(OpSeq seq);
  void erase(OpSeq seq);
  Contributors contributors(const Op& op);
  Slot slot_of(PeerId peer) const;

  // communicator_verify.cc
  void note_full(Op& op);
  bool is_known(const Op& op, Rank rank) const;
  bool agrees(const Op& op) const;
  void conclude(Time now, Op& op);
  void diverge(Op& op);
  Status divergence(const Op& op) const;
  void give_up(const Status& status);

  // communicator_unprotected.cc
  static bool may_go_unprotected(const OpSpec& spec);
  void drain(Time now, Op& op);
  bool drain_all(Time now);

  // communicator_exchange.cc
  std::vector<uint64_t> counts_of(const OpSpec& spec, const Blocks& blocks) const;
  static OpSpec exchange_of(Submission& submission);
  void exchange_over(Op& op);

  // communicator_measure.cc
  bool is_measuring_due() const;
  Submission measurement(Time now);
  void measure_from(OpSeq base);
  void measured(const Op& op, const Status& status);

  // communicator_rebuild.cc
  void fail_for(const View& next);
  Status too_small(uint32_t world) const;
  static bool ignores_min_world(OpKind kind);
  void install_group(Time now, const GroupResolution& group);
  void apply(Time now, const OpDecision& decision);
  std::vector<Slot> survivors(const View& next, OpSeq seq) const;
  void forget_epoch();

  const PeerId self_;
  const GroupId group_;
  Transport& transport_;
  BufferPool& pool_;
  Window::Part window_;
  const CommunicatorLimits limits_;
  RunConfig config_;
  uint32_t waiting_ = 0;
  CommunicatorNews news_;

  View view_;           // of the group
  uint32_t world_ = 0;  // members of the run
  Epoch epoch_;         // installed
  bool sealed_ = true;  // nothing moves before the first install
  bool over_ = false;
  Status over_status_;
  Rank rank_ = kNoRank;
  std::vector<Rank> ring_;
  bool relayed_ = false;       // DONE goes round the ring, not to everybody
  bool routed_ = true;         // the ring avoids what is broken
  std::vector<OpSeq> first_op_;  // by rank
  OpSeq all_since_;              // the newest of these: the ring of later ops has all ranks
  mutable std::vector<Rank> part_of_ring_;  // the ring of the op that was asked for last
  std::array<std::shared_ptr<const Schedule>, kAlgorithms> schedules_;  // of ops of all ranks, in this epoch
  Contributors all_ranks_;       // of such an op, as long as nothing of it was kept
  std::map<Epoch, Past> past_;

  Handle next_handle_ = 1;
  std::deque<Submission> queue_;
  OpSeq next_seq_;
  Recycler<Op> spare_ops_;
  OpTable<OwnedOp> ops_;
  OpSeq busy_from_;              // ops below have nothing to begin
  OpSeq ended_upto_;
  std::set<OpSeq> ended_beyond_;
  uint64_t ended_count_ = 0;
  bool busy_ = false;  // in begin_ready or an install: the queue is looked at when that is over
  bool closing_ = false, closed_ = false;  // here; by everybody
  bool probe_open_ = false;
  bool exchange_open_ = false;
  bool measuring_ = false;
  uint32_t probe_value_ = 0, probe_result_ = 0;
  OpSeq admit_open_ = kNoOp;
  OpSeq admit_ended_ = kNoOp;  // newest admit op known to be over
  uint32_t admit_joined_ = 0;

  const OwnCosts* own_costs_ = nullptr;
  Chooser chooser_;
  OpSeq measure_base_, measure_at_;        // from where the numbers of measuring ops count, and the next one
  CostRow seen_{}, told_{};                // of the measuring op: what this rank measured, the worst of all
  Status carried_;                         // what ended it, for the op behind it

  // About ops not begun here yet.
  std::map<OpSeq, OpDecision> decisions_;
  std::map<OpSeq, Status> aborted_;
  std::map<OpSeq, std::vector<Stashed>> stash_;
  std::map<std::pair<OpSeq, Rank>, uint64_t> early_grants_;  // → signature

  Wave wave_;
  OpSeq full_upto_;              // leading ops that are full or over here, as far as was looked
  OpSeq proven_upto_;            // ops below are full or over at all participants, for good (W13)
  OpSeq proven_to_all_;          // … and all know that
  OpSeq acted_upto_;             // … and those that could be freed have been
  Time announce_at_ = kNever;
  struct Untold {
    OpSeq op;
    Time full_at;
  };
  std::vector<Untold> untold_;  // full ops without a digest, in the order in which they became so: neither announced nor proven
  struct Owed {
    OpSeq op;
    uint64_t digest;
  };
  std::vector<Owed> owed_;  // digests that were not announced in this epoch
  bool draining_ = false;
  bool in_doubt_ = false;   // members have returned different results: nothing is released before that is resolved
};

}  // namespace rhz
