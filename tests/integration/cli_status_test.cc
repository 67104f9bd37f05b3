// `rhizome coordinator` and `rhizome status`: a run that is looked at, and restarted under the eyes
// of who looks.
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/integration/cli.h"
#include "tests/integration/raw_socket.h"

namespace rhz::test {
namespace {

using Json = nlohmann::json;

// Two trainers that go on until the test ends.
class Looked : public testing::Test {
 protected:
  Looked()
      : log_("--log " + folder_.file("run.log")),
        coordinator_(std::make_unique<CliCoordinator>(
            "--world 2 --max-world 3 --run-id green --suspicion-ms 700 " + log_)),
        address_(coordinator_->address),
        run_(words("run -n 2 --run-id green --join " + address_ + " --first-slot 1 --") +
             trainer(1000000, 5)) {
    run_.await("step=3 ");
  }
  Words status(const std::string& options) const {
    return words("status --coordinator " + address_ + " " + options);
  }

  const Folder folder_;
  const std::string log_;
  std::unique_ptr<CliCoordinator> coordinator_;
  const std::string address_;
  Cli run_;
};

template <class T>
T value(const Json& object, const char* key) {
  EXPECT_TRUE(object.contains(key)) << key;
  return object.value(key, T{});
}

TEST_F(Looked, AsJsonHasEveryKey) {
  Cli command(status("--json"));
  ASSERT_EQ(command.end(), 0) << command.errors();
  const auto lines = command.rest();
  ASSERT_EQ(lines.size(), 1u);
  const Json all = Json::parse(lines[0]);
  EXPECT_EQ(value<std::string>(all, "run_id"), "green");
  EXPECT_EQ(value<int>(all, "epoch"), 1);
  EXPECT_TRUE(value<bool>(all, "resolved"));
  EXPECT_EQ(value<int>(all, "members"), 2);
  EXPECT_EQ(value<int>(all, "world"), 2);
  EXPECT_EQ(value<int>(all, "max_world"), 3);
  EXPECT_EQ(value<int>(all, "min_world"), 1);
  EXPECT_EQ(value<int>(all, "term"), 1);
  EXPECT_EQ(value<int>(all, "suspicion_ms"), 700);
  EXPECT_GT(value<int>(all, "uptime_ms"), 0);
  EXPECT_GT(value<int>(all, "last_index"), 0);
  EXPECT_TRUE(value<Json>(all, "faults").is_array());
  const Json peers = value<Json>(all, "peers");
  ASSERT_EQ(peers.size(), 2u);
  for (int rank = 0; rank < 2; ++rank) {
    const Json& peer = peers[static_cast<size_t>(rank)];
    EXPECT_EQ(value<int>(peer, "rank"), rank) << peer;
    EXPECT_EQ(value<int>(peer, "slot"), rank + 1) << peer;
    EXPECT_TRUE(value<bool>(peer, "member")) << peer;
    EXPECT_TRUE(value<bool>(peer, "connected")) << peer;
    EXPECT_EQ(value<std::string>(peer, "id").size(), 32u) << peer;
    EXPECT_EQ(value<std::string>(peer, "host").size(), 16u) << peer;
    expect_has(value<Json>(peer, "endpoints").at(0), {"127.0.0.1:"});
    EXPECT_EQ(value<int>(peer, "epoch"), 1) << peer;
    EXPECT_GT(value<int64_t>(peer, "ops"), 0) << peer;
    EXPECT_GT(value<int64_t>(peer, "sent_bytes"), 0) << peer;
    EXPECT_GT(value<int64_t>(peer, "received_bytes"), 0) << peer;
    for (const char* key : {"silent_ms", "ops_per_s", "sent_Bps", "dropped_frames", "refused", "reconnects"})
      EXPECT_TRUE(peer.contains(key)) << key;
    EXPECT_GE(value<double>(value<Json>(peer, "metrics"), "step"), 3) << peer;
  }
}

TEST_F(Looked, CountsWhatAPeerRefused) {
  Cli json(status("--watch --json"));
  const auto refused = [&] {
    const Json all = Json::parse(json.await("\"run_id\"").raw);
    return all.at("peers").at(0).at("refused").get<uint64_t>();
  };
  const uint64_t before = refused();
  RawSocket stranger(data_ports(address_).at(0));
  stranger.write(std::string(1000, 'x'));
  while (refused() == before) {
  }
  json.signal(SIGINT);
  EXPECT_EQ(json.end(), 0) << json.errors();
}

TEST_F(Looked, AtOnceIsATable) {
  Cli command(status(""));
  EXPECT_EQ(command.end(), 0) << command.errors();
  expect_has(command.output(),
             {"run green   epoch 1   members 2 of 3 slots", "slot rank  state   address",
              "   1    0  member  127.0.0.1:", "   2    1  member  127.0.0.1:", "loss="});
}

TEST_F(Looked, FindsTheCoordinatorInTheEnvironment) {
  Cli command({"status", "--run-id", "green"}, {"RHZ_COORDINATOR=" + address_});
  EXPECT_EQ(command.end(), 0) << command.errors();
}

TEST_F(Looked, AsAnotherRunIsAnError) {
  Cli command(status("--run-id red"));
  EXPECT_EQ(command.end(), 1);
  expect_has(command.errors(), {"\"green\"", "\"red\"", "--run-id"});
  EXPECT_EQ(command.output(), "");
}

TEST_F(Looked, AgainAndAgainOutlivesTheCoordinator) {
  Cli watch(status("--watch")), json(status("--watch --json"));
  const Line line = watch.await("epoch=1 members=2 waiting=0 ops=");
  expect_has(line.raw, {"ops_per_s=", "step=", "loss="});
  EXPECT_EQ(Json::parse(json.await("\"run_id\"").raw).at("term"), 1);
  coordinator_->command.signal(SIGKILL);
  EXPECT_EQ(coordinator_->command.end(), 128 + SIGKILL);
  watch.await("no coordinator answers at " + address_);
  // On the same address and log; the run is as it was.
  coordinator_ = std::make_unique<CliCoordinator>("--world 2 --run-id green " + log_, address_);
  EXPECT_EQ(coordinator_->address, address_);
  watch.await("epoch=1 members=2 waiting=0 ops=");
  Json all;
  while (!all.is_object() || all.at("term") == 1) {
    const Line next = json.await("\"run_id\"");
    ASSERT_FALSE(next.raw.empty());
    all = Json::parse(next.raw);
  }
  EXPECT_EQ(all.at("max_world"), 3);  // what the log holds wins
  for (Cli* command : {&watch, &json}) {
    command->signal(SIGINT);
    EXPECT_EQ(command->end(), 0) << command->errors();
  }
  EXPECT_EQ(run_.output().find("retry"), std::string::npos);
}

TEST(Status, OfACoordinatorOfAnotherVersionSaysWhich) {
  RawListener other;
  Cli status(words("status --coordinator " + other.address()));
  other.accept().write(raw_header(wire::Kind::kControl, 0, 9));
  EXPECT_EQ(status.end(), 1);
  expect_has(status.errors(), {other.address(), "protocol version 9"});
}

TEST(Status, OfSomethingElseThatListensThereEndsInTime) {
  RawListener other;
  Cli status(words("status --coordinator " + other.address()));
  RawSocket session = other.accept();
  session.write("HTTP/1.1 400 Bad Request\r\n\r\n" + std::string(200, ' '));
  EXPECT_EQ(status.end(), 1);
  expect_has(status.errors(), {"no coordinator answers at " + other.address()});
}

TEST(Coordinator, SaysWhoStoppedIt) {
  for (const auto& [number, name] : {std::pair{SIGINT, "SIGINT"}, std::pair{SIGTERM, "SIGTERM"}}) {
    CliCoordinator coordinator("--world 1 --profile wan");
    coordinator.command.signal(number);
    EXPECT_EQ(coordinator.command.end(), 0);
    expect_has(coordinator.command.output(), {std::string("coordinator: stopped by ") + name});
  }
}

}  // namespace
}  // namespace rhz::test
