// Coordinator, Member and FailureDetector, each with past, in-order, duplicate and future messages.
#include <gtest/gtest.h>

#include "runtime/membership/failure_detector.h"
#include "tests/unit/membership_kit.h"

namespace rhz {
namespace {

TEST(RankIndex, FindsWhomTheViewHas) {
  View view;
  EXPECT_FALSE(RankIndex(view).contains(PeerId{1, 1}));
  for (uint32_t r = 0; r < 5; ++r) view.members.push_back({PeerId{10 - r, r % 2}, Slot(2 * r), 0, {}});
  const RankIndex ranks(view);
  for (uint64_t high = 0; high < 12; ++high)
    for (uint64_t low = 0; low < 3; ++low) EXPECT_EQ(ranks.rank_of({high, low}), view.rank_of({high, low})) << high << " " << low;
}

TEST(Coordinator, FormsTheFirstViewOnlyWhenTheWorldIsComplete) {
  Office office(config_of(2));
  office.hello(0);
  EXPECT_EQ(office.core.view().epoch, Epoch(0));
  office.hello(1);
  EXPECT_EQ(office.core.view().size(), 2u);
  EXPECT_FALSE(office.core.resolved());
  office.seal(0);
  office.seal(0);  // a duplicate counts once
  EXPECT_FALSE(office.core.resolved());
  office.seal(1);
  EXPECT_TRUE(office.core.resolved());
}

TEST(Coordinator, RefusesAnotherRunAndAnExistingRunsRetiredPeers) {
  Office office(config_of(1));
  office.hello(0, "other");
  ASSERT_TRUE(office.last<RefusedMessage>(0));
  EXPECT_EQ(office.last<RefusedMessage>(0)->status.code(), Code::kRunId);
}

TEST(Coordinator, RemovesAPeerWhoseProcessIsGoneWithinMilliseconds) {
  Office office(config_of(3));
  office.found(3);
  SuspectMessage suspect{office.core.view().epoch, Office::id(1), 2, false};
  office.tell(0, suspect);
  office.core.disconnected(office.now, 2);
  office.advance(milliseconds(4));
  EXPECT_FALSE(office.core.view().contains(Office::id(1)));
  office.seal(0);
  office.seal(2);
  EXPECT_TRUE(office.core.resolved());
  office.hello(1);  // V2: never again under that id
  EXPECT_EQ(office.last<RefusedMessage>(1)->status.code(), Code::kEvicted);
}

// It may have seen nothing of the log, so that its hello is a newcomer's (V2).
TEST(Coordinator, RefusesForEverWhoWasRemovedBeforeItHadSealed) {
  Office office(config_of(2));
  office.hello(0);
  office.hello(1);
  office.seal(0);
  office.advance(milliseconds(1));
  office.core.disconnected(office.now, 2);
  for (int i = 0; i < 11; ++i) {
    office.advance(milliseconds(100));
    office.tell(0, PeerBeatMessage{});
  }
  ASSERT_EQ(office.core.view().size(), 1u);
  for (uint64_t op = 0; op < 1500; ++op) {  // more views than are remembered
    office.seal(0);
    office.tell(0, FailMessage{office.core.view().epoch, kRootGroup, OpSeq(op), Status(Code::kCancelled, "stop")});
  }
  ASSERT_GT(office.core.view().epoch, Epoch(1500));
  office.hello(1);
  ASSERT_TRUE(office.last<RefusedMessage>(1));
  EXPECT_EQ(office.last<RefusedMessage>(1)->status.code(), Code::kEvicted);
}

TEST(Coordinator, RemovesADeadPeerBeforeItsConnectionEnds) {
  Office office(config_of(3));
  office.found(3);
  office.tell(0, SuspectMessage{office.core.view().epoch, Office::id(1), 1, false});
  office.advance(milliseconds(4));
  EXPECT_FALSE(office.core.view().contains(Office::id(1)));
}

TEST(Coordinator, WaitsForTheEndOfTheConnectionOfAPeerThatRefused) {
  Office office(config_of(3));
  office.found(3);
  office.tell(0, SuspectMessage{office.core.view().epoch, Office::id(1), 2, false});
  office.advance(milliseconds(20));
  EXPECT_TRUE(office.core.view().contains(Office::id(1)));
  office.core.disconnected(office.now, 2);
  office.advance(milliseconds(4));
  EXPECT_FALSE(office.core.view().contains(Office::id(1)));
}

TEST(Coordinator, DoesNotEvictOnOneSoftAccusationOfAPeerThatItHears) {
  Office office(config_of(4));
  office.found(4);
  office.tell(0, SuspectMessage{office.core.view().epoch, Office::id(1), 6, false});
  for (int i = 0; i < 20; ++i) {
    office.advance(milliseconds(20));
    for (uint32_t n = 0; n < 4; ++n) office.tell(n, PeerBeatMessage{});
  }
  EXPECT_EQ(office.core.view().size(), 4u);
}

// Rank 0 does not reach rank 1, which lives.
void break_the_edge(Office& office) {
  office.tell(0, SuspectMessage{office.core.view().epoch, Office::id(1), 2, false});
  office.advance(milliseconds(100));
  office.tell(1, PeerBeatMessage{});
  office.advance(milliseconds(50));
}

// The ring 0 1 2 3 becomes one that avoids the edge; without rank 3 there is none, and the edge is tried once more.
TEST(Coordinator, AvoidsABrokenEdgeAndRemovesWhoeverIsBehindItWhenNoRingDoesAnyMore) {
  Office office(config_of(4));
  office.found(4);
  break_the_edge(office);
  EXPECT_EQ(office.core.view().size(), 4u);
  for (uint32_t n = 0; n < 4; ++n) office.seal(n);
  const auto* resolve = std::get_if<ResolveRecord>(&office.log.back().record);
  ASSERT_TRUE(resolve);
  EXPECT_TRUE(resolve->resolution.groups[0].relayed);
  EXPECT_EQ(resolve->resolution.groups[0].ring, (std::vector<Rank>{Rank(0), Rank(2), Rank(1), Rank(3)}));
  office.tell(0, SuspectMessage{office.core.view().epoch, Office::id(3), 1, false});
  office.core.disconnected(office.now, 4);
  office.advance(milliseconds(4));
  EXPECT_EQ(office.core.view().size(), 3u) << office.core.view().cause;
  EXPECT_EQ(office.core.view().cause, "lost: slot 3 (its process ended); broken edges are tried again");
  for (uint32_t n = 0; n < 3; ++n) office.seal(n);
  EXPECT_FALSE(std::get<ResolveRecord>(office.log.back().record).resolution.groups[0].relayed);
  break_the_edge(office);
  EXPECT_EQ(office.core.view().size(), 2u) << office.core.view().cause;
  EXPECT_TRUE(office.core.view().contains(Office::id(2)));
}

// A member stood still for a little more than the suspicion time: whoever missed it hears it again, and so does the coordinator.
TEST(Coordinator, TakesASilenceThatIsOverForNoBrokenEdge) {
  for (const uint8_t evidence : {6, 3}) {
    Office office(config_of(4));
    office.found(4);
    const Epoch before = office.core.view().epoch;
    office.tell(0, SuspectMessage{before, Office::id(1), evidence, false});
    office.advance(milliseconds(120));
    office.tell(0, SuspectMessage{before, Office::id(1), 0, false});
    office.tell(1, PeerBeatMessage{});
    office.advance(milliseconds(300));
    EXPECT_EQ(office.core.view().epoch == before, evidence == 6) << "a connection that is gone is not taken back";
  }
}

// A connection was reset, and the first packet of the next one was lost.  Of two members neither can be avoided.
TEST(Coordinator, TriesABrokenEdgeOnceMoreBeforeItCostsAMemberAndAgainMuchLater) {
  Office office(config_of(2));
  office.found(2);
  const auto break_it = [&] {
    break_the_edge(office);
    for (uint32_t n = 0; n < 2; ++n) office.seal(n);
  };
  for (int time = 0; time < 3; ++time) {
    break_it();
    EXPECT_EQ(office.core.view().size(), 2u) << office.core.view().cause;
    EXPECT_EQ(office.core.view().cause, "broken edges are tried again");
    for (int s = 0; s < 60; ++s) {
      office.advance(milliseconds(1000));
      for (uint32_t n = 0; n < 2; ++n) office.tell(n, PeerBeatMessage{});
    }
  }
  break_it();
  EXPECT_EQ(office.core.view().size(), 2u);
  break_it();
  EXPECT_EQ(office.core.view().size(), 1u) << office.core.view().cause;
}

// Ranks 0 and 1 are two of four, and a group of two.
TEST(Coordinator, TriesABrokenEdgeThatAGroupCannotAvoidOnceMoreAndThenRemovesOneEnd) {
  Office office(config_of(4));
  office.found(4);
  const auto seal_all = [&] {
    SealedMessage sealed;
    sealed.report.epoch = office.core.view().epoch;
    sealed.report.groups = {{}, {GroupId(77), OpSeq(0), OpSeq(0), {}, {Office::id(0), Office::id(1)}}};
    office.tell(0, sealed);
    for (uint32_t n = 1; n < 4; ++n) office.seal(n);
  };
  const auto ring_of_the_group = [&] {
    const auto* resolve = std::get_if<ResolveRecord>(&office.log.back().record);
    return resolve && resolve->resolution.groups.size() == 2 ? resolve->resolution.groups[1].ring : std::vector<Rank>();
  };
  break_the_edge(office);
  seal_all();
  EXPECT_EQ(office.core.view().size(), 4u) << office.core.view().cause;
  EXPECT_EQ(ring_of_the_group(), (std::vector<Rank>{Rank(0), Rank(1)}));
  break_the_edge(office);
  seal_all();
  EXPECT_EQ(office.core.view().size(), 3u);
  EXPECT_FALSE(office.core.view().contains(Office::id(1))) << office.core.view().cause;
  seal_all();
  EXPECT_EQ(ring_of_the_group(), std::vector<Rank>{Rank(0)});
}

// Not to be heard yet and not to be heard any more look alike for a while: until then neither a node nor an edge is at fault.  With three
// members a broken edge would cost one of its ends, the wrong one half of the time.
TEST(Coordinator, WaitsForAWordOfTheAccusedBeforeItBlamesTheEdge) {
  Office office(config_of(3));
  office.found(3);
  for (int i = 0; i < 8; ++i) {
    office.advance(milliseconds(100));
    for (uint32_t n = 1; n < 3; ++n) office.tell(n, PeerBeatMessage{});
  }
  const Epoch before = office.core.view().epoch;
  office.tell(1, SuspectMessage{before, Office::id(0), 6, false});
  office.advance(milliseconds(150));
  for (uint32_t n = 1; n < 3; ++n) office.tell(n, PeerBeatMessage{});
  EXPECT_EQ(office.core.view().epoch, before) << office.core.view().cause;
  office.advance(milliseconds(150));
  EXPECT_EQ(office.core.view().size(), 2u);
  EXPECT_FALSE(office.core.view().contains(Office::id(0))) << office.core.view().cause;
}

// Whoever comes back first accuses one that is not back yet, and the third has to report.
TEST(Coordinator, TakesNobodyForSilentWhileItWasCutOffFromAll) {
  Office office(config_of(3));
  office.found(3);
  const auto pass = [&](int steps, bool heard) {
    for (int i = 0; i < steps; ++i) {
      office.advance(milliseconds(100));
      if (heard) office.tell(0, PeerBeatMessage{});
    }
  };
  pass(30, false);
  const Epoch before = office.core.view().epoch;
  office.tell(0, SuspectMessage{before, Office::id(1), 6, false});
  pass(5, true);
  EXPECT_EQ(office.core.view().epoch, before) << office.core.view().cause;
  pass(10, true);
  EXPECT_FALSE(office.core.view().contains(Office::id(1))) << office.core.view().cause;
}

// Its connection ended in the outage; a death behind it makes a view that the third cannot seal at once.
TEST(Coordinator, WaitsBehindAnOutageForThoseWhoseConnectionsHaveEnded) {
  Office office(config_of(3));
  office.found(3);
  for (int i = 0; i < 15; ++i) office.advance(milliseconds(100));
  office.core.disconnected(office.now, 3);
  for (int i = 0; i < 15; ++i) office.advance(milliseconds(100));
  office.tell(0, PeerBeatMessage{});
  office.tell(0, SuspectMessage{office.core.view().epoch, Office::id(1), 1, false});
  office.advance(milliseconds(10));
  office.seal(0);
  for (int i = 0; i < 3; ++i) {
    office.advance(milliseconds(100));
    office.tell(0, PeerBeatMessage{});
  }
  EXPECT_FALSE(office.core.view().contains(Office::id(1))) << office.core.view().cause;
  EXPECT_TRUE(office.core.view().contains(Office::id(2))) << office.core.view().cause;
}

// The connections of one are cut, by a network that recovers or because it died.  Between members one that does not come back within
// 300 ms is evidence, but no word of a death; and for the first packet of a connection alone TCP waits a second.
TEST(Coordinator, GivesWhoseConnectionsAreCutTheSuspicionTime) {
  for (const bool sealing : {false, true}) {
    for (const bool accused : {false, true}) {
      Office office(config_of(3));
      office.found(3);
      if (sealing) {
        office.tell(0, FailMessage{office.core.view().epoch, kRootGroup, OpSeq(0), Status(Code::kCancelled, "stop")});
        for (uint32_t n = 0; n < 2; ++n) office.seal(n);
        office.advance(milliseconds(1));
      }
      office.core.disconnected(office.now, 3);
      if (accused) office.tell(0, SuspectMessage{office.core.view().epoch, Office::id(2), 3, false});
      const auto later = [&](int ms) {
        for (; ms > 0; ms -= 50) {
          office.advance(milliseconds(50));
          for (uint32_t n = 0; n < 2; ++n) office.tell(n, PeerBeatMessage{});
        }
      };
      later(900);
      EXPECT_EQ(office.core.view().size(), 3u) << office.core.view().cause;
      later(200);
      EXPECT_EQ(office.core.view().size(), sealing || accused ? 2u : 3u) << "one suspicion time is enough";
    }
  }
}

TEST(Coordinator, WaitsForTheAccusedToComeBackAfterItsRestart) {
  Office first(config_of(3));
  first.found(3);
  Office office(config_of(3), first.log);
  const Epoch before = office.core.view().epoch;
  for (uint32_t n = 1; n < 3; ++n) {
    HelloMessage hello;
    hello.run_id = "test";
    hello.self.id = Office::id(n);
    office.tell(n, hello);
  }
  office.tell(1, SuspectMessage{before, Office::id(0), 6, false});
  for (int i = 0; i < 8; ++i) {
    office.advance(milliseconds(100));
    for (uint32_t n = 1; n < 3; ++n) office.tell(n, PeerBeatMessage{});
  }
  EXPECT_EQ(office.core.view().epoch, before) << office.core.view().cause;
  office.advance(milliseconds(300));
  EXPECT_FALSE(office.core.view().contains(Office::id(0))) << office.core.view().cause;
  EXPECT_EQ(office.core.view().size(), 2u);
}

TEST(Coordinator, IgnoresAccusationsOfAnOlderEpoch) {
  Office office(config_of(2));
  office.found(2);
  office.tell(0, SuspectMessage{Epoch(0), Office::id(1), 1, false});
  office.core.disconnected(office.now, 2);
  office.advance(milliseconds(20));
  EXPECT_EQ(office.core.view().size(), 2u);
}

TEST(Coordinator, EvictsASilentPeerWithTwoObservers) {
  Office office(config_of(2));
  office.found(2);
  for (int i = 0; i < 120; ++i) {
    office.advance(milliseconds(10));
    office.tell(0, PeerBeatMessage{});
  }
  EXPECT_EQ(office.core.view().size(), 2u) << "alone, the coordinator evicts nobody";
  office.tell(0, SuspectMessage{office.core.view().epoch, Office::id(1), 5, false});
  office.advance(milliseconds(150));
  EXPECT_EQ(office.core.view().size(), 1u);
}

TEST(Coordinator, GoesOnFromItsLog) {
  Office office(config_of(2));
  office.found(2);
  const View view = office.core.view();
  Office restarted(config_of(2), office.log);
  EXPECT_EQ(restarted.core.view(), view);
  EXPECT_TRUE(restarted.core.resolved());
  HelloMessage hello;
  hello.run_id = "test";
  hello.self.id = Office::id(0);
  hello.last_index = LogIndex(3);
  hello.term = Term(1);
  restarted.tell(0, hello);
  ASSERT_TRUE(restarted.last<WelcomeMessage>(0));
  EXPECT_GT(restarted.last<WelcomeMessage>(0)->term, Term(1));
}

TEST(Coordinator, RefusesAPeerThatHasSeenMoreThanTheLogHolds) {
  Office office(config_of(1));
  HelloMessage hello;
  hello.run_id = "test";
  hello.self.id = Office::id(0);
  hello.last_index = LogIndex(99);
  office.tell(0, hello);
  ASSERT_TRUE(office.last<RefusedMessage>(0));
  EXPECT_EQ(office.last<RefusedMessage>(0)->status.code(), Code::kCorrupt);
}

TEST(Coordinator, RefusesAPeerThatHasSeenAnotherRecordInThatPlace) {
  Office office(config_of(1));
  HelloMessage hello;
  hello.run_id = "test";
  hello.self.id = Office::id(0);
  hello.last_index = LogIndex(1);
  hello.term = Term(7);
  office.tell(0, hello);
  ASSERT_TRUE(office.last<RefusedMessage>(0));
  EXPECT_EQ(office.last<RefusedMessage>(0)->status.code(), Code::kCorrupt);
}

TEST(Coordinator, EndsTheRunWhenEveryMemberIsGoneForGood) {
  Office office(config_of(2));
  office.found(2);
  office.hello(2);
  office.core.disconnected(office.now, 1);
  office.core.disconnected(office.now, 2);
  office.advance(seconds(11));
  EXPECT_EQ(office.core.view().size(), 0u);
  ASSERT_TRUE(office.last<RefusedMessage>(2));
}

TEST(Coordinator, AdmitsAJoinerOnlyWithTheLoggedStateAndAtTheMembersAdmitOp) {
  RunConfig config = config_of(1);
  config.max_world = 2;
  Office office(config);
  office.found(1);
  office.hello(1);
  office.advance(milliseconds(10));
  EXPECT_EQ(office.core.view().size(), 1u);
  AdmitBegunMessage begun{OpSeq(4), 7, Digest{1}, Digest{}};
  office.tell(0, begun);
  ASSERT_TRUE(office.last<SyncStartMessage>(1));
  EXPECT_EQ(office.last<SyncStartMessage>(1)->admit.root, Digest{1});
  office.tell(1, SyncedMessage{OpSeq(4), 7, Digest{2}, {}});  // R2: another root
  office.advance(milliseconds(10));
  EXPECT_EQ(office.core.view().size(), 1u);
  office.tell(0, begun);  // said again: decided once
  EXPECT_EQ(office.last<SyncStartMessage>(1)->admit.op, OpSeq(4));
  begun.op = OpSeq(6);
  office.tell(0, begun);
  office.tell(1, SyncedMessage{OpSeq(6), 7, Digest{1}, {}});
  EXPECT_EQ(office.core.view().size(), 2u);
}

TEST(Coordinator, RefusesANewcomerWhenTheWorldStaysFull) {
  Office office(config_of(1));
  office.found(1);
  office.hello(1);
  for (int i = 0; i < 40; ++i) {
    office.advance(milliseconds(100));
    office.tell(0, PeerBeatMessage{});
    office.tell(1, PeerBeatMessage{});
  }
  ASSERT_TRUE(office.last<RefusedMessage>(1));
  EXPECT_EQ(office.last<RefusedMessage>(1)->status.code(), Code::kWorldFull);
}

Resolution resolution_of(uint64_t epoch) {
  Resolution resolution;
  resolution.epoch = Epoch(epoch);
  resolution.groups.push_back({});
  return resolution;
}

TEST(Member, SealsOnAViewAndInstallsOnItsResolution) {
  Seat seat;
  const View view = view_of(1, {{9, 1}, {9, 2}});
  EXPECT_EQ(seat.give<SealAction>({Seat::entry(2, ViewRecord{view})}).size(), 1u);
  EXPECT_FALSE(seat.core.is_member());
  EXPECT_EQ(seat.give<SealAction>({Seat::entry(2, ViewRecord{view})}).size(), 0u) << "a duplicate";
  EXPECT_EQ(seat.give<InstallAction>({Seat::entry(3, ResolveRecord{resolution_of(1)})}).size(), 1u);
  EXPECT_TRUE(seat.core.is_member());
}

TEST(Member, IgnoresAStaleTerm) {
  Seat seat;
  seat.core.receive(seat.now, WelcomeMessage{Term(5), {}});
  EXPECT_TRUE(seat.give<SealAction>({Seat::entry(2, ViewRecord{view_of(1, {{9, 1}})})}, 4).empty());
}

TEST(Member, EndsWhenAViewLeavesItOut) {
  Seat seat;
  seat.give<SealAction>({Seat::entry(2, ViewRecord{view_of(1, {{9, 1}, {9, 2}})})});
  const auto ends = seat.give<EndAction>({Seat::entry(3, ViewRecord{view_of(2, {{9, 2}})})});
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].status.code(), Code::kEvicted);
  EXPECT_TRUE(seat.core.ended());
}

