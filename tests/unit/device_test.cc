// Ops of a device, with a device that does what the test tells it.
#include "api/src/peer_op.h"
#include "collectives/reduce/cuda/peer_ways.h"
#include "tests/unit/device_kit.h"

namespace rhz::api::test {
namespace {

class TestAccess final : public KernelsAlone {
 public:
  explicit TestAccess(TestDevice& device) : device_(device) {}
  // What the all-reduce kernel comes to; kPeerRuns: it is not over.
  std::function<PeerEnd(const PeerAllReduce&)> kernel;

  Status copy(const DeviceQueue&, void* to, const void* from, size_t bytes) override {
    return device_.copy(to, from, bytes);
  }
  Status run(const DeviceQueue&, const Launch&, const void* parameter) override {
    return device_.push(
        [this, p = *static_cast<const PeerAllReduce*>(parameter)] { return turn(p); });
  }

 private:
  // True when it has ended; one that did not pass holds the stream.
  bool turn(const PeerAllReduce& p) {
    if (*p.ended == kPeerRuns) *p.ended = kernel(p);
    if (*p.ended == kPeerRuns || *p.ended == kPeerPassed) return *p.ended == kPeerPassed;
    if (*p.order == kPeerGive && *p.given == 0) {
      std::memcpy(p.host_in, p.input, p.bytes);
      *p.given = 1;
    }
    if (*p.order == kPeerTake) std::memcpy(p.out[0], p.host_out, p.bytes);
    if (*p.order == kPeerTake || *p.order == kPeerGoOn) *p.done = 1;
    return *p.done != 0;
  }

  TestDevice& device_;
};

TEST_F(DeviceOpsTest, BeginsWhenTheInputIsThereAndTellsWhenTheResultIs) {
  User user;
  device_.memory[0] = std::byte{41};
  add(user);
  EXPECT_FALSE(ops_.look());
  EXPECT_TRUE(begun_.empty());
  device_.run();
  EXPECT_TRUE(ops_.look());
  ASSERT_EQ(begun_.size(), 1u);
  EXPECT_FALSE(device_.owns(begun_[0].spec.send));
  EXPECT_FALSE(device_.owns(begun_[0].spec.recv));
  EXPECT_NE(begun_[0].spec.send, begun_[0].spec.recv) << "copies lie apart";
  finish(0);
  (void)ops_.look();
  EXPECT_TRUE(user.told.empty()) << "the result is still in the host's memory";
  device_.run();
  EXPECT_TRUE(ops_.look());
  EXPECT_EQ(user.told, std::vector{Code::kOk});
  EXPECT_EQ(user.final, std::vector{Code::kOk});
  EXPECT_EQ(device_.memory[0], std::byte{42});
  EXPECT_TRUE(ops_.idle());
  EXPECT_EQ(freed_, 1);
}

TEST_F(DeviceOpsTest, TheStreamStandsUntilTheOpIsOver) {
  User user;
  add(user);
  device_.run();
  (void)ops_.look();
  device_.run();
  EXPECT_GT(device_.queued(), 0u);
  finish(0, Code::kPeerLost);
  device_.run();
  EXPECT_EQ(device_.queued(), 0u) << "an error opens the gate as well";
  (void)ops_.look();
  EXPECT_EQ(user.told, std::vector{Code::kPeerLost});
}

TEST_F(DeviceOpsTest, LaterOpsOfTheGroupWaitAndThoseOfOthersDoNot) {
  User first, second, other;
  add(first);
  EXPECT_TRUE(ops_.queued({kRootGroup}));
  EXPECT_FALSE(ops_.queued({GroupId(7)}));
  add(second, kRootGroup, false);
  add(other, GroupId(7), false);
  (void)ops_.look();
  ASSERT_EQ(begun_.size(), 1u);
  EXPECT_EQ(begun_[0].group, GroupId(7));
  device_.run();
  (void)ops_.look();
  ASSERT_EQ(begun_.size(), 3u);
  EXPECT_EQ(begun_[2].spec.recv, host_.data());
  EXPECT_FALSE(ops_.queued({kRootGroup}));
}

TEST_F(DeviceOpsTest, ACancelReachesAnOpWhetherItHasBegunOrNot) {
  User a, b;
  const uint64_t early = add(a);
  EXPECT_TRUE(ops_.cancel(early));
  EXPECT_TRUE(cancelled_.empty());
  device_.run();
  (void)ops_.look();
  EXPECT_EQ(cancelled_, std::vector<uint64_t>{0});
  const uint64_t late = add(b, kRootGroup, false);
  (void)ops_.look();
  EXPECT_TRUE(ops_.cancel(late));
  EXPECT_EQ(cancelled_, (std::vector<uint64_t>{0, 1}));
  EXPECT_FALSE(ops_.cancel(5)) << "the runtime's own";
  EXPECT_FALSE(ops_.cancel(kMessageBit | 5)) << "a message's";
}

TEST_F(DeviceOpsTest, WhatWaitsWhenThePeerIsOutEndsSoAndOpensItsGate) {
  User user;
  add(user);
  ended_ = Status(Code::kEvicted, "test");
  EXPECT_TRUE(ops_.look());
  EXPECT_TRUE(begun_.empty());
  EXPECT_TRUE(user.told.empty()) << "its stream has not passed it";
  device_.run();
  EXPECT_EQ(device_.queued(), 0u);
  (void)ops_.look();
  EXPECT_EQ(user.told, std::vector{Code::kEvicted});
}

TEST_F(DeviceOpsTest, ALostDeviceEndsAllOfItsOpsAndItsCopiesAreNotUsedAgain) {
  User running, waiting;
  add(running);
  device_.run();
  (void)ops_.look();
  add(waiting);
  ops_.lose(Status(Code::kIo, "test"));
  finish(0);
  (void)ops_.look();
  EXPECT_EQ(running.told, std::vector{Code::kIo}) << "the result did not arrive";
  EXPECT_EQ(waiting.told, std::vector{Code::kIo});
  EXPECT_EQ(freed_, 0);
  EXPECT_TRUE(ops_.idle());
}

TEST_F(DeviceOpsTest, WhatCannotBeQueuedLeavesNoClosedGate) {
  User user;
  DeviceOp op(kRootGroup, in_place(), &user);
  ASSERT_TRUE(op.prepare(device_, slabs_, DeviceWords(words_.data()), nullptr, false));
  device_.broken = true;
  EXPECT_EQ(op.enqueue_input(device_).code(), Code::kIo);
  EXPECT_EQ(op.enqueue_output(device_).code(), Code::kIo);
  EXPECT_EQ(words_[1], kRaised);
}

// For want of memory, between its submission and the loop.
TEST_F(DeviceOpsTest, ADroppedOpLeavesNoClosedGate) {
  User user;
  {
    DeviceOp op(kRootGroup, in_place(), &user);
    ASSERT_TRUE(op.prepare(device_, slabs_, words(), nullptr, false));
    enqueue(op);
    device_.run();
    EXPECT_GT(device_.queued(), 0u);
  }
  device_.run();
  EXPECT_EQ(device_.queued(), 0u);
  EXPECT_TRUE(user.told.empty());
}

class PeerOpTest : public DeviceOpsTest {
 protected:
  static constexpr uint64_t kTag = 12345;

