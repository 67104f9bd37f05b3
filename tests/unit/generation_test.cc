// Generations in the decision log: what the coordinator seals, once, and who hears of it.
#include "runtime/agreement/generation.h"

#include <gtest/gtest.h>

#include "tests/unit/membership_kit.h"

namespace rhz {
namespace {

// Two stripes of 2 + 1 shards on three hosts.
GenerationRecord generation(uint64_t revision, uint8_t root = 1, uint32_t stage = 0) {
  GenerationRecord g;
  g.stage = stage;
  g.revision = revision;
  g.root = {root};
  g.state_bytes = 200;
  g.data_shards = 2;
  g.parity_shards = 1;
  g.shard_bytes = 64;
  g.holders = {{{1, 1}, "a", "r1"}, {{1, 2}, "b", ""}, {{1, 3}, "c", "r3"}};
  g.held_by = {0, 1, 2, 1, 2, 0};
  g.shards.assign(6, Digest{root});
  return g;
}

GenerationRecord placed_anew(GenerationRecord g) {
  ++g.placement;
  g.holders.push_back({{1, 4}, "d", ""});
  g.held_by[0] = 3;
  return g;
}

size_t logged(const Office& office) {
  return static_cast<size_t>(std::count_if(office.log.begin(), office.log.end(), [](const auto& e) {
    return std::holds_alternative<GenerationRecord>(e.record);
  }));
}

void propose(Office& office, uint32_t n, const GenerationRecord& g) {
  office.tell(n, ProposeMessage{office.core.view().epoch, g});
}

Code refusal(Office& office, uint32_t n) {
  const auto* refused = office.last<ProposalRefusedMessage>(n);
  return refused ? refused->status.code() : Code::kOk;
}

TEST(Generation, IsRefusedWhereItContradictsItself) {
  const auto code = [](auto&& change) {
    GenerationRecord g = generation(1);
    change(g);
    return judge_generation(nullptr, g).status().code();
  };
  using G = GenerationRecord&;
  EXPECT_EQ(code([](G) {}), Code::kOk);
  EXPECT_EQ(code([](G g) { g.parity_shards = 0; }), Code::kArgument);
  EXPECT_EQ(code([](G g) { g.data_shards = 300; }), Code::kArgument);
  EXPECT_EQ(code([](G g) { g.state_bytes = 0; }), Code::kArgument);
  EXPECT_EQ(code([](G g) { g.state_bytes = 300; }), Code::kArgument) << "a third stripe is missing";
  EXPECT_EQ(code([](G g) { g.shard_bytes = UINT64_MAX; }), Code::kArgument);
  EXPECT_EQ(code([](G g) { g.held_by[5] = 3; }), Code::kArgument);
  EXPECT_EQ(code([](G g) { g.shards.pop_back(); }), Code::kArgument);
  EXPECT_EQ(code([](G g) { g.holders[1].vault = {}; }), Code::kArgument);
  EXPECT_EQ(code([](G g) { g.placement = 1; }), Code::kState) << "nothing is sealed yet";
}

TEST(Generation, IsRefusedWhereADomainHoldsMoreThanMShardsOfAStripe) {
  GenerationRecord g = generation(1);
  g.held_by[1] = 0;
  EXPECT_EQ(judge_generation(nullptr, g).status().code(), Code::kArgument);
  g = generation(1);
  g.holders[2].rack = "r1";
  EXPECT_EQ(judge_generation(nullptr, g).status().code(), Code::kArgument) << "the same rack";
  g = generation(1);
  g.holders[1].host = "c";
  EXPECT_EQ(judge_generation(nullptr, g).status().code(), Code::kArgument)
      << "two vaults, one host";
}

TEST(Generation, IsLoggedOnceHoweverOftenItIsProposed) {
  Office office(config_of(2));
  office.found(2);
  propose(office, 0, generation(3));
  propose(office, 0, generation(3));
  propose(office, 1, generation(3));
  EXPECT_EQ(logged(office), 1u);
  EXPECT_EQ(refusal(office, 0), Code::kOk);
  for (uint32_t n : {0, 1}) {
    ASSERT_TRUE(office.last<EntriesMessage>(n));
    EXPECT_TRUE(office.last<EntriesMessage>(n)->entries.back().record == Record(generation(3)));
  }
}

TEST(Generation, RevisionsGrowAndHaveOneRoot) {
  Office office(config_of(1));
  office.found(1);
  propose(office, 0, generation(3));
  propose(office, 0, generation(2));
  EXPECT_EQ(refusal(office, 0), Code::kState);
  propose(office, 0, generation(3, 9));
  EXPECT_EQ(refusal(office, 0), Code::kDiverged);
  EXPECT_EQ(logged(office), 1u);
  propose(office, 0, generation(1, 9, 5));  // of another stage
  propose(office, 0, generation(4, 9));
  EXPECT_EQ(logged(office), 3u);
}

TEST(Generation, IsPlacedAnewOneStepAfterTheOther) {
  Office office(config_of(1));
  office.found(1);
  propose(office, 0, generation(3));
  GenerationRecord anew = placed_anew(generation(3));
  anew.placement = 2;
  propose(office, 0, anew);
  EXPECT_EQ(refusal(office, 0), Code::kState);
  anew.placement = 1;
  anew.shards[2] = {77};
  propose(office, 0, anew);
  EXPECT_EQ(refusal(office, 0), Code::kDiverged);
  propose(office, 0, placed_anew(generation(3)));
  EXPECT_EQ(logged(office), 2u);
}

TEST(Generation, CountsOnlyFromAMemberOfTheNewestView) {
  RunConfig config = config_of(2);
  config.max_world = 3;
  Office office(config);
  office.found(2);
  office.hello(2);
  office.tell(0, ProposeMessage{Epoch(0), generation(3)});
  propose(office, 2, generation(3));
  EXPECT_EQ(logged(office), 0u);
}

TEST(Generation, SurvivesTheCoordinatorAndTheCutOfItsLog) {
  Office office(config_of(1));
  office.found(1);
  propose(office, 0, generation(3));
  propose(office, 0, generation(4));
  propose(office, 0, placed_anew(generation(4)));
  office.core.cut_log();
  office.core.tick(office.now);
  std::vector<LogEntry> log;
  for (auto& action : office.core.take_actions())
    if (auto* cut = std::get_if<CutAction>(&action)) log = {cut->snapshot};
  ASSERT_EQ(log.size(), 1u);
  EXPECT_EQ(std::get<SnapshotRecord>(log[0].record).generations,
            (std::vector{generation(3), placed_anew(generation(4))}))
      << "what a run may go back to, too";

  for (const auto& recovered : {office.log, log}) {
    Office next(config_of(1), recovered);
    next.hello(0);
    ASSERT_TRUE(next.last<GenerationsMessage>(0)) << "told at the beginning of every session";
    EXPECT_EQ(next.last<GenerationsMessage>(0)->generations,
              (std::vector{generation(3), placed_anew(generation(4))}));
    const size_t before = logged(next);
    propose(next, 0, placed_anew(generation(4)));  // said again to the new coordinator
    EXPECT_EQ(logged(next), before);
    propose(next, 0, generation(4, 8));
    EXPECT_EQ(refusal(next, 0), Code::kDiverged);
  }
}

TEST(Generation, IsToldToPeersThatWait) {
  RunConfig config = config_of(1);
  config.max_world = 2;
  Office office(config);
  office.found(1);
  office.hello(1);
  EXPECT_FALSE(office.last<GenerationsMessage>(1));
  propose(office, 0, generation(3));
  ASSERT_TRUE(office.last<GenerationsMessage>(1));
  EXPECT_EQ(office.last<GenerationsMessage>(1)->generations, std::vector{generation(3)});
}

size_t proposals(Seat& seat) {
  size_t count = 0;
  for (auto& action : seat.core.take_actions())
    if (auto* send = std::get_if<MemberSend>(&action))
      count += std::holds_alternative<ProposeMessage>(send->message);
  return count;
}

TEST(Generation, MemberRepeatsAProposalUntilTheLogAnswers) {
  Seat seat;
  seat.give<SealAction>({Seat::entry(2, ViewRecord{view_of(1, {{9, 1}})})});
  seat.core.propose(seat.now, generation(3));
  EXPECT_EQ(proposals(seat), 1u);
  seat.core.tick(seat.now + milliseconds(300));
  EXPECT_EQ(proposals(seat), 1u);
  EXPECT_EQ(seat.give<GenerationAction>({Seat::entry(3, generation(3))}).size(), 1u);
  seat.core.tick(seat.now + milliseconds(600));
  EXPECT_EQ(proposals(seat), 0u);
}

TEST(Generation, MemberForgetsAProposalWhenTheViewChanges) {
  Seat seat;
  seat.give<SealAction>({Seat::entry(2, ViewRecord{view_of(1, {{9, 1}, {9, 2}})})});
  seat.core.propose(seat.now, generation(3));
  seat.give<SealAction>({Seat::entry(3, ViewRecord{view_of(2, {{9, 1}})})});
  seat.core.tick(seat.now + milliseconds(300));
  EXPECT_EQ(proposals(seat), 0u);
}

TEST(Generation, MemberTellsEachRecordOnceAndNoOlderOne) {
  Seat seat;
  seat.core.receive(seat.now, GenerationsMessage{Term(1), {generation(4)}});
  seat.core.take_actions();
  const auto told = seat.give<GenerationAction>(
      {Seat::entry(2, ViewRecord{view_of(1, {{9, 1}})}), Seat::entry(3, generation(3)),
       Seat::entry(4, generation(4)), Seat::entry(5, placed_anew(generation(4)))});
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(told[0].record == placed_anew(generation(4)));
}

TEST(Generation, MemberEndsARefusedProposal) {
  Seat seat;
  seat.give<SealAction>({Seat::entry(2, ViewRecord{view_of(1, {{9, 1}})})});
  seat.core.propose(seat.now, generation(3));
  seat.core.take_actions();
  const auto refuse = [&](uint64_t revision) {
    seat.core.receive(seat.now,
                      ProposalRefusedMessage{Term(1), 0, revision, 0, {Code::kState, "late"}});
    size_t told = 0;
    for (auto& action : seat.core.take_actions())
      told += std::holds_alternative<ProposalRefusedAction>(action);
    return told;
  };
  EXPECT_EQ(refuse(2), 0u) << "an older proposal's";
  EXPECT_EQ(refuse(3), 1u);
  EXPECT_EQ(refuse(3), 0u);
}

TEST(Generation, AWaitingProposalIsolatesNobody) {
  Seat seat;
  seat.give<SealAction>({Seat::entry(2, ViewRecord{view_of(1, {{9, 1}})})});
  seat.give<InstallAction>({Seat::entry(3, ResolveRecord{[] {
                                          Resolution resolution;
                                          resolution.epoch = Epoch(1);
                                          resolution.groups.push_back({});
                                          return resolution;
                                        }()})});
  seat.core.disconnected(seat.now);
  seat.core.propose(seat.now, generation(3));
  seat.core.tick(seat.now);
  seat.core.tick(seat.now + seconds(1000));
  EXPECT_FALSE(seat.core.ended());
}

}  // namespace
}  // namespace rhz