// A coordinator that was started on a damaged log, or another run's under the same name.
TEST(Member, EndsWhenTheLogDoesNotGoOnFromWhereItStands) {
  const View first = view_of(3, {{9, 1}, {9, 2}});
  const LogEntry wrong[] = {Seat::entry(4, ViewRecord{view_of(4, {{9, 1}})}), Seat::entry(3, ViewRecord{view_of(3, {{9, 1}})}),
                            Seat::entry(3, ResolveRecord{resolution_of(2)}), Seat::entry(3, ResolveRecord{})};
  for (const LogEntry& entry : wrong) {
    Seat seat;
    seat.give<SealAction>({Seat::entry(2, ViewRecord{first})});
    const auto ends = seat.give<EndAction>({entry, Seat::entry(9, ViewRecord{view_of(9, {{9, 1}})})});
    ASSERT_EQ(ends.size(), 1u);
    EXPECT_EQ(ends[0].status.code(), Code::kCorrupt) << ends[0].status.text();
    EXPECT_NE(ends[0].status.text().find("does not go on from where this peer stands"), std::string::npos);
  }
}

TEST(Member, ReportsAgainToARestartedCoordinator) {
  Seat seat;
  seat.give<SealAction>({Seat::entry(2, ViewRecord{view_of(1, {{9, 1}})})});
  seat.core.sealed(seat.now, {Epoch(1), {}});
  seat.core.disconnected(seat.now);
  seat.core.take_actions();
  seat.core.connected(seat.now);
  seat.core.receive(seat.now, WelcomeMessage{Term(2), {}});
  bool reported = false;
  for (auto& action : seat.core.take_actions())
    if (auto* send = std::get_if<MemberSend>(&action))
      reported |= std::holds_alternative<SealedMessage>(send->message);
  EXPECT_TRUE(reported);
}

