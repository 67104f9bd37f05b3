// The TCP transport between peers that behave.  Faults: tcp_faults_test.cc; strangers:
// tcp_intruders_test.cc.
#include <numeric>

#include "tests/unit/tcp_test_kit.h"

namespace rhz::test {
namespace {

using Verdict = Landing::Verdict;

std::vector<uint64_t> numbers(uint64_t from, uint64_t to) {
  std::vector<uint64_t> list(to - from);
  std::iota(list.begin(), list.end(), from);
  return list;
}

void expect_in_order(const std::string& listen) {
  Stage stage;
  Node& a = stage.add({}, listen);
  Node& b = stage.add({}, listen);
  stage.introduce();
  const auto bytes = random_bytes(16384, 1);
  for (uint64_t i = 0; i < 2000; ++i)
    a.send(b.id, LaneClass::kExpress, i, {bytes.data(), i * 7 % 16384});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 2000; }));
  EXPECT_EQ(b.ops(), numbers(0, 2000));
  for (uint64_t i = 0; i < 2000; ++i) {
    EXPECT_EQ(b.received[i].from, a.id);
    EXPECT_EQ(b.received[i].header.lane_seq, i + 1);
    EXPECT_EQ(b.received[i].header.run, kRun);
    ASSERT_TRUE(equal(b.received[i].bytes, {bytes.data(), i * 7 % 16384}));
  }
  EXPECT_TRUE(a.down.empty());
  EXPECT_TRUE(b.down.empty());
}

TEST(TcpTransport, DeliversTheFramesOfALaneInOrder) { expect_in_order("127.0.0.1:0"); }

TEST(TcpTransport, WorksOverIpv6) {
  AsioLoop loop;
  BufferPool pool;
  TcpOptions options;
  options.self = random_peer_id();
  options.listen = "[::1]:0";
  if (!open_tcp(loop, pool, options)) GTEST_SKIP() << "no IPv6 here";
  expect_in_order("[::1]:0");
}

TEST(TcpTransport, ListensOnEveryInterfaceAtOnce) {
  Stage stage;
  Node& a = stage.add({}, ":0");
  Node& b = stage.add();
  ASSERT_FALSE(a.address().endpoints.empty());
  const std::string port = a.address().endpoints[0].substr(a.address().endpoints[0].rfind(':'));
  a.know({b.address()});
  b.know({{a.id, Slot(0), {"127.0.0.1" + port}}});
  b.send(a.id, LaneClass::kExpress, 1, {});
  EXPECT_TRUE(stage.until([&] { return a.received.size() == 1; }));
}

TEST(TcpTransport, FindsPeersByName) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  const std::string endpoint = b.address().endpoints[0];
  a.know({{b.id, Slot(0), {"localhost" + endpoint.substr(endpoint.rfind(':'))}}});
  b.know({a.address()});
  a.send(b.id, LaneClass::kExpress, 1, {});
  EXPECT_TRUE(stage.until([&] { return b.received.size() == 1; }));
}

TEST(TcpTransport, MovesBigFramesBothWays) {
  constexpr size_t kSegment = size_t{256} << 10, kFrames = 256;
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  const auto from_a = random_bytes(kSegment * kFrames, 1),
             from_b = random_bytes(kSegment * kFrames, 2);
  std::vector<std::byte> at_a(from_a.size()), at_b(from_a.size());
  const auto into = [](std::vector<std::byte>& place) {
    return [&place](PeerId, const wire::FrameHeader& header) {
      return Landing{Verdict::kInto, place.data() + header.op_seq.value * kSegment, {}};
    };
  };
  a.place = into(at_a);
  b.place = into(at_b);
  a.keep_bytes = b.keep_bytes = false;
  std::vector<PeerAddress> all = {a.address(), b.address()};
  a.know(all, {b.id});
  b.know(all, {a.id});
  const Time start = stage.loop.now();
  for (size_t i = 0; i < kFrames; ++i) {
    a.send(b.id, LaneClass::kBulk, i, {from_a.data() + i * kSegment, kSegment});
    b.send(a.id, LaneClass::kBulk, i, {from_b.data() + i * kSegment, kSegment});
  }
  // Nothing is copied for keeping.
  EXPECT_EQ(a.pool.peak_bytes(), 0u);
  ASSERT_TRUE(
      stage.until([&] { return a.received.size() == kFrames && b.received.size() == kFrames; }));
  const double seconds = static_cast<double>((stage.loop.now() - start).count()) * 1e-9;
  std::printf("both ways, one thread: %.2f GB/s in all\n",
              2e-9 * static_cast<double>(from_a.size()) / seconds);
  EXPECT_TRUE(equal(at_b, from_a));
  EXPECT_TRUE(equal(at_a, from_b));
  EXPECT_EQ(a.tcp->counters().queued_bytes, 0u);
}

