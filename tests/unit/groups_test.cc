// Groups of two ranks, wired in memory: docs/protocol.md, "Groups".
#include "collectives/groups.h"

#include <gtest/gtest.h>

#include <cstring>

#include "runtime/agreement/group.h"
#include "tests/unit/memory_port.h"

namespace rhz {
namespace {

constexpr uint32_t kRanks = 2;

struct Pair {
  Pair() {
    config.world = config.max_world = kRanks;
    for (uint32_t r = 0; r < kRanks; ++r) {
      ports.push_back(std::make_unique<Port>(wire, r));
      groups.push_back(std::make_unique<Groups>(id_of(r), *ports[r], pool));
      groups[r]->set_config(config);
      (void)groups[r]->seal(Time{}, view_of(1));
      groups[r]->install(Time{}, view_of(1), resolution_of(1));
    }
  }
  static View view_of(uint64_t epoch) {
    View view;
    view.epoch = Epoch(epoch);
    for (uint32_t r = 0; r < kRanks; ++r) view.members.push_back({id_of(r), Slot(r), 0, {}});
    return view;
  }
  static Resolution resolution_of(uint64_t epoch) {
    return {Epoch(epoch), {fresh_group(kRootGroup, view_of(epoch), {})}, {}};
  }
  void split(uint32_t rank) {
    groups[rank]->split(Time{}, kRootGroup, {}, Duration::zero(),
                        [this, rank](const Status& status, GroupId group) {
                          EXPECT_TRUE(status.is_ok()) << status.text();
                          made[rank] = group;
                        });
  }
  void sum(uint32_t rank) {
    OpSpec spec;
    spec.dtype = reduce::Dtype::u64;
    spec.count = 1;
    spec.send = reinterpret_cast<const std::byte*>(&input[rank]);
    spec.recv = reinterpret_cast<std::byte*>(&output[rank]);
    groups[rank]->find(made[rank])->submit(Time{}, spec, &ended[rank]);
  }
  // Frames to this rank; the others stay on the wire.
  void deliver_to(uint32_t rank) {
    std::deque<Sent> others;
    while (!wire.empty()) {
      Sent sent = std::move(wire.front());
      wire.pop_front();
      if (sent.to != rank) {
        others.push_back(std::move(sent));
        continue;
      }
      Landing landing = groups[rank]->on_header(id_of(sent.from), sent.header);
      if (landing.verdict != Landing::Verdict::kInto) continue;
      if (!sent.bytes.empty()) std::memcpy(landing.into, sent.bytes.data(), sent.bytes.size());
      groups[rank]->on_frame(Time{}, id_of(sent.from), sent.header, std::move(landing));
    }
    wire = std::move(others);
  }
  void run() {
    for (int turn = 0; turn < 20; ++turn) {
      deliver_to(turn % kRanks);
      for (auto& one : groups) {
        one->tick(milliseconds(2));  // DONEs that wait for company
        for (Groups::News news; one->take_news(news);) {
        }
      }
    }
    EXPECT_TRUE(wire.empty());
  }

