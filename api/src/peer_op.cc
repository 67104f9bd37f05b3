#include "api/src/peer_op.h"

#include "collectives/reduce/cuda/peer_ways.h"
#include "runtime/base/prng.h"

namespace rhz::api {
namespace {
// B1: how long a kernel holds its stream.  The vote and what is reduced again each have the op's
// time-out.
constexpr uint64_t kHoldTimeOuts = 4, kHoldNs = 10'000'000'000;
}  // namespace

Status PeerOp::lend(Slabs&, bool) {
  collective_.send = plan_.host_in;
  collective_.recv = plan_.host_out;
  return Status::ok();
}

Status PeerOp::enqueue_input(Device&) {
  PeerAllReduce p = plan_.parameters;
  const auto word = [](DeviceWord* w) { return reinterpret_cast<uint32_t*>(w); };
  p.abort = word(words_->abort);
  p.order = word(words_->order);
  p.ended = word(words_->ended);
  p.given = word(words_->given);
  p.done = word(words_->done);
  p.tag = plan_.tag;
  p.hold_ns = kHoldTimeOuts * p.bound_ns + kHoldNs;
  p.bytes = bytes();
  p.input = plan_.saved ? plan_.saved : theirs_[0];
  p.host_in = plan_.host_in;
  p.host_out = plan_.host_out;
  Status status;
  if (plan_.saved) status = plan_.access->copy(in_, plan_.saved, theirs_[0], bytes());
  if (status)
    status = plan_.access->run(in_, {plan_.image, plan_.kernel, plan_.blocks, kPeerThreads}, &p);
  return status;
}

// Passed: everybody's result is complete, of the same members, and nobody reads the inputs any
// more.
void PeerOp::look() {
  if (end_ != kPeerRuns) return;
  end_ = static_cast<PeerEnd>(words_->ended->load(std::memory_order_acquire));
  if (!passed() || is_released()) return;
  OpOutcome outcome;
  outcome.first_epoch = outcome.last_epoch = plan_.epoch;
  complete(std::move(outcome));
}

const AnySpec* PeerOp::next() const {
  if (stage_ == Stage::kKernel && end_ != kPeerRuns) {
    begin_vote();
    return &vote_.spec;
  }
  if (stage_ == Stage::kAgain && !again_given_ && is_raised(words_->given)) {
    again_given_ = true;
    return &spec_;
  }
  return nullptr;
}

bool PeerOp::goes_first() const {
  switch (stage_) {
    case Stage::kKernel: return true;
    case Stage::kVote: return !passed();
    case Stage::kAgain: return !is_told();
    case Stage::kOver: break;
  }
  return false;
}

// MIN of a number and of its complement: the first is the complement of the second if all gave the
// same.  Strict, whatever the op's mode: who dies behind its kernel takes nothing away.
void PeerOp::begin_vote() const {
  const bool arrived = end_ != kPeerStopped;
  stage_ = Stage::kVote;
  vote_.given = true;
  vote_.send[0] = arrived ? plan_.tag : 0;
  vote_.send[1] = arrived ? ~plan_.tag : 0;
  vote_.send[2] = unsettled_ ? 0 : 1;
  OpSpec spec;
  spec.dtype = reduce::Dtype::u64;
  spec.redop = reduce::RedOp::min;
  spec.rebuild = RebuildMode::kStrict;
  spec.timeout = collective_.timeout;
  spec.count = std::size(vote_.send);
  spec.parts = mix64(collective_.count ^ mix64(static_cast<uint64_t>(collective_.dtype))) | 1;
  spec.send = reinterpret_cast<const std::byte*>(vote_.send);
  spec.recv = reinterpret_cast<std::byte*>(vote_.recv);
  vote_.spec = std::move(spec);
}

void PeerOp::voted(const OpOutcome& outcome) {
  if (passed()) {
    stage_ = Stage::kOver;  // whatever it says: it can only be the same
    return;
  }
  if (outcome.status && vote_.alike()) return complete(outcome);
  OpOutcome failed = outcome;
  if (failed.status) failed.status = given_up_;
  if (failed.status && collective_.rebuild == RebuildMode::kFail && !vote_.settled())
    failed.status = Status(Code::kPeerLost, "a rank died during the op");
  if (failed.status) return reduce_again();
  stage_ = Stage::kOver;
  failed.bytes = bytes();
  DeviceOp::released(failed);
}

void PeerOp::reduce_again() {
  stage_ = Stage::kAgain;
  submitted_.reset();
  say(kPeerGive);
}

// Of all who took part, also of who died behind its kernel.
void PeerOp::complete(OpOutcome outcome) {
  if (!passed()) stage_ = Stage::kOver;
  outcome.bytes = bytes();
  outcome.chunk_elements = outcome.block_elements = std::max<uint64_t>(collective_.count, 1);
  outcome.chunks_of_block = 1;
  outcome.result_blocks = {0, 1, 1};
  outcome.runs =
      std::make_shared<const std::vector<ContributorRun>>(1, ContributorRun{0, 1, plan_.slots});
  DeviceOp::released(outcome);
}

// Comes right behind released(), or later.
void PeerOp::vote_final(const Status& status) {
  vote_.final = true;
  if (stage_ == Stage::kOver) DeviceOp::finalised(status);
}

void PeerOp::released(const OpOutcome& outcome) {
  result_on_host_ = outcome.status.is_ok();
  DeviceOp::released(outcome);
}

// Where the kernel holds the stream: what is behind it goes on.
void PeerOp::open_gates() {
  if (!passed()) say(result_on_host_ ? kPeerTake : kPeerGoOn);
}

bool PeerOp::is_done() const {
  return is_released() && (passed() || words_->done->load(std::memory_order_acquire) != 0);
}

Status PeerOp::of_device() const {
  if (passed() || words_->done->load() != RHZ_PEER_LEFT) return Status::ok();
  return Status(Code::kTimeout, "the stream stood for too long, and went on without the op");
}

void PeerOp::cancel() {
  DeviceOp::cancel();
  if (end_ == kPeerRuns) raise(words_->abort);
}

// Somebody may have passed where this kernel has arrived: then the op is over, and cannot be
// cancelled any more.
bool PeerOp::is_cancelled() const {
  return DeviceOp::is_cancelled() && (stage_ == Stage::kAgain || end_ == kPeerStopped);
}

// A kernel of other members than those that there are now would wait for one that is gone, or
// reduce with it.
void PeerOp::unsettle(Epoch epoch, bool sealed) {
  if (stage_ != Stage::kKernel || !(sealed || epoch != plan_.epoch)) return;
  unsettled_ = true;
  if (end_ == kPeerRuns) raise(words_->abort);
}

// What the runtime has been given is the runtime's to end; a vote that it did not take will not
// come.
void PeerOp::refuse(const Status& status) {
  if (stage_ == Stage::kVote && !submitted_) vote_.given = false;
  if (stage_ == Stage::kAgain && again_given_ && submitted_) return;
  if (is_released()) {
    if (!vote_.given) stage_ = Stage::kOver, DeviceOp::finalised(status);
    return;
  }
  if (end_ == kPeerRuns) raise(words_->abort);
  if (stage_ == Stage::kVote && vote_.given) {
    given_up_ = status;
    return;
  }
  stage_ = Stage::kOver;
  DeviceOp::refuse(status);
}

}  // namespace rhz::api
