// Which of two transports a peer is reached by.
#include <gtest/gtest.h>

#include "runtime/transport/open.h"
#include "tests/unit/transport_test_kit.h"

namespace rhz::test {
namespace {

bool is_shm(const std::string& endpoint) { return endpoint.starts_with(kShmScheme); }

PeerAddress with(PeerAddress address, const std::function<bool(const std::string&)>& wanted) {
  std::erase_if(address.endpoints, [&](const std::string& e) { return !wanted(e); });
  return address;
}

// One frame each way; what a's TCP alone would have had to connect to is gone.
void expect_frames(Stage& stage, Node& a, Node& b) {
  const auto bytes = random_bytes(100000, 1);
  for (uint64_t i = 0; i < 10; ++i) {
    a.send(b.id, LaneClass::kExpress, i, {bytes.data(), 1000});
    a.send(b.id, LaneClass::kBulk, 100 + i, bytes);
    b.send(a.id, LaneClass::kBulk, i, bytes);
  }
  ASSERT_TRUE(stage.until([&] { return a.received.size() == 10 && b.received.size() == 20; }));
  EXPECT_TRUE(a.down.empty());
  EXPECT_TRUE(b.down.empty());
}

TEST(MultiTransport, TellsTcpAddressesFirst) {
  Stage stage(Carrier::kAuto);
  const auto endpoints = stage.add().address().endpoints;
  ASSERT_EQ(endpoints.size(), 2u);
  EXPECT_FALSE(is_shm(endpoints[0]));
  EXPECT_TRUE(is_shm(endpoints[1]));
}

TEST(MultiTransport, ReachesAPeerOfThisHostThroughSharedMemory) {
  Stage stage(Carrier::kAuto);
  Node& a = stage.add();
  Node& b = stage.add();
  // Nobody listens on these TCP ports: they are not even tried.
  const auto dead_tcp = [](PeerAddress address) {
    address.endpoints[0] = "127.0.0.1:1";
    return address;
  };
  a.know({dead_tcp(b.address())}, {b.id});
  b.know({dead_tcp(a.address())}, {a.id});
  expect_frames(stage, a, b);
}

TEST(MultiTransport, FallsBackToTcpWhereSharedMemoryDoesNotAnswer) {
  Stage stage(Carrier::kAuto);
  Node& a = stage.add();
  Node& b = stage.add();
  // As with a peer of another network namespace: the name is known, and nobody has it here.
  const auto elsewhere = [](PeerAddress address) {
    address.endpoints[1] += "0";
    return address;
  };
  a.know({elsewhere(b.address())}, {b.id});
  b.know({elsewhere(a.address())}, {a.id});
  expect_frames(stage, a, b);
}

TEST(MultiTransport, TakesTcpToAPeerThatHasNothingElse) {
  Stage stage(Carrier::kAuto);
  Node& a = stage.add();
  Node& b = stage.add_with(Carrier::kTcp);
  a.know({b.address()});
  b.know({a.address()});  // whose other endpoint means nothing to it
  expect_frames(stage, a, b);
}

TEST(MultiTransport, HearsOnBothWays) {
  Stage stage(Carrier::kAuto);
  Node& a = stage.add();
  Node& b = stage.add();
  a.know({b.address()});                                                         // shm
  b.know({with(a.address(), [](const std::string& e) { return !is_shm(e); })});  // tcp
  expect_frames(stage, a, b);
}

TEST(MultiTransport, SaysGoodbyeOnceOnBothWays) {
  Stage stage(Carrier::kAuto);
  Node& a = stage.add();
  Node& b = stage.add();
  a.know({b.address()});
  b.know({with(a.address(), [](const std::string& e) { return !is_shm(e); })});
  expect_frames(stage, a, b);
  bool closed = false;
  a.transport->close(stage.loop.now() + milliseconds(500), [&] {
    closed = true;
    stage.soon([&] { stage.remove(a); });
  });
  ASSERT_TRUE(stage.until([&] { return closed && !b.goodbyes.empty(); }));
  stage.run_for(milliseconds(50));
  EXPECT_EQ(b.goodbyes.size(), 1u);
  EXPECT_TRUE(b.down.empty());
}

TEST(MultiTransport, ForcedSharedMemoryDoesNotFallBack) {
  TcpOptions options;
  options.connect_ms = 150;
  Stage stage(Carrier::kShm);
  Node& a = stage.add(options);
  Node& b = stage.add_with(Carrier::kAuto);
  PeerAddress other_host = b.address();
  other_host.endpoints[1] += "0";
  a.know({other_host});
  a.send(b.id, LaneClass::kExpress, 0, {});
  ASSERT_TRUE(stage.until([&] { return !a.down.empty(); }));
  EXPECT_EQ(a.down[b.id], std::vector<Evidence>{Evidence::kRefused});
  a.down.clear();
  a.know({with(b.address(), [](const std::string& e) { return !is_shm(e); })});
  ASSERT_TRUE(stage.until([&] { return !a.down.empty(); }));
  EXPECT_EQ(a.down[b.id], std::vector<Evidence>{Evidence::kTimeout});
}

TEST(MultiTransport, NamesWhatThereIs) {
  EXPECT_EQ(parse_transport("auto").value(), TransportChoice::kAuto);
  EXPECT_EQ(parse_transport("tcp").value(), TransportChoice::kTcp);
  EXPECT_EQ(parse_transport("shm").value(), TransportChoice::kShm);
  for (const char* bad : {"", "TCP", "rdma"}) {
    const Status status = parse_transport(bad).status();
    EXPECT_EQ(status.code(), Code::kArgument);
    EXPECT_NE(status.text().find("auto, tcp, shm"), std::string::npos);
  }
}

}  // namespace
}  // namespace rhz::test
