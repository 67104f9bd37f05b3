// Executors of two ranks, wired in memory: landing, in-place safety, rebuilds.
#include "collectives/executor.h"

#include "collectives/schedule/ring.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <deque>

namespace rhz {
namespace {

using wire::Kind;

struct Sent {
  Rank from, to;
  OutFrame frame;
  std::vector<std::byte> bytes;  // as they were when the frame left
};

struct Wire {
  std::deque<Sent> frames;
};

struct Port final : Outbox {
  Port(Wire& wire, Rank self) : wire(wire), self(self) {}
  void emit(OpSeq, Rank to, LaneClass, OutFrame frame) override {
    std::vector<std::byte> bytes(frame.payload.begin(), frame.payload.end());
    frame.header.length = static_cast<uint32_t>(bytes.size());
    wire.frames.push_back({self, to, std::move(frame), std::move(bytes)});
  }
  OpSeq full_upto() override { return full; }
  void out_of_memory(OpSeq) override { FAIL(); }
  Wire& wire;
  Rank self;
  OpSeq full;
};

// Two ranks, one op of `count` u64 in place; rank r contributes r + 1 + 10 * i.
struct Pair {
  // `there`: bytes of rank 1's input that are not still to come.
  Pair(uint64_t count, RebuildMode mode, uint32_t chunk_bytes, uint32_t segment_bytes, uint64_t there = OpSpec::kWhole)
      : ports{Port(wire, Rank(0)), Port(wire, Rank(1))} {
    RunConfig config;
    config.world = 2;
    for (uint32_t r = 0; r < 2; ++r) view.members.push_back({PeerId{1, r + 1}, Slot(r), 0, {}});
    config.chunk_bytes = chunk_bytes;
    config.segment_bytes = segment_bytes;
    layout = make_layout(count, 8, config);
    for (uint32_t r = 0; r < 2; ++r) {
      data[r].resize(count);
      for (uint64_t i = 0; i < count; ++i) data[r][i] = r + 1 + 10 * i;
      OpSpec spec;
      spec.dtype = reduce::Dtype::u64;
      spec.rebuild = mode;
      spec.count = count;
      spec.recv = reinterpret_cast<std::byte*>(data[r].data());
      spec.send = spec.recv;
      if (r == 1) spec.input_there = there;
      ranks[r] = std::make_unique<Executor>(OpSeq(0), spec, Blocks{}, Slot(r), layout, Executor::Care{}, pool, ports[r]);
      EXPECT_TRUE(ranks[r]->prepare());
    }
  }
  void start(uint64_t epoch, const OpDecision* decision = nullptr) {
    for (uint32_t r = 0; r < 2; ++r) {
      const std::vector<Rank> ring{Rank(0), Rank(1)};
      ranks[r]->start({Epoch(epoch), &view, Rank(r), ring, true, std::make_shared<Schedule>(make_ring_allreduce(ring, Rank(r)))}, decision);
      ranks[r]->granted(Rank(1 - r));
    }
  }
  // Delivers the next frame; `offers`: how often its header is offered before the payload comes.
  void step(int offers = 1) {
    Sent sent = std::move(wire.frames.front());
    wire.frames.pop_front();
    Executor& to = *ranks[sent.to.value];
    Landing landing;
    for (int i = 0; i < offers; ++i) landing = to.on_header(sent.from, sent.frame.header);
    if (landing.verdict != Landing::Verdict::kInto) return;
    if (!sent.bytes.empty()) std::memcpy(landing.into, sent.bytes.data(), sent.bytes.size());
    to.on_frame(sent.from, sent.frame.header, std::move(landing));
  }
  // Delivers the next frame as a transport whose receiver may look: partials lie in foreign memory, where they are first
  // taken back while they are being used.
  void step_looking() {
    Sent sent = std::move(wire.frames.front());
    wire.frames.pop_front();
    Executor& to = *ranks[sent.to.value];
    Landing landing = to.on_header(sent.from, sent.frame.header);
    if (landing.verdict != Landing::Verdict::kInto) return;
    if (!landing.may_look) {
      std::memcpy(landing.into, sent.bytes.data(), sent.bytes.size());
      return to.on_frame(sent.from, sent.frame.header, std::move(landing));
    }
    ++looked_at;
    std::vector<std::byte> foreign(sent.bytes.size(), std::byte{0xee});
    std::atomic<uint64_t> word{0};
    for (const bool valid : {false, true}) {
      if (valid) foreign = sent.bytes;
      word = valid ? 1 : 0;
      landing = to.on_header(sent.from, sent.frame.header);
      ASSERT_TRUE(landing.may_look);
      landing.into = foreign.data();
      landing.word = &word;
      landing.number = 1;
      const size_t waiting = wire.frames.size();
      to.on_frame(sent.from, sent.frame.header, std::move(landing));
      ASSERT_TRUE(valid || wire.frames.size() == waiting);
    }
    ASSERT_EQ(foreign, sent.bytes);  // it is not ours to write to
  }
  void pump() {
    for (auto& rank : ranks) rank->originate(100);
  }
  void run(int offers = 1) {
    pump();
    while (!wire.frames.empty()) step(offers);
  }
  void freeze() {
    wire.frames.clear();
    for (auto& rank : ranks) rank->freeze();
  }
  void expect_sums() {
    for (uint32_t r = 0; r < 2; ++r) {
      ASSERT_TRUE(ranks[r]->full());
      for (uint64_t i = 0; i < data[r].size(); ++i) ASSERT_EQ(data[r][i], 3 + 20 * i) << r << " " << i;
    }
  }

