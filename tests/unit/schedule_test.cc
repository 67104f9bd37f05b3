// All ranks' schedules, run in memory: results, bytes moved, absence of deadlock.
#include <gtest/gtest.h>

#include <deque>
#include <numeric>
#include <set>

#include "collectives/schedule/layout.h"
#include "collectives/schedule/ring.h"

namespace rhz {
namespace {

std::vector<Rank> ring_of(uint32_t world) {
  std::vector<Rank> ring;
  for (uint32_t r = 0; r < world; ++r) ring.push_back(Rank(r));
  return ring;
}

struct Message {
  Rank from, to;
  bool final;
  std::multiset<uint32_t> value;  // the ranks whose input is in it
};

// Carries out one chunk's programs on all ranks, delivering in whatever order they come up.
struct Machine {
  explicit Machine(uint32_t world) : world(world), held(world), steps(world, 0) {}

  void run(const std::vector<Program>& programs) {
    for (uint32_t r = 0; r < world; ++r) begin(programs[r], r);
    while (!wire.empty()) {
      const Message m = wire.front();
      wire.pop_front();
      deliver(programs[m.to.value], m);
    }
  }
  void begin(const Program& program, uint32_t r) {
    if (program.empty()) return;
    const Step& step = program.front();
    if (step.move == Move::kContribute) send({Rank(r), step.to, false, {r}});
    if (step.move == Move::kSend) send({Rank(r), step.to, true, held[r]});
    if (step.move == Move::kSolo) held[r] = {r};
  }
  void deliver(const Program& program, const Message& m) {
    for (const Step& step : program) {
      const bool partial = step.move == Move::kCombine || step.move == Move::kFinish;
      if (step.from != m.from || (m.final ? step.move != Move::kPass : !partial)) continue;
      ++steps[m.to.value];
      auto value = m.value;
      if (!m.final) value.insert(m.to.value);
      if (step.move != Move::kCombine) held[m.to.value] = value;
      if (step.to != kNoRank) send({m.to, step.to, step.move != Move::kCombine, value});
      return;
    }
    FAIL() << "rank " << m.to.value << " did not expect a frame of rank " << m.from.value;
  }
  void send(Message m) {
    ++frames;
    wire.push_back(std::move(m));
  }

  const uint32_t world;
  std::vector<std::multiset<uint32_t>> held;
  std::vector<uint32_t> steps;
  std::deque<Message> wire;
  uint32_t frames = 0;
};

TEST(RingAllReduce, GivesEveryRankEveryInputOnceForEveryWorldUpTo64) {
  for (uint32_t world = 1; world <= 64; ++world) {
    std::multiset<uint32_t> all;
    for (uint32_t r = 0; r < world; ++r) all.insert(r);
    for (uint32_t chunk = 0; chunk < 2 * world + 1; chunk += world > 16 ? 7 : 1) {
      std::vector<Program> programs;
      for (uint32_t r = 0; r < world; ++r)
        programs.push_back(make_ring_allreduce(ring_of(world), Rank(r)).of(chunk));
      Machine machine(world);
      machine.run(programs);
      for (uint32_t r = 0; r < world; ++r) EXPECT_EQ(machine.held[r], all) << world << " " << chunk;
      EXPECT_EQ(machine.frames, 2 * (world - 1)) << "a chunk crosses 2(N-1) links, no more";
    }
  }
}

TEST(RingAllReduce, SpreadsTheChunksEvenlyOverTheLinks) {
  const uint32_t world = 5;
  std::vector<uint32_t> sent(world, 0);
  for (uint32_t chunk = 0; chunk < 4 * world; ++chunk)
    for (uint32_t r = 0; r < world; ++r) {
      const Schedule schedule = make_ring_allreduce(ring_of(world), Rank(r));
      for (const Step& step : schedule.of(chunk)) sent[r] += step.to != kNoRank;
    }
  for (uint32_t r = 0; r < world; ++r) EXPECT_EQ(sent[r], sent[0]);
}

TEST(RingAllReduce, FollowsAnyOrderOfTheRing) {
  const std::vector<Rank> ring{Rank(2), Rank(0), Rank(3), Rank(1)};
  for (uint32_t chunk = 0; chunk < 4; ++chunk) {
    std::vector<Program> programs;
    for (uint32_t r = 0; r < 4; ++r) programs.push_back(make_ring_allreduce(ring, Rank(r)).of(chunk));
    Machine machine(4);
    machine.run(programs);
    for (uint32_t r = 0; r < 4; ++r)
      EXPECT_EQ(machine.held[r], (std::multiset<uint32_t>{0, 1, 2, 3}));
  }
}

TEST(Spread, BringsAKeptValueToWhoLacksItAndToNobodyElse) {
  for (uint32_t world = 1; world <= 7; ++world) {
    for (uint32_t mask = 1; mask < (1u << world); ++mask) {
      std::vector<Rank> holders;
      Machine machine(world);
      for (uint32_t r = 0; r < world; ++r) {
        if (!(mask >> r & 1)) continue;
        holders.push_back(Rank(r));
        machine.held[r] = {42};
      }
      std::vector<Program> programs;
      for (uint32_t r = 0; r < world; ++r)
        programs.push_back(make_spread(ring_of(world), Rank(r), holders));
      machine.run(programs);
      for (uint32_t r = 0; r < world; ++r)
        EXPECT_EQ(machine.held[r], (std::multiset<uint32_t>{42})) << world << " " << mask;
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
