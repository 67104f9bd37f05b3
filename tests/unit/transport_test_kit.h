// Peers on real transports, for their tests.  All of them share one loop and one thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/prng.h"
#include "runtime/transport/fabric/fabric_options.h"
#include "runtime/transport/open.h"
#include "runtime/transport/shm/shm_options.h"
#include "runtime/transport/tcp/tcp_options.h"

namespace rhz::test {

inline constexpr uint64_t kRun = 77;

// What carries the frames of a test.
enum class Carrier : uint8_t {
  kTcp,
  kShm,
  kShmThroughRing,
  kAuto,
  kUcxTcp,
  kUcxShm,
  kOfiTcp,
  kOfiShm
};

// Their libraries are told by the environment what to use.
inline Result<std::unique_ptr<Transport>> open_fabric_carrier(Carrier carrier, AsioLoop& loop,
                                                              BufferPool& pool,
                                                              const TcpOptions& tcp) {
  const bool ucx = carrier == Carrier::kUcxTcp || carrier == Carrier::kUcxShm;
  ::setenv("UCX_TLS", carrier == Carrier::kUcxTcp ? "tcp" : "sysv", 1);
  ::setenv("FI_PROVIDER", carrier == Carrier::kOfiTcp ? "tcp;ofi_rxm" : "shm", 1);
  FabricOptions options;
  options.library = ucx ? FabricLibrary::kUcx : FabricLibrary::kLibfabric;
  options.modules = RHZ_TEST_MODULE_DIR;
  options.tcp = tcp;
  return open_fabric(loop, pool, options);
}

inline Result<std::unique_ptr<Transport>> open_carrier(Carrier carrier, AsioLoop& loop,
                                                       BufferPool& pool, const SharedMemory* memory,
                                                       const TcpOptions& options) {
  if (carrier == Carrier::kTcp) return open_tcp(loop, pool, options);
  if (carrier == Carrier::kAuto)
    return open_transport(loop, pool, {TransportChoice::kAuto, memory, options, {}});
  if (carrier >= Carrier::kUcxTcp) return open_fabric_carrier(carrier, loop, pool, options);
  ShmOptions shm;
  shm.self = options.self;
  shm.run_hash = options.run_hash;
  shm.connect_ms = options.connect_ms;
  shm.reconnect_ms = options.reconnect_ms;
  shm.stall_ms = options.stall_ms;
  shm.memory = memory;
  shm.direct = carrier != Carrier::kShmThroughRing;
  return open_shm(loop, pool, shm);
}

struct Received {
  PeerId from;
  wire::FrameHeader header;
  std::vector<std::byte> bytes;
};

// A peer that keeps what it is told.
class Node final : public TransportEvents {
 public:
  Node(Carrier carrier, AsioLoop& loop, TcpOptions options, const std::string& listen) {
    if (!options.self.valid()) options.self = random_peer_id();
    id = options.self;
    if (options.run_hash == 0) options.run_hash = kRun;
    options.listen = listen;
    auto opened = open_carrier(carrier, loop, pool, &memory, options);
    EXPECT_TRUE(opened.is_ok()) << opened.status().text();
    if (!opened) return;
    transport = std::move(opened).value();
    transport->set_events(this);
  }

  PeerAddress address() const { return {id, Slot(0), transport->endpoints()}; }
  void know(const std::vector<PeerAddress>& peers, const std::vector<PeerId>& next = {}) {
    transport->set_peers(peers, next);
  }

  // `op_seq` tells frames apart in the tests.
  void send(PeerId to, LaneClass lane, uint64_t op_seq, ConstBytes payload, Buffer keep = {},
            wire::Kind kind = wire::Kind::kPartial) {
    OutFrame frame;
    frame.header.kind = kind;
    frame.header.op_seq = OpSeq(op_seq);
    frame.payload = payload;
    frame.keep = std::move(keep);
    transport->send(to, lane, std::move(frame));
  }

