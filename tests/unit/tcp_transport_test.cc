// What is TCP's own, between peers that behave.  What every transport promises: transport_test.cc;
// faults: tcp_faults_test.cc; strangers: tcp_intruders_test.cc.
#include "tests/unit/transport_test_kit.h"

namespace rhz::test {
namespace {

TEST(TcpTransport, WorksOverIpv6) {
  AsioLoop loop;
  BufferPool pool;
  TcpOptions options;
  options.self = random_peer_id();
  options.listen = "[::1]:0";
  if (!open_tcp(loop, pool, options)) GTEST_SKIP() << "no IPv6 here";
  Stage stage;
  Node& a = stage.add({}, "[::1]:0");
  Node& b = stage.add({}, "[::1]:0");
  stage.introduce();
  const auto bytes = random_bytes(20000, 1);
  a.send(b.id, LaneClass::kBulk, 1, bytes);
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 1; }));
  EXPECT_TRUE(equal(b.received[0].bytes, bytes));
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

// Few system calls for many bulk frames; none waits beyond the turn of the loop in which it was queued.
TEST(TcpTransport, GathersTheBulkFramesOfATurn) {
  Stage stage;
  Node& a = stage.add();
  Node& b = stage.add();
  stage.introduce();
  const auto small = random_bytes(100000, 1), large = random_bytes(600000, 2);
  a.send(b.id, LaneClass::kBulk, 0, small);
  a.send(b.id, LaneClass::kExpress, 1, small);
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 2; }));
  const auto sent_now = [&, before = a.transport->counters().sent_frames] {
    return a.transport->counters().sent_frames - before;
  };
  a.send(b.id, LaneClass::kBulk, 2, small);
  a.send(b.id, LaneClass::kBulk, 3, small);
  EXPECT_EQ(sent_now(), 0u);
  a.send(b.id, LaneClass::kExpress, 4, small);
  EXPECT_EQ(sent_now(), 1u);  // the express lane waits for nothing
  stage.loop.poll();
  EXPECT_EQ(sent_now(), 3u);
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 5; }));
  a.send(b.id, LaneClass::kBulk, 5, small);
  a.send(b.id, LaneClass::kBulk, 6, large);
  EXPECT_GE(sent_now(), 4u);  // it is enough for a call of its own
  ASSERT_TRUE(stage.until([&] { return b.received.size() == 7; }));
  EXPECT_TRUE(equal(b.received.back().bytes, large));
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
