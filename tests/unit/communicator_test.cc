// Communicators of four ranks, wired in memory, two of which cannot reach each other:
// docs/protocol.md, "Release".
#include "collectives/communicator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "tests/unit/memory_port.h"

namespace rhz {
namespace {

constexpr uint32_t kWorld = 4;

// One op on every rank, in a view whose ring avoids the edge between ranks 0 and 2.
struct World {
  explicit World(bool relayed, uint32_t retain_bytes = 0, Verify verify = Verify::kOff, bool protection = true) {
    RunConfig config;
    config.protection = protection;
    config.world = kWorld;
    config.retain_bytes = retain_bytes;
    config.verify = verify;
    view.epoch = Epoch(1);
    root.relayed = relayed;
    for (uint32_t r = 0; r < kWorld; ++r) {
      view.members.push_back({id_of(r), Slot(r), 0, {}});
      root.ring.push_back(Rank(r));
      root.first_op.push_back(OpSeq(0));
    }
    for (uint32_t r = 0; r < kWorld; ++r) {
      ports.push_back(std::make_unique<Port>(wire, r));
      ranks.push_back(std::make_unique<Communicator>(id_of(r), kRootGroup, *ports[r], pool, window));
      ranks[r]->set_config(config);
      ranks[r]->install(Time{}, view, root, view.size());
    }
    for (uint32_t r = 0; r < kWorld; ++r) handle[r] = submit(r, ended[r]);
  }
  Communicator::Handle submit(uint32_t r, Ended& end) {
    OpSpec spec;
    spec.dtype = reduce::Dtype::u64;
    spec.algorithm = Algorithm::kRing;  // whose data avoids the broken edge
    spec.count = 1;
    spec.send = reinterpret_cast<const std::byte*>(&input[r]);
    spec.recv = reinterpret_cast<std::byte*>(&output[r]);
    return ranks[r]->submit(now, spec, &end);
  }
  GroupReport seal(uint32_t r, const View& next) {
    ranks[r]->freeze(Time{});
    return ranks[r]->seal(next);
  }
  // DONE of what was released by rule b.
  void tick() {
    pass(milliseconds(10));
  }
  void pass(Duration time) {
    now += time;
    for (auto& rank : ranks) rank->tick(now);
    run();
  }
  void run() {
    while (!wire.empty()) deliver();
  }
  void deliver() {
    Sent sent = std::move(wire.front());
    wire.pop_front();
    done_frames += sent.header.kind == wire::Kind::kDone;
    digests += sent.header.kind == wire::Kind::kDone && sent.header.flags == wire::kHasDigest;
    if (broken && sent.from + sent.to == 2 && sent.from != sent.to) return;  // 0 and 2
    if (sent.header.kind == wire::Kind::kResult && sent.to == flip_to) sent.bytes[0] ^= std::byte{1};
    Communicator& to = *ranks[sent.to];
    Landing landing = to.on_header(Rank(sent.from), sent.header);
    if (landing.verdict != Landing::Verdict::kInto) return;
    if (!sent.bytes.empty()) std::memcpy(landing.into, sent.bytes.data(), sent.bytes.size());
    to.on_frame(now, Rank(sent.from), sent.header, std::move(landing));
  }

