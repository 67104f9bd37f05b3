// The parts of the TCP transport that need no socket.
#include <gtest/gtest.h>

#include "runtime/transport/tcp/address.h"
#include "runtime/transport/tcp/handshake.h"
#include "runtime/transport/tcp/ring.h"
#include "runtime/transport/tcp/send_queue.h"

namespace rhz::tcp {
namespace {

TEST(TcpAddress, ParsesHostAndPort) {
  EXPECT_EQ(parse_address("host.example:7400").value(), (HostPort{"host.example", 7400}));
  EXPECT_EQ(parse_address("127.0.0.1:0").value(), (HostPort{"127.0.0.1", 0}));
  EXPECT_EQ(parse_address("[::1]:65535").value(), (HostPort{"::1", 65535}));
  EXPECT_EQ(parse_address(":7400").value(), (HostPort{"", 7400}));
  for (const char* bad : {"", "host", "host:", "host:65536", "host:-1", "host:7x", "::1:7400",
                          "[::1]", "[]:1", "[::1:1", "a:b:1"})
    EXPECT_EQ(parse_address(bad).status().code(), Code::kArgument) << bad;
}

TEST(TcpAddress, ResolvesNumbersWithoutAskingAnybody) {
  const auto v4 = resolve({"127.0.0.1", 80}, Lookup::kNumbersOnly);
  ASSERT_TRUE(v4.is_ok());
  EXPECT_EQ(v4.value()[0].text(), "127.0.0.1:80");
  EXPECT_TRUE(v4.value()[0].is_loopback());
  const auto v6 = resolve({"::1", 80}, Lookup::kNumbersOnly);
  ASSERT_TRUE(v6.is_ok());
  EXPECT_EQ(v6.value()[0].text(), "[::1]:80");
  EXPECT_TRUE(v6.value()[0].is_loopback());
  EXPECT_FALSE(resolve({"localhost", 80}, Lookup::kNumbersOnly).is_ok());
}

TEST(TcpHandshake, HelloComesBackAsItWasSent) {
  const LinkHello hello{{1, 2}, {3, 4}, 5, 6};
  const HelloFrame frame = encode_hello(hello, 7);
  const auto header = wire::decode_header(frame.data());
  ASSERT_TRUE(header.is_ok());
  EXPECT_EQ(header.value().kind, wire::Kind::kHello);
  EXPECT_EQ(header.value().run, 7u);
  EXPECT_EQ(header.value().length, kLinkHelloBytes);
  EXPECT_EQ(decode_hello(frame.data() + wire::kHeaderBytes), hello);
}

TEST(TcpRing, KeepsOrderWhileItWrapsAndGrows) {
  Ring<int> ring;
  int in = 0, out = 0;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 7; ++i) ring.push_back(in++);
    for (int i = 0; i < 6; ++i, ++out) {
      ASSERT_EQ(ring.front(), out);
      ring.pop_front();
    }
  }
  ring.insert(1, -1);
  EXPECT_EQ(ring[0], out);
  EXPECT_EQ(ring[1], -1);
  EXPECT_EQ(ring[2], out + 1);
  ring.erase_if(2, [](int i) { return i % 2 == 0; });
  for (size_t i = 2; i < ring.size(); ++i) EXPECT_EQ(ring[i] % 2, 1);
}

// A queue, and what a receiver makes of the bytes that it writes.
class TcpSendQueue : public testing::Test {
 public:
  void push(uint64_t op, ConstBytes payload, wire::Kind kind = wire::Kind::kPartial) {
    OutFrame frame;
    frame.header.kind = kind;
    frame.header.op_seq = OpSeq(op);
    frame.payload = payload;
    queue.push(std::move(frame), false);
  }
  // Writes at most so many bytes, and returns them.
  std::string write(size_t at_most = SIZE_MAX) {
    iovec pieces[64];
    const size_t count = queue.gather(pieces);
    std::string bytes;
    for (size_t i = 0; i < count && bytes.size() < at_most; ++i)
      bytes.append(static_cast<const char*>(pieces[i].iov_base),
                   std::min(pieces[i].iov_len, at_most - bytes.size()));
    queue.wrote(bytes.size());
    return bytes;
  }
  static std::vector<wire::FrameHeader> parse(const std::string& bytes) {
    std::vector<wire::FrameHeader> headers;
    for (size_t at = 0; at < bytes.size();) {
      const auto header =
          wire::decode_header(reinterpret_cast<const std::byte*>(bytes.data()) + at);
      EXPECT_TRUE(header.is_ok());
      if (!header) break;
      headers.push_back(header.value());
      at += wire::kHeaderBytes + header.value().length;
    }
    return headers;
  }

  BufferPool pool;
  SendQueue queue{pool, 1};
  std::vector<std::byte> payload = std::vector<std::byte>(1000, std::byte{7});
};

