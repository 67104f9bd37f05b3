// A lane's way out through shared memory.  Payloads are copied into the ring, large ones piece by
// piece while the receiver takes them out.  Of those in blocks of shared memory, or of all where both
// sides were told so (ShmOptions::direct), the ring carries the address, and the receiver reads them
// from there.  A word in shared memory says for each of these that it may: it is cleared before the
// memory is anybody else's again.  Owner: PeerLink.  Progress thread only.
#pragma once

#include <unordered_map>

#include "runtime/memory/shared_memory.h"
#include "runtime/transport/shm/lane_memory.h"
#include "runtime/transport/shm/watch.h"
#include "runtime/transport/tcp/outgoing.h"

namespace rhz::shm {

class OutLane final : public tcp::Outgoing, private Watched {
 public:
  OutLane(tcp::Shared& shared, tcp::Edge& edge, std::shared_ptr<tcp::PeerAddresses> addresses,
          uint32_t number, Watch& watch, Life& life, const SharedMemory* blocks);
  ~OutLane() override { let_go(); }

  void quiesce() override;
  void release(GroupId group, OpSeq op) override;
  bool reads(GroupId group, OpSeq op) override;
  Time tick(Time now) override;

 private:
  void begin() override;
  void flush() override;
  void let_go() override;
  bool copies(const OutFrame& frame) const override;

  bool poll() override;
  bool ready() override;
  void set_sleeping(bool sleeping) override;

  void hear();
  bool take_credit();
  bool room();
  bool put_next();
  bool put_frame(const iovec& header, const iovec& payload);
  Descriptor describe(const iovec& payload);
  bool put_rest(const iovec& rest);
  enum class Want : uint8_t { kAnswer, kCredit, kSpace };
  bool wait_for(Want want, uint64_t how_much);
  void wrote(size_t bytes);
  void wake_receiver();
  void wait_for_room();
  void revoke_stale();
  void break_off();

  Watch& watch_;
  Life& life_;
  LaneMemory memory_;
  RingWriter ring_;
  const SharedMemory* const blocks_;                    // may be null
  std::unordered_map<uint64_t, uint64_t> sent_blocks_;  // on this connection: id → number there
  Bulk bulk_ = Bulk::kUnknown;
  Want want_ = Want::kSpace;  // while blocked: what for, and how much of it
  uint64_t wanted_ = 0;
  const uint64_t token_;  // read by the receiver, here
};

}  // namespace rhz::shm