  uint64_t add_kernel(User& user, RebuildMode mode = RebuildMode::kStrict) {
    auto op = make_kernel(user, mode);
    EXPECT_TRUE(op->prepare(device_, slabs_, words(), nullptr, false));
    enqueue(*op);
    return ops_.add(std::move(op));
  }
  std::unique_ptr<PeerOp> make_kernel(User& user, RebuildMode mode = RebuildMode::kStrict) {
    OpSpec spec;
    spec.dtype = reduce::Dtype::f32;
    spec.count = 16;
    spec.rebuild = mode;
    spec.send = device_.memory.data();
    spec.recv = device_.memory.data() + 64;
    PeerOp::Plan plan;
    plan.access = &access_;
    plan.kernel = "all-reduce";
    plan.host_in = host_.data();
    plan.host_out = host_.data() + 64;
    plan.tag = kTag;
    plan.parameters.out[0] = got();
    plan.epoch = Epoch(3);
    plan.slots = {Slot(0), Slot(1)};
    return std::make_unique<PeerOp>(kRootGroup, spec, &user, std::move(plan));
  }
  void comes_to(PeerEnd end) {
    access_.kernel = [end](const PeerAllReduce&) { return end; };
  }
  // Runs until somebody tells it to stop.
  void waits() {
    access_.kernel = [](const PeerAllReduce& p) { return *p.abort ? kPeerStopped : kPeerRuns; };
  }
  void look() {
    for (int i = 0; i < 4; ++i) device_.run(), (void)ops_.look();
  }
  bool is_vote(size_t i) const { return begun_[i].spec.count == 3; }
  uint64_t word_of(size_t i, size_t at) const {
    uint64_t words[3];
    std::memcpy(words, begun_[i].spec.send, sizeof words);
    return words[at];
  }
  // What the others say as well, or something else.
  void vote(size_t i, bool alike, bool settled = true) {
    ASSERT_TRUE(is_vote(i));
    uint64_t words[] = {alike ? word_of(i, 0) : 0, word_of(i, 1), settled ? word_of(i, 2) : 0};
    std::memcpy(begun_[i].spec.recv, words, sizeof words);
    begun_[i].completion->released(OpOutcome{});
    begun_[i].completion->finalised(Status::ok());
  }
  void vote_fails(size_t i, Code code) {
    begun_[i].completion->released(with(code));
    begun_[i].completion->finalised(with(code).status);
  }
  std::byte* sent() { return device_.memory.data(); }
  std::byte* got() { return device_.memory.data() + 64; }

