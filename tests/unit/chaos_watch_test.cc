// What `rhizome chaos` takes for a loss of decisions, for flapping, and for time that does not count.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>

#include "api/tools/chaos_absences.h"
#include "api/tools/chaos_faults.h"
#include "api/tools/chaos_ledger.h"
#include "api/tools/chaos_views.h"
#include "api/tools/core_queue.h"
#include "tests/spinner.h"

namespace rhz::tools {
namespace {

TEST(ViewWatch, FindsACoordinatorThatHasLostAnEpochOverItsRestart) {
  ViewWatch watch;
  watch.coordinator_began();
  EXPECT_EQ(watch.told(1), "");
  EXPECT_EQ(watch.told(5), "");
  watch.coordinator_began();
  EXPECT_EQ(watch.told(4), "the coordinator is at epoch 4 after a restart; epoch 5 had been told before");
  EXPECT_EQ(watch.told(4), "") << "once is enough";
}

TEST(ViewWatch, FindsTheLossOfAnEpochThatOnlyAPeerHadSpokenOf) {
  ViewWatch watch;
  EXPECT_EQ(watch.told(5), "");
  watch.known(6);
  watch.coordinator_began();
  EXPECT_NE(watch.told(5), "");
}

TEST(ViewWatch, FindsALossOverSeveralRestartsInARow) {
  ViewWatch watch;
  EXPECT_EQ(watch.told(7), "");
  watch.coordinator_began();
  watch.coordinator_began();
  EXPECT_NE(watch.told(6), "");
}

TEST(ViewWatch, TakesTheSameEpochOrALaterOneForNoLoss) {
  ViewWatch watch;
  EXPECT_EQ(watch.told(5), "");
  watch.coordinator_began();
  EXPECT_EQ(watch.told(5), "");
  EXPECT_EQ(watch.told(6), "");
}

// Its word is under way, and a peer's line is faster.
TEST(ViewWatch, TakesAPeerThatIsAheadOfTheSameCoordinatorsWordForNoLoss) {
  ViewWatch watch;
  watch.coordinator_began();
  watch.known(3);
  EXPECT_EQ(watch.told(2), "");
}

TEST(ViewWatch, FindsMoreChangesThanWhatStruckAndWhoCameExplain) {
  ViewWatch watch;
  EXPECT_EQ(watch.told(10), "");
  watch.count();
  watch.struck(1);
  watch.entered();
  EXPECT_EQ(watch.told(17), "");
  EXPECT_EQ(watch.flapping(), "") << "two by the fault, one joined, four for nothing";
  EXPECT_EQ(watch.told(18), "");
  EXPECT_EQ(watch.flapping(), "8 changes of the view, where what struck, who came and ops that failed explain 7 at most");
  EXPECT_EQ(watch.flapping(), "") << "once is enough";
}

TEST(ViewWatch, KnowsByWhatASlotWasLostWhenOthersHaveComeSince) {
  ViewWatch watch;
  watch.explained(6, "joined: slot 2");
  watch.explained(8, "joined: slot 3");
  watch.explained(7, "lost: slot 3 (silent)");
  EXPECT_EQ(watch.causes_behind(6), "epoch 7: lost: slot 3 (silent); epoch 8: joined: slot 3");
  EXPECT_EQ(watch.causes_behind(8), "");
}

TEST(ViewWatch, TakesAnOpThatFailedForTheReasonOfOneChange) {
  ViewWatch watch;
  watch.explained(9, "op 1 failed: cancelled");
  EXPECT_EQ(watch.told(10), "");
  watch.count();
  for (const uint64_t epoch : {12u, 11u, 12u}) watch.explained(epoch, "op 7 of a group failed: the root, slot 1, is no member");
  watch.explained(13, "lost: slot 1");
  EXPECT_EQ(watch.expected(), 5u) << "that of epoch 12; and four for nothing";
  watch.explained(14, "op 8 failed: cancelled");
  EXPECT_EQ(watch.expected(), 6u);
}

TEST(ViewWatch, CountsNoChangesFromBeforeTheFaults) {
  ViewWatch watch;
  watch.entered();
  EXPECT_EQ(watch.told(10), "");
  watch.count();
  EXPECT_EQ(watch.flapping(), "");
  EXPECT_EQ(watch.changes(), 0u);
  EXPECT_EQ(watch.told(15), "");
  EXPECT_NE(watch.flapping(), "") << "who founded the run explains nothing";
}

TEST(Absences, AreWhatOfThemLiesBehindAMoment) {
  Absences absences;
  absences.note(10, false);
  absences.note(20, true);
  absences.note(30, true);
  absences.note(40, false);
  absences.note(60, true);
  EXPECT_EQ(absences.since(0), 20u);
  absences.note(70, true);
  EXPECT_EQ(absences.since(0), 30u) << "also of one that goes on";
  EXPECT_EQ(absences.since(35), 15u);
  EXPECT_EQ(absences.since(45), 10u);
  EXPECT_EQ(absences.since(70), 0u);
}

TEST(CoreQueue, TellsOfAProcessThatWaitsBesideAnother) {
  const test::OnOneCore together;
  const test::Spinner first, second;
  CoreQueue queue;
  EXPECT_EQ(queue.longest_ns(first.process()), 0u) << "the first look has nothing to compare";
  uint64_t longest = 0;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (longest < 1'000'000 && std::chrono::steady_clock::now() < until) {
    ::poll(nullptr, 0, 5);
    longest = std::max(longest, queue.longest_ns(first.process()));
  }
  EXPECT_GE(longest, 1'000'000u);
  EXPECT_EQ(queue.longest_ns(second.process()), 0u) << "another process";
}

TEST(CoreQueue, SaysNothingOfAProcessThatIsGone) {
  CoreQueue queue;
  {
    const test::Spinner gone;
    EXPECT_EQ(queue.longest_ns(gone.process()), 0u);
    EXPECT_EQ(queue.longest_ns(::getpid()), 0u);
    (void)queue.longest_ns(gone.process());
  }
  EXPECT_EQ(queue.longest_ns(0), 0u);
}

TEST(LedgerLine, HasTheNumbersOfALineAndOfNoOther) {
  EXPECT_FALSE(LedgerLine::of("joined slot=1"));
  const auto line = LedgerLine::of("ledger op=7 outcome=0 digest=ab contributors=0,1 wrong=2 us=31 epoch=4");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->op, 7u);
  EXPECT_EQ(line->wrong, 2u);
  EXPECT_EQ(line->us, 31u);
  EXPECT_EQ(line->epoch, 4u);
}

TEST(Ledger, FindsResultsThatDifferAndWrongElements) {
  Ledger ledger;
  const auto note = [&](size_t slot, const char* line) { return ledger.note(slot, *LedgerLine::of(line)); };
  EXPECT_EQ(note(0, "ledger op=7 outcome=0 digest=ab contributors=0,1 us=1"), "");
  EXPECT_EQ(note(1, "ledger op=7 outcome=0 digest=ab contributors=0,1 us=9"), "") << "how long it took may differ";
  EXPECT_NE(note(2, "ledger op=7 outcome=0 digest=ac contributors=0,1"), "");
  EXPECT_NE(note(2, "ledger op=7 outcome=0 digest=ab contributors=0"), "");
  EXPECT_NE(note(2, "ledger op=7 outcome=300 digest=ab contributors=0,1"), "");
  EXPECT_NE(note(2, "ledger op=8 outcome=0 digest=ab contributors=0,1 wrong=1"), "");
  EXPECT_EQ(ledger.compared(), 4u);
}

TEST(FaultPlan, FreezesSomeForUpToTwentySuspicionTimesAndMostForUpToFour) {
  constexpr uint64_t kSuspicion = 1'000'000;
  FaultPlan plan(1, 4, 1000, kSuspicion, {FaultKind::kFreeze});
  uint64_t longest = 0, shortest = UINT64_MAX;
  int long_ones = 0;
  for (int i = 0; i < 1000; ++i, plan.advance()) {
    longest = std::max(longest, plan.next().lasts_ns);
    shortest = std::min(shortest, plan.next().lasts_ns);
    long_ones += plan.next().lasts_ns > 4 * kSuspicion;
  }
  EXPECT_GT(longest, 18 * kSuspicion);
  EXPECT_LE(longest, 20 * kSuspicion);
  EXPECT_GE(shortest, kSuspicion * 3 / 2);
  EXPECT_GT(long_ones, 90);
  EXPECT_LT(long_ones, 160);
}

}  // namespace
}  // namespace rhz::tools
