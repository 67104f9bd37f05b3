#include "api/src/peer_op.h"

#include "runtime/base/prng.h"

namespace rhz::api {
namespace {
// Each block of a copy looks across the bus whether it is wanted, a microsecond one after the other.
constexpr unsigned kThreads = 512, kCopyBlocks = 4;
}

Status PeerOp::copy_if_again(const DeviceQueue& on, void* to, const void* from) const {
  const CopyIf parameters{to,      from, bytes(), reinterpret_cast<const uint32_t*>(words_->again),
                          kRaised, 0};
  return plan_.access->run(on, {plan_.image, "rhz_copy_if", kCopyBlocks, kThreads}, &parameters);
}

Status PeerOp::lend(Slabs&) {
  spec_.send = plan_.host_in;
  spec_.recv = plan_.host_out;
  return Status::ok();
}

Status PeerOp::enqueue(Device& device) {
  PeerAllReduce p = plan_.parameters;
  p.abort = reinterpret_cast<const uint32_t*>(words_->abort);
  p.status = reinterpret_cast<uint32_t*>(words_->status);
  const std::byte* const input = plan_.saved ? plan_.saved : theirs_[0];
  Status status;
  if (plan_.saved) status = plan_.access->copy(in_, plan_.saved, theirs_[0], bytes());
  if (status)
    status = plan_.access->run(in_, {plan_.image, plan_.kernel, plan_.blocks, kThreads}, &p);
  if (status) status = device.raise(in_, *words_->ready);
  if (status) status = device.await(out_, *words_->gate);
  if (status) status = copy_if_again(out_, plan_.host_in, input);
  if (status) status = device.raise(out_, *words_->ready_again);
  if (status) status = device.await(out_, *words_->gate_again);
  if (status) status = copy_if_again(out_, theirs_[1], plan_.host_out);
  if (status) status = device.raise(out_, *words_->done);
  if (!status) {
    raise(words_->abort);
    open_gates();  // nobody else would
  }
  return status;
}

const OpSpec* PeerOp::next() const {
  if (is_released()) return nullptr;
  if (stage_ == Stage::kKernel && !vote_.given && is_raised(words_->ready)) {
    begin_vote();
    return &vote_.spec;
  }
  if (stage_ == Stage::kAgain && !again_given_ && is_raised(words_->ready_again)) {
    const_cast<PeerOp*>(this)->again_given_ = true;
    return &spec_;
  }
  return nullptr;
}

// MIN of a number and of its complement: the first is the complement of the second if all gave the
// same.
void PeerOp::begin_vote() const {
  const bool well = words_->status->load(std::memory_order_acquire) == kPeerDone;
  vote_.given = true;
  vote_.send[0] = well ? plan_.tag : 0;
  vote_.send[1] = well ? ~plan_.tag : 0;
  OpSpec& spec = vote_.spec;
  spec.dtype = reduce::Dtype::u64;
  spec.redop = reduce::RedOp::min;
  spec.rebuild = spec_.rebuild;
  spec.timeout = spec_.timeout;
  spec.count = 2;
  spec.parts = mix64(spec_.count ^ mix64(static_cast<uint64_t>(spec_.dtype))) | 1;
  spec.send = reinterpret_cast<const std::byte*>(vote_.send);
  spec.recv = reinterpret_cast<std::byte*>(vote_.recv);
}

void PeerOp::voted(const OpOutcome& outcome) {
  const bool alike = vote_.recv[0] != 0 && vote_.recv[0] == ~vote_.recv[1];
  if (outcome.status && !alike && given_up_.is_ok()) {
    stage_ = Stage::kAgain;
    submitted_.reset();
    raise(words_->again);
    raise(words_->gate);
    return;
  }
  vote_.passed = true;
  stage_ = Stage::kOver;
  OpOutcome mine = outcome;
  mine.bytes = bytes();
  if (mine.status && !alike) mine.status = given_up_;
  if (mine.status) {  // of all who took part, also of who died behind its kernel
    mine.chunk_elements = mine.block_elements = std::max<uint64_t>(spec_.count, 1);
    mine.chunks_of_block = 1;
    mine.result_blocks = {0, 1, 1};
    mine.runs =
        std::make_shared<const std::vector<ContributorRun>>(1, ContributorRun{0, 1, plan_.slots});
  }
  DeviceOp::released(mine);
  if (vote_.final) DeviceOp::finalised(vote_.final_status);
}

void PeerOp::Vote::finalised(const Status& status) {
  final = true;
  final_status = status;
  if (passed) op.DeviceOp::finalised(status);
}

// What was queued behind them goes on; a kernel that runs ends.
void PeerOp::open_gates() {
  raise(words_->gate);
  raise(words_->gate_again);
}

void PeerOp::cancel() {
  DeviceOp::cancel();
  if (stage_ == Stage::kKernel) raise(words_->abort);
}

// A kernel of other members than those that there are now would wait for one that is gone, or
// reduce with it.
void PeerOp::unsettle(Epoch epoch, bool sealed) {
  if (stage_ == Stage::kKernel && !vote_.given && (sealed || epoch != plan_.epoch))
    raise(words_->abort);
}

// What the runtime has been given is the runtime's to end.
void PeerOp::refuse(const Status& status) {
  raise(words_->abort);
  if (stage_ == Stage::kAgain && again_given_) return;
  if (vote_.given && stage_ == Stage::kKernel) {
    given_up_ = status;
    return;
  }
  stage_ = Stage::kOver;
  DeviceOp::refuse(status);
}

}  // namespace rhz::api
