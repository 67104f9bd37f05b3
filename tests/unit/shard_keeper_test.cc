// Who keeps a stage's shards, and what that one does when revisions, vaults and views come and go.
#include "recovery/shards/shard_keeper.h"

#include "tests/unit/shards_kit.h"

namespace rhz::recovery {
namespace {

constexpr StageSlots kFirstTwo{0, 2, 1};

View view(uint64_t epoch, std::vector<uint32_t> slots) {
  View view;
  view.epoch = Epoch(epoch);
  for (const uint32_t slot : slots) {
    MemberInfo member;
    member.id = {7, slot + 1};
    member.slot = Slot(slot);
    view.members.push_back(member);
  }
  return view;
}

// A keeper in slot 0 with vaults, a log that takes every proposal, and no network.
struct Desk {
  explicit Desk(uint32_t hosts, uint32_t slot = 0)
      : world(hosts), keeper({7, slot + 1}, "the disk") {
    tell_vaults();
  }
  void tell_vaults() {
    VaultsMessage message;
    message.complete = true;
    for (const Holder& holder : world.holders) message.vaults.push_back({holder, {}, 0, 0});
    keeper.vaults(message);
    carry_out();
  }
  void carry_out() {
    for (auto actions = keeper.take_actions(); !actions.empty(); actions = keeper.take_actions())
      for (KeeperAction& action : actions) act(action);
  }
  void act(KeeperAction& action) {
    if (auto* propose = std::get_if<KeeperPropose>(&action)) proposals.push_back(*propose);
    if (auto* done = std::get_if<KeeperProtected>(&action)) outcomes.push_back(done->status);
    if (auto* repaired = std::get_if<KeeperRepaired>(&action)) repairs.push_back(repaired->status);
    const auto* send = std::get_if<KeeperSend>(&action);
    if (!send) return;
    const auto at = world.vaults.find(send->send.vault);
    if (at == world.vaults.end()) return;
    const VaultReply reply = at->second->handle(send->send.request);
    std::vector<std::byte> bytes(reply.bytes.begin(), reply.bytes.end());
    VaultReply copy = reply;
    copy.bytes = bytes;
    replies.push_back({send->job, send->send.vault, copy, bytes});
  }
  void run() {
    for (int i = 0; i < 1000; ++i) {
      keeper.step(1u << 20);
      carry_out();
      for (auto& reply : std::exchange(replies, {})) {
        reply.reply.bytes = reply.bytes;
        keeper.reply(reply.job, reply.vault, reply.reply);
        carry_out();
      }
      if (log)
        for (const KeeperPropose& propose : std::exchange(proposals, {})) {
          logged.push_back(propose.record);
          keeper.generation(propose.record);
          carry_out();
        }
    }
  }
  void protect(uint64_t revision, StageSlots slots = kFirstTwo) {
    ShardKeeper::Work work;
    work.revision = revision;
    work.root = {static_cast<uint8_t>(revision)};
    work.state = std::make_shared<const std::vector<std::byte>>(random_state(5000, revision));
    work.slots = slots;
    keeper.protect(work);
    carry_out();
  }