  View view;
  BufferPool pool;
  Wire wire;
  Port ports[2];
  Layout layout;
  std::vector<uint64_t> data[2];
  std::unique_ptr<Executor> ranks[2];
  size_t looked_at = 0;
};

TEST(Executor, SumsInPlaceInEveryModeAndShape) {
  for (RebuildMode mode : {RebuildMode::kKeep, RebuildMode::kStrict}) {
    for (auto [chunk, segment] : {std::pair{4096u, 4096u}, {4096u, 1024u}}) {
      for (uint64_t count : {1ull, 100ull, 3000ull, 5000ull}) {
        Pair pair(count, mode, chunk, segment);
        pair.start(1);
        pair.run();
        pair.expect_sums();
      }
    }
  }
}

// In pieces that fit neither chunks nor elements; with a seal in between.
TEST(Executor, ReadsNoInputBeforeItIsThere) {
  for (RebuildMode mode : {RebuildMode::kKeep, RebuildMode::kStrict}) {
    for (const bool sealed : {false, true}) {
      Pair pair(3000, mode, 4096, 1024, 0);
      const std::vector<uint64_t> input = pair.data[1];
      auto* const bytes = reinterpret_cast<std::byte*>(pair.data[1].data());
      std::memset(bytes, 0xee, 24000);
      pair.start(1);
      pair.run();
      EXPECT_EQ(pair.ranks[1]->sent_bytes(), 0u);
      for (uint64_t there = 0; there < 24000; there += 2999) {
        const uint64_t until = std::min<uint64_t>(there + 2999, 24000);
        std::memcpy(bytes + there, reinterpret_cast<const std::byte*>(input.data()) + there, until - there);
        EXPECT_FALSE(pair.ranks[1]->full());
        pair.ranks[1]->input_there(until);
        pair.run();
        if (until < 24000 && !sealed) {
          EXPECT_EQ(pair.ranks[1]->held_bytes(), until / 4096 * 4096);
        }
        if (sealed && there == 2 * 2999 && mode == RebuildMode::kStrict) {
          pair.freeze();
          OpDecision again;
          pair.start(2, &again);
          pair.run();
        }
      }
      pair.expect_sums();
    }
  }
}

// What was told of a result holds, unless a mode that keeps nothing begins again.
TEST(Executor, TellsHowMuchOfTheResultIsThere) {
  for (const bool again : {false, true}) {
    Pair pair(3000, RebuildMode::kStrict, 4096, 1024);
    Executor& rank = *pair.ranks[1];
    pair.start(1);
    EXPECT_EQ(rank.result_there(), 0u);
    pair.pump();
    uint64_t there = 0;
    const auto look = [&] {
      const uint64_t now = rank.result_there();
      EXPECT_GE(now, there);
      EXPECT_TRUE(now % 4096 == 0 || now == 24000) << now;
      const uint64_t* const result = pair.data[1].data();
      for (size_t i = there / 8; i < now / 8; ++i) EXPECT_EQ(result[i], 3 + 20 * i);
      there = now;
    };
    while (!pair.wire.frames.empty() && !(again && there > 0)) {
      pair.step();
      look();
    }
    if (again) {
      EXPECT_LT(there, 24000u);
      EXPECT_FALSE(rank.is_remade());
      pair.freeze();
      OpDecision redo;
      pair.start(2, &redo);
      EXPECT_EQ(rank.result_there(), there) << "it cannot be taken back, only said";
      pair.run();
    }
    EXPECT_EQ(rank.is_remade(), again);
    EXPECT_EQ(rank.result_there(), 24000u);
    pair.expect_sums();
  }
}

TEST(Executor, LandsAFrameThatIsOfferedAgainAfterAReset) {
  Pair pair(3000, RebuildMode::kKeep, 4096, 4096);
  pair.start(1);
  pair.run(/*offers=*/2);
  pair.expect_sums();
}

TEST(Executor, CountsNothingOfAPartialThatWasTakenBackWhileItWasUsed) {
  for (RebuildMode mode : {RebuildMode::kKeep, RebuildMode::kStrict}) {
    for (auto [chunk, segment] : {std::pair{4096u, 4096u}, {4096u, 1024u}}) {
      Pair pair(3000, mode, chunk, segment);
      pair.start(1);
      pair.pump();
      while (!pair.wire.frames.empty()) pair.step_looking();
      pair.expect_sums();
      // The only copy of an input is never overwritten by what may be rubbish.
      const bool one_copy = mode == RebuildMode::kKeep && chunk == segment;
      EXPECT_EQ(pair.looked_at == 0, one_copy);
    }
  }
}

TEST(Executor, BeginsAgainFromTheInputsAfterAnySealAndStillSumsInPlace) {
  for (RebuildMode mode : {RebuildMode::kKeep, RebuildMode::kStrict}) {
    for (auto [chunk, segment] : {std::pair{4096u, 4096u}, {4096u, 1024u}}) {
      for (size_t frames = 0; frames < 60; ++frames) {
        Pair pair(3000, mode, chunk, segment);
        pair.start(1);
        pair.pump();
        for (size_t i = 0; i < frames && !pair.wire.frames.empty(); ++i) pair.step();
        pair.freeze();
        // What resolve() would say: keep what somebody holds, or in strict mode everything again.
        OpDecision decision;
        for (uint32_t c = 0; mode == RebuildMode::kKeep && c < pair.layout.chunks; ++c) {
          ChunkRun run{c, 1, {}, {}};
          for (uint32_t r = 0; r < 2; ++r) {
            if (!pair.ranks[r]->chunks().held(c)) continue;
            run.lineage = Epoch(1);
            run.fate = ChunkRun::Fate::kKeep;
            run.holders.push_back(Rank(r));
          }
          decision.runs.push_back(run);
        }
        pair.start(2, &decision);
        pair.run();
        pair.expect_sums();
      }
    }
  }
}

TEST(Executor, DropsWhatIsNotDue) {
  Pair pair(3000, RebuildMode::kKeep, 4096, 4096);
  wire::FrameHeader header;
  header.kind = Kind::kPartial;
  header.length = 4096;
  EXPECT_EQ(pair.ranks[0]->on_header(Rank(1), header).verdict, Landing::Verdict::kDrop) << "not begun";
  pair.start(1);
  EXPECT_EQ(pair.ranks[1]->on_header(Rank(1), header).verdict, Landing::Verdict::kDrop) << "not from there";
  EXPECT_EQ(pair.ranks[0]->on_header(Rank(1), header).verdict, Landing::Verdict::kDrop) << "begins here";
  header.chunk = ChunkIndex(99);
  EXPECT_EQ(pair.ranks[1]->on_header(Rank(0), header).verdict, Landing::Verdict::kDrop) << "no such chunk";
  header.chunk = ChunkIndex(0);
  header.length = 5;
  EXPECT_EQ(pair.ranks[1]->on_header(Rank(0), header).verdict, Landing::Verdict::kDrop) << "wrong length";
  pair.run();
  header.length = 4096;
  header.kind = Kind::kResult;
  EXPECT_EQ(pair.ranks[0]->on_header(Rank(1), header).verdict, Landing::Verdict::kDrop) << "held (W9)";
  pair.expect_sums();
}

}  // namespace
}  // namespace rhz
