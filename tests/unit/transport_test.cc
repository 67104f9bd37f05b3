// What every transport promises, between peers that behave and peers that die: the conformance
// suite. What concerns the bytes of one transport is in its own tests.
#include <signal.h>
#include <sys/wait.h>

#include <numeric>

#include "tests/unit/transport_test_kit.h"

namespace rhz::test {
namespace {

using Verdict = Landing::Verdict;
using Evidences = std::vector<Evidence>;

struct Way {
  const char* name;
  Carrier carrier;
  bool polls;
};
std::ostream& operator<<(std::ostream& out, const Way& way) { return out << way.name; }

class TransportTest : public testing::TestWithParam<Way> {
 protected:
  Stage stage{GetParam().carrier, GetParam().polls};
};

INSTANTIATE_TEST_SUITE_P(
    Ways, TransportTest,
    testing::Values(
        Way{"tcp", Carrier::kTcp, false}, Way{"shm", Carrier::kShm, false},
        Way{"shm_polled", Carrier::kShm, true},
        Way{"shm_through_ring", Carrier::kShmThroughRing, false},
        Way{"shm_through_ring_polled", Carrier::kShmThroughRing, true},
#ifdef RHZ_HAS_UCX
        Way{"ucx_tcp", Carrier::kUcxTcp, false}, Way{"ucx_tcp_polled", Carrier::kUcxTcp, true},
        Way{"ucx_shm", Carrier::kUcxShm, false}, Way{"ucx_shm_polled", Carrier::kUcxShm, true},
#endif
#ifdef RHZ_HAS_OFI
        Way{"ofi_tcp", Carrier::kOfiTcp, false}, Way{"ofi_tcp_polled", Carrier::kOfiTcp, true},
#endif
        Way{"auto", Carrier::kAuto, false}, Way{"auto_polled", Carrier::kAuto, true}),
    testing::PrintToStringParamName());

TcpOptions impatient() {
  TcpOptions options;
  options.connect_ms = 150;
  options.reconnect_ms = 150;
  options.stall_ms = 150;
  return options;
}

std::vector<uint64_t> numbers(uint64_t from, uint64_t to) {
  std::vector<uint64_t> list(to - from);
  std::iota(list.begin(), list.end(), from);
  return list;
}

TEST_P(TransportTest, DeliversTheFramesOfALaneInOrder) {
  Node& a = stage.add();
  Node& b = stage.add();
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

TEST_P(TransportTest, MovesBigFramesBothWays) {
  constexpr size_t kSegment = size_t{256} << 10, kFrames = 256;
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
  EXPECT_EQ(a.transport->counters().queued_bytes, 0u);
}

TEST_P(TransportTest, LetsExpressPassBulk) {
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

TEST_P(TransportTest, DeliversHeartbeatsWithoutNumbers) {
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  a.send(b.id, LaneClass::kExpress, 0, {});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 1; }));
  a.send(b.id, LaneClass::kExpress, 0, {}, {}, wire::Kind::kHeartbeat);
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 2; }));
  a.send(b.id, LaneClass::kExpress, 1, {});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 3; }));
  EXPECT_EQ(b.received[1].header.kind, wire::Kind::kHeartbeat);
  EXPECT_EQ(b.received[1].header.lane_seq, 0u);
  EXPECT_EQ(b.received[2].header.lane_seq, 2u);
}

TEST_P(TransportTest, CopiesExpressPayloadsAndLetsGoOfThemWhenCredited) {
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

TEST_P(TransportTest, HoldsALaneUntilItIsResumed) {
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
  b.transport->resume();  // offered, and held again
  ASSERT_TRUE(stage.until([&] { return b.headers == 7; }));
  EXPECT_EQ(b.received.size(), 5u);
  hold = false;
  b.transport->resume();
  EXPECT_EQ(b.received.size(), 5u);  // not from inside the call
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 20; }));
  EXPECT_EQ(b.ops(), numbers(0, 20));
  for (const Received& frame : b.received) EXPECT_TRUE(equal(frame.bytes, bytes));
}