TEST(Member, TakesASilenceBackWhenItHearsThePeerAgain) {
  for (const uint8_t evidence : {6, 3}) {
    Seat seat;
    seat.give<SealAction>({Seat::entry(2, ViewRecord{view_of(1, {{9, 1}, {9, 2}})})});
    seat.give<InstallAction>({Seat::entry(3, ResolveRecord{resolution_of(1)})});
    seat.core.disconnected(seat.now);
    seat.core.suspect(seat.now, {9, 2}, evidence, false);
    seat.core.heard({9, 2});
    seat.core.take_actions();
    seat.core.connected(seat.now);
    seat.core.receive(seat.now, WelcomeMessage{Term(2), {}});
    bool accused = false;
    for (auto& action : seat.core.take_actions())
      if (auto* send = std::get_if<MemberSend>(&action)) accused |= std::holds_alternative<SuspectMessage>(send->message);
    EXPECT_EQ(accused, evidence != 6) << "what the connections say is no silence";
  }
}

std::vector<SuspectMessage> accusations(Seat& seat) {
  std::vector<SuspectMessage> said;
  for (auto& action : seat.core.take_actions())
    if (auto* send = std::get_if<MemberSend>(&action))
      if (auto* suspect = std::get_if<SuspectMessage>(&send->message)) said.push_back(*suspect);
  return said;
}

