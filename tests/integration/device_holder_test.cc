// The process that a vault starts to hold memory of devices: with a driver or without, it answers,
// and ends with its vault.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include "recovery/vault/client.h"
#include "recovery/vault/holder_messages.h"
#include "recovery/vault/socket.h"
#include "runtime/wire/frame.h"
#include "tests/integration/cli.h"

namespace rhz::test {
namespace {

using namespace rhz::recovery;

class DeviceHolderProcess : public testing::Test {
 protected:
  std::unique_ptr<Cli> vault(const std::string& options = "") {
    return std::make_unique<Cli>(words("vault --run-id " + run_ + options));
  }
  Result<Fd> hold(Cli& vault) {
    vault.await("vault: listening as ");
    VaultClient client(vault_name(run_), wire::run_hash(run_), std::chrono::seconds(10));
    return client.hold_device();
  }
  // False: nothing comes.
  static bool comes(const Fd& piece) {
    pollfd look{piece.get(), POLLIN, 0};
    return ::poll(&look, 1, 30'000) > 0;
  }
  const std::string run_ = "holder-" + std::to_string(getpid()) + "-" +
                           testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(DeviceHolderProcess, SaysWhyItCannotHoldSomethingAndEndsWithItsVault) {
  auto run = vault();
  const auto piece = hold(*run);
  ASSERT_TRUE(piece) << piece.status().text();
  HolderMessage message;
  message.kind = HolderKind::kHold;
  message.number = 7;
  ASSERT_TRUE(send_packet(piece.value(), message.encode()));
  ASSERT_TRUE(comes(piece.value()));
  const auto packet = receive_packet(piece.value());
  ASSERT_TRUE(packet) << packet.status().text();
  const auto answer = HolderMessage::decode(packet.value().bytes);
  ASSERT_TRUE(answer) << answer.status().text();
  EXPECT_EQ(answer.value().number, 7u);
  EXPECT_NE(answer.value().status, Code::kOk) << "an allocation of no device";
  EXPECT_FALSE(answer.value().text.empty());
  run->signal(SIGKILL);
  ASSERT_TRUE(comes(piece.value()));
  EXPECT_EQ(receive_packet(piece.value()).status().code(), Code::kClosed);
}

TEST_F(DeviceHolderProcess, IsNotStartedWhereItIsNotWanted) {
  auto run = vault(" --no-devices");
  const auto piece = hold(*run);
  EXPECT_EQ(piece.status().code(), Code::kState);
  EXPECT_NE(piece.status().text().find("does not hold memory of devices"), std::string::npos);
}

TEST_F(DeviceHolderProcess, IsNothingToStartByHand) {
  Cli holder(words("vault --hold-devices"));
  EXPECT_NE(holder.end(), 0);
  EXPECT_NE(holder.errors().find("only a vault starts this"), std::string::npos) << holder.errors();
}

}  // namespace
}  // namespace rhz::test