TEST_P(TransportTest, DropsWhatTheLayerAboveDoesNotWant) {
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

TEST_P(TransportTest, WritesNothingToALandingAfterQuiesce) {
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
      ASSERT_TRUE(b.transport->quiesce());
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

TEST_P(TransportTest, ReadsNoCallerMemoryAfterQuiesce) {
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
        ASSERT_TRUE(a.transport->quiesce());
        std::fill(bytes->begin(), bytes->end(), std::byte{0xee});
        std::fill(borrowed_state->begin(), borrowed_state->end(), std::byte{0xee});
        bytes.reset();  // the sanitizer sees whoever still reads it
        borrowed_state.reset();
        a.transport->resume();
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
    EXPECT_GT(frame.header.lane_seq, number);  // VOIDs may lie between
    number = frame.header.lane_seq;
    if (frame.header.kind == wire::Kind::kStateData) {
      EXPECT_TRUE(equal(frame.bytes, state));  // model state survives
    } else {
      EXPECT_TRUE(equal(frame.bytes, {original.data(), frame.bytes.size()}));
    }
  }
  EXPECT_EQ(b.received[b.received.size() - 2].header.op_seq, OpSeq(50));
}

TEST_P(TransportTest, ReadsNothingOfAnOpThatWasReleased) {
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
  a.transport->release_op(kRootGroup, OpSeq(1));
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

TEST_P(TransportTest, SaysGoodbyeAndDrainsFirst) {
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  const auto bytes = random_bytes(1 << 20, 1);
  for (uint64_t i = 0; i < 30; ++i) a.send(b.id, LaneClass::kBulk, i, bytes);
  bool closed = false;
  a.transport->close(stage.loop.now() + milliseconds(10000), [&] { closed = true; });
  EXPECT_FALSE(closed);
  ASSERT_TRUE(stage.until([&] { return closed; }));
  stage.remove(a);
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 30 && !b.goodbyes.empty(); }));
  stage.run_for(milliseconds(50));
  EXPECT_EQ(b.goodbyes.size(), 1u);
  EXPECT_TRUE(b.down.empty());
}

TEST_P(TransportTest, ClosesOnBothSidesAtOnce) {
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  a.send(b.id, LaneClass::kExpress, 0, {});
  b.send(a.id, LaneClass::kExpress, 0, {});
  ASSERT_TRUE(stage.until([&] { return a.received.size() == 1 && b.received.size() == 1; }));
  int closed = 0;
  const Time start = stage.loop.now();
  a.transport->close(start + milliseconds(10000), [&] { ++closed; });
  b.transport->close(start + milliseconds(10000), [&] { ++closed; });
  ASSERT_TRUE(stage.until([&] { return closed == 2; }));
  EXPECT_LT(stage.loop.now() - start, milliseconds(5000));
  EXPECT_TRUE(a.down.empty());
  EXPECT_TRUE(b.down.empty());
}

TEST_P(TransportTest, ClosesAtItsDeadlineWhenNobodyListens) {
  Node& a = stage.add();
  Node& b = stage.add();
  b.place = [](PeerId, const wire::FrameHeader&) { return Landing{Verdict::kHold, nullptr, {}}; };
  stage.introduce();
  const auto bytes = random_bytes(16 << 20, 1);
  for (uint64_t i = 0; i < 4; ++i) a.send(b.id, LaneClass::kBulk, i, bytes);
  ASSERT_TRUE(stage.until([&] { return b.headers == 1; }));
  bool closed = false;
  const Time start = stage.loop.now();
  a.transport->close(start + milliseconds(100), [&] { closed = true; });
  ASSERT_TRUE(stage.until([&] { return closed; }));
  EXPECT_GE(stage.loop.now() - start, milliseconds(100));
}

TEST_P(TransportTest, KeepsItsLanesWhenAPeerIsNamedAgain) {
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
  // What receives from all senders alike is renewed when one of them is gone.
  if (GetParam().carrier != Carrier::kUcxShm) {
    EXPECT_EQ(a.transport->counters().reconnects, 0u);
  }
  EXPECT_EQ(a.transport->counters().dropped_frames, 1u);
}

TEST_P(TransportTest, MayBeToldAnythingFromInsideAnEvent) {
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  b.on_received = [&](const Received& frame) {
    if (frame.header.op_seq != OpSeq(3)) return;
    (void)b.transport->quiesce();
    b.transport->resume();
    b.transport->release_op(kRootGroup, OpSeq(3));
    b.know({});  // ends the lane that the frame came from
  };
  for (uint64_t i = 0; i < 10; ++i) a.send(b.id, LaneClass::kExpress, i, {});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 4; }));
  ASSERT_TRUE(stage.until([&] { return !a.down.empty(); }));
  EXPECT_EQ(b.received.size(), 4u);
}

TEST_P(TransportTest, CallsAPeerGoneWhenItsPortRefuses) {
  Node& a = stage.add();
  Node& b = stage.add();
  const PeerAddress gone = b.address();
  stage.remove(b);
  a.know({gone});
  EXPECT_TRUE(a.down.empty());  // never from inside a call
  ASSERT_TRUE(stage.until([&] { return !a.down.empty(); }, milliseconds(1000)));
  EXPECT_EQ(a.down[gone.id], Evidences{Evidence::kRefused});
  stage.run_for(milliseconds(600));
  EXPECT_EQ(a.down[gone.id].size(), 1u);  // once
  a.know({gone});
  ASSERT_TRUE(stage.until([&] { return a.down[gone.id].size() == 2; }));  // named anew
}

