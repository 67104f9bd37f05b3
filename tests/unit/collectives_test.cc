// Every collective, on executors of several ranks wired in memory: frames arrive in any order that
// lanes allow, some rank dies at any moment, resolve() decides, and the survivors go on.
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <map>

#include "collectives/executor.h"
#include "collectives/schedule/choose.h"
#include "runtime/agreement/resolve.h"
#include "runtime/base/prng.h"

namespace rhz {
namespace {

constexpr uint32_t kNobody = ~0u;
constexpr OpSeq kSeq(1'000'000);  // behind all that is full

struct Case {
  OpKind kind = OpKind::kAllReduce;
  RebuildMode mode = RebuildMode::kStrict;
  uint32_t world = 3, root = 0;
  uint64_t count = 40;  // of u64, per block
  bool in_place = false, direct = true;
  uint64_t seed = 1;
  Algorithm algorithm = Algorithm::kRing;  // of the first epoch
  std::string text() const {
    return "kind " + std::to_string(static_cast<int>(kind)) + " mode " +
           std::to_string(static_cast<int>(mode)) + " world " + std::to_string(world) + " root " +
           std::to_string(root) + " count " + std::to_string(count) +
           (in_place ? " in place" : "") + (direct ? "" : " not direct") + " seed " +
           std::to_string(seed) + " " + name(algorithm);
  }
};

uint64_t input_of(uint32_t rank, uint64_t element) { return (rank + 1) * 1'000'003 + element * 17; }

class World;

struct Port final : Outbox {
  Port(World& world, uint32_t self) : world(world), self(self) {}
  void emit(OpSeq, Rank to, LaneClass, OutFrame frame) override;
  OpSeq full_upto() override;
  void out_of_memory(OpSeq) override { ADD_FAILURE(); }
  World& world;
  uint32_t self;
};

struct Sent {
  uint32_t from;
  OutFrame frame;
};

class World {
 public:
  explicit World(const Case& c) : c_(c), random_(c.seed) {
    config_.world = c.world;
    config_.chunk_bytes = 128;
    config_.segment_bytes = random_.chance(0.5) ? 128 : 64;
    blocks_ = {c.kind, has_root(c.kind) ? Slot(c.root) : kAnySlot, {}};
    for (uint32_t r = 0; r < c.world && has_layout(c.kind); ++r) blocks_.layout.push_back(Slot(r));
    layout_ = make_layout(c.count, 8, config_, blocks_.count());
    view_.epoch = Epoch(1);
    for (uint32_t r = 0; r < c.world; ++r) {
      view_.members.push_back({PeerId{1, r + 1}, Slot(r), 0, {}});
      ids_.push_back(r);
    }
    for (uint32_t r = 0; r < c.world; ++r) add_rank(r);
  }

  // Nobody dies, and the decision is that of an op of which ranks submitted two: nothing is said of any chunk.
  void run_anew(size_t frames) {
    start(nullptr);
    deliver(frames);
    wire_.clear();
    for (auto& rank : ranks_) rank->freeze();
    view_.epoch = Epoch(2);
    const OpDecision all_anew{kSeq, OpDecision::Outcome::kChunks, {}, {}};
    start(&all_anew);
    deliver(~size_t{0});
    check(kNobody);
    for (uint32_t r = 0; r < c_.world; ++r) {
      for (const HeldRun& run : ranks_[r]->held_runs()) {
        EXPECT_EQ(run.lineage, Epoch(2)) << c_.text() << ": rank " << r << ", chunk " << run.first;
      }
    }
  }

  // Chunks, summed over the ranks, in which the dead count though they were finished without them.
  uint32_t resumed() const { return resumed_; }
  // Ranks to which values have proven something of older ops.
  uint32_t proofs() const { return proofs_; }
  void run(size_t frames, uint32_t victim) {
    start(nullptr);
    deliver(frames);
    if (victim == kNobody || c_.world == 1) return check(kNobody);
    seal_without(victim);
    if (!ended_) {
      deliver(~size_t{0});
      check(victim);
    }
  }