TEST(TcpTransport, SpreadsBulkOverItsLanes) {
  TcpOptions options;
  options.bulk_lanes = 3;
  Stage stage;
  Node& a = stage.add(options);
  Node& b = stage.add(options);
  stage.introduce();
  const auto bytes = random_bytes(100000, 1);
  for (uint64_t i = 0; i < 90; ++i) a.send(b.id, LaneClass::kBulk, i, bytes);
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 90; }));
  std::map<uint64_t, int> of_number;
  for (const Received& frame : b.received) {
    ASSERT_TRUE(equal(frame.bytes, bytes));
    ++of_number[frame.header.lane_seq];
  }
  EXPECT_EQ(of_number.size(), 30u);  // each lane numbers its own
  EXPECT_EQ(of_number[30], 3);
}

TEST(TcpTransport, LetsExpressPassBulk) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  b.place = [&](PeerId, const wire::FrameHeader& header) {
    return header.length > 0 ? Landing{Verdict::kHold, nullptr, {}} : b.into_pool(header);
  };
  stage.introduce();
  const auto bytes = random_bytes(1 << 20, 1);
  for (uint64_t i = 0; i < 64; ++i) a.send(b.id, LaneClass::kBulk, i, bytes);
  a.send(b.id, LaneClass::kExpress, 100, {}, {}, wire::Kind::kDone);
  a.send(b.id, LaneClass::kExpress, 101, {}, {}, wire::Kind::kHeartbeat);
  EXPECT_TRUE(stage.until([&] { return b.received.size() >= 1; }));
  EXPECT_EQ(b.received[0].header.kind, wire::Kind::kDone);
}

TEST(TcpTransport, DeliversHeartbeatsWithoutNumbers) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  a.send(b.id, LaneClass::kExpress, 0, {});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 1; }));
  a.send(b.id, LaneClass::kExpress, 0, {}, {}, wire::Kind::kHeartbeat);
  a.send(b.id, LaneClass::kExpress, 1, {});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 3; }));
  EXPECT_EQ(b.received[1].header.kind, wire::Kind::kHeartbeat);
  EXPECT_EQ(b.received[1].header.lane_seq, 0u);
  EXPECT_EQ(b.received[2].header.lane_seq, 2u);
}

TEST(TcpTransport, CopiesExpressPayloadsAndLetsGoOfThemWhenCredited) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  std::vector<std::byte> bytes(4096, std::byte{1});
  for (uint64_t i = 0; i < 10; ++i) a.send(b.id, LaneClass::kExpress, i, bytes);
  std::fill(bytes.begin(), bytes.end(), std::byte{2});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 10; }));
  for (const Received& frame : b.received) EXPECT_EQ(frame.bytes[4095], std::byte{1});
  EXPECT_TRUE(stage.until([&] { return a.pool.in_use_bytes() == 0; }));
}

TEST(TcpTransport, HoldsALaneUntilItIsResumed) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  bool hold = true;
  b.place = [&](PeerId, const wire::FrameHeader& header) {
    if (hold && header.op_seq == OpSeq(5)) return Landing{Verdict::kHold, nullptr, {}};
    return b.into_pool(header);
  };
  stage.introduce();
  const auto bytes = random_bytes(5000, 1);
  for (uint64_t i = 0; i < 20; ++i) a.send(b.id, LaneClass::kExpress, i, bytes);
  ASSERT_TRUE(stage.until([&] { return b.headers == 6; }));
  EXPECT_EQ(b.ops(), numbers(0, 5));
  b.tcp->resume();  // offered, and held again
  ASSERT_TRUE(stage.until([&] { return b.headers == 7; }));
  EXPECT_EQ(b.received.size(), 5u);
  hold = false;
  b.tcp->resume();
  EXPECT_EQ(b.received.size(), 5u);  // not from inside the call
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 20; }));
  EXPECT_EQ(b.ops(), numbers(0, 20));
  for (const Received& frame : b.received) EXPECT_TRUE(equal(frame.bytes, bytes));
}

TEST(TcpTransport, DropsWhatTheLayerAboveDoesNotWant) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  b.place = [&](PeerId, const wire::FrameHeader& header) {
    return header.op_seq.value % 2 ? Landing{} : b.into_pool(header);
  };
  stage.introduce();
  const auto bytes = random_bytes(1 << 20, 1);
  for (uint64_t i = 0; i < 10; ++i) a.send(b.id, LaneClass::kBulk, i, bytes);
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 5; }));
  EXPECT_EQ(b.ops(), (std::vector<uint64_t>{0, 2, 4, 6, 8}));
  EXPECT_TRUE(equal(b.received[4].bytes, bytes));
}

