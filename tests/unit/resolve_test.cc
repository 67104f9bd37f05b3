// resolve(): docs/protocol.md, "A peer dies, or is suspected" step 3 and "Errors are uniform too".
#include "runtime/agreement/resolve.h"

#include <gtest/gtest.h>

namespace rhz {
namespace {

using Outcome = OpDecision::Outcome;

PeerId peer(uint32_t n) { return {1, n + 1}; }

// A resolution round of `world` members in epoch 2; epoch 1 had one member more.
struct Round {
  explicit Round(uint32_t world) {
    view.epoch = Epoch(2);
    for (uint32_t r = 0; r < world; ++r) {
      MemberInfo member;
      member.id = peer(r);
      member.slot = Slot(r);
      view.members.push_back(member);
      reports.push_back({Epoch(2), {GroupReport{kRootGroup, OpSeq(0), OpSeq(1), {}, {}}}});
    }
  }
  OpReport& op(uint32_t rank, uint64_t seq, uint32_t chunks = 4) {
    auto& open = reports[rank].groups[0].open;
    open.push_back({});
    open.back().seq = OpSeq(seq);
    open.back().begun = true;
    open.back().chunks = chunks;
    open.back().mode = mode;
    open.back().signature = 7;
    return open.back();
  }
  ResolveOutput run() {
    ResolveInput input;
    input.group = group;
    input.view = &view;
    for (const auto& report : reports) input.reports.push_back(&report);
    input.first_op = first_op.empty() ? std::vector<OpSeq>(view.size()) : first_op;
    input.ring = make_ring(view.size(), {});
    input.aborts = aborts;
    input.relayed = relayed;
    input.contributors = [this](Epoch lineage, OpSeq) {
      std::vector<PeerId> ids;
      for (uint32_t r = 0; r < view.size() + (lineage == Epoch(1)); ++r) ids.push_back(peer(r));
      return ids;
    };
    return resolve(input);
  }
  const OpDecision& only(const ResolveOutput& out) {
    EXPECT_EQ(out.group.ops.size(), 1u);
    return out.group.ops[0];
  }

