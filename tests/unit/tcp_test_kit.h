// Peers on real loopback sockets, for the tests of the TCP transport.  All of them share one loop
// and one thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/prng.h"
#include "runtime/transport/tcp/tcp_options.h"

namespace rhz::test {

inline constexpr uint64_t kRun = 77;

struct Received {
  PeerId from;
  wire::FrameHeader header;
  std::vector<std::byte> bytes;
};

// A peer that keeps what it is told.
class Node final : public TransportEvents {
 public:
  explicit Node(AsioLoop& loop, TcpOptions options = {}, const std::string& listen = "127.0.0.1:0")
      : loop_(loop) {
    if (!options.self.valid()) options.self = random_peer_id();
    id = options.self;
    if (options.run_hash == 0) options.run_hash = kRun;
    options.listen = listen;
    auto opened = open_tcp(loop, pool, options);
    EXPECT_TRUE(opened.is_ok()) << opened.status().text();
    if (!opened) return;
    tcp = std::move(opened).value();
    tcp->set_events(this);
  }

  PeerAddress address() const { return {id, Slot(0), tcp->endpoints()}; }
  void know(const std::vector<PeerAddress>& peers, const std::vector<PeerId>& next = {}) {
    tcp->set_peers(peers, next);
  }

  // `op_seq` tells frames apart in the tests.
  void send(PeerId to, LaneClass lane, uint64_t op_seq, ConstBytes payload, Buffer keep = {},
            wire::Kind kind = wire::Kind::kPartial) {
    OutFrame frame;
    frame.header.kind = kind;
    frame.header.op_seq = OpSeq(op_seq);
    frame.payload = payload;
    frame.keep = std::move(keep);
    tcp->send(to, lane, std::move(frame));
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
    return landing;
  }
  void on_frame(PeerId from, const wire::FrameHeader& header, Landing&& landing) override {
    Received frame{from, header, {}};
    if (keep_bytes) frame.bytes.assign(landing.into, landing.into + header.length);
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
  BufferPool pool;  // outlives the transport
  std::unique_ptr<Transport> tcp;
  std::function<Landing(PeerId, const wire::FrameHeader&)> place;
  std::function<void(const Received&)> on_received;
  bool keep_bytes = true;
  std::vector<Received> received;
  size_t headers = 0;
  std::map<PeerId, std::vector<Evidence>> down;
  std::vector<PeerId> goodbyes;

 private:
  AsioLoop& loop_;
};

// Runs the loop and the ticks of these nodes until a condition holds.
class Stage {
 public:
  AsioLoop loop;

  Node& add(TcpOptions options = {}, const std::string& listen = "127.0.0.1:0") {
    nodes_.push_back(std::make_unique<Node>(loop, std::move(options), listen));
    return *nodes_.back();
  }
  // Everybody knows everybody.
  void introduce() {
    std::vector<PeerAddress> all;
    for (const auto& node : nodes_) all.push_back(node->address());
    for (const auto& node : nodes_) node->know(all);
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
        if (node->tcp) next = std::min(next, node->tcp->tick(now));
      if (pump) {
        pump();
        loop.poll();
      } else {
        loop.run_until(next);
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
