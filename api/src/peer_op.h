// An all-reduce by a kernel over memory that the ranks of a host map from each other (docs/gpu.md,
// "Kernels").
//
// One launch is all that is on the stream.  A kernel that passed its last meeting knows that every
// rank's kernel has arrived there, so that the op is over: the kernel ends, and the caller is told.
// One that did not pass holds its stream, until a vote behind it, an op of the runtime with the
// op's number, says whether all arrived.  If not, somebody having died in the middle for one, the
// ranks that are left reduce once more by themselves, from unchanged inputs, which the kernel that
// still holds the stream copies to the host's memory, and the result from there.
#pragma once

#include "api/src/device_op.h"
#include "api/src/peer_window.h"

namespace rhz::api {

class PeerOp final : public DeviceOp {
 public:
  struct Plan {
    PeerAccess* access = nullptr;
    PeerAllReduce parameters{};
    const void* image = nullptr;  // of the kernels
    const char* kernel = nullptr;
    unsigned blocks = 1;
    std::byte* saved = nullptr;  // in place: room for the input on the device
    std::byte *host_in = nullptr, *host_out = nullptr;  // of the windows
    uint64_t tag = 0;                                   // of everything that has to be the same
    Epoch epoch;                                        // of the members that take part
    std::vector<Slot> slots;                            // theirs
  };
  // send and recv lie in windows.
  PeerOp(GroupId group, OpSpec spec, OpCompletion* user, Plan plan)
      : DeviceOp(group, std::move(spec), user),
        collective_(std::get<OpSpec>(spec_)),
        plan_(std::move(plan)),
        vote_(*this) {
    theirs_ = {const_cast<std::byte*>(collective_.send), collective_.recv};
  }
  ~PeerOp() override { PeerOp::let_stream_go(); }
  void let_stream_go() override {
    if (!words_ || is_released()) return;
    raise(words_->abort);
    say(kPeerGoOn);
  }

  Status enqueue_input(Device& device) override;
  Status enqueue_output(Device&) override { return Status::ok(); }
  const AnySpec* next() const override;
  OpCompletion& completion() override {
    return stage_ == Stage::kAgain ? static_cast<OpCompletion&>(*this) : vote_;
  }
  // Behind an op that has passed nothing can be reduced again.  What is has the windows' memory of
  // the host for itself until its result is on the device.
  bool goes_first() const override;
  void cancel() override;
  bool is_cancelled() const override;
  void look() override;
  bool is_done() const override;
  Status of_device() const override;
  void unsettle(Epoch epoch, bool sealed) override;
  bool is_final() const override { return DeviceOp::is_final() && (!vote_.given || vote_.final); }
  void refuse(const Status& status) override;
  void released(const OpOutcome& outcome) override;  // what was reduced again
  std::byte* room() const override { return plan_.saved; }

 private:
  enum class Stage : uint8_t { kKernel, kVote, kAgain, kOver };

  struct Vote final : OpCompletion {
    explicit Vote(PeerOp& op) : op(op) {}
    void released(const OpOutcome& outcome) override { op.voted(outcome); }
    void finalised(const Status& status) override { op.vote_final(status); }
    // Minima: whether all gave the same number, and of the second whether all were settled.
    bool alike() const { return recv[0] != 0 && recv[0] == ~recv[1]; }
    bool settled() const { return recv[2] != 0; }
    PeerOp& op;
    bool given = false, final = false;
    Status final_status;
    uint64_t send[3] = {}, recv[3] = {};
    AnySpec spec;
  };

  void begin_vote() const;
  void voted(const OpOutcome& outcome);
  void vote_final(const Status& status);
  void complete(OpOutcome outcome);
  void reduce_again();
  void open_gates() override;
  Status lend(Slabs& slabs, bool is_root) override;
  bool passed() const { return end_ == kPeerPassed; }
  void say(PeerOrder order) { words_->order->store(order, std::memory_order_release); }
  uint64_t bytes() const { return collective_.count * reduce::size_of(collective_.dtype); }

  OpSpec& collective_;  // spec_
  Plan plan_;
  mutable Vote vote_;  // its spec is made when it is asked for
  mutable Stage stage_ = Stage::kKernel;
  PeerEnd end_ =
      kPeerRuns;  // as of the last look: the words are others' once the caller has been told
  bool unsettled_ = false, result_on_host_ = false;
  mutable bool again_given_ = false;
  Status given_up_;
};

}  // namespace rhz::api