// Two die at once, and the view without the first makes an older word of that about the second.
TEST(Member, SaysOfAProcessThatHasEndedAgainWhenTheViewChangesAndForgetsOtherSuspicions) {
  Seat seat;
  seat.give<SealAction>({Seat::entry(2, ViewRecord{view_of(1, {{9, 1}, {9, 2}, {9, 3}, {9, 4}, {9, 5}})})});
  seat.give<InstallAction>({Seat::entry(3, ResolveRecord{resolution_of(1)})});
  seat.core.suspect(seat.now, {9, 2}, 2, false);
  seat.core.suspect(seat.now, {9, 3}, 2, false);
  seat.core.suspect(seat.now, {9, 4}, 1, false);
  seat.core.suspect(seat.now, {9, 5}, 3, false);
  (void)accusations(seat);
  seat.core.receive(seat.now, EntriesMessage{Term(1), {Seat::entry(4, ViewRecord{view_of(2, {{9, 1}, {9, 3}, {9, 4}, {9, 5}})})}});
  EXPECT_EQ(accusations(seat), (std::vector<SuspectMessage>{{Epoch(2), {9, 3}, 2, false}, {Epoch(2), {9, 4}, 1, false}}));
  seat.core.receive(seat.now, EntriesMessage{Term(1), {Seat::entry(5, ViewRecord{view_of(3, {{9, 1}, {9, 4}, {9, 5}})})}});
  EXPECT_EQ(accusations(seat), (std::vector<SuspectMessage>{{Epoch(3), {9, 4}, 1, false}}));
  seat.give<InstallAction>({Seat::entry(6, ResolveRecord{resolution_of(3)})});
  seat.core.receive(seat.now, EntriesMessage{Term(1), {Seat::entry(7, ViewRecord{view_of(4, {{9, 1}, {9, 4}, {9, 5}})})}});
  EXPECT_TRUE(accusations(seat).empty()) << "the transport looks again";
}