  struct Reply {
    uint64_t job;
    PeerId vault;
    VaultReply reply;
    std::vector<std::byte> bytes;
  };
  VaultWorld world;
  ShardKeeper keeper;
  bool log = true;
  std::vector<KeeperPropose> proposals;
  std::vector<GenerationRecord> logged;
  std::vector<Status> outcomes, repairs;
  std::vector<Reply> replies;
};

TEST(ShardKeeper, IsTheLowestSlotOfTheStageAndElseTheLowestOfAll) {
  const StageSlots odd{1, 3, 2};  // 1, 3, 5
  EXPECT_EQ(keeper_of(odd, view(1, {0, 2, 3, 5})), (PeerId{7, 4}));
  EXPECT_EQ(keeper_of(odd, view(1, {2, 4, 7})), (PeerId{7, 3}));
  EXPECT_EQ(keeper_of(odd, view(1, {})), PeerId{});
}

TEST(ShardKeeper, ProtectsARevisionAndSaysSoWhenTheLogHasIt) {
  Desk desk(6);
  desk.keeper.view(view(1, {0, 1}));
  desk.protect(1);
  desk.run();
  ASSERT_EQ(desk.logged.size(), 1u);
  EXPECT_EQ(desk.logged[0].slots, kFirstTwo);
  ASSERT_EQ(desk.outcomes.size(), 1u);
  EXPECT_TRUE(desk.outcomes[0]) << desk.outcomes[0].text();
  EXPECT_EQ(desk.world.restore(desk.logged[0]), random_state(5000, 1));
  desk.protect(1);  // by a trainer that came back with that revision
  desk.run();
  ASSERT_EQ(desk.outcomes.size(), 2u);
  EXPECT_TRUE(desk.outcomes[1]) << desk.outcomes[1].text();
  EXPECT_EQ(desk.logged.size(), 1u);
}

TEST(ShardKeeper, WhoDoesNotKeepTheStageHasNothingToDo) {
  Desk desk(6, 1);
  desk.keeper.view(view(1, {0, 1}));
  desk.protect(1);
  desk.run();
  ASSERT_EQ(desk.outcomes.size(), 1u);
  EXPECT_TRUE(desk.outcomes[0]);
  EXPECT_TRUE(desk.logged.empty());
}

TEST(ShardKeeper, PlacesAnewWhatVaultsHaveLostWithoutBeingAsked) {
  Desk desk(8);
  desk.keeper.view(view(1, {0, 1}));
  desk.protect(1);
  desk.run();
  ASSERT_EQ(desk.logged.size(), 1u);
  desk.world.kill(desk.logged[0].holders[0].vault);
  desk.world.kill(desk.logged[0].holders[3].vault);
  desk.tell_vaults();
  desk.run();
  ASSERT_EQ(desk.logged.size(), 2u);
  EXPECT_EQ(desk.logged[1].placement, 1u);
  EXPECT_EQ(standing(desk.logged[1], desk.keeper.vaults().living()).hosts, 2u);
  EXPECT_EQ(desk.world.restore(desk.logged[1]), random_state(5000, 1));
}

TEST(ShardKeeper, TakesUpTheStageWhenItsKeeperIsGone) {
  Desk first(8), second(8, 1);
  first.keeper.view(view(1, {0, 1}));
  first.protect(1);
  first.run();
  second.world.vaults = std::move(first.world.vaults);
  second.keeper.view(view(1, {0, 1}));
  second.keeper.generation(first.logged[0]);
  second.world.kill(first.logged[0].holders[0].vault);
  second.tell_vaults();
  second.run();
  EXPECT_TRUE(second.logged.empty()) << "slot 0 keeps it";
  second.keeper.view(view(2, {1}));
  second.run();
  ASSERT_EQ(second.logged.size(), 1u);
  EXPECT_EQ(second.logged[0].placement, 1u);
}

TEST(ShardKeeper, ProposesAgainInANewViewAndGivesUpWhenSomebodyElseKeepsTheStage) {
  Desk desk(6, 1);
  desk.log = false;
  desk.keeper.view(view(1, {1, 2}));
  desk.protect(1);
  desk.run();
  ASSERT_EQ(desk.proposals.size(), 1u);
  desk.keeper.view(view(2, {1}));
  desk.carry_out();
  ASSERT_EQ(desk.proposals.size(), 2u);
  EXPECT_EQ(desk.proposals[1].epoch, Epoch(2));
  desk.keeper.view(view(3, {0, 1}));
  desk.carry_out();
  ASSERT_EQ(desk.outcomes.size(), 1u);
  EXPECT_EQ(desk.outcomes[0].code(), Code::kState);
}

TEST(ShardKeeper, ARefusedProposalIsTheOutcome) {
  Desk desk(6);
  desk.log = false;
  desk.keeper.view(view(1, {0}));
  desk.protect(4);
  desk.run();
  desk.keeper.refused({Term(1), 0, 3, 0, Status(Code::kState, "of another revision")});
  desk.carry_out();
  EXPECT_TRUE(desk.outcomes.empty());
  desk.keeper.refused({Term(1), 0, 4, 0, Status(Code::kDiverged, "another root")});
  desk.carry_out();
  ASSERT_EQ(desk.outcomes.size(), 1u);
  EXPECT_EQ(desk.outcomes[0].code(), Code::kDiverged);
}

TEST(ShardKeeper, TooFewHostsAndAStageOfOtherSlotsAreErrors) {
  Desk desk(2);
  desk.keeper.view(view(1, {0}));
  desk.protect(1);
  desk.run();
  ASSERT_EQ(desk.outcomes.size(), 1u);
  EXPECT_EQ(desk.outcomes[0].code(), Code::kArgument);
  for (uint32_t host = 2; host < 6; ++host) desk.world.start(host);
  desk.tell_vaults();
  desk.protect(1);
  desk.run();
  ASSERT_EQ(desk.logged.size(), 1u);
  desk.protect(2, {0, 3, 1});
  desk.run();
  EXPECT_EQ(desk.outcomes.back().code(), Code::kArgument);
}

TEST(ShardKeeper, MoreLossesThanParityMakesUpForAreATypedOne) {
  Desk desk(6);
  desk.keeper.view(view(1, {0}));
  desk.protect(1);
  desk.run();
  for (const size_t holder : {0u, 1u, 2u}) desk.world.kill(desk.logged[0].holders[holder].vault);
  desk.tell_vaults();
  desk.run();
  ASSERT_FALSE(desk.repairs.empty());
  EXPECT_EQ(desk.logged.size(), 1u);
  const Status loss = desk.repairs.back();
  EXPECT_TRUE(loss.code() == Code::kStateLost || loss.code() == Code::kArgument) << loss.text();
}

}  // namespace
}  // namespace rhz::recovery
