// The vaults of a run, as the coordinator knows them and tells others.
#include <gtest/gtest.h>

#include "tests/unit/membership_kit.h"

namespace rhz {
namespace {

VaultHereMessage here(uint32_t n, const std::string& host, std::string run = "test") {
  return {std::move(run), {{{8, n}, host, ""}, {"10.0.0.1:7500"}, 10, 100}};
}
constexpr uint32_t kSession = 50;  // of the first vault

std::vector<PeerId> told(Office& office, uint32_t peer) {
  std::vector<PeerId> ids;
  const auto* message = office.last<VaultsMessage>(peer);
  if (message)
    for (const VaultInfo& vault : message->vaults) ids.push_back(vault.holder.vault);
  return ids;
}
using Ids = std::vector<PeerId>;

TEST(Vaults, MembersAreToldOfOneThatComesAndOneThatIsLost) {
  Office office(config_of(1));
  office.found(1);
  ASSERT_TRUE(office.last<VaultsMessage>(0));
  EXPECT_TRUE(office.last<VaultsMessage>(0)->complete);
  office.tell(kSession, here(1, "a"));
  office.tell(kSession + 1, here(2, "b"));
  EXPECT_EQ(told(office, 0), (Ids{{8, 1}, {8, 2}}));
  office.core.disconnected(office.now, kSession + 1);
  office.advance(milliseconds(100));
  EXPECT_EQ(told(office, 0), (Ids{{8, 1}, {8, 2}})) << "it may come back";
  office.advance(milliseconds(300));
  EXPECT_EQ(told(office, 0), Ids({{8, 2}}));
}

TEST(Vaults, OneThatComesBackInTimeWasNeverAway) {
  Office office(config_of(1));
  office.found(1);
  office.tell(kSession, here(1, "a"));
  const size_t before = office.said[1].size();
  office.core.disconnected(office.now, kSession + 1);
  office.tell(kSession + 7, here(1, "a"));
  for (size_t i = before; i < office.said[1].size(); ++i)
    EXPECT_FALSE(std::holds_alternative<VaultsMessage>(office.said[1][i]));
  EXPECT_EQ(told(office, 0), Ids({{8, 1}}));
}

TEST(Vaults, OneThatWasGivenUpIsRefusedAndItsHostsNextOneTakesItsPlace) {
  Office office(config_of(1));
  office.found(1);
  office.tell(kSession, here(1, "a"));
  office.core.disconnected(office.now, kSession + 1);
  office.tell(kSession + 1, here(2, "a"));
  EXPECT_EQ(told(office, 0), Ids({{8, 2}})) << "at once";
  office.tell(kSession, here(1, "a"));
  ASSERT_TRUE(office.last<RefusedMessage>(kSession));
  EXPECT_EQ(office.last<RefusedMessage>(kSession)->status.code(), Code::kEvicted);
  EXPECT_EQ(told(office, 0), Ids({{8, 2}}));
}

TEST(Vaults, ASilentOneIsLost) {
  Office office(config_of(1));
  office.tell(kSession, here(1, "a"));
  office.tell(kSession + 1, here(2, "b"));
  office.hello(0);
  for (int i = 0; i < 20; ++i) {
    office.advance(milliseconds(200));
    office.tell(kSession, here(1, "a"));
    office.hello(0);
  }
  EXPECT_EQ(told(office, 0), Ids({{8, 1}}));
}

TEST(Vaults, ANewCoordinatorWaitsForThemBeforeItSaysWhoIsLost) {
  Office first(config_of(1));
  first.found(1);
  Office office(config_of(1), first.log);
  office.hello(0);
  ASSERT_TRUE(office.last<VaultsMessage>(0));
  EXPECT_FALSE(office.last<VaultsMessage>(0)->complete);
  EXPECT_FALSE(office.core.status(office.now).vaults_complete);
  office.tell(kSession, here(1, "a"));
  EXPECT_EQ(told(office, 0), Ids({{8, 1}}));
  EXPECT_FALSE(office.last<VaultsMessage>(0)->complete);
  for (int i = 0; i < 22; ++i) {
    office.advance(milliseconds(100));
    office.tell(kSession, here(1, "a"));
  }
  EXPECT_TRUE(office.last<VaultsMessage>(0)->complete);
  EXPECT_EQ(told(office, 0), Ids({{8, 1}}));
}

TEST(Vaults, ThoseOfAnotherRunAndThoseWithoutAHostAreRefused) {
  Office office(config_of(1));
  office.tell(kSession, here(1, "a", "other"));
  ASSERT_TRUE(office.last<RefusedMessage>(kSession));
  EXPECT_EQ(office.last<RefusedMessage>(kSession)->status.code(), Code::kRunId);
  office.tell(kSession + 1, here(2, ""));
  ASSERT_TRUE(office.last<RefusedMessage>(kSession + 1));
  EXPECT_EQ(office.last<RefusedMessage>(kSession + 1)->status.code(), Code::kArgument);
  EXPECT_TRUE(office.core.status(office.now).vaults.empty());
}

TEST(Vaults, WhoeverAsksForGenerationsGetsThemBeforeTheReply) {
  Office office(config_of(1));
  office.tell(3, StatusRequest{"", true});
  ASSERT_EQ(office.said[4].size(), 2u);
  EXPECT_TRUE(std::holds_alternative<GenerationsMessage>(office.said[4][0]));
  EXPECT_TRUE(std::holds_alternative<StatusReply>(office.said[4][1]));
}

}  // namespace
}  // namespace rhz
