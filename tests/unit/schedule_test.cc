// All ranks' schedules, run in memory: results, bytes moved, absence of deadlock.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "collectives/schedule/choose.h"
#include "collectives/schedule/layout.h"
#include "collectives/schedule/moving.h"
#include "collectives/schedule/ring.h"
#include "runtime/base/prng.h"

namespace rhz {
namespace {

std::vector<Rank> ring_of(uint32_t world) {
  std::vector<Rank> ring;
  for (uint32_t r = 0; r < world; ++r) ring.push_back(Rank(r));
  return ring;
}

// A value as the way in which it was computed: operands of one reduction may stand either way round, and nothing else may differ, for
// the bits to be equal.
using Value = std::string;
Value leaf(Rank rank) { return std::to_string(rank.value); }
Value folded(const Value& a, const Value& b) {
  return "(" + std::min(a, b) + "+" + std::max(a, b) + ")";
}

struct Message {
  Rank from, to;
  bool final;
  Value value;
};

// Carries out one chunk's programs on all ranks, delivering in whatever order a seed says.
struct Machine {
  Machine(uint32_t world, uint64_t seed) : random(seed), at(world, 0), value(world), early(world), held(world), sent(world, 0) {}

  void run(const std::vector<Program>& programs) {
    for (uint32_t r = 0; r < programs.size(); ++r) advance(programs[r], Rank(r));
    while (!wire.empty()) {
      const size_t which = random.below(wire.size());
      const Message m = wire[which];
      wire.erase(wire.begin() + static_cast<ptrdiff_t>(which));
      deliver(programs[m.to.value], m);
    }
    for (uint32_t r = 0; r < programs.size(); ++r)
      EXPECT_EQ(at[r], programs[r].size()) << "rank " << r << " waits for ever";
  }
  void advance(const Program& program, Rank r) {
    for (uint32_t& step = at[r.value]; step < program.size(); ++step) {
      const auto [move, peer] = program[step];
      if (move == Move::kReceive) return;
      if (move == Move::kFold) {
        const auto found = early[r.value].find(peer);
        if (found == early[r.value].end()) return;
        join(r, found->second);
        early[r.value].erase(found);
      }
      if (move == Move::kOwn) join(r, leaf(r));
      if (move == Move::kShare) send({r, peer, false, leaf(r)});
      if (move == Move::kPartial) send({r, peer, false, value[r.value]});
      if (move == Move::kFinal) held[r.value] = value[r.value];
      if (move == Move::kSend) send({r, peer, true, held[r.value]});
    }
  }
  void join(Rank r, const Value& operand) {
    Value& v = value[r.value];
    v = v.empty() ? operand : folded(v, operand);
  }
  void deliver(const Program& program, const Message& m) {
    uint32_t& step = at[m.to.value];
    if (m.final) {
      ASSERT_LT(step, program.size());
      ASSERT_EQ(program[step], (Step{Move::kReceive, m.from})) << "an unexpected final value";
      held[m.to.value] = m.value;
      ++step;
    } else {
      const auto due = std::find(program.begin() + step, program.end(), Step{Move::kFold, m.from});
      ASSERT_NE(due, program.end()) << "an unexpected partial";
      ASSERT_TRUE(early[m.to.value].emplace(m.from, m.value).second);
    }
    advance(program, m.to);
  }
  void send(Message m) {
    ++frames;
    ++sent[m.from.value];
    wire.push_back(std::move(m));
  }