  Time now{};
  View view;
  GroupResolution root;
  BufferPool pool;
  Window window{1 << 20};
  std::deque<Sent> wire;
  std::vector<std::unique_ptr<Port>> ports;
  std::vector<std::unique_ptr<Communicator>> ranks;
  uint64_t input[kWorld] = {1, 10, 100, 1000}, output[kWorld] = {};
  Communicator::Handle handle[kWorld] = {};
  Ended ended[kWorld];
  uint32_t done_frames = 0, digests = 0;
  bool broken = true;
  uint32_t flip_to = kWorld;  // the rank to which a final value comes with another bit
};

// What the seal round makes of it.
GroupResolution aborted(const World& world, const Status& reason) {
  GroupResolution resolution = world.root;
  resolution.ops.push_back({OpSeq(0), OpDecision::Outcome::kAbort, reason, {}});
  return resolution;
}

TEST(DoneWave, GoesRoundTheRingWhenTwoMembersCannotReachEachOther) {
  World world(/*relayed=*/true);
  world.run();
  for (uint32_t r = 0; r < kWorld; ++r) {
    EXPECT_TRUE(world.ended[r].ok && world.ended[r].final) << r;
    EXPECT_EQ(world.output[r], 1111u);
    EXPECT_TRUE(world.ranks[r]->idle());
  }
  EXPECT_EQ(world.done_frames, kWorld * (kWorld - 1))
      << "as many frames as when everybody tells everybody";
}

TEST(DoneWave, IsNotKnownToTheEndsOfABrokenEdgeThatNobodyRoutedAround) {
  World world(/*relayed=*/false);
  world.run();
  EXPECT_FALSE(world.ended[0].ok);
  EXPECT_TRUE(world.ended[1].ok);
  EXPECT_FALSE(world.ended[2].ok);
}

TEST(DoneWave, IgnoresADoneAboutARankThatIsNotThere) {
  World world(/*relayed=*/true);
  world.run();
  wire::FrameHeader header;
  header.kind = wire::Kind::kDone;
  header.epoch = Epoch(1);
  header.chunk = ChunkIndex(kWorld);
  header.full_upto = 99;
  world.ranks[0]->on_frame(Time{}, Rank(1), header, world.ranks[0]->on_header(Rank(1), header));
  EXPECT_TRUE(world.wire.empty());
}

using Ends = std::array<Ended, kWorld>;

bool are_final(const Ends& ends) {
  return std::all_of(ends.begin(), ends.end(), [](const Ended& end) { return end.ok && end.final; });
}

// Small ops, of which each is over before the next one begins.
TEST(Watermark, SparesTheDoneOfOpsThatAreSoonFollowedByOthers) {
  World world(/*relayed=*/false, /*retain_bytes=*/64);
  world.broken = false;
  world.run();
  std::vector<Ends> more(200);
  for (Ends& ends : more) {
    world.pass(microseconds(100));
    for (uint32_t r = 0; r < kWorld; ++r) world.submit(r, ends[r]);
    world.run();
    const auto at = static_cast<size_t>(&ends - more.data());
    const size_t retained = CommunicatorLimits{}.retained_ops;
    EXPECT_TRUE(at < retained || are_final(more[at - retained])) << "so many are looked at together";
  }
  EXPECT_EQ(world.done_frames, 0u);
  EXPECT_FALSE(more.back()[0].final);
  world.pass(microseconds(900));
  EXPECT_EQ(world.done_frames, 0u) << "less than 1 ms ago";
  world.pass(microseconds(100));
  EXPECT_EQ(world.done_frames, kWorld * (kWorld - 1)) << "of the last one";
  for (const Ends& ends : more) EXPECT_TRUE(are_final(ends));
}

// All add to the later ones before they have the first.
TEST(Watermark, ProvesNothingOfWhatWasNotFullWhenOthersAddedTheirs) {
  World world(/*relayed=*/false, /*retain_bytes=*/64);
  world.broken = false;
  std::array<Ends, 3> more;
  for (Ends& ends : more)
    for (uint32_t r = 0; r < kWorld; ++r) world.submit(r, ends[r]);
  world.run();
  for (const Ended& end : world.ended) EXPECT_TRUE(end.ok && !end.final);
  for (uint32_t r = 0; r < kWorld; ++r) EXPECT_FALSE(world.ranks[r]->idle());
  world.tick();
  EXPECT_EQ(world.done_frames, kWorld * (kWorld - 1)) << "one for all of them";
  for (const Ended& end : world.ended) EXPECT_TRUE(end.final);
  for (const Ends& ends : more) EXPECT_TRUE(are_final(ends));
}

TEST(Watermark, DoesNotOvertakeDigests) {
  World world(/*relayed=*/false, /*retain_bytes=*/64, Verify::kAll);
  world.broken = false;
  world.run();
  Ends next;
  for (uint32_t r = 0; r < kWorld; ++r) world.submit(r, next[r]);
  world.run();
  for (const Ended& end : world.ended) EXPECT_TRUE(end.ok && !end.final);
  world.tick();
  for (const Ended& end : world.ended) EXPECT_TRUE(end.final);
  EXPECT_EQ(world.digests, 2 * kWorld * (kWorld - 1));
}

// The final value goes from rank 3 to 0, 1 and 2.
TEST(Divergence, OfResultsThatNobodyHasBackFailsTheOpOnAllAndNamesTheOddOne) {
  for (const bool relayed : {false, true}) {
    World world(relayed, /*retain_bytes=*/0, Verify::kAll);
    world.broken = relayed;
    world.flip_to = 2;
    world.run();
    for (uint32_t r = 0; r < kWorld; ++r) {
      EXPECT_FALSE(world.ended[r].ok) << r;
      const auto failed = world.ranks[r]->take_news().failed;
      ASSERT_EQ(failed.size(), 1u) << r;
      EXPECT_EQ(failed[0].status.code(), Code::kDiverged);
      EXPECT_EQ(failed[0].status.culprit, id_of(2));
      EXPECT_TRUE(failed[0].status.text().starts_with("slot 2 has another result of op 0 than the other 3"))
          << failed[0].status.text();
      View next = world.view;
      next.epoch = Epoch(2);
      EXPECT_EQ(world.seal(r, next).open.at(0).fail, failed[0].status);
      world.ranks[r]->install(Time{}, next, aborted(world, failed[0].status), kWorld);
      EXPECT_TRUE(world.ended[r].final && world.ranks[r]->take_news().diverged.is_ok())
          << "the op is over, the communicator is not";
    }
  }
}

TEST(Divergence, BlamesNobodyWithoutAMajority) {
  World world(/*relayed=*/false, /*retain_bytes=*/0, Verify::kAll);
  world.broken = false;
  world.flip_to = 1;  // and passes it on to 2
  world.run();
  const auto failed = world.ranks[0]->take_news().failed;
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_FALSE(failed[0].status.culprit.valid());
  EXPECT_TRUE(failed[0].status.text().starts_with("slots 0, 1, 2, 3 have different results of op 0, and no majority"))
      << failed[0].status.text();
}

TEST(Divergence, OfResultsThatWereReturnedLetsNothingElseReturn) {
  World world(/*relayed=*/false, /*retain_bytes=*/64, Verify::kAll);
  world.broken = false;
  world.flip_to = 2;
  world.run();
  for (uint32_t r = 0; r < kWorld; ++r) EXPECT_TRUE(world.ended[r].ok) << "rule b";
  world.tick();
  Ended later[kWorld];
  for (uint32_t r = 0; r < kWorld; ++r) world.submit(r, later[r]);
  world.run();
  world.tick();
  for (uint32_t r = 0; r < kWorld; ++r) {
    const auto failed = world.ranks[r]->take_news().failed;
    ASSERT_FALSE(failed.empty());
    EXPECT_EQ(failed[0].seq, OpSeq(0));
    EXPECT_FALSE(later[r].ok || later[r].final) << r;
    View next = world.view;
    next.epoch = Epoch(2);
    (void)world.seal(r, next);
    GroupResolution resolution = aborted(world, failed[0].status);
    resolution.ops.push_back({OpSeq(1), OpDecision::Outcome::kChunks, {}, {}});
    world.ranks[r]->install(Time{}, next, resolution, kWorld);
    EXPECT_EQ(world.ranks[r]->take_news().diverged, failed[0].status) << "the peer is to end";
  }
  world.run();
  world.tick();
  for (const Ended& end : later) EXPECT_FALSE(end.ok || end.final);
}

TEST(Divergence, IsNoneWhereTheMembersOfTheNextViewAgree) {
  World world(/*relayed=*/false, /*retain_bytes=*/64, Verify::kAll);
  world.broken = false;
  world.flip_to = 2;
  world.run();
  world.tick();
  world.flip_to = kWorld;
  world.wire.clear();
  // Rank 2 is gone, and its word with it.
  View next;
  next.epoch = Epoch(2);
  for (uint32_t r : {0u, 1u, 3u}) next.members.push_back(world.view.members[r]);
  GroupResolution kept;
  for (uint32_t r = 0; r < 3; ++r) {
    kept.ring.push_back(Rank(r));
    kept.first_op.push_back(OpSeq(0));
  }
  kept.ops.push_back({OpSeq(0), OpDecision::Outcome::kChunks, {}, {{0, 1, Epoch(1), {Rank(0), Rank(1), Rank(2)}, ChunkRun::Fate::kKeep}}});
  for (uint32_t r : {0u, 1u, 3u}) kept.answered.push_back({id_of(r), OpSeq(0)});
  for (uint32_t r : {0u, 1u, 3u}) {
    (void)world.seal(r, next);
    (void)world.ranks[r]->take_news();
    world.ranks[r]->install(Time{}, next, kept, 3);
  }
  for (; !world.wire.empty(); world.wire.pop_front()) {
    const Sent& sent = world.wire.front();
    const Rank from = next.rank_of(id_of(sent.from));
    Landing landing = world.ranks[sent.to]->on_header(from, sent.header);
    world.ranks[sent.to]->on_frame(Time{}, from, sent.header, std::move(landing));
  }
  for (uint32_t r : {0u, 1u, 3u}) {
    EXPECT_TRUE(world.ended[r].final) << r;
    EXPECT_TRUE(world.ranks[r]->take_news().failed.empty());
  }
}

TEST(Divergence, CostsSmallOpsADigestInSixteen) {
  World world(/*relayed=*/false, /*retain_bytes=*/64, Verify::kSampled);
  world.broken = false;
  world.run();
  std::vector<std::array<Ended, kWorld>> more(160);
  for (auto& ends : more) {
    for (uint32_t r = 0; r < kWorld; ++r) world.submit(r, ends[r]);
    world.run();
  }
  world.tick();
  for (auto& ends : more)
    for (const Ended& end : ends) EXPECT_TRUE(end.ok && end.final);
  const uint32_t told = world.digests / (kWorld * (kWorld - 1));
  EXPECT_GE(told, 4u);
  EXPECT_LE(told, 20u);
}

struct Unprotected : World {
  Unprotected() : World(/*relayed=*/false, /*retain_bytes=*/64, Verify::kAll, /*protection=*/false) { broken = false; }
};

TEST(Unprotected, ReturnsWithoutAWordFromTheOthers) {
  Unprotected world;
  world.run();
  world.tick();
  for (const Ended& end : world.ended) EXPECT_TRUE(end.ok && end.final);
  EXPECT_EQ(world.output[0], 1111u);
  EXPECT_EQ(world.done_frames, 0u);
}

TEST(Unprotected, ReturnsWhenWhatItSendsIsTaken) {
  Unprotected world;
  world.ports[0]->reading = true;
  world.run();
  EXPECT_FALSE(world.ended[0].ok);
  EXPECT_TRUE(world.ended[1].ok);
  EXPECT_TRUE(world.ranks[0]->draining());
  world.ports[0]->reading = false;
  world.tick();
  EXPECT_TRUE(world.ended[0].ok);
  EXPECT_FALSE(world.ranks[0]->draining());
}

TEST(Unprotected, LosesWhatIsOpenWhenTheViewChangesAndGoesOn) {
  Unprotected world;
  while (!world.ended[3].ok) world.deliver();  // the first to have its result
  ASSERT_FALSE(world.ended[2].ok);
  View next = world.view;
  next.epoch = Epoch(2);
  const GroupReport report = world.seal(2, next);
  EXPECT_EQ(report.open.at(0).fail.code(), Code::kPeerLost);
  EXPECT_EQ(world.seal(3, next).ended_upto, OpSeq(1));
  world.wire.clear();
  GroupResolution resolution = world.root;
  resolution.ops.push_back({OpSeq(0), OpDecision::Outcome::kFinal, {}, {}});
  for (uint32_t r = 0; r < kWorld; ++r) {
    if (r < 2) (void)world.seal(r, next);
    world.ranks[r]->install(Time{}, next, resolution, kWorld);
  }
  EXPECT_EQ(world.ended[2].code, Code::kPeerLost);
  EXPECT_TRUE(world.ended[3].ok);
  Ended later[kWorld];
  for (uint32_t r = 0; r < kWorld; ++r) world.submit(r, later[r]);
  world.run();
  for (const Ended& end : later) EXPECT_TRUE(end.ok);
}

// Nobody else knows of it, and membership must not go on saying it.
TEST(Fail, IsWithdrawnWhenTheOpIsReleasedAfterAll) {
  World world(/*relayed=*/true, /*retain_bytes=*/64);
  world.ranks[0]->cancel(Time{}, world.handle[0]);
  ASSERT_EQ(world.ranks[0]->take_news().failed.size(), 1u);
  world.run();
  EXPECT_TRUE(world.ended[0].ok);
  EXPECT_EQ(world.ranks[0]->take_news().withdrawn, std::vector<OpSeq>{OpSeq(0)});
  EXPECT_TRUE(world.ranks[1]->take_news().withdrawn.empty());
}

// Whoever begins it later than others finds a decision about it; its buffers are for one rank all the same.
TEST(Begin, MovesNothingOfAnOpWhoseBuffersAreForOtherRanks) {
  RunConfig config;
  config.world = 2;
  View view;
  view.epoch = Epoch(1);
  GroupResolution root;
  for (uint32_t r = 0; r < 2; ++r) {
    view.members.push_back({id_of(r), Slot(r), 0, {}});
    root.ring.push_back(Rank(r));
    root.first_op.push_back(OpSeq(0));
  }
  root.ops.push_back({});  // REDO everything
  BufferPool pool;
  std::deque<Sent> wire;
  Port port(wire, 0);
  Window window(1 << 20);
  Communicator rank(id_of(0), kRootGroup, port, pool, window);
  rank.set_config(config);
  rank.install(Time{}, view, root, view.size());
  uint64_t block = 7, result = 0;
  OpSpec spec;
  spec.kind = OpKind::kReduceScatter;
  spec.dtype = reduce::Dtype::u64;
  spec.ranks = 1;
  spec.count = 1;
  spec.send = reinterpret_cast<const std::byte*>(&block);
  spec.recv = reinterpret_cast<std::byte*>(&result);
  Ended ended;
  rank.submit(Time{}, spec, &ended);
  ASSERT_EQ(rank.take_news().failed.size(), 1u);
  for (const Sent& sent : wire) EXPECT_EQ(sent.header.kind, wire::Kind::kGrant);
  view.epoch = Epoch(2);
  (void)rank.seal(view);
  wire.clear();
  rank.install(Time{}, view, root, view.size());
  for (const Sent& sent : wire) EXPECT_EQ(sent.header.kind, wire::Kind::kGrant);
  EXPECT_FALSE(ended.ok);
}

// rhz_admit, when two newcomers wait.
TEST(Boundary, FindsNobodyWhileSomeMemberIsNotReadyForThem) {
  World world(/*relayed=*/false);
  world.broken = false;
  world.run();
  const auto boundary = [&world](uint32_t waiting_at_two, std::array<Ended, kWorld>& ends) {
    OpSpec spec;
    spec.kind = OpKind::kProbe;
    spec.dtype = reduce::Dtype::u32;
    spec.redop = reduce::RedOp::max;
    spec.count = 1;
    for (uint32_t r = 0; r < kWorld; ++r) world.ranks[r]->set_waiting(r == 2 ? waiting_at_two : 2);
    for (uint32_t r = 0; r < kWorld; ++r) (void)world.ranks[r]->submit(Time{}, spec, &ends[r]);
    world.run();
  };
  std::array<Ended, kWorld> first, second;
  boundary(Communicator::kNotYet, first);
  for (uint32_t r = 0; r < kWorld; ++r) {
    EXPECT_TRUE(first[r].ok) << r;
    EXPECT_EQ(world.ranks[r]->take_news().admit_begun, kNoOp) << r;
  }
  boundary(0, second);  // it has not heard of them
  for (uint32_t r = 0; r < kWorld; ++r) {
    EXPECT_EQ(second[r].code, Code::kPending) << r;
    EXPECT_NE(world.ranks[r]->take_news().admit_begun, kNoOp) << r;
  }
}

}  // namespace
}  // namespace rhz