// A peer in a process of its own: sends frames for ever, until it is killed.
[[noreturn]] void run_victim(const Way& way, PeerId self, int report_to,
                             const std::vector<PeerAddress>& others) {
  Stage stage(way.carrier, way.polls);
  TcpOptions options;
  options.self = self;
  Node& victim = stage.add(options);
  const auto endpoint = victim.address().endpoints[0];
  if (::write(report_to, endpoint.data(), endpoint.size()) < 0) _exit(1);
  victim.know(others);
  const auto bytes = random_bytes(1 << 20, 1);
  uint64_t sent = 0;
  (void)stage.until(
      [&] {
        if (victim.transport->counters().queued_bytes == 0)
          for (const PeerAddress& other : others)
            victim.send(other.id, sent % 2 ? LaneClass::kBulk : LaneClass::kExpress, sent, bytes);
        ++sent;
        return false;
      },
      milliseconds(60000));
  _exit(0);
}

TEST_P(TransportTest, FindsAKilledProcessAtOnce) {
  // UCX and libfabric take up to two seconds to open an endpoint.
  const int rounds = GetParam().carrier < Carrier::kUcxTcp ? 10 : 2;
  std::vector<double> delays;
  for (int round = 0; round < rounds; ++round) {
    Stage stage(GetParam().carrier, GetParam().polls);
    Node& a = stage.add();
    Node& b = stage.add();
    a.keep_bytes = b.keep_bytes = false;
    const PeerId victim = random_peer_id();
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = fork();
    if (child == 0) run_victim(GetParam(), victim, pipe[1], {a.address(), b.address()});
    char endpoint[128]{};
    ASSERT_GT(::read(pipe[0], endpoint, sizeof endpoint - 1), 0);
    ::close(pipe[0]);
    ::close(pipe[1]);
    const PeerAddress address{victim, Slot(0), {endpoint}};
    a.know({address, b.address()});
    b.know({address, a.address()});
    ASSERT_TRUE(stage.until([&] { return a.received.size() > 20 && b.received.size() > 20; }));
    const Time killed = stage.loop.now();
    ::kill(child, SIGKILL);
    ASSERT_TRUE(stage.until([&] { return !a.down.empty() && !b.down.empty(); }));
    delays.push_back(static_cast<double>((stage.loop.now() - killed).count()) * 1e-6);
    ::waitpid(child, nullptr, 0);
    for (Node* survivor : {&a, &b}) {
      ASSERT_EQ(survivor->down.size(), 1u);
      for (const Evidence evidence : survivor->down[victim])
        EXPECT_LE(evidence, Evidence::kRefused);
    }
  }
  std::sort(delays.begin(), delays.end());
  std::printf("killed to known on both survivors: median %.2f ms, worst %.2f ms\n",
              delays[delays.size() / 2], delays.back());
}

TEST_P(TransportTest, IgnoresAZombie) {
  Node& zombie = stage.add(impatient());
  Node& b = stage.add(impatient());
  stage.introduce();
  zombie.send(b.id, LaneClass::kExpress, 1, {});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 1; }));
  b.know({});  // evicted, which it has not heard yet
  zombie.send(b.id, LaneClass::kExpress, 2, {});
  zombie.send(b.id, LaneClass::kBulk, 3, {});
  ASSERT_TRUE(stage.until([&] { return !zombie.down.empty(); }));
  EXPECT_EQ(zombie.down[b.id].size(), 1u);
  EXPECT_EQ(b.received.size(), 1u);
  EXPECT_EQ(b.headers, 1u);
  EXPECT_TRUE(b.down.empty());
  // Its frames go with its connections, which nobody reads; those are counted when they are turned away.
  (void)b.transport->tick(stage.loop.now() + milliseconds(5100));
  EXPECT_GE(b.transport->counters().refused_connections, 1u);
  EXPECT_EQ(b.transport->counters().received_frames, 1u);
}

TEST_P(TransportTest, BeginsALaneAnewWhenTheReceiverForgotIt) {
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  for (uint64_t i = 0; i < 100; ++i) a.send(b.id, LaneClass::kExpress, i, {});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 100; }));
  // All credited, however late that is: what is not would come again.
  for (int turn = 0; turn < 20; ++turn) {
    (void)b.transport->tick(stage.loop.now() + milliseconds(10));
    stage.run_for(milliseconds(1));
  }
  b.know({});
  b.know({a.address()});
  a.send(b.id, LaneClass::kExpress, 100, {});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 101; })) << b.received.size() << " frames";
  EXPECT_EQ(b.received[100].header.lane_seq, 1u);
  EXPECT_TRUE(a.down.empty());
}

}  // namespace
}  // namespace rhz::test
