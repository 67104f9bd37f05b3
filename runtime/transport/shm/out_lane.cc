#include "runtime/transport/shm/out_lane.h"

#include <unistd.h>

#include <algorithm>

#include "runtime/base/prng.h"
#include "runtime/transport/shm/foreign_blocks.h"
#include "runtime/transport/shm/sockets.h"

namespace rhz::shm {
OutLane::OutLane(tcp::Shared& shared, tcp::Edge& edge,
                 std::shared_ptr<tcp::PeerAddresses> addresses, uint32_t number, Watch& watch,
                 Life& life, const SharedMemory* blocks)
    : Outgoing(shared, edge, std::move(addresses), number),
      watch_(watch),
      life_(life),
      blocks_(blocks),
      token_(random_u64()) {}

// A connection stands: its memory is made, and handed over.
void OutLane::begin() {
  connection_.on_ready([this] { hear(); }, [] {});
  connection_.want_read();
  auto region = SharedRegion::create(LaneMemory::bytes(number_));
  if (!region) return lost();
  memory_ = LaneMemory(std::move(region).value());
  Control& control = memory_.control();
  control.magic = kLaneMagic;
  control.ring_bytes = memory_.ring().size();
  control.token = token_;
  control.token_address = reinterpret_cast<uint64_t>(&token_);
  control.consumed.store(queue_.credited(), std::memory_order_relaxed);
  control.receiver_sleeps.store(1, std::memory_order_relaxed);  // until it has looked
  if (number_ == 0) life_.vouch(control.sender_lives);
  ring_ = RingWriter(memory_);
  bulk_ = Bulk::kUnknown;
  if (!send_memory(connection_.fd(), memory_.region().fd())) return lost();
  memory_.region().forget_fd();
  watch_.add(*this, 1);
  flush();
}

// Whatever the receiver has not consumed may not be read any more.
void OutLane::let_go() {
  if (!memory_) return;
  for (uint64_t number = 0; number < kWords; ++number)
    memory_.word(number).store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  watch_.remove(*this);
  if (number_ == 0) life_.withdraw(memory_.control().sender_lives);
  memory_.reset();
  sent_blocks_.clear();
}

bool OutLane::copies(const OutFrame& frame) const {
  // What is not ended by a quiescence must be the runtime's own, for its address is in the ring.
  return number_ == 0 || (!frame.keep && !wire::is_op_frame(frame.header.kind));
}

void OutLane::flush() {
  if (!memory_) return;
  bool moved = false;
  while (queue_.has_unsent() && put_next()) moved = true;
  if (moved) wake_receiver();
  if (queue_.has_unsent()) return wait_for_room();
  if (finishing()) end_of_output();
}

// Puts as much of the next frame into the ring as it takes; false: nothing.
bool OutLane::put_next() {
  iovec pieces[2];
  const size_t count = queue_.gather(pieces);
  if (queue_.in_a_frame()) return put_rest(pieces[0]);
  return put_frame(pieces[0], count == 2 ? pieces[1] : iovec{});
}

bool OutLane::put_frame(const iovec& header, const iovec& payload) {
  const bool large = payload.iov_len > kInlineBytes;
  if (large && bulk_ == Bulk::kUnknown) {
    bulk_ = static_cast<Bulk>(memory_.control().bulk.load(std::memory_order_acquire));
    if (bulk_ == Bulk::kUnknown) return wait_for(Want::kAnswer, 0);
  }
  const Descriptor where = large ? describe(payload) : Descriptor{};
  const bool elsewhere = large && where.block != Descriptor::kInRing;
  const uint64_t number = queue_.next().lane_seq;
  if (elsewhere && number > queue_.credited() + kWords)
    return wait_for(Want::kCredit, number - kWords);
  const size_t bytes = header.iov_len + (large ? sizeof where : payload.iov_len);
  if (ring_.space() < bytes) return wait_for(Want::kSpace, bytes);
  ring_.put(header.iov_base, header.iov_len);
  if (elsewhere) memory_.word(number).store(number, std::memory_order_relaxed);
  if (large)
    ring_.put(&where, sizeof where);
  else
    ring_.put(payload.iov_base, payload.iov_len);
  ring_.publish();
  wrote(header.iov_len + (elsewhere || !large ? payload.iov_len : 0));
  return true;
}

// Where the receiver finds the payload; a block is handed over when it is named first.
Descriptor OutLane::describe(const iovec& payload) {
  const auto* begin = static_cast<const std::byte*>(payload.iov_base);
  const Descriptor without = bulk_ == Bulk::kDirect
                                    ? Descriptor{reinterpret_cast<uint64_t>(begin), Descriptor::kNoBlock}
                                    : Descriptor{0, Descriptor::kInRing};
  const auto* block = blocks_ ? blocks_->find(begin, payload.iov_len) : nullptr;
  if (!block) return without;
  auto at = sent_blocks_.find(block->id);
  if (at == sent_blocks_.end()) {
    if (sent_blocks_.size() == ForeignBlocks::kMost) return without;
    if (!send_memory(connection_.fd(), block->region.fd())) return without;
    at = sent_blocks_.emplace(block->id, sent_blocks_.size() + 1).first;
  }
  return {static_cast<uint64_t>(begin - block->region.data()), at->second};
}

bool OutLane::put_rest(const iovec& rest) {
  const size_t bytes = std::min(rest.iov_len, kPieceBytes);
  if (ring_.space() < bytes) return wait_for(Want::kSpace, bytes);
  ring_.put(rest.iov_base, bytes);
  ring_.publish();
  wrote(bytes);
  return true;
}

bool OutLane::wait_for(Want want, uint64_t how_much) {
  want_ = want;
  wanted_ = how_much;
  return false;
}

void OutLane::wrote(size_t bytes) {
  shared_.counters.sent_frames += queue_.wrote(bytes);
  shared_.counters.sent_bytes += bytes;
}

void OutLane::wake_receiver() {
  // Pairs with the fence of who goes to sleep.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::atomic<uint32_t>& sleeps = memory_.control().receiver_sleeps;
  if (sleeps.load(std::memory_order_relaxed) == 0) return;
  sleeps.store(0, std::memory_order_relaxed);
  say(connection_.fd(), Word::kWake);
}

void OutLane::wait_for_room() {
  if (ring_.corrupt()) return break_off();
  if (!blocked_) note_progress();
  blocked_ = true;
  if (!watch_.armed()) return;
  set_sleeping(true);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!room()) return;
  blocked_ = false;
  set_sleeping(false);
  flush();
}