  GroupId group = kRootGroup;
  View view;
  RebuildMode mode = RebuildMode::kKeep;
  bool relayed = false;
  std::vector<SealReport> reports;
  std::vector<OpSeq> first_op;
  std::vector<OpDecision> aborts;
};

TEST(Resolve, KeepsWhatSomebodyHoldsAndRedoesTheRest) {
  Round round(2);
  round.op(0, 0).held = {{0, 2, Epoch(1)}};
  round.op(1, 0).held = {{1, 2, Epoch(1)}};
  const auto out = round.run();
  const auto& decision = round.only(out);
  ASSERT_EQ(decision.outcome, Outcome::kChunks);
  ASSERT_EQ(decision.runs.size(), 4u);
  EXPECT_EQ(decision.runs[0], (ChunkRun{0, 1, Epoch(1), {Rank(0)}, ChunkRun::Fate::kKeep}));
  EXPECT_EQ(decision.runs[1], (ChunkRun{1, 1, Epoch(1), {Rank(0), Rank(1)}, ChunkRun::Fate::kKeep}));
  EXPECT_EQ(decision.runs[2], (ChunkRun{2, 1, Epoch(1), {Rank(1)}, ChunkRun::Fate::kKeep}));
  EXPECT_EQ(decision.runs[3], (ChunkRun{3, 1, Epoch(0), {}}));
}

TEST(Resolve, IncludeGoesOnFromThePartialWithMostInputs) {
  Round round(3);  // the one in slot 3 is gone
  round.mode = RebuildMode::kInclude;
  round.op(0, 0).held = {{0, 1, Epoch(1)}};
  round.op(1, 0).partials = {{1, 2, {Slot(1), Slot(3)}}};
  round.op(2, 0).partials = {{2, 1, {Slot(1), Slot(2), Slot(3)}}};
  const auto out = round.run();
  const auto& runs = round.only(out).runs;
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_EQ(runs[0].fate, ChunkRun::Fate::kKeep);
  const std::vector<Slot> two{Slot(1), Slot(3)}, three{Slot(1), Slot(2), Slot(3)};
  EXPECT_EQ(runs[1], (ChunkRun{1, 1, Epoch(0), {Rank(1)}, ChunkRun::Fate::kResume, two}));
  EXPECT_EQ(runs[2], (ChunkRun{2, 1, Epoch(0), {Rank(2)}, ChunkRun::Fate::kResume, three}));
  EXPECT_EQ(runs[3].fate, ChunkRun::Fate::kRedo);
}

TEST(Resolve, KeepsTheDepartedOfAValueAndPrefersItToAnyPartial) {
  Round round(2);
  round.mode = RebuildMode::kInclude;
  round.op(0, 0, 1).held = {{0, 1, Epoch(2), {Slot(2)}}};
  round.op(1, 0, 1).partials = {{0, 1, {Slot(1), Slot(2)}}};
  const auto out = round.run();
  const std::vector<Slot> departed{Slot(2)};
  ASSERT_EQ(round.only(out).runs.size(), 1u);
  EXPECT_EQ(round.only(out).runs[0],
            (ChunkRun{0, 1, Epoch(2), {Rank(0)}, ChunkRun::Fate::kKeep, departed}));
}

TEST(Resolve, APartialDoesNotGoOnWhereTheRingAvoidsABrokenEdge) {
  Round round(2);
  round.mode = RebuildMode::kInclude;
  round.relayed = true;
  round.op(0, 0, 1).partials = {{0, 1, {Slot(0), Slot(2)}}};
  EXPECT_TRUE(round.only(round.run()).runs.empty());
}

TEST(Resolve, EndsAnOpWhoseResultsDifferThoughEverybodyHoldsIt) {
  for (const bool freed : {false, true}) {
    Round round(2);
    for (uint32_t r = 0; r < 2; ++r) {
      round.op(r, 0).held = {{0, 4, Epoch(1)}};
      round.reports[r].groups[0].open[0].full = true;
    }
    round.reports[0].groups[0].open[0].fail = Status(Code::kDiverged, "other bits");
    round.reports[1].groups[0].open[0].freed = freed;
    const auto out = round.run();
    const auto& decision = round.only(out);
    EXPECT_EQ(decision.outcome, freed ? Outcome::kFinal : Outcome::kAbort);
    EXPECT_EQ(decision.reason.text(), freed ? "" : "other bits");
  }
}

TEST(Resolve, StrictRedoesEverythingUnlessEveryChunkIsHeld) {
  Round round(2);
  round.mode = RebuildMode::kStrict;
  round.op(0, 0).held = {{0, 3, Epoch(1)}};
  round.op(1, 0);
  EXPECT_TRUE(round.only(round.run()).runs.empty());
  round.reports[1].groups[0].open[0].held = {{3, 1, Epoch(1)}};
  EXPECT_EQ(round.only(round.run()).runs.size(), 2u);
}

TEST(Resolve, StrictRedoesWhenTheContributorSetsDiffer) {
  Round round(2);
  round.mode = RebuildMode::kStrict;
  round.op(0, 0).held = {{0, 2, Epoch(1)}, {2, 2, Epoch(2)}};
  round.op(1, 0);
  EXPECT_TRUE(round.only(round.run()).runs.empty());
}

TEST(Resolve, AnOpThatAnybodyFreedIsFinal) {
  Round round(2);
  round.op(0, 0).held = {{0, 4, Epoch(1)}};
  round.reports[1].groups[0].ended_upto = OpSeq(1);
  EXPECT_EQ(round.only(round.run()).outcome, Outcome::kFinal);
}

TEST(Resolve, AJoinersWatermarkSaysNothingAboutOlderOps) {
  Round round(2);
  round.op(0, 0);
  round.reports[1].groups[0].ended_upto = OpSeq(5);
  round.first_op = {OpSeq(0), OpSeq(5)};
  EXPECT_EQ(round.only(round.run()).outcome, Outcome::kChunks);
}

TEST(Resolve, AbortsAFailedOpAndRepeatsThatUntilItEndedEverywhere) {
  Round round(2);
  round.op(0, 0).fail = Status(Code::kCancelled, "no more");
  const auto out = round.run();
  EXPECT_EQ(round.only(out).outcome, Outcome::kAbort);
  EXPECT_EQ(round.only(out).reason.code(), Code::kCancelled);
  ASSERT_EQ(out.group.answered.size(), 1u);
  EXPECT_EQ(out.group.answered[0].peer, peer(0));

  Round next(2);
  next.aborts = out.group.ops;
  next.reports[0].groups[0].ended_upto = OpSeq(1);
  EXPECT_EQ(next.only(next.run()).outcome, Outcome::kAbort);  // rank 1 has not begun it
  next.reports[1].groups[0].ended_upto = OpSeq(1);
  EXPECT_TRUE(next.run().group.ops.empty());
}

// G6: rank 1 says nothing of this group.
TEST(Resolve, TakesAMemberThatDoesNotReportTheGroupForALateOneUnlessTheGroupIsClosed) {
  Round round(2);
  OpReport& open = round.op(0, 0);
  open.full = true;
  open.held = {{0, 4, Epoch(1)}};
  round.reports[1].groups.clear();
  EXPECT_EQ(round.only(round.run()).outcome, Outcome::kChunks);
  round.reports[0].groups[0].closed = true;
  EXPECT_EQ(round.only(round.run()).outcome, Outcome::kFinal);
}

TEST(Resolve, GoesOnAbortingForAMemberThatDoesNotReportTheGroup) {
  Round round(2);
  round.aborts = {{OpSeq(3), Outcome::kAbort, Status(Code::kCancelled, "no more"), {}}};
  round.reports[0].groups[0].ended_upto = OpSeq(4);
  round.reports[1].groups.clear();
  EXPECT_EQ(round.only(round.run()).outcome, Outcome::kAbort);
}

TEST(Resolve, IsAboutItsOwnGroupOnly) {
  Round round(2);
  round.op(0, 0).fail = Status(Code::kTimeout, "late");
  round.reports[0].groups.push_back({GroupId(7), OpSeq(5), OpSeq(9), {}, {}});
  round.group = GroupId(7);
  const auto out = round.run();
  EXPECT_EQ(out.group.group, GroupId(7));
  EXPECT_TRUE(out.group.ops.empty());
  EXPECT_TRUE(out.group.answered.empty());
}

TEST(Resolve, RefusesToAbortWhatWouldBeKeptAsAWhole) {
  Round round(2);
  round.op(0, 0).held = {{0, 4, Epoch(1)}};
  round.op(1, 0).fail = Status(Code::kTimeout, "late");
  const auto out = round.run();
  EXPECT_EQ(round.only(out).outcome, Outcome::kChunks);
  EXPECT_EQ(out.group.answered.size(), 1u);
}

TEST(Resolve, LosesNoCancelBehindAFailThatNeedNotReachEverybody) {
  Round round(2);
  round.op(0, 0).fail = Status(Code::kPeerLost, "mode fail");
  round.op(1, 0).fail = Status(Code::kCancelled, "stop");
  for (auto& report : round.reports) report.groups[0].open[0].held = {{0, 4, Epoch(1)}};  // complete
  const auto out = round.run();
  ASSERT_EQ(out.group.ops.size(), 2u);
  EXPECT_EQ(out.group.ops[0].outcome, Outcome::kChunks);
  EXPECT_EQ(out.group.ops[1].seq, OpSeq(1));
  EXPECT_EQ(out.group.ops[1].outcome, Outcome::kAbort);
  EXPECT_EQ(out.group.ops[1].reason.code(), Code::kCancelled);
}

TEST(Resolve, EndsAnOpWhoseResultsDifferThoughItWasCancelledToo) {
  Round round(2);
  round.op(0, 0).fail = Status(Code::kCancelled, "stop");
  round.op(1, 0).fail = Status(Code::kDiverged, "other bits");
  for (auto& report : round.reports) report.groups[0].open[0].held = {{0, 4, Epoch(1)}};
  const auto out = round.run();
  EXPECT_EQ(round.only(out).outcome, Outcome::kAbort);
  EXPECT_EQ(round.only(out).reason.code(), Code::kDiverged);
}

TEST(Resolve, LosesNoCancelBehindResultsThatDifferWhereTheOpIsFinal) {
  Round round(2);
  round.op(0, 0).fail = Status(Code::kDiverged, "other bits");
  round.op(1, 0).fail = Status(Code::kCancelled, "stop");
  round.reports[1].groups[0].open[0].freed = true;
  const auto out = round.run();
  ASSERT_EQ(out.group.ops.size(), 2u);
  EXPECT_EQ(out.group.ops[0].outcome, Outcome::kFinal);
  EXPECT_EQ(out.group.ops[1].seq, OpSeq(1));
  EXPECT_EQ(out.group.ops[1].reason.code(), Code::kCancelled);
}

TEST(Resolve, CarriesARefusedCancelToTheFirstLaterOpThatCanBeAborted) {
  Round round(2);
  round.op(0, 0).held = {{0, 4, Epoch(1)}};
  round.op(1, 0).fail = Status(Code::kCancelled, "stop");
  const auto out = round.run();
  const auto& ops = out.group.ops;
  ASSERT_EQ(ops.size(), 2u);
  EXPECT_EQ(ops[0].outcome, Outcome::kChunks);
  EXPECT_EQ(ops[1].seq, OpSeq(1));  // begun by nobody
  EXPECT_EQ(ops[1].outcome, Outcome::kAbort);
}

TEST(Resolve, NeverAbortsAnAdmitOp) {
  Round round(2);
  auto& report = round.op(0, 0, 0);
  report.admit = true;
  report.fail = Status(Code::kTimeout, "late");
  EXPECT_TRUE(round.run().group.ops.empty());
}

TEST(Resolve, DifferentSignaturesAreRedoneNotKept) {
  Round round(2);
  round.op(0, 0).signature = 1;
  round.op(1, 0).signature = 2;
  round.reports[1].groups[0].open[0].fail = Status(Code::kMismatch, "they differ");
  EXPECT_EQ(round.only(round.run()).outcome, Outcome::kAbort);
}

TEST(Resolve, NoticesTwoLineagesOfOneChunk) {
  Round round(2);
  round.op(0, 0).held = {{0, 1, Epoch(1)}};
  round.op(1, 0).held = {{0, 1, Epoch(2)}};
  EXPECT_TRUE(round.run().lineages_disagree);
}

TEST(MakeRing, FollowsSlotsAndAvoidsBrokenEdges) {
  EXPECT_EQ(make_ring(3, {}), (std::vector<Rank>{Rank(0), Rank(1), Rank(2)}));
  const auto around = make_ring(4, {{Rank(0), Rank(1)}});
  ASSERT_EQ(around.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const uint32_t a = around[i].value, b = around[(i + 1) % 4].value;
    EXPECT_FALSE((a == 0 && b == 1) || (a == 1 && b == 0));
  }
  EXPECT_TRUE(make_ring(3, {{Rank(0), Rank(1)}}).empty());  // three have one ring only
  EXPECT_EQ(make_ring(1, {}).size(), 1u);
}

}  // namespace
}  // namespace rhz
