// The TCP transport when connections break and processes die.
#include <signal.h>
#include <sys/wait.h>

#include <numeric>

#include "tests/unit/transport_test_kit.h"
#include "tests/unit/tcp_test_wire.h"

namespace rhz::test {
namespace {

using Verdict = Landing::Verdict;
using Evidences = std::vector<Evidence>;

TcpOptions impatient() {
  TcpOptions options;
  options.connect_ms = 150;
  options.reconnect_ms = 150;
  options.stall_ms = 150;
  return options;
}

// Two peers, where what the first sends to the second passes a forwarder.
struct Bridged {
  explicit Bridged(const TcpOptions& options = {})
      : a(stage.add(options)), b(stage.add(options)), wire(port_of(b.address().endpoints[0])) {
    a.know({{b.id, Slot(0), {wire.endpoint()}}}, {b.id});
    b.know({a.address()});
    stage.pump = [this] { wire.pump(); };
  }
  Stage stage;
  Node& a;
  Node& b;
  Forwarder wire;
};

TEST(TcpFaults, ResumesAfterResetsWithoutLossOrDuplication) {
  Bridged net;
  Prng prng(5);
  constexpr uint64_t kFrames = 300;
  const auto bytes = random_bytes(1 << 20, 1);
  // Express and bulk at once, each in order; the connections break at random bytes of headers and
  // payloads.
  for (uint64_t i = 0; i < kFrames; ++i) {
    net.a.send(net.b.id, LaneClass::kBulk, i, {bytes.data() + i, 20000 + i});
    net.a.send(net.b.id, LaneClass::kExpress, i, {bytes.data() + i, 1000 + i}, {},
               wire::Kind::kResult);
  }
  std::vector<uint64_t> bulk, express;
  net.b.on_received = [&](const Received& frame) {
    const uint64_t op = frame.header.op_seq.value;
    const bool is_bulk = frame.header.kind == wire::Kind::kPartial;
    (is_bulk ? bulk : express).push_back(op);
    ASSERT_TRUE(equal(frame.bytes, {bytes.data() + op, (is_bulk ? 20000 : 1000) + op}));
  };
  size_t resets = 0;
  net.wire.reset_after(prng.below(400000));
  ASSERT_TRUE(net.stage.until([&] {
    if (net.wire.resets != resets && resets < 30) {
      resets = net.wire.resets;
      net.wire.reset_after(prng.below(400000));
    }
    return bulk.size() >= kFrames && express.size() >= kFrames;
  }));
  std::vector<uint64_t> all(kFrames);
  std::iota(all.begin(), all.end(), uint64_t{0});
  EXPECT_EQ(bulk, all);
  EXPECT_EQ(express, all);
  EXPECT_GE(net.a.transport->counters().reconnects, 10u);
  EXPECT_TRUE(net.a.down.empty());
  EXPECT_TRUE(net.b.down.empty());
  std::printf("%zu connections reset, %lu lanes resumed\n", net.wire.resets,
              static_cast<unsigned long>(net.a.transport->counters().reconnects));
}

TEST(TcpFaults, OffersAHeldFrameAgainAfterAReset) {
  Bridged net;
  bool hold = true;
  net.b.place = [&](PeerId, const wire::FrameHeader& header) {
    return hold ? Landing{Verdict::kHold, nullptr, {}} : net.b.into_pool(header);
  };
  net.a.send(net.b.id, LaneClass::kExpress, 0, {});
  net.a.send(net.b.id, LaneClass::kExpress, 1, {});
  ASSERT_TRUE(net.stage.until([&] { return net.b.headers == 1; }));
  net.wire.reset_all();
  ASSERT_TRUE(net.stage.until([&] { return net.b.headers == 2; }));
  hold = false;
  net.b.transport->resume();
  ASSERT_TRUE(net.stage.until([&] { return net.b.received.size() == 2; }));
  EXPECT_EQ(net.b.ops(), (std::vector<uint64_t>{0, 1}));
}

TEST(TcpFaults, ResendsFramesOfAReleasedOpAsVoid) {
  Bridged net;
  bool hold = true;
  net.b.place = [&](PeerId, const wire::FrameHeader& header) {
    return hold ? Landing{Verdict::kHold, nullptr, {}} : net.b.into_pool(header);
  };
  auto bytes = std::make_unique<std::vector<std::byte>>(random_bytes(50000, 1));
  const auto others = random_bytes(60000, 2);
  for (int i = 0; i < 3; ++i) net.a.send(net.b.id, LaneClass::kBulk, 1, *bytes);
  net.a.send(net.b.id, LaneClass::kBulk, 2, others);
  ASSERT_TRUE(net.stage.until(
      [&] { return net.b.headers == 1 && net.a.transport->counters().queued_bytes == 0; }));
  net.a.transport->release_op(kRootGroup, OpSeq(1));
  bytes.reset();
  hold = false;
  net.wire.reset_all();
  ASSERT_TRUE(net.stage.until([&] { return net.b.received.size() == 1; }));
  EXPECT_EQ(net.b.headers, 2u);  // the held one, and that of the other op
  EXPECT_EQ(net.b.received[0].header.op_seq, OpSeq(2));
  EXPECT_EQ(net.b.received[0].header.lane_seq, 4u);
  EXPECT_TRUE(equal(net.b.received[0].bytes, others));
}

TEST(TcpFaults, ResendsFramesFromBeforeAQuiesceAsVoid) {
  Bridged net;
  bool hold = true;
  net.b.place = [&](PeerId, const wire::FrameHeader& header) {
    return hold ? Landing{Verdict::kHold, nullptr, {}} : net.b.into_pool(header);
  };
  auto bytes = std::make_unique<std::vector<std::byte>>(random_bytes(size_t{16} << 20, 1));
  const auto state = random_bytes(3000, 2);
  net.a.send(net.b.id, LaneClass::kBulk, 1, {bytes->data(), 1000});
  net.a.send(net.b.id, LaneClass::kBulk, 9, state, {}, wire::Kind::kStateData);
  for (int i = 0; i < 4; ++i) net.a.send(net.b.id, LaneClass::kBulk, 1, *bytes);
  ASSERT_TRUE(net.stage.until([&] { return net.b.headers == 1; }));
  ASSERT_TRUE(net.a.transport->quiesce());
  bytes.reset();
  hold = false;
  net.wire.reset_all();
  net.a.transport->resume();
  net.a.send(net.b.id, LaneClass::kBulk, 10, state);
  ASSERT_TRUE(net.stage.until([&] { return net.b.received.size() == 2; }));
  EXPECT_EQ(net.b.ops(), (std::vector<uint64_t>{9, 10}));
  for (const Received& frame : net.b.received) EXPECT_TRUE(equal(frame.bytes, state));
}

TEST(TcpFaults, CallsAPeerGoneWhenAnotherProcessTookItsPort) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  b.know({a.address()});
  const PeerId former = random_peer_id();
  a.know({{former, Slot(0), b.address().endpoints}});
  ASSERT_TRUE(stage.until([&] { return !a.down.empty(); }, milliseconds(1000)));
  EXPECT_EQ(a.down[former], Evidences{Evidence::kRefused});
  EXPECT_EQ(b.transport->counters().refused_connections, 1u);
}

TEST(TcpFaults, CallsAPeerGoneWhenAnotherRunTookItsPort) {
  Stage stage;
  TcpOptions other_run;
  other_run.run_hash = kRun + 1;
  Node& a = stage.add();
  Node& b = stage.add(other_run);
  a.know({b.address()});
  b.know({a.address()});
  ASSERT_TRUE(stage.until([&] { return !a.down.empty() && !b.down.empty(); }));
  EXPECT_EQ(a.down[b.id], Evidences{Evidence::kRefused});
  EXPECT_EQ(b.down[a.id], Evidences{Evidence::kRefused});
}

// A version is not under the checksum, because another version may have another checksum.
TEST(TcpFaults, TakesAVersionThatIsDamagedOnceForNoOtherProcess) {
  for (const bool hello : {true, false}) {
    Bridged net;
    (hello ? net.wire.hellos_to_damage : net.wire.answers_to_damage) = 1;
    net.a.send(net.b.id, LaneClass::kExpress, 1, {});
    ASSERT_TRUE(net.stage.until([&] { return net.b.received.size() == 1; }));
    EXPECT_EQ(net.wire.hellos_to_damage + net.wire.answers_to_damage, 0);
    EXPECT_TRUE(net.a.down.empty());
  }
}

TEST(TcpFaults, CallsAPeerGoneWhenWhoAnswersSpeaksAnotherVersionEachTime) {
  Bridged net;
  net.wire.answers_to_damage = 1000;
  ASSERT_TRUE(net.stage.until([&] { return !net.a.down.empty(); }));
  EXPECT_EQ(net.a.down[net.b.id][0], Evidence::kRefused);
}

TEST(TcpFaults, TimesOutWhenNobodyAnswers) {
  Stage stage;
  Node& a = stage.add(impatient());
  uint16_t port = 0;
  const int silent = listen_at_any_port(&port);
  const PeerId peer = random_peer_id();
  const Time start = stage.loop.now();  // before know(), which sets the deadline
  a.know({{peer, Slot(0), {"127.0.0.1:" + std::to_string(port)}}});
  ASSERT_TRUE(stage.until([&] { return !a.down.empty(); }));
  EXPECT_EQ(a.down[peer], Evidences{Evidence::kTimeout});
  EXPECT_GE(stage.loop.now() - start, milliseconds(150));
  EXPECT_LT(stage.loop.now() - start, milliseconds(1000));
  ::close(silent);
}

TEST(TcpFaults, SuspectsAPeerThatResetsEveryConnection) {
  Bridged net(impatient());
  net.a.send(net.b.id, LaneClass::kExpress, 1, {});
  ASSERT_TRUE(net.stage.until([&] { return net.b.received.size() == 1; }));
  net.wire.reset_on_accept = true;
  net.wire.reset_all();
  const Time start = net.stage.loop.now();
  ASSERT_TRUE(net.stage.until([&] { return !net.a.down.empty(); }));
  EXPECT_EQ(net.a.down[net.b.id], Evidences{Evidence::kReset});
  EXPECT_GE(net.stage.loop.now() - start, milliseconds(150));
  // The network heals before anybody is evicted: the lane goes on where it was.
  net.wire.reset_on_accept = false;
  net.a.send(net.b.id, LaneClass::kExpress, 2, {});
  ASSERT_TRUE(net.stage.until([&] { return net.b.received.size() == 2; }));
  EXPECT_EQ(net.b.received[1].header.lane_seq, 2u);
  EXPECT_EQ(net.a.down[net.b.id].size(), 1u);
}

// The reset comes with the goodbye, before it, behind it, or in the middle of it, and takes all connections both ways.
TEST(TcpFaults, EndsByAGoodbyeOrADownEdgeWhenConnectionsAreResetAtGoodbye) {
  size_t goodbyes = 0, downs = 0;
  for (const size_t bytes : {0, 1, 95, 96, 97, 150, 192, 500, 5000, 100000}) {
    Stage stage;
    Node& a = stage.add(impatient());
    Node& b = stage.add(impatient());
    Forwarder to_a(port_of(a.address().endpoints[0])), to_b(port_of(b.address().endpoints[0]));
    a.know({{b.id, Slot(0), {to_b.endpoint()}}}, {b.id});
    b.know({{a.id, Slot(0), {to_a.endpoint()}}}, {a.id});
    size_t seen = 0;
    stage.pump = [&] {
      to_b.pump();
      if (std::exchange(seen, to_b.resets) != to_b.resets) to_a.reset_all();
      to_a.pump();
    };
    a.send(b.id, LaneClass::kExpress, 1, {});
    b.send(a.id, LaneClass::kExpress, 1, {});
    ASSERT_TRUE(stage.until([&] { return a.received.size() == 1 && b.received.size() == 1; }));
    const auto payload = random_bytes(20000, bytes);
    a.send(b.id, LaneClass::kBulk, 2, payload);
    bool closed = false;
    a.transport->close(stage.loop.now() + milliseconds(500), [&] { closed = true; });
    if (bytes == 0) to_b.reset_all();
    else to_b.reset_after(bytes);
    ASSERT_TRUE(stage.until([&] { return closed; })) << bytes << ": it does not end";
    stage.remove(a);
    to_b.reset_all();
    ASSERT_TRUE(stage.until([&] { return !b.goodbyes.empty() || !b.down.empty(); })) << bytes << ": the other one waits for ever";
    goodbyes += !b.goodbyes.empty();
    downs += !b.down.empty();
    EXPECT_LE(b.goodbyes.size(), 1u);
    EXPECT_TRUE(b.goodbyes.empty() || b.down.empty()) << bytes << ": nobody suspects who has said goodbye";
  }
  std::printf("%zu goodbyes, %zu edges down\n", goodbyes, downs);
  EXPECT_GT(goodbyes, 0u);
}

TEST(TcpFaults, SuspectsALaneThatStalls) {
  TcpOptions options;  // patient until it stands
  options.stall_ms = 150;
  Bridged net(options);
  net.b.place = [](PeerId, const wire::FrameHeader&) {
    return Landing{Verdict::kHold, nullptr, {}};
  };
  const auto bytes = random_bytes(size_t{16} << 20, 1);
  for (uint64_t i = 0; i < 4; ++i) net.a.send(net.b.id, LaneClass::kBulk, i, bytes);
  ASSERT_TRUE(net.stage.until([&] { return !net.a.down.empty(); }));
  EXPECT_EQ(net.a.down[net.b.id], Evidences{Evidence::kStall});
  net.stage.run_for(milliseconds(400));
  EXPECT_EQ(net.a.down[net.b.id].size(), 1u);
}

TEST(TcpFaults, FrameBytesSurviveAReceiverThatReadsLate) {
  // The sender's kernel buffers fill, frames are written in parts, credits come late.
  TcpOptions options;
  options.socket_buffer_bytes = 64 << 10;
  Bridged net(options);
  const auto bytes = random_bytes(300000, 3);
  for (uint64_t i = 0; i < 20; ++i) net.a.send(net.b.id, LaneClass::kBulk, i, bytes);
  for (uint64_t i = 20; i < 40; ++i) net.a.send(net.b.id, LaneClass::kExpress, i, bytes);
  ASSERT_TRUE(net.stage.until([&] { return net.b.received.size() == 40; }));
  for (const Received& frame : net.b.received) EXPECT_TRUE(equal(frame.bytes, bytes));
}

}  // namespace
}  // namespace rhz::test
