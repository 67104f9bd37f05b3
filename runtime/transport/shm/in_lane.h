// A lane's way in through shared memory: takes frames from the ring, and payloads from the ring, from
// blocks of shared memory, or from the memory of their sender.  Owner: PeerLink.  Progress thread
// only.
#pragma once

#include "runtime/transport/shm/foreign_blocks.h"
#include "runtime/transport/shm/lane_memory.h"
#include "runtime/transport/shm/remote_memory.h"
#include "runtime/transport/shm/watch.h"
#include "runtime/transport/tcp/incoming.h"

namespace rhz::shm {

class InLane final : public tcp::Incoming, private Watched {
 public:
  InLane(tcp::Shared& shared, tcp::Edge& edge, uint32_t number, uint64_t generation,
         std::function<void()> lost, Watch& watch, Life& life, bool direct_allowed);
  ~InLane() override { let_go(); }

  void attach(tcp::Connection&& connection) override;
  Time tick(Time now) override;

 private:
  void hear();
  bool listen();
  bool take_memory(int fd);
  bool pump();
  bool next_frame();
  bool find_payload(uint32_t length);
  bool move_payload(size_t& budget);
  bool look();
  bool read_remote(size_t size);
  void take_back();
  bool may_read() const;
  void far_end_closed();
  void after_event();

  bool poll() override;
  bool ready() override;
  void set_sleeping(bool sleeping) override;

  void count_consumed(const wire::FrameHeader&) override {}
  void send_credit() override;
  void say_goodbye() override;
  void go_on() override;
  void drop_connection() override;
  void let_go();

  Watch& watch_;
  Life& life_;
  const bool direct_allowed_;
  LaneMemory memory_;
  RingReader ring_;
  RemoteMemory remote_;
  bool direct_ = false;             // payloads may be read from the sender's own memory
  bool far_closed_ = false;         // only what is in the ring still comes
  bool payload_is_remote_ = false;  // of the frame that is arriving
  Descriptor where_;
  const std::byte* mapped_ = nullptr;  // … and whose payload lies in a block
  ForeignBlocks blocks_;
};

}  // namespace rhz::shm
