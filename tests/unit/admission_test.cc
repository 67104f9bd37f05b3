// What the coordinator does with newcomers: bulk first, whose state counts, other tensors.
#include <gtest/gtest.h>

#include "tests/unit/membership_kit.h"

namespace rhz {
namespace {

constexpr Digest kShape{1}, kOtherShape{2};

StateNote note(SyncStrategy strategy = SyncStrategy::kPopular, BulkStand bulk = BulkStand::kNone) {
  return {kShape, {2, {{"bias", "4 × f32"}, {"weights", "100 × f32"}}}, strategy, bulk};
}

struct Admission : testing::Test {
  void found(std::vector<SyncStrategy> strategies) {
    members = static_cast<uint32_t>(strategies.size());
    config.world = members;
    config.max_world = members + 3;
    office.emplace(config);
    for (uint32_t n = 0; n < members; ++n) office->hello(n, note(strategies[n]));
    for (uint32_t n = 0; n < members; ++n) office->seal(n);
  }
  void found() { found({SyncStrategy::kPopular, SyncStrategy::kPopular}); }
  // The members at their admit op, with one root each.
  void stand(uint64_t op, std::vector<uint8_t> roots, uint64_t revision = 7) {
    for (uint32_t n = 0; n < members; ++n)
      office->tell(n, AdmitBegunMessage{OpSeq(op), revision, Digest{roots[n]}, kShape});
  }
  const AdmitRecord* newest() {
    for (auto entry = office->log.rbegin(); entry != office->log.rend(); ++entry)
      if (const auto* admit = std::get_if<AdmitRecord>(&entry->record)) return admit;
    return nullptr;
  }
  uint32_t pending() { return office->last<PendingMessage>(0)->waiting; }
  void expect_refused(uint32_t n, Code code, const std::string& part) {
    const auto* refused = office->last<RefusedMessage>(n);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->status.code(), code);
    EXPECT_NE(refused->status.text().find(part), std::string::npos) << refused->status.text();
  }
  RunConfig config = config_of(2);
  uint32_t members = 2;
  std::optional<Office> office;
};

const StateNote kWanting = note(SyncStrategy::kPopular, BulkStand::kWanted);

TEST_F(Admission, WhoWantsTheBulkFirstGetsItAndEntersAtALaterOp) {
  found();
  office->hello(5, kWanting);
  EXPECT_EQ(pending(), 1u);
  stand(3, {9, 9});
  ASSERT_TRUE(newest());
  EXPECT_TRUE(newest()->joiners.empty());
  ASSERT_EQ(newest()->bulk.size(), 1u);
  EXPECT_EQ(newest()->bulk[0].id, Office::id(5));
  EXPECT_EQ(newest()->revision, 7u);
  ASSERT_TRUE(office->last<SyncStartMessage>(5));
  EXPECT_EQ(office->last<SyncStartMessage>(5)->donors.size(), 2u);
  EXPECT_EQ(pending(), 0u) << "the members go on";
  office->tell(5, SyncedMessage{OpSeq(3), 7, Digest{9}, {}});
  EXPECT_EQ(pending(), 1u);
  stand(8, {4, 4}, 12);
  ASSERT_EQ(newest()->joiners.size(), 1u);
  EXPECT_TRUE(newest()->bulk.empty());
  office->tell(5, SyncedMessage{OpSeq(8), 12, Digest{4}, {}});
  EXPECT_TRUE(office->core.view().contains(Office::id(5)));
}

TEST_F(Admission, MembersHearHowManyWantTheBulkFirst) {
  found();
  office->hello(5, kWanting);
  EXPECT_EQ(office->last<PendingMessage>(0)->bulk, 1u);
  office->hello(6, note());
  EXPECT_EQ(pending(), 2u);
  EXPECT_EQ(office->last<PendingMessage>(0)->bulk, 1u);
  office->tell(6, LeaveMessage{});
  stand(3, {9, 9});
  EXPECT_EQ(office->last<PendingMessage>(0)->bulk, 0u) << "it has a copy to pull from";
  office->tell(5, SyncedMessage{OpSeq(3), 7, Digest{9}, {}});
  EXPECT_EQ(office->last<PendingMessage>(0)->bulk, 0u);
}

TEST_F(Admission, ABulkThatFailedIsAsGoodAsOneThatIsOver) {
  found();
  office->hello(5, kWanting);
  stand(3, {9, 9});
  office->tell(5, SyncedMessage{OpSeq(3), 0, {}, Status(Code::kPeerLost, "all donors went on")});
  EXPECT_EQ(pending(), 1u);
  stand(8, {4, 4});
  EXPECT_EQ(newest()->joiners.size(), 1u);
}

TEST_F(Admission, WhoIsReadyEntersBeforeOthersGetTheirBulk) {
  found();
  office->hello(5, kWanting);
  office->hello(6, note());
  stand(3, {9, 9});
  ASSERT_EQ(newest()->joiners.size(), 1u);
  EXPECT_EQ(newest()->joiners[0].id, Office::id(6));
  EXPECT_TRUE(newest()->bulk.empty());
}

TEST_F(Admission, WhileOnePullsOthersWaitForTheNextCopyButNotForEver) {
  found();
  office->hello(5, kWanting);
  stand(3, {9, 9});
  office->hello(6, kWanting);
  EXPECT_EQ(pending(), 0u);
  for (int second = 0; second < 601; ++second) {
    office->advance(milliseconds(10));
    office->now += milliseconds(990);
    for (uint32_t n : {0u, 1u, 5u, 6u}) office->tell(n, PeerBeatMessage{});
  }
  EXPECT_EQ(pending(), 2u) << "after ten minutes";
  stand(4, {9, 9});
  ASSERT_EQ(newest()->joiners.size(), 1u);
  EXPECT_EQ(newest()->joiners[0].id, Office::id(5)) << "as if it had the bulk";
}

TEST_F(Admission, ACoordinatorThatBeganAnewHearsFromTheNewcomerHowFarItIs) {
  found();
  office->hello(5, note(SyncStrategy::kPopular, BulkStand::kPulling));
  EXPECT_EQ(pending(), 0u);
  office->hello(5, note(SyncStrategy::kPopular, BulkStand::kHad));
  EXPECT_EQ(pending(), 1u);
  stand(3, {9, 9});
  EXPECT_EQ(newest()->joiners.size(), 1u);
}

TEST_F(Admission, ThePopularStateCountsAndItsHoldersServe) {
  found({SyncStrategy::kPopular, SyncStrategy::kPopular, SyncStrategy::kPopular});
  office->hello(5, note());
  stand(3, {8, 9, 9});
  EXPECT_EQ(newest()->root, Digest{9});
  EXPECT_EQ(office->last<SyncStartMessage>(5)->donors.size(), 2u);
}

TEST_F(Admission, WhoIsReceiveOnlyHasNoVoteAndServesNobody) {
  found({SyncStrategy::kReceiveOnly, SyncStrategy::kReceiveOnly, SyncStrategy::kPopular});
  office->hello(5, note());
  stand(3, {9, 9, 8});
  EXPECT_EQ(newest()->root, Digest{8});
  ASSERT_EQ(office->last<SyncStartMessage>(5)->donors.size(), 1u);
  EXPECT_EQ(office->last<SyncStartMessage>(5)->donors[0].id, Office::id(2));
}

TEST_F(Admission, WhoIsSendOnlyDecidesAlone) {
  found({SyncStrategy::kPopular, SyncStrategy::kPopular, SyncStrategy::kSendOnly});
  office->hello(5, note());
  stand(3, {9, 9, 8});
  EXPECT_EQ(newest()->root, Digest{8});
}

TEST_F(Admission, ThatNobodySendsIsAnErrorOfTheJoinerAndTheMembersGoOn) {
  found({SyncStrategy::kReceiveOnly, SyncStrategy::kReceiveOnly});
  office->hello(5, note());
  stand(3, {9, 9});
  expect_refused(5, Code::kState, "nobody sends: all 2 members are receive-only");
  EXPECT_TRUE(newest()->joiners.empty());
  EXPECT_EQ(newest()->op, OpSeq(3));
}

TEST_F(Admission, SendOnlyMembersThatDifferAreAnErrorOfTheJoiner) {
  found({SyncStrategy::kSendOnly, SyncStrategy::kSendOnly});
  office->hello(5, note());
  stand(3, {8, 9});
  expect_refused(5, Code::kDiverged, "send-only hold 2 different states");
  EXPECT_TRUE(newest()->joiners.empty());
}

TEST_F(Admission, ANewcomersOtherTensorsAreRefusedAtOnceWithBothSides) {
  found();
  StateNote other = note();
  other.shape = kOtherShape;
  auto text_of = [&](TensorList tensors) {
    other.tensors = std::move(tensors);
    office->hello(5, other);
    const auto* refused = office->last<RefusedMessage>(5);
    EXPECT_TRUE(refused && refused->status.code() == Code::kDiverged);
    return refused ? refused->status.text() : "";
  };
  EXPECT_EQ(text_of({2, {{"bias", "4 × f32"}, {"weights", "100 × f16"}}}),
            "tensor \"weights\" is 100 × f16 here, and 100 × f32 at the members");
  EXPECT_EQ(text_of({2, {{"bias", "5 × f32"}, {"weights", "100 × f32"}}}),
            "tensor \"bias\" is 5 × f32 here, and 4 × f32 at the members");
  EXPECT_EQ(text_of({3, {{"bias", "4 × f32"}, {"extra", "1 × u8"}, {"weights", "100 × f32"}}}),
            "tensor \"extra\" (1 × u8) is registered here, and not by the members");
  EXPECT_EQ(text_of({1, {{"weights", "100 × f32"}}}),
            "tensor \"bias\" (4 × f32) is registered by the members, and not here");
  EXPECT_EQ(text_of({1, {{"bias", "4 × f32"}}}),
            "tensor \"weights\" (100 × f32) is registered by the members, and not here");
  EXPECT_NE(text_of({900, {{"bias", "4 × f32"}}}).find("behind the first 256"), std::string::npos);
  EXPECT_EQ(office->core.view().size(), 2u);
  EXPECT_EQ(pending(), 0u) << "no member heard of it";
}

// ---- the newcomer's side

TEST(BulkMember, SaysInEachHelloHowFarItIs) {
  Member member("test", Seat::info());
  member.set_state(kWanting);
  auto stand = [&] {
    member.connected(seconds(1));
    BulkStand bulk{};
    for (auto& action : member.take_actions())
      if (const auto* send = std::get_if<MemberSend>(&action))
        if (const auto* hello = std::get_if<HelloMessage>(&send->message)) bulk = hello->state.bulk;
    member.receive(seconds(1), WelcomeMessage{Term(1), {}});
    return bulk;
  };
  EXPECT_EQ(stand(), BulkStand::kWanted);
  member.receive(seconds(1), SyncStartMessage{Term(1), {OpSeq(3), {}, 7, Digest{9}, {Seat::info()}}, {}});
  bool started = false;
  for (auto& action : member.take_actions())
    if (const auto* sync = std::get_if<SyncAction>(&action)) started = sync->bulk;
  EXPECT_TRUE(started);
  member.disconnected(seconds(2));
  EXPECT_EQ(stand(), BulkStand::kPulling);
  member.synced(seconds(3), {OpSeq(3), 7, Digest{9}, {}});
  size_t said = 0;
  for (auto& action : member.take_actions())
    if (const auto* send = std::get_if<MemberSend>(&action))
      said += std::holds_alternative<SyncedMessage>(send->message);
  EXPECT_EQ(said, 1u);
  member.disconnected(seconds(4));
  EXPECT_EQ(stand(), BulkStand::kHad);
}

TEST(BulkMember, SaysBehindTheWelcomeWhatEndedBehindItsHello) {
  Member member("test", Seat::info());
  member.set_state(kWanting);
  member.connected(seconds(1));
  member.receive(seconds(1), WelcomeMessage{Term(1), {}});
  member.receive(seconds(1), SyncStartMessage{Term(1), {OpSeq(3), {}, 7, Digest{9}, {Seat::info()}}, {}});
  member.disconnected(seconds(2));
  member.connected(seconds(2));  // says that it is pulling
  member.synced(seconds(2), {OpSeq(3), 7, Digest{9}, {}});
  member.take_actions();
  member.receive(seconds(2), WelcomeMessage{Term(2), {}});
  size_t said = 0;
  for (auto& action : member.take_actions())
    if (const auto* send = std::get_if<MemberSend>(&action))
      said += std::holds_alternative<SyncedMessage>(send->message);
  EXPECT_EQ(said, 1u) << "else the members would never hear that it waits";
}

}  // namespace
}  // namespace rhz