TEST(TcpTransport, WritesNothingToALandingAfterQuiesce) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  constexpr size_t kSize = size_t{16} << 20;
  auto bytes = random_bytes(kSize, 1);
  bytes[0] = std::byte{1};
  std::vector<std::byte> output(kSize);
  b.place = [&](PeerId, const wire::FrameHeader& header) {
    if (header.op_seq != OpSeq(0)) return b.into_pool(header);
    // In the middle of it: no turn of the loop reads so much.
    stage.soon([&] {
      ASSERT_TRUE(b.received.empty());
      ASSERT_NE(output[0], std::byte{0});
      ASSERT_TRUE(b.tcp->quiesce());
      std::fill(output.begin(), output.end(), std::byte{0x55});
    });
    return Landing{Verdict::kInto, output.data(), {}};
  };
  stage.introduce();
  a.send(b.id, LaneClass::kBulk, 0, bytes);
  a.send(b.id, LaneClass::kBulk, 1, {bytes.data(), 1000});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 1; }));
  EXPECT_EQ(b.received[0].header.op_seq, OpSeq(1));
  EXPECT_TRUE(equal(b.received[0].bytes, {bytes.data(), 1000}));
  for (const std::byte byte : output) ASSERT_EQ(byte, std::byte{0x55});
}

TEST(TcpTransport, ReadsNoCallerMemoryAfterQuiesce) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  constexpr size_t kSize = size_t{8} << 20;
  auto bytes = std::make_unique<std::vector<std::byte>>(random_bytes(kSize, 1));
  const auto original = *bytes;
  const auto state = random_bytes(1000, 9);
  for (uint64_t i = 0; i < 10; ++i) a.send(b.id, LaneClass::kBulk, i, *bytes);
  auto borrowed_state = std::make_unique<std::vector<std::byte>>(state);
  a.send(b.id, LaneClass::kBulk, 50, *borrowed_state, {}, wire::Kind::kStateData);
  // Some are in the kernel, one partly, others wait.
  b.place = [&](PeerId, const wire::FrameHeader& header) {
    if (bytes) {
      stage.soon([&] {
        if (!bytes) return;
        ASSERT_TRUE(a.tcp->quiesce());
        std::fill(bytes->begin(), bytes->end(), std::byte{0xee});
        std::fill(borrowed_state->begin(), borrowed_state->end(), std::byte{0xee});
        bytes.reset();  // the sanitizer sees whoever still reads it
        borrowed_state.reset();
        a.tcp->resume();
        a.send(b.id, LaneClass::kBulk, 60, {original.data(), 100});
      });
    }
    return b.into_pool(header);
  };
  ASSERT_TRUE(stage.until(
      [&] { return !b.received.empty() && b.received.back().header.op_seq == OpSeq(60); }));
  EXPECT_LT(b.received.size(), 12u);  // those that had not begun are gone
  uint64_t number = 0;
  for (const Received& frame : b.received) {
    EXPECT_EQ(frame.header.lane_seq, ++number);  // without a gap
    if (frame.header.kind == wire::Kind::kStateData) {
      EXPECT_TRUE(equal(frame.bytes, state));  // model state survives
    } else {
      EXPECT_TRUE(equal(frame.bytes, {original.data(), frame.bytes.size()}));
    }
  }
  EXPECT_EQ(b.received[b.received.size() - 2].header.op_seq, OpSeq(50));
}

TEST(TcpTransport, ReadsNothingOfAnOpThatWasReleased) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  auto first = std::make_unique<std::vector<std::byte>>(random_bytes(8 << 20, 1));
  const auto second = random_bytes(8 << 20, 2);
  for (uint64_t i = 0; i < 4; ++i) {
    a.send(b.id, LaneClass::kBulk, 1, *first);
    a.send(b.id, LaneClass::kBulk, 2, second);
  }
  a.send(b.id, LaneClass::kExpress, 1, {}, {}, wire::Kind::kDone);  // owed to others for ever
  a.tcp->release_op(kRootGroup, OpSeq(1));
  first.reset();
  ASSERT_TRUE(stage.until([&] {
    const auto ops = b.ops();
    return std::count(ops.begin(), ops.end(), 2) == 4 && b.received.size() >= 5;
  }));
  bool done = false;
  for (const Received& frame : b.received) {
    done |= frame.header.kind == wire::Kind::kDone;
    if (frame.header.op_seq == OpSeq(2)) {
      EXPECT_TRUE(equal(frame.bytes, second));
    }
  }
  EXPECT_TRUE(done);
}