 private:
  friend struct Port;
  void add_rank(uint32_t r) {
    const uint64_t room = c_.count * c_.world + 1;
    send_.emplace_back(room);
    recv_.emplace_back(room, 0xdead);
    for (uint64_t i = 0; i < room; ++i) send_[r][i] = input_of(r, i);
    OpSpec spec;
    spec.kind = c_.kind;
    spec.dtype = reduce::Dtype::u64;
    spec.rebuild = c_.mode;
    spec.count = c_.count;
    spec.send = reinterpret_cast<const std::byte*>(send_[r].data());
    spec.recv = reinterpret_cast<std::byte*>(recv_[r].data());
    if (c_.in_place && c_.kind == OpKind::kAllReduce)
      spec.recv = reinterpret_cast<std::byte*>(send_[r].data());
    if (c_.in_place && c_.kind == OpKind::kReduceScatter) spec.recv = nullptr;
    if (c_.in_place && c_.kind == OpKind::kAllGather) {
      recv_[r] = send_[r];
      spec.send = nullptr;
    }
    ports_.push_back(std::make_unique<Port>(*this, r));
    pools_.push_back(std::make_unique<BufferPool>());
    full_.push_back(random_.below(3));
    ranks_.push_back(std::make_unique<Executor>(kSeq, spec, blocks_, Slot(r), layout_, Executor::Care{},
                                                *pools_[r], *ports_[r]));
    EXPECT_TRUE(ranks_[r]->prepare());
  }
  const uint64_t* result(uint32_t r) const {
    if (!c_.in_place || c_.kind == OpKind::kAllGather) return recv_[r].data();
    return send_[r].data() + (c_.kind == OpKind::kReduceScatter ? r * c_.count : 0);
  }
  // What rank r gave as element e of this block, before anything was overwritten.
  uint64_t given(uint32_t r, uint32_t block, uint64_t e) const {
    uint64_t at = e;
    if (c_.kind == OpKind::kReduceScatter || c_.kind == OpKind::kScatter) at += block * c_.count;
    if (c_.kind == OpKind::kAllToAll) at += block % c_.world * c_.count;
    if (c_.in_place && c_.kind == OpKind::kAllGather) at += r * c_.count;
    return input_of(r, at);
  }

  void start(const OpDecision* decision) {
    for (uint32_t i = 0; i < view_.size(); ++i) {
      std::vector<Rank> ring;
      for (uint32_t r = 0; r < view_.size(); ++r) ring.push_back(Rank(r));
      Executor::Stage stage{view_.epoch, &view_, Rank(i), ring, c_.direct, nullptr};
      const Algorithm algorithm = decision ? Algorithm::kRing : c_.algorithm;
      stage.by_ring = is_uniform(c_.kind) && algorithm == Algorithm::kRing;
      if (is_uniform(c_.kind))
        stage.schedule = std::make_shared<Schedule>(make_allreduce(algorithm, view_, ring, Rank(i)));
      ranks_[ids_[i]]->start(stage, decision);
      for (uint32_t r = 0; r < view_.size(); ++r) ranks_[ids_[i]]->granted(Rank(r));
    }
  }
  void deliver(size_t frames) {
    for (size_t n = 0; n < frames; ++n) {
      for (uint32_t who : ids_) ranks_[who]->originate(2);
      std::vector<std::pair<uint32_t, uint32_t>> lanes;
      for (auto& [lane, queue] : wire_)
        if (!queue.empty()) lanes.push_back(lane);
      if (lanes.empty()) return;
      const auto lane = lanes[random_.below(lanes.size())];
      Sent sent = std::move(wire_[lane].front());
      wire_[lane].pop_front();
      arrive(lane.second, sent);
      ++full_[ids_[random_.below(ids_.size())]];
      check_proofs();
    }
  }
  // What is proven of older ops holds at all who take part, now and after every rebuild (W13).
  void check_proofs() const {
    for (uint32_t r : ids_)
      for (uint32_t p : ids_)
        ASSERT_LE(ranks_[r]->proven(), OpSeq(has_many_sources(c_.kind) ? full_[p] : 0)) << c_.text() << ": to rank " << r << " of rank " << p;
  }
  void arrive(uint32_t to, Sent& sent) {
    Executor& rank = *ranks_[to];
    sent.frame.header.length = static_cast<uint32_t>(sent.frame.payload.size());
    const Rank from(
        static_cast<uint32_t>(std::find(ids_.begin(), ids_.end(), sent.from) - ids_.begin()));
    Landing landing = rank.on_header(from, sent.frame.header);
    ASSERT_EQ(landing.verdict, Landing::Verdict::kInto)
        << c_.text() << ": a frame that nobody wants";
    // The sender's memory is read now, as late as may be.
    if (!sent.frame.payload.empty())
      std::memcpy(landing.into, sent.frame.payload.data(), sent.frame.payload.size());
    rank.on_frame(from, sent.frame.header, std::move(landing));
  }

