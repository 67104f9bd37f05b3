// Communicators of four ranks, wired in memory, two of which cannot reach each other:
// docs/protocol.md, "Release".
#include "collectives/communicator.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/memory_port.h"

namespace rhz {
namespace {

constexpr uint32_t kWorld = 4;

// One op on every rank, in a view whose ring avoids the edge between ranks 0 and 2.
struct World {
  explicit World(bool relayed, uint32_t retain_bytes = 0) {
    RunConfig config;
    config.world = kWorld;
    config.retain_bytes = retain_bytes;
    View view;
    view.epoch = Epoch(1);
    GroupResolution root;
    root.relayed = relayed;
    for (uint32_t r = 0; r < kWorld; ++r) {
      view.members.push_back({id_of(r), Slot(r), 0, {}});
      root.ring.push_back(Rank(r));
      root.first_op.push_back(OpSeq(0));
    }
    for (uint32_t r = 0; r < kWorld; ++r) {
      ports.push_back(std::make_unique<Port>(wire, r));
      ranks.push_back(std::make_unique<Communicator>(id_of(r), kRootGroup, *ports[r], pool));
      ranks[r]->set_config(config);
      ranks[r]->install(Time{}, view, root, view.size());
    }
    for (uint32_t r = 0; r < kWorld; ++r) {
      OpSpec spec;
      spec.dtype = reduce::Dtype::u64;
      spec.algorithm = Algorithm::kRing;  // whose data avoids the broken edge
      spec.count = 1;
      spec.send = reinterpret_cast<const std::byte*>(&input[r]);
      spec.recv = reinterpret_cast<std::byte*>(&output[r]);
      handle[r] = ranks[r]->submit(Time{}, spec, &ended[r]);
    }
  }
  void run() {
    while (!wire.empty()) deliver();
  }
  void deliver() {
    const Sent sent = std::move(wire.front());
    wire.pop_front();
    done_frames += sent.header.kind == wire::Kind::kDone;
    if (sent.from + sent.to == 2 && sent.from != sent.to) return;  // 0 and 2: broken
    Communicator& to = *ranks[sent.to];
    Landing landing = to.on_header(Rank(sent.from), sent.header);
    if (landing.verdict != Landing::Verdict::kInto) return;
    if (!sent.bytes.empty()) std::memcpy(landing.into, sent.bytes.data(), sent.bytes.size());
    to.on_frame(Time{}, Rank(sent.from), sent.header, std::move(landing));
  }

  BufferPool pool;
  std::deque<Sent> wire;
  std::vector<std::unique_ptr<Port>> ports;
  std::vector<std::unique_ptr<Communicator>> ranks;
  uint64_t input[kWorld] = {1, 10, 100, 1000}, output[kWorld] = {};
  Communicator::Handle handle[kWorld] = {};
  Ended ended[kWorld];
  uint32_t done_frames = 0;
};

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
  Communicator rank(id_of(0), kRootGroup, port, pool);
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

}  // namespace
}  // namespace rhz