// What the lane waits for has come.
bool OutLane::room() {
  switch (want_) {
    case Want::kAnswer: return memory_.control().bulk.load(std::memory_order_acquire) != 0;
    case Want::kCredit: return queue_.credited() >= wanted_;
    case Want::kSpace: return ring_.space() >= wanted_;
  }
  return true;
}

void OutLane::set_sleeping(bool sleeping) {
  const uint32_t flag = sleeping && blocked_ ? 1 : 0;
  memory_.control().sender_sleeps.store(flag, std::memory_order_relaxed);
}

bool OutLane::ready() {
  if (memory_.control().consumed.load(std::memory_order_relaxed) == queue_.credited())
    return blocked_ && room();
  return blocked_;
}

bool OutLane::poll() {
  const bool credited = take_credit();
  if (!memory_ || !blocked_ || !room()) return credited;
  blocked_ = false;
  note_progress();
  flush();
  return true;
}

// What the receiver has consumed; false: nothing new.
bool OutLane::take_credit() {
  const uint64_t consumed = memory_.control().consumed.load(std::memory_order_acquire);
  if (consumed == queue_.credited()) return false;
  if (!queue_.credit(consumed) || consumed < queue_.credited()) {
    break_off();
    return true;
  }
  if (blocked_) note_progress();
  return true;
}

// What the receiver has written makes no sense.
void OutLane::break_off() {
  ++shared_.counters.refused_frames;
  lost();
}

void OutLane::hear() {
  const Heard heard = listen_to(connection_.fd(), [](int memory) {
    ::close(memory);
    return false;
  });
  if (heard.nonsense) return break_off();
  if (memory_) (void)poll();
  if (!up()) return;
  if (heard.goodbye) {
    edge_.heard_goodbye();
    return end();
  }
  if (heard.ended) return lost();
  if (blocked_) wait_for_room();  // woken for nothing: it has to be said again
  if (up()) connection_.want_read();
}

void OutLane::quiesce() {
  queue_.quiesce();
  revoke_stale();
}

void OutLane::release(GroupId group, OpSeq op) {
  queue_.release(group, op);
  revoke_stale();
}

bool OutLane::reads(GroupId group, OpSeq op) {
  if (memory_) (void)take_credit();
  return queue_.reads(group, op, true);
}

// Frames in the ring whose memory has just become somebody else's.
void OutLane::revoke_stale() {
  if (!memory_) return;
  bool revoked = false;
  queue_.each_stale([&](uint64_t number) {
    memory_.word(number).store(0, std::memory_order_relaxed);
    revoked = true;
  });
  // Before anything that is written to that memory: a reader that sees the new bytes sees the word.
  if (revoked) std::atomic_thread_fence(std::memory_order_seq_cst);
}

Time OutLane::tick(Time now) {
  if (memory_) (void)poll();
  return Outgoing::tick(now);
}

}  // namespace rhz::shm
