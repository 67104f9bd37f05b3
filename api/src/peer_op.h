// An all-reduce by kernels over memory that the ranks of a host map from each other (docs/gpu.md,
// "Kernels").
//
//   on the stream   … │ kernel │ raise `ready` │ wait for `gate` │ (input out) │ raise
//   `ready_again` │ wait for `gate_again` │
//                   (result in) │ raise `done` │ …
//
// Whether all kernels came to their end is agreed upon by a vote, an op of the runtime with the
// op's number: two words, the same on all ranks exactly if each has reduced with the same members.
// If not, somebody having died in the middle for one, the copies in brackets are made and the ranks
// that are left reduce once more by themselves, from unchanged inputs.
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
  PeerOp(GroupId group, OpSpec spec, OpCompletion* user, Plan plan)
      : DeviceOp(group, std::move(spec), user), plan_(std::move(plan)), vote_(*this) {}

  Status enqueue(Device& device) override;
  const OpSpec* next() const override;
  OpCompletion& completion() override {
    return stage_ == Stage::kAgain ? static_cast<OpCompletion&>(*this) : vote_;
  }
  // What is reduced again has the windows' memory of the host for itself until its result is on the
  // device.
  bool goes_first() const override {
    return stage_ == Stage::kAgain ? !is_done() : stage_ != Stage::kOver;
  }
  void cancel() override;
  void unsettle(Epoch epoch, bool sealed) override;
  bool is_final() const override { return DeviceOp::is_final() && (!vote_.given || vote_.final); }
  void refuse(const Status& status) override;
  std::byte* room() const override { return plan_.saved; }

 private:
  enum class Stage : uint8_t { kKernel, kVote, kAgain, kOver };

  struct Vote final : OpCompletion {
    explicit Vote(PeerOp& op) : op(op) {}
    void released(const OpOutcome& outcome) override { op.voted(outcome); }
    void finalised(const Status& status) override;
    PeerOp& op;
    bool given = false, final = false, passed = false;
    Status final_status;
    uint64_t send[2] = {}, recv[2] = {};
    OpSpec spec;
  };

  void begin_vote() const;
  void voted(const OpOutcome& outcome);
  void open_gates() override;
  Status lend(Slabs& slabs) override;
  [[nodiscard]] Status copy_if_again(const DeviceQueue& on, void* to, const void* from) const;
  uint64_t bytes() const { return spec_.count * reduce::size_of(spec_.dtype); }

  Plan plan_;
  mutable Vote vote_;  // its spec is made when it is asked for
  Stage stage_ = Stage::kKernel;
  bool again_given_ = false;
  Status given_up_;
};

}  // namespace rhz::api