  Prng random;
  std::vector<uint32_t> at;
  std::vector<Value> value;
  std::vector<std::map<Rank, Value>> early;
  std::vector<Value> held;
  std::vector<uint32_t> sent;
  std::vector<Message> wire;
  uint32_t frames = 0;
};

std::multiset<std::string> operands(const Value& value) {
  std::multiset<std::string> found;
  std::string number;
  for (char c : value + " ") {
    if (std::isdigit(static_cast<unsigned char>(c))) {
      number += c;
    } else if (!number.empty()) {
      found.insert(std::exchange(number, {}));
    }
  }
  return found;
}

// Hosts of uneven sizes, so that `hierarchical` has something to do.
View view_of(uint32_t world, uint32_t per_host) {
  View view;
  for (uint32_t r = 0; r < world; ++r)
    view.members.push_back({PeerId{1, r + 1}, Slot(r), (r * 2 + 1) / (2 * per_host), {}});
  return view;
}

// One chunk of one algorithm: every rank ends with every input once, folded the same way everywhere.
uint32_t expect_all_reduced(Algorithm algorithm, const View& view, const std::vector<Rank>& ring,
                            uint32_t chunk) {
  const auto world = static_cast<uint32_t>(ring.size());
  std::vector<Program> programs;
  for (uint32_t r = 0; r < world; ++r)
    programs.push_back(make_allreduce(algorithm, view, ring, Rank(r)).of(chunk));
  Machine machine(world, chunk + 1000 * world);
  machine.run(programs);
  std::multiset<std::string> all;
  for (uint32_t r = 0; r < world; ++r) all.insert(std::to_string(r));
  EXPECT_EQ(operands(machine.held[0]), all) << name(algorithm) << " " << world << " " << chunk;
  for (uint32_t r = 1; r < world; ++r)
    EXPECT_EQ(machine.held[r], machine.held[0]) << name(algorithm) << " " << world << " " << chunk;
  return machine.frames;
}

TEST(AllReduce, GivesEveryRankEveryInputOnceByEveryAlgorithmInEveryWorldUpTo64) {
  for (uint32_t world = 1; world <= 64; ++world) {
    for (uint32_t a = 1; a < kAlgorithms; ++a) {
      const auto algorithm = static_cast<Algorithm>(a);
      const View view = view_of(world, 1 + world % 5);
      for (uint32_t chunk = 0; chunk < 2 * world + 1; chunk += 1 + world / 8 * 5) {
        const uint32_t frames = expect_all_reduced(algorithm, view, ring_of(world), chunk);
        const bool small = algorithm == Algorithm::kDirect || algorithm == Algorithm::kDoubling;
        if (!small) {
          EXPECT_EQ(frames, 2 * (world - 1)) << "a chunk crosses 2(N-1) links, no more";
        }
      }
    }
  }
}

TEST(AllReduce, FollowsAnyOrderOfTheRing) {
  const std::vector<Rank> ring{Rank(2), Rank(0), Rank(3), Rank(1)};
  for (uint32_t a = 1; a < kAlgorithms; ++a)
    for (uint32_t chunk = 0; chunk < 8; ++chunk)
      expect_all_reduced(static_cast<Algorithm>(a), view_of(4, 2), ring, chunk);
}

TEST(AllReduce, SpreadsTheChunksOfLargeOpsEvenly) {
  for (Algorithm algorithm : {Algorithm::kRing, Algorithm::kHalving}) {
    const uint32_t world = 8;
    std::vector<uint32_t> sent(world, 0);
    for (uint32_t chunk = 0; chunk < 4 * world; ++chunk) {
      for (uint32_t r = 0; r < world; ++r) {
        const Schedule schedule = make_allreduce(algorithm, view_of(world, 8), ring_of(world), Rank(r));
        for (const Step& step : schedule.of(chunk))
          sent[r] += step.move == Move::kPartial || step.move == Move::kSend;
      }
    }
    for (uint32_t r = 0; r < world; ++r) EXPECT_EQ(sent[r], sent[0]) << name(algorithm);
  }
}

TEST(AllReduce, CrossesBetweenHostsAsRarelyAsItCanWhenItIsHierarchical) {
  const uint32_t world = 8, hosts = 2;
  const View view = view_of(world, world / hosts);
  for (uint32_t chunk = 0; chunk < 16; ++chunk) {
    uint32_t crossing = 0;
    for (uint32_t r = 0; r < world; ++r) {
      const Schedule schedule = make_allreduce(Algorithm::kHierarchical, view, ring_of(world), Rank(r));
      for (const Step& step : schedule.of(chunk)) {
        const bool sends = step.move == Move::kPartial || step.move == Move::kSend;
        crossing += sends && view.members[r].host != view.members[step.peer.value].host;
      }
    }
    EXPECT_EQ(crossing, 2 * (hosts - 1));
  }
}

TEST(Choose, TakesFewMessagesForSmallOpsAndTheHostsIntoAccountForLargeOnes) {
  const View one = view_of(4, 8), two = view_of(4, 2), apart = view_of(4, 1);
  EXPECT_EQ(choose_by_rule(4096, one, ring_of(2)), Algorithm::kDirect);
  EXPECT_EQ(choose_by_rule(4096, one, ring_of(4)), Algorithm::kDoubling);
  EXPECT_EQ(choose_by_rule(1 << 26, one, ring_of(4)), Algorithm::kHalving);
  EXPECT_EQ(choose_by_rule(1 << 26, one, ring_of(3)), Algorithm::kRing);
  EXPECT_EQ(choose_by_rule(1 << 18, one, ring_of(4)), Algorithm::kRing);
  EXPECT_EQ(choose_by_rule(1 << 26, two, ring_of(4)), Algorithm::kHierarchical);
  EXPECT_EQ(choose_by_rule(1 << 26, apart, ring_of(4)), Algorithm::kRing);
  Chooser chooser;
  chooser.install(RunConfig{}, std::vector<OpSeq>(4));
  EXPECT_EQ(chooser.choose(Algorithm::kTree, 4096, one, ring_of(4), OpSeq(0)), Algorithm::kTree);
  for (uint32_t a = 0; a < kAlgorithms; ++a)
    EXPECT_EQ(algorithm_named(name(static_cast<Algorithm>(a))), static_cast<Algorithm>(a));
  EXPECT_FALSE(algorithm_named("rings"));
}

TEST(Spread, BringsAKeptValueToWhoLacksItAndToNobodyElse) {
  for (uint32_t world = 1; world <= 7; ++world) {
    for (uint32_t mask = 1; mask < (1u << world); ++mask) {
      std::vector<Rank> holders;
      Machine machine(world, mask);
      for (uint32_t r = 0; r < world; ++r) {
        if (!(mask >> r & 1)) continue;
        holders.push_back(Rank(r));
        machine.held[r] = "kept";
      }
      std::vector<Program> programs;
      for (uint32_t r = 0; r < world; ++r)
        programs.push_back(make_carry(ring_of(world), Rank(r), holders, ring_of(world), false));
      machine.run(programs);
      for (uint32_t r = 0; r < world; ++r) EXPECT_EQ(machine.held[r], "kept") << world << " " << mask;
      EXPECT_EQ(machine.frames, world - holders.size());
    }
  }
}

TEST(Layout, CoversEveryElementOnceAndKeepsWithinTheLimits) {
  RunConfig config;
  for (uint32_t world : {1u, 2u, 3u, 8u, 64u}) {
    config.world = world;
    for (uint64_t count : {0ull, 1ull, 3ull, 4096ull, 4097ull, 100'000ull, 16'777'216ull, 1'000'000'007ull}) {
      for (uint32_t size : {1u, 2u, 4u, 8u}) {
        const Layout layout = make_layout(count, size, config);
        uint64_t covered = 0;
        for (uint32_t c = 0; c < layout.chunks; ++c) {
          EXPECT_EQ(layout.chunk_offset(c), covered);
          uint64_t inside = 0;
          for (uint32_t s = 0; s < layout.segments(c); ++s) {
            EXPECT_EQ(layout.segment_offset(c, s), covered + inside);
            EXPECT_LE(layout.segment_count(c, s) * size, config.segment_bytes);
            inside += layout.segment_count(c, s);
          }
          EXPECT_EQ(inside, layout.chunk_count(c));
          covered += inside;
        }
        EXPECT_EQ(covered, count);
        EXPECT_LE(layout.chunks, 65536u * 2);
      }
    }
  }
}

TEST(Layout, GivesAnOpWithoutElementsOneEmptyChunk) {
  const Layout layout = make_layout(0, 4, RunConfig{});
  EXPECT_EQ(layout.chunks, 1u);
  EXPECT_EQ(layout.segments(0), 1u);
  EXPECT_EQ(layout.segment_count(0, 0), 0u);
}

}  // namespace
}  // namespace rhz