TEST(TcpTransport, SaysGoodbyeAndDrainsFirst) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  const auto bytes = random_bytes(1 << 20, 1);
  for (uint64_t i = 0; i < 30; ++i) a.send(b.id, LaneClass::kBulk, i, bytes);
  bool closed = false;
  a.tcp->close(stage.loop.now() + milliseconds(10000), [&] { closed = true; });
  EXPECT_FALSE(closed);
  ASSERT_TRUE(stage.until([&] { return closed; }));
  stage.remove(a);
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 30 && !b.goodbyes.empty(); }));
  stage.run_for(milliseconds(50));
  EXPECT_EQ(b.goodbyes.size(), 1u);
  EXPECT_TRUE(b.down.empty());
}

TEST(TcpTransport, ClosesOnBothSidesAtOnce) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  a.send(b.id, LaneClass::kExpress, 0, {});
  b.send(a.id, LaneClass::kExpress, 0, {});
  ASSERT_TRUE(stage.until([&] { return a.received.size() == 1 && b.received.size() == 1; }));
  int closed = 0;
  const Time start = stage.loop.now();
  a.tcp->close(start + milliseconds(10000), [&] { ++closed; });
  b.tcp->close(start + milliseconds(10000), [&] { ++closed; });
  ASSERT_TRUE(stage.until([&] { return closed == 2; }));
  EXPECT_LT(stage.loop.now() - start, milliseconds(5000));
  EXPECT_TRUE(a.down.empty());
  EXPECT_TRUE(b.down.empty());
}

TEST(TcpTransport, ClosesAtItsDeadlineWhenNobodyListens) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  b.place = [](PeerId, const wire::FrameHeader&) { return Landing{Verdict::kHold, nullptr, {}}; };
  stage.introduce();
  const auto bytes = random_bytes(16 << 20, 1);
  for (uint64_t i = 0; i < 4; ++i) a.send(b.id, LaneClass::kBulk, i, bytes);
  ASSERT_TRUE(stage.until([&] { return b.headers == 1; }));
  bool closed = false;
  const Time start = stage.loop.now();
  a.tcp->close(start + milliseconds(100), [&] { closed = true; });
  ASSERT_TRUE(stage.until([&] { return closed; }));
  EXPECT_GE(stage.loop.now() - start, milliseconds(100));
}

TEST(TcpTransport, KeepsItsLanesWhenAPeerIsNamedAgain) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  Node& c = stage.add();
  stage.introduce();
  a.send(b.id, LaneClass::kExpress, 0, {});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 1; }));
  a.know({a.address(), b.address()});
  b.know({a.address(), b.address()});
  a.send(b.id, LaneClass::kExpress, 1, {});
  a.send(c.id, LaneClass::kExpress, 1, {});  // not named any more
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 2; }));
  EXPECT_EQ(b.received[1].header.lane_seq, 2u);
  EXPECT_EQ(a.tcp->counters().reconnects, 0u);
  EXPECT_EQ(a.tcp->counters().dropped_frames, 1u);
}

TEST(TcpTransport, MayBeToldAnythingFromInsideAnEvent) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  b.on_received = [&](const Received& frame) {
    if (frame.header.op_seq != OpSeq(3)) return;
    (void)b.tcp->quiesce();
    b.tcp->resume();
    b.tcp->release_op(kRootGroup, OpSeq(3));
    b.know({});  // ends the lane that the frame came from
  };
  for (uint64_t i = 0; i < 10; ++i) a.send(b.id, LaneClass::kExpress, i, {});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 4; }));
  ASSERT_TRUE(stage.until([&] { return !a.down.empty(); }));
  EXPECT_EQ(b.received.size(), 4u);
}

TEST(TcpTransport, NamesTheAddressThatIsInUse) {
  Stage stage;
  Node& a = stage.add();
  TcpOptions options;
  options.self = random_peer_id();
  options.listen = a.address().endpoints[0];
  BufferPool pool;
  const auto second = open_tcp(stage.loop, pool, options);
  ASSERT_FALSE(second.is_ok());
  EXPECT_EQ(second.status().code(), Code::kAddressInUse);
  EXPECT_NE(second.status().text().find(options.listen), std::string::npos);
  options.listen = "nonsense";
  EXPECT_EQ(open_tcp(stage.loop, pool, options).status().code(), Code::kArgument);
  options.listen = "192.0.2.1:0";  // no address of this host
  EXPECT_EQ(open_tcp(stage.loop, pool, options).status().code(), Code::kIo);
}

}  // namespace
}  // namespace rhz::test
