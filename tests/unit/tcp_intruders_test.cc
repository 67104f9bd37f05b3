// Strangers, garbage and forged frames on the data port: refused and counted, with bounded memory,
// while the good links go on.
#include "runtime/base/crc32c.h"
#include "runtime/transport/tcp/handshake.h"
#include "tests/unit/transport_test_kit.h"
#include "tests/unit/tcp_test_wire.h"

namespace rhz::test {
namespace {

// Two peers that know each other, and a peer id that both know but nobody is.
struct Besieged {
  Besieged()
      : a(stage.add()),
        b(stage.add()),
        absent(random_peer_id()),
        absent_fd(listen_at_any_port(&absent_port)) {
    const PeerAddress nobody{absent, Slot(9), {"127.0.0.1:" + std::to_string(absent_port)}};
    a.know({b.address(), nobody});
    b.know({a.address(), nobody});
    port = port_of(b.address().endpoints[0]);
  }
  ~Besieged() {
    for (const int fd : fds) ::close(fd);
    ::close(absent_fd);
  }
  int connect() {
    fds.push_back(connect_to(port));
    return fds.back();
  }
  uint64_t refused() const { return b.transport->counters().refused_connections; }
  void good_links_work() {
    const size_t before = b.received.size();
    const auto bytes = random_bytes(100000, before);
    a.send(b.id, LaneClass::kExpress, 1, {});
    a.send(b.id, LaneClass::kBulk, 2, bytes);
    ASSERT_TRUE(stage.until([&] { return b.received.size() == before + 2; }));
    EXPECT_TRUE(a.down.empty());
  }
  // Speaks as the absent peer; returns once the other side has answered.
  int call_as_absent() {
    const int fd = connect();
    const auto hello = tcp::encode_hello({absent, b.id, 1234, 0}, kRun);
    EXPECT_EQ(::send(fd, hello.data(), hello.size(), MSG_NOSIGNAL), ssize_t(hello.size()));
    answer.clear();
    EXPECT_TRUE(stage.until([&] { return answered(fd); }));
    return fd;
  }
  bool answered(int fd) {
    char bytes[512];
    const ssize_t got = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0) answer.append(bytes, static_cast<size_t>(got));
    return answer.size() >= wire::kHeaderBytes;
  }
  void say(int fd, const wire::FrameHeader& header, size_t payload = 0) {
    std::string bytes(wire::kHeaderBytes + payload, 'x');
    wire::encode_header(header, reinterpret_cast<std::byte*>(bytes.data()));
    EXPECT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), ssize_t(bytes.size()));
  }

  Stage stage;
  Node& a;
  Node& b;
  PeerId absent;
  uint16_t absent_port = 0;
  int absent_fd;
  uint16_t port = 0;
  std::vector<int> fds;
  std::string answer;
};

wire::FrameHeader frame(wire::Kind kind, uint64_t lane_seq, uint32_t length = 0) {
  wire::FrameHeader header;
  header.kind = kind;
  header.run = kRun;
  header.lane_seq = lane_seq;
  header.length = length;
  return header;
}

TEST(TcpIntruders, RefusesGarbage) {
  Besieged net;
  const auto garbage = random_bytes(size_t{1} << 20, 1);
  for (const size_t size : {size_t{96}, size_t{140}, size_t{5000}, garbage.size()}) {
    const int fd = net.connect();
    const uint64_t before = net.refused();
    EXPECT_GT(::send(fd, garbage.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT), 0);
    ASSERT_TRUE(net.stage.until([&] { return ended(fd); }));
    EXPECT_EQ(net.refused(), before + 1);
  }
  const int fd = net.connect();
  const std::string http =
      "GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: "
      "a-long-name-so-that-a-header-is-full/1.0\r\n\r\n";
  EXPECT_GT(::send(fd, http.data(), http.size(), MSG_NOSIGNAL), 0);
  ASSERT_TRUE(net.stage.until([&] { return ended(fd); }));
  EXPECT_GE(net.b.transport->counters().refused_frames, 5u);
  net.good_links_work();
}

TEST(TcpIntruders, RefusesALengthBeforeItReadsIt) {
  Besieged net;
  for (const uint32_t length : {45u, 1u << 20, 1u << 30, 0xffffffffu, 0u}) {
    const int fd = net.connect();
    net.say(fd, frame(wire::Kind::kHello, 0, length), 44);
    ASSERT_TRUE(net.stage.until([&] { return ended(fd); }));
  }
  EXPECT_EQ(net.refused(), 5u);
  EXPECT_EQ(net.b.pool.peak_bytes(), 0u);
  net.good_links_work();
}

TEST(TcpIntruders, AcceptsNothingBeforeAHello) {
  Besieged net;
  for (const auto kind : {wire::Kind::kPartial, wire::Kind::kHelloAck, wire::Kind::kCredit,
                          wire::Kind::kGoodbye, wire::Kind::kControl}) {
    const int fd = net.connect();
    net.say(fd, frame(kind, 1));
    ASSERT_TRUE(net.stage.until([&] { return ended(fd); }));
  }
  EXPECT_EQ(net.refused(), 5u);
  EXPECT_TRUE(net.b.received.empty());
  EXPECT_TRUE(net.b.goodbyes.empty());
}