  Landing on_header(PeerId from, const wire::FrameHeader& header) override {
    ++headers;
    if (place) return place(from, header);
    return into_pool(header);
  }
  Landing into_pool(const wire::FrameHeader& header) {
    Landing landing;
    landing.verdict = Landing::Verdict::kInto;
    landing.keep = pool.take(header.length);
    landing.into = landing.keep.data();
    landing.may_look = looks;
    return landing;
  }
  void on_frame(PeerId from, const wire::FrameHeader& header, Landing&& landing) override {
    Received frame{from, header, {}};
    if (keep_bytes) frame.bytes.assign(landing.into, landing.into + header.length);
    if (!landing.still_there()) return;
    looked_at += landing.word != nullptr;
    received.push_back(std::move(frame));
    if (on_received) on_received(received.back());
  }
  void on_edge_down(PeerId peer, Evidence evidence) override { down[peer].push_back(evidence); }
  void on_goodbye(PeerId peer) override { goodbyes.push_back(peer); }

  std::vector<uint64_t> ops() const {
    std::vector<uint64_t> numbers;
    for (const Received& frame : received) numbers.push_back(frame.header.op_seq.value);
    return numbers;
  }

  PeerId id;
  BufferPool pool;      // outlives the transport
  SharedMemory memory;  // likewise; where a test takes it, peers may map it
  std::unique_ptr<Transport> transport;
  std::function<Landing(PeerId, const wire::FrameHeader&)> place;
  std::function<void(const Received&)> on_received;
  bool keep_bytes = true;
  bool looks = false;    // uses payloads where they lie, if the transport can show them
  size_t looked_at = 0;  // frames
  std::vector<Received> received;
  size_t headers = 0;
  std::map<PeerId, std::vector<Evidence>> down;
  std::vector<PeerId> goodbyes;
};

// Runs the loop and the ticks of these nodes until a condition holds.
class Stage {
 public:
  // `polls`: as the owner of a loop does who has ops open; else only the loop says that something
  // came.
  explicit Stage(Carrier carrier = Carrier::kTcp, bool polls = false)
      : carrier_(carrier), polls_(polls) {}

  AsioLoop loop;

  Node& add(TcpOptions options = {}, const std::string& listen = "127.0.0.1:0") {
    nodes_.push_back(std::make_unique<Node>(carrier_, loop, std::move(options), listen));
    return *nodes_.back();
  }
  // Everybody knows everybody.
  void introduce() {
    std::vector<PeerAddress> all;
    for (const auto& node : nodes_) all.push_back(node->address());
    for (const auto& node : nodes_) node->know(all);
  }
  // With another transport than the others.
  Node& add_with(Carrier carrier, TcpOptions options = {}) {
    nodes_.push_back(std::make_unique<Node>(carrier, loop, std::move(options), "127.0.0.1:0"));
    return *nodes_.back();
  }
  void remove(Node& node) {
    std::erase_if(nodes_, [&](const auto& held) { return held.get() == &node; });
  }
  [[nodiscard]] bool until(const std::function<bool()>& condition,
                           Duration at_most = milliseconds(20000)) {
    const Time deadline = loop.now() + at_most;
    while (!condition()) {
      const Time now = loop.now();
      if (now >= deadline) return false;
      Time next = deadline;
      for (const auto& node : nodes_)
        if (node->transport) next = std::min(next, node->transport->tick(now));
      if (pump) {
        pump();
        loop.poll();
      } else if (!polls_ || rest()) {
        loop.run_until(next);
      } else {
        loop.poll();
      }
    }
    return true;
  }
  // Between two events of the loop.
  void soon(std::function<void()> call) {
    loop.context().get_executor().post(std::move(call), std::allocator<void>());
  }
  void run_for(Duration time) {
    (void)until([] { return false; }, time);
  }

  std::function<void()> pump;  // of helpers that live outside the loop

 private:
  // Nothing has come, and whoever has something wakes the loop.
  bool rest() {
    bool moved = false;
    for (size_t i = 0; i < nodes_.size(); ++i) moved |= nodes_[i]->transport->poll();
    if (moved) return false;
    bool armed = true;
    for (const auto& node : nodes_) armed &= node->transport->arm();
    return armed;
  }

  const Carrier carrier_;
  const bool polls_;
  std::vector<std::unique_ptr<Node>> nodes_;
};

inline std::vector<std::byte> random_bytes(size_t size, uint64_t seed) {
  std::vector<std::byte> bytes(size);
  Prng prng(seed);
  size_t i = 0;
  for (; i + 8 <= size; i += 8) store(bytes.data() + i, prng.next());
  for (; i < size; ++i) bytes[i] = std::byte(prng.next());
  return bytes;
}

inline bool equal(ConstBytes a, ConstBytes b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace rhz::test