  RunConfig config;
  BufferPool pool;
  std::deque<Sent> wire;
  std::vector<std::unique_ptr<Port>> ports;
  std::vector<std::unique_ptr<Groups>> groups;
  GroupId made[kRanks];
  uint64_t input[kRanks] = {1, 10}, output[kRanks] = {};
  Ended ended[kRanks];
};

TEST(Groups, KeepFramesOfAGroupThatIsNotThereYet) {
  Pair pair;
  pair.split(0);
  pair.split(1);
  pair.deliver_to(0);
  ASSERT_NE(pair.made[0], kRootGroup);
  ASSERT_EQ(pair.made[1], kRootGroup) << "its split has not ended";
  // The frames of the split are held up; what rank 0 sends in the new group is there before them.
  std::deque<Sent> late = std::exchange(pair.wire, {});
  pair.sum(0);
  pair.deliver_to(1);
  pair.wire = std::move(late);
  pair.deliver_to(1);
  ASSERT_EQ(pair.made[1], pair.made[0]);
  pair.sum(1);
  pair.run();
  for (uint32_t r = 0; r < kRanks; ++r) EXPECT_EQ(pair.output[r], 11u) << r;
}

TEST(Groups, AreSealedAndReportedTogether) {
  Pair pair;
  pair.split(0);
  pair.split(1);
  pair.run();
  pair.sum(0);
  const SealReport report = pair.groups[0]->seal(Time{}, Pair::view_of(2));
  ASSERT_EQ(report.groups.size(), 2u);
  EXPECT_EQ(report.groups[0].group, kRootGroup);
  EXPECT_EQ(report.groups[0].ended_upto, OpSeq(1));
  EXPECT_EQ(report.groups[1].group, pair.made[0]);
  EXPECT_EQ(report.groups[1].members, (std::vector<PeerId>{id_of(0), id_of(1)}));
  EXPECT_EQ(report.groups[1].open.size(), 1u);
  EXPECT_FALSE(report.groups[1].closed);
  // Sealed: a frame of this epoch is dropped, in whichever group.
  wire::FrameHeader header;
  header.kind = wire::Kind::kGrant;
  header.epoch = Epoch(1);
  header.group = pair.made[0];
  EXPECT_EQ(pair.groups[0]->on_header(id_of(1), header).verdict, Landing::Verdict::kDrop);
}

TEST(Groups, AreForgottenWhenAllHaveClosedThem) {
  Pair pair;
  pair.split(0);
  pair.split(1);
  pair.run();
  pair.groups[0]->find(pair.made[0])->close(Time{});
  pair.run();
  EXPECT_EQ(pair.groups[0]->all().size(), 2u) << "rank 1 has not closed it";
  EXPECT_TRUE(pair.groups[0]->idle()) << "and nobody waits for that";
  pair.groups[1]->find(pair.made[1])->close(Time{});
  pair.run();
  for (auto& one : pair.groups) EXPECT_EQ(one->all().size(), 1u);
}

// G6: rank 1 has forgotten the group, and its last DONE is lost with the epoch.
TEST(Groups, AreReportedAsClosedByWhoMissedTheLastDone) {
  Pair pair;
  pair.split(0);
  pair.split(1);
  pair.run();
  for (uint32_t r = 0; r < kRanks; ++r) pair.groups[r]->find(pair.made[r])->close(Time{});
  for (int turn = 0; turn < 4; ++turn) {
    pair.deliver_to(0);
    std::erase_if(pair.wire, [](const Sent& sent) {
      return sent.to == 0 && sent.header.kind == wire::Kind::kDone;
    });
    pair.deliver_to(1);
    for (auto& one : pair.groups) one->tick(milliseconds(2));
    std::erase_if(pair.wire, [](const Sent& sent) {
      return sent.to == 0 && sent.header.kind == wire::Kind::kDone;
    });
    for (auto& one : pair.groups)
      for (Groups::News news; one->take_news(news);) {
      }
  }
  EXPECT_EQ(pair.groups[1]->seal(Time{}, Pair::view_of(2)).groups.size(), 1u);
  const SealReport report = pair.groups[0]->seal(Time{}, Pair::view_of(2));
  ASSERT_EQ(report.groups.size(), 2u);
  EXPECT_TRUE(report.groups[1].closed);
}

// Rank 0 is ahead with the split, its op in the new group is ended, and rank 0 is gone before rank 1 has the group (rule 6).
TEST(Groups, EndAnOpThatWasAbortedBeforeTheyWereThere) {
  Pair pair;
  pair.split(0);
  pair.split(1);
  pair.deliver_to(0);
  ASSERT_NE(pair.made[0], kRootGroup);
  pair.wire.clear();
  Groups& late = *pair.groups[1];
  const OpDecision again{OpSeq(0), OpDecision::Outcome::kChunks, {}, {}};
  Resolution second = Pair::resolution_of(2);
  second.groups[0].ops = {again};
  second.groups.push_back(fresh_group(pair.made[0], Pair::view_of(2), {}));
  second.groups[1].ops = {{OpSeq(0), OpDecision::Outcome::kAbort, Status(Code::kCancelled, "by rank 0"), {}}};
  (void)late.seal(Time{}, Pair::view_of(2));
  late.install(Time{}, Pair::view_of(2), second);
  ASSERT_EQ(pair.made[1], kRootGroup);
  View alone = Pair::view_of(3);
  alone.members.erase(alone.members.begin());
  Resolution third{Epoch(3), {fresh_group(kRootGroup, alone, {})}, {}};
  third.groups[0].ops = {again};
  (void)late.seal(Time{}, alone);
  late.install(Time{}, alone, third);
  ASSERT_EQ(pair.made[1], pair.made[0]);
  pair.sum(1);
  EXPECT_EQ(pair.ended[1].code, Code::kCancelled);
  pair.sum(1);
  EXPECT_TRUE(pair.ended[1].ok) << "the next one";
}

// ---- the choice

TEST(Split, PutsRanksByKeyAndThenInTheOrderOfTheParent) {
  std::vector<uint64_t> table(4 * 4, 0);
  const int32_t keys[4] = {5, -1, 5, 5};
  for (uint32_t slot = 0; slot < 4; ++slot) {
    const auto own = split_table(4, Slot(slot), id_of(slot), {false, 9, keys[slot]}, true);
    for (size_t i = 0; i < table.size(); ++i) table[i] |= own[i];
  }
  const SplitChoice choice{false, 9, 0};
  EXPECT_EQ(split_members(table, choice, {}).value(),
            (std::vector<PeerId>{id_of(1), id_of(0), id_of(2), id_of(3)}));
  const std::vector<PeerId> order{id_of(3), id_of(2), id_of(1), id_of(0)};
  EXPECT_EQ(split_members(table, choice, order).value(),
            (std::vector<PeerId>{id_of(1), id_of(3), id_of(2), id_of(0)}));
  EXPECT_TRUE(split_members(table, {false, 8, 0}, {}).value().empty());
  EXPECT_TRUE(split_members(table, {true, 9, 0}, {}).value().empty());
}

TEST(Split, FailsForAllWhereOneWhoWantsAGroupHasNoRoom) {
  const auto full = split_table(2, Slot(0), id_of(0), {false, 1, 0}, false);
  EXPECT_EQ(split_members(full, {true, 0, 0}, {}).status().code(), Code::kState);
  const auto none = split_table(2, Slot(0), id_of(0), {true, 1, 0}, false);
  EXPECT_TRUE(split_members(none, {false, 1, 0}, {}).is_ok());
}

}  // namespace
}  // namespace rhz