TEST(TcpIntruders, EndsHalfAHelloWhenItsSenderLeaves) {
  Besieged net;
  const auto hello = tcp::encode_hello({net.absent, net.b.id, 1, 0}, kRun);
  for (size_t size = 0; size < hello.size(); size += 13) {
    const int fd = net.connect();
    EXPECT_EQ(::send(fd, hello.data(), size, MSG_NOSIGNAL), ssize_t(size));
    ::shutdown(fd, SHUT_WR);
    const uint64_t before = net.refused();
    ASSERT_TRUE(net.stage.until([&] { return ended(fd) && net.refused() == before + 1; }));
  }
  net.good_links_work();
}

TEST(TcpIntruders, TakesAHelloByteByByte) {
  Besieged net;
  const auto hello = tcp::encode_hello({net.absent, net.b.id, 1, 0}, kRun);
  const int fd = net.connect();
  for (const std::byte byte : hello) {
    EXPECT_EQ(::send(fd, &byte, 1, MSG_NOSIGNAL), 1);
    net.stage.loop.poll();
  }
  ASSERT_TRUE(net.stage.until([&] { return net.answered(fd); }));
  std::string bytes(wire::kHeaderBytes, ' ');
  wire::encode_header(frame(wire::Kind::kPartial, 1, 5),
                      reinterpret_cast<std::byte*>(bytes.data()));
  bytes += "hello";
  for (const char byte : bytes) {
    EXPECT_EQ(::send(fd, &byte, 1, MSG_NOSIGNAL), 1);
    net.stage.loop.poll();
  }
  ASSERT_TRUE(net.stage.until([&] { return net.b.received.size() == 1; }));
  EXPECT_TRUE(equal(net.b.received[0].bytes, bytes_of("hello", 5)));
}

TEST(TcpIntruders, BearsIdleConnections) {
  Besieged net;
  for (int i = 0; i < 64; ++i) net.connect();
  net.stage.run_for(milliseconds(10));
  EXPECT_EQ(net.refused(), 0u);
  net.good_links_work();
  // The oldest make room: never more than 256.
  for (int i = 0; i < 300; ++i) {
    net.connect();
    net.stage.loop.poll();
  }
  ASSERT_TRUE(net.stage.until([&] { return net.refused() == 364 - 256; }));
  EXPECT_TRUE(ended(net.fds[0]));
  EXPECT_FALSE(ended(net.fds.back()));
  net.good_links_work();
}

TEST(TcpIntruders, LeavesNobodyOnTheDoorstepForLong) {
  Besieged net;
  const int silent = net.connect();
  const int unknown = net.connect();
  const auto hello = tcp::encode_hello({random_peer_id(), net.b.id, 1, 0}, kRun);
  EXPECT_EQ(::send(unknown, hello.data(), hello.size(), MSG_NOSIGNAL), ssize_t(hello.size()));
  net.stage.run_for(milliseconds(20));
  // Time is an argument: no need to wait for it.
  (void)net.b.transport->tick(net.stage.loop.now() + milliseconds(4900));
  EXPECT_EQ(net.refused(), 0u);
  (void)net.b.transport->tick(net.stage.loop.now() + milliseconds(5100));
  EXPECT_EQ(net.refused(), 2u);
  EXPECT_TRUE(ended(silent));
  ASSERT_TRUE(net.answered(unknown));
  const auto answer = wire::decode_header(reinterpret_cast<const std::byte*>(net.answer.data()));
  ASSERT_TRUE(answer.is_ok());
  EXPECT_EQ(answer.value().flags, static_cast<uint16_t>(tcp::Refusal::kUnknownPeer));
}

TEST(TcpIntruders, AnswersAHelloOnceItsSenderIsNamed) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  a.know({b.address()});  // has installed the view already
  a.send(b.id, LaneClass::kExpress, 1, {});
  stage.run_for(milliseconds(30));
  EXPECT_TRUE(b.received.empty());
  b.know({a.address()});
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 1; }, milliseconds(1000)));
  EXPECT_EQ(b.transport->counters().refused_connections, 0u);
  EXPECT_TRUE(a.down.empty());
}