TEST(Member, TellsTheCoordinatorThatASilenceIsOver) {
  Seat seat;
  seat.give<SealAction>({Seat::entry(2, ViewRecord{view_of(1, {{9, 1}, {9, 2}})})});
  seat.give<InstallAction>({Seat::entry(3, ResolveRecord{resolution_of(1)})});
  seat.core.suspect(seat.now, {9, 2}, 6, false);
  seat.core.take_actions();
  for (int times = 0; times < 2; ++times) seat.core.heard({9, 2});
  EXPECT_EQ(accusations(seat), (std::vector<SuspectMessage>{{Epoch(1), {9, 2}, 0, false}}));
}

TEST(Member, ResignsWhenItNeedsTheCoordinatorAndCannotReachIt) {
  Seat seat;
  const View view = view_of(1, {{9, 1}, {9, 2}});
  seat.give<SealAction>({Seat::entry(2, ViewRecord{view})});
  seat.give<InstallAction>({Seat::entry(3, ResolveRecord{resolution_of(1)})});
  seat.core.disconnected(seat.now);
  seat.core.tick(seat.now + seconds(1000));
  EXPECT_FALSE(seat.core.ended()) << "it does not need the coordinator";
  seat.core.suspect(seat.now, {9, 2}, 1, false);
  seat.core.tick(seat.now);
  seat.core.tick(seat.now + seconds(61));
  EXPECT_TRUE(seat.core.ended());
}

TEST(FailureDetector, AccusesAPeerThatMissesItsHeartbeatsOnce) {
  FailureDetector detector;
  detector.watch(seconds(0), {{1, 1}, {1, 2}});
  size_t accused = 0;
  for (int ms = 0; ms <= 1500; ms += 50) {
    detector.heard(milliseconds(ms), {1, 1});
    for (const auto& silent : detector.tick(milliseconds(ms))) {
      EXPECT_EQ(silent.peer, (PeerId{1, 2}));
      EXPECT_GE(silent.silence, milliseconds(1000));
      ++accused;
    }
  }
  EXPECT_EQ(accused, 1u);
}

TEST(FailureDetector, DoubtsItselfAfterAPause) {
  FailureDetector detector;
  detector.watch(seconds(0), {{1, 1}});
  detector.tick(milliseconds(10));
  EXPECT_TRUE(detector.tick(seconds(30)).empty());
  EXPECT_TRUE(detector.self_doubt(seconds(30)));
  EXPECT_TRUE(detector.tick(seconds(30) + milliseconds(500)).empty());
}

}  // namespace
}  // namespace rhz