  void seal_without(uint32_t victim) {
    wire_.clear();
    std::vector<SealReport> reports;
    View next;
    next.epoch = Epoch(2);
    std::vector<Slot> alive;
    const uint64_t least_full = *std::min_element(full_.begin(), full_.end());
    for (uint32_t r = 0; r < c_.world; ++r)
      if (r != victim) alive.push_back(Slot(r));
    for (uint32_t r = 0; r < c_.world; ++r) {
      if (r == victim) continue;
      ranks_[r]->freeze();
      // What was not full at all of them may be so no more (a reduce-scatter of mode strict is redone as a whole).
      full_[r] = least_full;
      next.members.push_back(view_.members[r]);
      OpReport op;
      op.begun = true;
      op.full = ranks_[r]->full() && ranks_[r]->needs_something();
      op.mode = c_.mode;
      op.blocks = blocks_;
      op.chunks = layout_.chunks;
      op.signature = 1;
      op.held = ranks_[r]->held_runs();
      op.partials = ranks_[r]->partial_runs(alive);
      reports.push_back({Epoch(2), {GroupReport{kRootGroup, OpSeq(0), OpSeq(1), {op}, {}}}});
    }
    view_ = next;
    std::erase(ids_, victim);
    ResolveInput input;
    input.view = &view_;
    for (const auto& report : reports) input.reports.push_back(&report);
    input.first_op.assign(view_.size(), OpSeq(0));
    input.ring = make_ring(view_.size(), {});
    input.contributors = [&](Epoch lineage, OpSeq) {
      std::vector<PeerId> ids;
      for (uint32_t r = 0; r < c_.world; ++r)
        if (lineage == Epoch(1) || r != victim) ids.push_back({1, r + 1});
      return ids;
    };
    const ResolveOutput out = resolve(input);
    EXPECT_FALSE(out.lineages_disagree) << c_.text();
    const OpDecision& decision = out.group.ops[0];
    ended_ = decision.outcome != OpDecision::Outcome::kChunks;
    if (ended_) return expect_may_end(victim, decision);
    start(&decision);
  }
  void expect_may_end(uint32_t victim, const OpDecision& decision) const {
    const bool root_died = has_root(c_.kind) && c_.root == victim;
    if (decision.outcome == OpDecision::Outcome::kAbort) {
      const bool block_died =
          c_.mode == RebuildMode::kStrict && has_layout(c_.kind) && !has_many_sources(c_.kind);
      EXPECT_TRUE(root_died || block_died) << c_.text() << ": " << decision.reason.text();
    } else {
      EXPECT_TRUE(root_died && (c_.kind == OpKind::kReduce || c_.kind == OpKind::kGather))
          << c_.text();
    }
  }

  void check(uint32_t victim) {
    check_proofs();
    for (uint32_t r : ids_) {
      proofs_ += ranks_[r]->proven() != OpSeq(0);
      // So that nobody has to say it as well.
      EXPECT_TRUE(!is_uniform(c_.kind) || ranks_[r]->proven() == ranks_[ids_[0]]->proven()) << c_.text();
      // In place, originals stay until the op is over; all else is let go when it was read for the
      // last time.
      EXPECT_TRUE(victim != kNobody || c_.in_place || pools_[r]->in_use_bytes() == 0)
          << c_.text() << ": rank " << r;
      ASSERT_TRUE(ranks_[r]->full()) << c_.text() << ": rank " << r << " waits for ever";
      for (const HeldRun& run : ranks_[r]->held_runs()) {
        const uint32_t block = layout_.block_of(run.first);
        if (!blocks_.needers(block).has(Slot(r))) continue;
        for (uint32_t c = run.first; c < run.first + run.count; ++c)
          check_chunk(r, block, c, run, victim);
      }
      if (c_.mode == RebuildMode::kStrict && has_many_sources(c_.kind)) {
        const auto runs = ranks_[r]->held_runs();
        for (const HeldRun& run : runs) {
          EXPECT_EQ(run.lineage, runs[0].lineage) << c_.text();
        }
      }
      for (const HeldRun& run : ranks_[r]->held_runs()) resumed_ += run.departed.empty() ? 0 : run.count;
    }
  }
  void check_chunk(uint32_t r, uint32_t block, uint32_t chunk, const HeldRun& run,
                   uint32_t victim) const {
    const bool counts = run.lineage == Epoch(1) || run.departed == std::vector<Slot>{Slot(victim)};
    uint64_t got = 0;
    if (c_.kind == OpKind::kAllGather || c_.kind == OpKind::kGather) got = block * c_.count;
    if (c_.kind == OpKind::kAllToAll) got = block / c_.world * c_.count;
    for (uint64_t i = 0; i < layout_.chunk_count(chunk); ++i) {
      const uint64_t e = layout_.chunk_offset(chunk) + i;
      uint64_t expected = 0;
      for (uint32_t p = 0; p < c_.world; ++p) {
        const bool contributes = has_many_sources(c_.kind) ? counts || p != victim
                                                           : !ranks_[r]->empty(chunk);
        if (contributes && blocks_.sources(block).has(Slot(p))) expected += given(p, block, e);
      }
      ASSERT_EQ(result(r)[got + e], expected)
          << c_.text() << ": rank " << r << " block " << block << " element " << e;
    }
  }