TEST_F(TcpSendQueue, NumbersFramesWhenTheyBegin) {
  push(1, payload);
  push(2, payload);
  push(3, payload);
  const std::string head = write(10);  // the first has begun
  queue.release(kRootGroup, OpSeq(2));
  queue.release(kRootGroup, OpSeq(1));
  std::fill(payload.begin(), payload.end(), std::byte{9});
  const std::string bytes = head + write();
  const auto headers = parse(bytes);
  ASSERT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers[0].op_seq, OpSeq(1));
  EXPECT_EQ(headers[0].lane_seq, 1u);
  EXPECT_EQ(headers[1].op_seq, OpSeq(3));
  EXPECT_EQ(headers[1].lane_seq, 2u);
  // What was promised follows from a copy.
  EXPECT_EQ(bytes[wire::kHeaderBytes + 999], 7);
}

TEST_F(TcpSendQueue, ResendsWhatWasNotConsumed) {
  for (uint64_t op = 1; op <= 5; ++op) push(op, payload);
  (void)write(3 * (wire::kHeaderBytes + 1000) + 50);
  EXPECT_TRUE(queue.credit(1));
  queue.release(kRootGroup, OpSeq(3));
  queue.release(kRootGroup, OpSeq(4));  // begun, not complete
  ASSERT_TRUE(queue.rewind(2));
  const auto headers = parse(write());
  ASSERT_EQ(headers.size(), 3u);
  EXPECT_EQ(headers[0].kind, wire::Kind::kVoid);
  EXPECT_EQ(headers[1].kind, wire::Kind::kVoid);
  EXPECT_EQ(headers[2].kind, wire::Kind::kPartial);
  for (uint64_t i = 0; i < 3; ++i) EXPECT_EQ(headers[i].lane_seq, 3 + i);
  EXPECT_TRUE(queue.credit(5));
  EXPECT_FALSE(queue.owes());
  EXPECT_EQ(pool.in_use_bytes(), 0u);
}

TEST_F(TcpSendQueue, RefusesCreditForWhatWasNotWritten) {
  push(1, payload);
  EXPECT_FALSE(queue.credit(1));
  (void)write(500);
  EXPECT_FALSE(queue.credit(1));
  (void)write();
  EXPECT_FALSE(queue.credit(2));
  EXPECT_TRUE(queue.credit(1));
  EXPECT_TRUE(queue.credit(1));
  EXPECT_FALSE(queue.rewind(2));
}

TEST_F(TcpSendQueue, KeepsDoneAndSmallCopiesOfAReleasedOp) {
  push(1, {}, wire::Kind::kDone);
  OutFrame copied;
  copied.header.kind = wire::Kind::kResult;
  copied.header.op_seq = OpSeq(1);
  copied.payload = payload;
  queue.push(std::move(copied), true);
  queue.release(kRootGroup, OpSeq(1));
  EXPECT_EQ(parse(write()).size(), 2u);
}

TEST_F(TcpSendQueue, QuiesceLeavesOnlyModelState) {
  push(1, payload);
  push(2, payload, wire::Kind::kStateData);
  push(3, {}, wire::Kind::kDone);
  push(4, {}, wire::Kind::kGrant);
  push(5, {}, wire::Kind::kStatePull);
  queue.quiesce();
  std::fill(payload.begin(), payload.end(), std::byte{9});
  const std::string bytes = write();
  const auto headers = parse(bytes);
  ASSERT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers[0].kind, wire::Kind::kStateData);
  EXPECT_EQ(bytes[wire::kHeaderBytes], 7);
  EXPECT_EQ(headers[1].kind, wire::Kind::kStatePull);
}

TEST_F(TcpSendQueue, LetsAHeartbeatPass) {
  push(1, payload);
  push(2, payload);
  const std::string head = write(500);
  wire::FrameHeader heartbeat;
  heartbeat.kind = wire::Kind::kHeartbeat;
  queue.push_urgent(heartbeat);
  const auto headers = parse(head + write());
  ASSERT_EQ(headers.size(), 3u);
  EXPECT_EQ(headers[1].kind, wire::Kind::kHeartbeat);
  EXPECT_EQ(headers[1].lane_seq, 0u);
  EXPECT_EQ(headers[2].lane_seq, 2u);
}

TEST_F(TcpSendQueue, NumbersALaneAnewWhenItsReceiverForgotIt) {
  for (uint64_t op = 1; op <= 3; ++op) push(op, payload);
  (void)write();
  EXPECT_TRUE(queue.credit(2));
  queue.renumber();
  ASSERT_TRUE(queue.rewind(0));
  push(4, payload);
  const auto headers = parse(write());
  ASSERT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers[0].op_seq, OpSeq(3));
  EXPECT_EQ(headers[0].lane_seq, 1u);
  EXPECT_EQ(headers[1].lane_seq, 2u);
}

}  // namespace
}  // namespace rhz::tcp