  TestAccess access_{device_};
};

TEST_F(PeerOpTest, ADroppedOpLeavesNoKernelThatHoldsTheStream) {
  User user;
  waits();
  {
    const auto op = make_kernel(user);
    ASSERT_TRUE(op->prepare(device_, slabs_, words(), nullptr, false));
    enqueue(*op);
    device_.run();
    EXPECT_GT(device_.queued(), 0u);
  }
  device_.run();
  EXPECT_EQ(device_.queued(), 0u);
}

TEST_F(PeerOpTest, IsOverAtOnceWhereTheKernelPassed) {
  User user;
  access_.kernel = [&](const PeerAllReduce&) { return got()[0] = std::byte{7}, kPeerPassed; };
  add_kernel(user);
  device_.run();
  EXPECT_EQ(device_.queued(), 0u) << "the stream goes on by itself";
  EXPECT_TRUE(ops_.look());
  EXPECT_EQ(user.told, std::vector{Code::kOk}) << "before any vote is over";
  EXPECT_TRUE(user.final.empty());
  EXPECT_EQ(got()[0], std::byte{7});
  ASSERT_EQ(begun_.size(), 1u) << "others may need the vote";
  EXPECT_EQ(word_of(0, 0), kTag);
  vote(0, true);
  look();
  EXPECT_EQ(user.final, std::vector{Code::kOk});
  EXPECT_EQ(freed_, 1);
}

TEST_F(PeerOpTest, NothingThatTheVoteSaysContradictsWhoPassed) {
  User errs, odd;
  comes_to(kPeerPassed);
  add_kernel(errs);
  add_kernel(odd);
  look();
  ASSERT_EQ(begun_.size(), 2u)
      << "the second vote does not wait for the first: nothing will come between";
  // Its words are another op's by now.
  sent()[0] = std::byte{5};
  vote_fails(0, Code::kTimeout);
  vote(1, false);
  look();
  EXPECT_EQ(errs.told, std::vector{Code::kOk});
  EXPECT_EQ(errs.final, std::vector{Code::kTimeout}) << "that everybody has it is not known";
  EXPECT_EQ(odd.told, std::vector{Code::kOk});
  EXPECT_EQ(begun_.size(), 2u) << "nothing is reduced again";
  EXPECT_TRUE(ops_.settled());
}

TEST_F(PeerOpTest, OpsOfTheHostComeBehindTheVoteOfOneThatPassedAndDoNotWaitForItsEnd) {
  User user, behind;
  comes_to(kPeerPassed);
  add_kernel(user);
  add(behind, kRootGroup, false);
  look();
  ASSERT_EQ(begun_.size(), 2u);
  EXPECT_TRUE(is_vote(0));
  EXPECT_EQ(begun_[1].spec.send, host_.data());
}

TEST_F(PeerOpTest, WhoArrivedHoldsTheStreamUntilTheVoteSaysThatAllDid) {
  User user, behind;
  access_.kernel = [&](const PeerAllReduce&) { return got()[0] = std::byte{7}, kPeerArrived; };
  add_kernel(user);
  add(behind, kRootGroup, false);
  look();
  EXPECT_EQ(device_.queued(), 1u);
  EXPECT_TRUE(user.told.empty());
  ASSERT_EQ(begun_.size(), 1u) << "the one behind waits: this one may be reduced again";
  EXPECT_EQ(word_of(0, 0), kTag);
  vote(0, true);
  look();
  EXPECT_EQ(device_.queued(), 0u);
  EXPECT_EQ(user.told, std::vector{Code::kOk});
  EXPECT_EQ(user.final, std::vector{Code::kOk});
  EXPECT_EQ(got()[0], std::byte{7});
  EXPECT_EQ(begun_.size(), 2u);
}

TEST_F(PeerOpTest, IsReducedAgainThroughTheHostWhereOneDidNotArrive) {
  for (const PeerEnd end : {kPeerArrived, kPeerStopped}) {
    User user, behind;
    const size_t first = begun_.size();
    access_.kernel = [&](const PeerAllReduce&) { return got()[0] = std::byte{99}, end; };
    add_kernel(user);
    add(behind, kRootGroup, false);
    sent()[0] = std::byte{5};
    look();
    EXPECT_EQ(word_of(first, 0), end == kPeerArrived ? kTag : 0);
    vote(first, false);
    look();
    ASSERT_EQ(begun_.size(), first + 2) << "the one behind waits";
    EXPECT_EQ(begun_[first + 1].spec.send[0], std::byte{5}) << "the input is unchanged";
    EXPECT_TRUE(user.told.empty());
    finish(first + 1);
    look();
    EXPECT_EQ(user.told, std::vector{Code::kOk});
    EXPECT_EQ(user.final, std::vector{Code::kOk});
    EXPECT_EQ(got()[0], std::byte{6});
    ASSERT_EQ(begun_.size(), first + 3);
    finish(first + 2);
    look();
    EXPECT_TRUE(ops_.settled());
  }
}

TEST_F(PeerOpTest, WhatIsReducedAgainWithAnErrorEndsSoAndTheStreamGoesOn) {
  User user;
  comes_to(kPeerStopped);
  add_kernel(user);
  look();
  vote(0, false);
  look();
  finish(1, Code::kPeerLost);
  look();
  EXPECT_EQ(user.told, std::vector{Code::kPeerLost});
  EXPECT_EQ(got()[0], std::byte{0});
  EXPECT_EQ(device_.queued(), 0u);
}

TEST_F(PeerOpTest, AKernelThatWaitsEndsWhenTheMembersChange) {
  User user;
  waits();
  add_kernel(user);
  look();
  ops_.unsettle(Epoch(3), false);
  look();
  EXPECT_TRUE(begun_.empty());
  ops_.unsettle(Epoch(3), true);
  look();
  ASSERT_EQ(begun_.size(), 1u);
  EXPECT_EQ(word_of(0, 0), 0u) << "it says that its kernel was ended";
  EXPECT_EQ(word_of(0, 2), 0u) << "and that members have changed";
}

TEST_F(PeerOpTest, InModeFailADeathInTheKernelEndsTheOpEverywhereUnlessAllArrived) {
  User lost, complete, odd;
  comes_to(kPeerArrived);
  add_kernel(lost, RebuildMode::kFail);
  look();
  EXPECT_EQ(begun_[0].spec.rebuild, RebuildMode::kStrict) << "a death does not end the vote";
  vote(0, false, false);
  look();
  EXPECT_EQ(lost.told, std::vector{Code::kPeerLost});
  EXPECT_EQ(device_.queued(), 0u);
  add_kernel(complete, RebuildMode::kFail);
  look();
  vote(1, true, false);
  look();
  EXPECT_EQ(complete.told, std::vector{Code::kOk});
  add_kernel(odd, RebuildMode::kFail);
  look();
  vote(2, false);
  look();
  ASSERT_EQ(begun_.size(), 4u) << "nobody died: reduced again";
  EXPECT_EQ(begun_[3].spec.rebuild, RebuildMode::kFail);
}

TEST_F(PeerOpTest, AnErrorOfTheVoteEndsTheOpOfWhoDidNotPass) {
  User user;
  comes_to(kPeerArrived);
  add_kernel(user);
  look();
  vote_fails(0, Code::kTimeout);
  look();
  EXPECT_EQ(user.told, std::vector{Code::kTimeout});
  EXPECT_EQ(device_.queued(), 0u);
  EXPECT_TRUE(ops_.settled());
}

TEST_F(PeerOpTest, ACancelStopsTheKernelAndEndsTheVoteOfWhoDidNotArrive) {
  User stopped, arrived;
  waits();
  ops_.cancel(add_kernel(stopped));
  look();
  ASSERT_EQ(begun_.size(), 1u);
  EXPECT_EQ(cancelled_, std::vector<uint64_t>{0});
  vote_fails(0, Code::kCancelled);
  look();
  EXPECT_EQ(stopped.told, std::vector{Code::kCancelled});
  access_.kernel = [](const PeerAllReduce& p) { return *p.abort ? kPeerArrived : kPeerRuns; };
  ops_.cancel(add_kernel(arrived));
  look();
  ASSERT_EQ(begun_.size(), 2u);
  EXPECT_EQ(cancelled_.size(), 1u) << "somebody may have passed";
  vote(1, true);
  look();
  EXPECT_EQ(arrived.told, std::vector{Code::kOk});
}

TEST_F(PeerOpTest, WhatIsRefusedBeforeItsVoteLeavesNoKernelThatHoldsTheStream) {
  User user;
  waits();
  add_kernel(user);
  ops_.refuse_all(Status(Code::kClosed, "test"));
  look();
  EXPECT_EQ(user.told, std::vector{Code::kClosed});
  EXPECT_EQ(device_.queued(), 0u);
}

TEST_F(PeerOpTest, WhoPassedKeepsItsResultWhenTheCommunicatorIsClosedBeforeTheVote) {
  User first, second;
  waits();
  add_kernel(first);
  look();
  // The second one passes while the first still runs: it is on another stream.
  add_kernel(second);
  words_[DeviceWords::kCount + 3] = kPeerPassed;
  (void)ops_.look();
  EXPECT_EQ(second.told, std::vector{Code::kOk});
  ops_.refuse_all(Status(Code::kClosed, "test"));
  look();
  EXPECT_EQ(first.told.size(), 1u);
  EXPECT_EQ(second.told, std::vector{Code::kOk});
  EXPECT_EQ(second.final, std::vector{Code::kClosed});
  EXPECT_TRUE(ops_.settled());
}

TEST_F(PeerOpTest, AVoteThatTheRuntimeDoesNotTakeEndsTheOp) {
  for (const PeerEnd end : {kPeerPassed, kPeerArrived}) {
    User user;
    comes_to(end);
    add_kernel(user);
    refuses_ = Status(Code::kClosed, "test");
    look();
    EXPECT_EQ(user.told, std::vector{end == kPeerPassed ? Code::kOk : Code::kClosed});
    EXPECT_EQ(user.final, std::vector{Code::kClosed});
    EXPECT_EQ(device_.queued(), 0u);
    EXPECT_TRUE(ops_.settled());
  }
}

TEST_F(PeerOpTest, AStreamThatWentOnByItselfEndsTheOpAsTimedOut) {
  User user;
  comes_to(kPeerArrived);
  add_kernel(user);
  look();
  words_[2] = RHZ_PEER_LEFT;
  vote(0, true);
  (void)ops_.look();
  EXPECT_EQ(user.told, std::vector{Code::kTimeout});
}

TEST(PeerWays, NeverPushMoreThanTheirPartOfASlotHolds) {
  constexpr uint64_t kKiB = 1024;
  for (size_t places = 1; places <= RHZ_PEER_RANKS; ++places) {
    EXPECT_LE(places * peer::slot_lines(places), RHZ_PEER_SLOT_LINES);
    EXPECT_EQ(peer_launch(64 * kKiB, places, places, true).way, PeerWay::kPush) << places;
    for (size_t ranks = 1; ranks <= places; ++ranks)
      for (const bool in_place : {false, true})
        for (uint64_t size = 1; size <= 1024 * 1024 * kKiB; size *= 2)
          for (const uint64_t bytes : {size, size + 1, size + size / 2}) {
            const PeerLaunch launch = peer_launch(bytes, ranks, places, in_place);
            ASSERT_TRUE(launch.blocks > 0 && launch.blocks <= RHZ_PEER_BLOCKS) << bytes;
            ASSERT_FALSE(in_place && launch.way == PeerWay::kOneShot) << bytes;
            if (launch.way != PeerWay::kPush) continue;
            // As the kernel shares them out.
            const uint64_t threads = launch.blocks * kPeerThreads;
            const uint64_t packs = peer::ceil_div(peer::ceil_div(bytes, 16), threads);
            ASSERT_LE(packs, RHZ_PEER_PUSH_PACKS) << bytes;
            ASSERT_LE(threads * (packs + 1), peer::slot_lines(places)) << bytes << " of " << ranks;
          }
  }
}

TEST(Slabs, KeepsWhatItLockedForTheNextOfThatSize) {
  TestDevice device;
  std::deque<std::vector<std::byte>> given;
  Slabs slabs(device,
              {[&](size_t bytes) -> Result<std::byte*> { return given.emplace_back(bytes).data(); },
               [](std::byte*) {}});
  const Slab first = slabs.take({}, 100000).value();
  EXPECT_EQ(first.bytes, 131072u);
  slabs.give_back(first);
  EXPECT_EQ(slabs.take({}, 70000).value().begin, first.begin);
  EXPECT_NE(slabs.take({}, 70000).value().begin, first.begin);
  EXPECT_EQ(device.pinned, 2);
  slabs.give_back(first);
  slabs.clear();
  EXPECT_EQ(device.pinned, 1);
}

}  // namespace
}  // namespace rhz::api::test