  const Case c_;
  Prng random_;
  RunConfig config_;
  Blocks blocks_;
  Layout layout_;
  View view_;
  std::vector<uint32_t> ids_;  // by rank of the view
  std::vector<std::vector<uint64_t>> send_, recv_;
  std::vector<std::unique_ptr<BufferPool>> pools_;
  std::map<std::pair<uint32_t, uint32_t>, std::deque<Sent>> wire_;
  std::vector<std::unique_ptr<Port>> ports_;
  std::vector<std::unique_ptr<Executor>> ranks_;
  bool ended_ = false;
  uint32_t resumed_ = 0, proofs_ = 0;
  std::vector<uint64_t> full_;  // older ops that are full, of each rank
};

OpSeq Port::full_upto() { return OpSeq(world.full_[self]); }

void Port::emit(OpSeq, Rank to, LaneClass, OutFrame frame) {
  if (!frame.keep && world.ranks_[self]->eager() &&
      !frame.payload.empty()) {  // express frames are copied
    frame.keep = world.pools_[self]->take(frame.payload.size());
    std::memcpy(frame.keep.data(), frame.payload.data(), frame.payload.size());
    frame.payload = {frame.keep.data(), frame.payload.size()};
  }
  world.wire_[{self, world.ids_[to.value]}].push_back({self, std::move(frame)});
}

constexpr OpKind kKinds[] = {OpKind::kAllReduce, OpKind::kBroadcast,     OpKind::kReduce,
                             OpKind::kAllGather, OpKind::kReduceScatter, OpKind::kGather,
                             OpKind::kScatter,   OpKind::kAllToAll};

template <class Body>
void for_each_case(Body body) {
  uint64_t seed = 1;
  for (OpKind kind : kKinds) {
    for (uint32_t world : {1u, 2u, 3u, 5u}) {
      for (RebuildMode mode : {RebuildMode::kStrict, RebuildMode::kKeep, RebuildMode::kInclude}) {
        for (uint64_t count : {0u, 1u, 40u, 100u}) {
          for (int flags = 0; flags < 4; ++flags) {
            const bool has_in_place = kind == OpKind::kAllReduce || kind == OpKind::kAllGather ||
                                      kind == OpKind::kReduceScatter;
            if ((flags & 1) && !has_in_place) continue;
            body(Case{kind, mode, world, static_cast<uint32_t>(seed % world), count,
                      (flags & 1) != 0, (flags & 2) == 0, seed});
            ++seed;
          }
        }
      }
    }
  }
}

TEST(Collectives, GiveEveryRankWhatItIsDue) {
  for_each_case([](const Case& c) { World(c).run(~size_t{0}, kNobody); });
}

TEST(Collectives, GoOnWithoutWhoDiesAtAnyMoment) {
  uint32_t resumed = 0;
  for_each_case([&](Case c) {
    if (c.world < 2) return;
    for (size_t frames = 0; frames < 90; frames += 1 + frames / 6) {
      c.seed = c.seed * 31 + 7;
      World world(c);
      world.run(frames, static_cast<uint32_t>(c.seed / 7 % c.world));
      if (testing::Test::HasFatalFailure()) return;
      const bool may = c.mode == RebuildMode::kInclude && c.kind == OpKind::kAllReduce;
      EXPECT_TRUE(may || world.resumed() == 0) << c.text();
      resumed += world.resumed();
    }
  });
  EXPECT_GT(resumed, 100u) << "partials of the dead hardly ever went on";
}

// L1, also of what its source holds from the beginning.
TEST(Collectives, HoldEachValueByOneLineageWhereAllIsMadeAnew) {
  for_each_case([](const Case& c) {
    if (c.in_place && c.kind != OpKind::kAllGather) return;  // inputs are gone: the protocol never asks for it
    for (size_t frames : {size_t{0}, size_t{5}, size_t{20}, ~size_t{0}}) World(c).run_anew(frames);
  });
}

TEST(Collectives, ProveToAllAlikeWhatWasFullAtAll) {
  for (uint32_t a = 1; a < kAlgorithms; ++a) {
    uint32_t proofs = 0;
    for_each_case([&](Case c) {
      if (c.kind != OpKind::kAllReduce || c.mode == RebuildMode::kInclude || c.world < 2) return;
      c.algorithm = static_cast<Algorithm>(a);
      for (size_t frames : {size_t{0}, size_t{7}, size_t{20}, ~size_t{0}}) {
        World world(c);
        world.run(frames, ~frames == 0 ? kNobody : static_cast<uint32_t>(c.seed % c.world));
        if (testing::Test::HasFatalFailure()) return;
        proofs += world.proofs();
      }
    });
    EXPECT_GT(proofs, 100u) << name(static_cast<Algorithm>(a));
  }
}

}  // namespace
}  // namespace rhz