TEST(TcpIntruders, NamesTheReasonOfARefusal) {
  Besieged net;
  const auto reason = [&](tcp::HelloFrame hello) {
    const int fd = net.connect();
    EXPECT_EQ(::send(fd, hello.data(), hello.size(), MSG_NOSIGNAL), ssize_t(hello.size()));
    net.answer.clear();
    EXPECT_TRUE(net.stage.until([&] { return net.answered(fd); }));
    const auto ack = wire::decode_header(reinterpret_cast<const std::byte*>(net.answer.data()));
    EXPECT_TRUE(ack.is_ok());
    EXPECT_EQ(net.answer.size(), wire::kHeaderBytes + ack.value().length);
    return static_cast<tcp::Refusal>(ack.value().flags);
  };
  EXPECT_EQ(reason(tcp::encode_hello({net.absent, net.b.id, 1, 0}, kRun + 1)),
            tcp::Refusal::kWrongRun);
  EXPECT_EQ(reason(tcp::encode_hello({net.absent, net.a.id, 1, 0}, kRun)),
            tcp::Refusal::kWrongReceiver);
  EXPECT_EQ(reason(tcp::encode_hello({net.absent, net.b.id, 1, 1000}, kRun)),
            tcp::Refusal::kMalformed);
  auto other_version = tcp::encode_hello({net.absent, net.b.id, 1, 0}, kRun);
  constexpr int kOther = wire::kProtocolVersion + 1;
  other_version[4] = std::byte{kOther};
  EXPECT_EQ(reason(other_version), tcp::Refusal::kVersion);
  EXPECT_NE(net.answer.find("version " + std::to_string(kOther)), std::string::npos);
  EXPECT_EQ(net.refused(), 4u);
}

TEST(TcpIntruders, RefusesFramesThatDoNotFitTheLane) {
  const auto refuses = [](const std::function<void(Besieged&, int)>& speak) {
    Besieged net;
    const int fd = net.call_as_absent();
    net.say(fd, frame(wire::Kind::kPartial, 1));
    ASSERT_TRUE(net.stage.until([&] { return net.b.received.size() == 1; }));
    speak(net, fd);
    ASSERT_TRUE(net.stage.until([&] { return ended(fd); }));
    EXPECT_EQ(net.b.transport->counters().refused_frames, 1u);
    EXPECT_EQ(net.b.received.size(), 1u);
    net.good_links_work();
  };
  using enum wire::Kind;
  refuses([](Besieged& net, int fd) { net.say(fd, frame(kPartial, 3)); });  // a gap (D1)
  refuses([](Besieged& net, int fd) { net.say(fd, frame(kPartial, 0)); });  // no number
  refuses([](Besieged& net, int fd) { net.say(fd, frame(kHeartbeat, 2)); });
  refuses([](Besieged& net, int fd) { net.say(fd, frame(kHeartbeat, 0, 10), 10); });
  for (const auto kind : {kHello, kHelloAck, kCredit, kControl})
    refuses([kind](Besieged& net, int fd) { net.say(fd, frame(kind, 2)); });
  refuses([](Besieged& net, int fd) {
    auto header = frame(kPartial, 2);
    header.run = kRun + 1;
    net.say(fd, header);
  });
  refuses([](Besieged& net, int fd) { net.say(fd, frame(kPartial, 2, wire::kMaxDataBytes + 1)); });
  refuses([](Besieged&, int fd) {
    const std::string garbage(1000, 'g');
    EXPECT_GT(::send(fd, garbage.data(), garbage.size(), MSG_NOSIGNAL), 0);
  });
}

TEST(TcpIntruders, DropsDuplicatesAndReplays) {
  Besieged net;
  int fd = net.call_as_absent();
  for (uint64_t i = 1; i <= 3; ++i) net.say(fd, frame(wire::Kind::kPartial, i, 50), 50);
  net.say(fd, frame(wire::Kind::kPartial, 2, 50), 50);
  net.say(fd, frame(wire::Kind::kPartial, 4, 50), 50);
  ASSERT_TRUE(net.stage.until([&] { return net.b.received.size() == 4; }));
  // The same bytes once more, on a connection of their own.
  fd = net.call_as_absent();
  const auto ack = wire::decode_header(reinterpret_cast<const std::byte*>(net.answer.data()));
  ASSERT_TRUE(ack.is_ok());
  EXPECT_EQ(ack.value().lane_seq, 4u);
  for (uint64_t i = 1; i <= 5; ++i) net.say(fd, frame(wire::Kind::kPartial, i, 50), 50);
  ASSERT_TRUE(net.stage.until([&] { return net.b.received.size() == 5; }));
  EXPECT_EQ(net.b.headers, 5u);
  EXPECT_EQ(net.b.received[4].header.lane_seq, 5u);
  EXPECT_EQ(net.b.transport->counters().dropped_frames, 5u);
}

TEST(TcpIntruders, SurvivesFlippedBits) {
  // Every frame of a valid conversation, with one bit wrong somewhere.
  Prng prng(3);
  Besieged net;
  for (int round = 0; round < 200; ++round) {
    auto hello = tcp::encode_hello({net.absent, net.b.id, 99, 0}, kRun);
    std::string bytes(reinterpret_cast<const char*>(hello.data()), hello.size());
    std::string data(wire::kHeaderBytes + 20, 'x');
    wire::encode_header(frame(wire::Kind::kPartial, 1, 20),
                        reinterpret_cast<std::byte*>(data.data()));
    bytes += data;
    const uint64_t bit = prng.below(bytes.size() * 8);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    const int fd = net.connect();
    (void)::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    for (int i = 0; i < 20; ++i) net.stage.loop.poll();
    net.fds.pop_back();
    ::close(fd);
  }
  net.good_links_work();
}

}  // namespace
}  // namespace rhz::test
