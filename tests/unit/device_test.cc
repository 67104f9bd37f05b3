// Ops of a device, with a device that does what the test tells it.
#include <gtest/gtest.h>

#include <cstring>
#include <deque>

#include "api/src/device_ops.h"
#include "api/src/device_use.h"
#include "api/src/peer_op.h"

namespace rhz::api::test {
namespace {

// One queue for everything, whose work is done when the test says so: memory of the "device" is
// that of its vector.
class TestDevice final : public Device {
 public:
  std::vector<std::byte> memory = std::vector<std::byte>(4096);
  bool broken = false;
  int pinned = 0;

  // What is queued, up to the first wait for a word that is not raised.
  void run() {
    while (!work_.empty() && work_.front()()) work_.pop_front();
  }
  size_t queued() const { return work_.size(); }

  bool owns(const void* m) const override {
    return m >= memory.data() && m < memory.data() + memory.size();
  }
  Result<DeviceQueue> queue_of(void* stream) override { return DeviceQueue{this, stream}; }
  Result<Pair> own_queues(const void*) override { return Pair{{this, nullptr}, {this, nullptr}}; }
  Status pin(const DeviceQueue&, std::byte*, size_t) override { return ++pinned, Status::ok(); }
  void unpin(const DeviceQueue&, std::byte*) override { --pinned; }
  Result<std::span<DeviceWord>> words(const DeviceQueue&, size_t) override {
    return Status(Code::kMemory, "none");
  }
  Status fetch(const DeviceQueue&, std::byte* to, const void* from, size_t bytes) override {
    return copy(to, from, bytes);
  }
  Status put(const DeviceQueue&, void* to, const std::byte* from, size_t bytes) override {
    return copy(to, from, bytes);
  }
  Status raise(const DeviceQueue&, DeviceWord& word) override {
    return push([&word] { return word.store(kRaised), true; });
  }
  Status await(const DeviceQueue&, DeviceWord& word) override {
    return push([&word] { return word.load() == kRaised; });
  }
  Status health(const DeviceQueue&) override { return Status::ok(); }

  Status copy(void* to, const void* from, size_t bytes) {
    return push([=] { return std::memcpy(to, from, bytes), true; });
  }
  Status push(std::function<bool()> work) {
    if (broken) return Status(Code::kIo, "broken");
    work_.push_back(std::move(work));
    return Status::ok();
  }

 private:
  std::deque<std::function<bool()>> work_;
};

class TestAccess final : public PeerAccess {
 public:
  explicit TestAccess(TestDevice& device) : device_(device) {}
  // What the all-reduce kernel does: waits until it is true.
  std::function<bool(const PeerAllReduce&)> kernel;

  Result<SharedAllocation> share(const void*) override { return SharedAllocation{}; }
  Result<std::byte*> map(const DeviceQueue&, const SharedAllocation&) override {
    return Status(Code::kIo, "none");
  }
  void unmap(const DeviceQueue&, const SharedAllocation&, std::byte*) override {}
  Result<std::byte*> allocate(const DeviceQueue&, size_t, bool) override {
    return Status(Code::kIo, "none");
  }
  void free(const DeviceQueue&, std::byte*) override {}
  Status copy(const DeviceQueue&, void* to, const void* from, size_t bytes) override {
    return device_.copy(to, from, bytes);
  }
  Status run(const DeviceQueue&, const Launch& launch, const void* parameter) override {
    if (std::strcmp(launch.kernel, "rhz_copy_if") != 0)
      return device_.push(
          [this, p = *static_cast<const PeerAllReduce*>(parameter)] { return kernel(p); });
    return device_.push([c = *static_cast<const CopyIf*>(parameter)] {
      if (*c.word == c.value) std::memcpy(c.to, c.from, c.bytes);
      return true;
    });
  }

 private:
  TestDevice& device_;
};

struct User final : OpCompletion {
  std::vector<Code> told, final;
  void released(const OpOutcome& outcome) override { told.push_back(outcome.status.code()); }
  void finalised(const Status& status) override { final.push_back(status.code()); }
};

OpOutcome with(Code code) {
  OpOutcome outcome;
  if (code != Code::kOk) outcome.status = Status(code, "test");
  return outcome;
}

class DeviceOpsTest : public testing::Test {
 protected:
  struct Begun {
    GroupId group;
    OpSpec spec;
    OpCompletion* completion;
  };

  // An all-reduce in place of 16 floats at the beginning of the device's memory.
  uint64_t add(User& user, GroupId group = kRootGroup, bool on_device = true) {
    OpSpec spec;
    spec.dtype = reduce::Dtype::f32;
    spec.count = 16;
    spec.recv = on_device ? device_.memory.data() : host_.data();
    spec.send = spec.recv;
    auto op = std::make_unique<DeviceOp>(group, spec, &user);
    if (on_device) {
      DeviceWord* const first = words_.data() + DeviceWords::kCount * used_++;
      EXPECT_TRUE(op->prepare(device_, slabs_, DeviceWords(first), nullptr, false));
      EXPECT_TRUE(op->enqueue(device_));
    }
    return ops_.add(std::move(op));
  }
  // The runtime's answer, for which it adds 1 to each byte.
  void finish(size_t i, Code code = Code::kOk) {
    const Begun& op = begun_[i];
    for (size_t b = 0; b < 64; ++b) op.spec.recv[b] = std::byte(uint8_t(op.spec.send[b]) + 1);
    op.completion->released(with(code));
    op.completion->finalised(with(code).status);
  }

  TestDevice device_;
  std::deque<std::vector<std::byte>> given_;
  Slabs slabs_{
      device_,
      {[this](size_t bytes) -> Result<std::byte*> { return given_.emplace_back(bytes).data(); },
       [](std::byte*) {}}};
  std::vector<DeviceWord> words_ = std::vector<DeviceWord>(64);
  size_t used_ = 0;
  std::vector<std::byte> host_ = std::vector<std::byte>(4096);
  std::vector<Begun> begun_;
  std::vector<uint64_t> cancelled_;
  Status ended_;
  int freed_ = 0;
  DeviceOps ops_{
      {[this] { return ended_; },
       [this](GroupId group, const OpSpec& spec, OpCompletion* completion) -> Result<uint64_t> {
         begun_.push_back({group, spec, completion});
         return begun_.size() - 1;
       },
       [this](GroupId, uint64_t handle) { cancelled_.push_back(handle); },
       [this](const DeviceOp&) { ++freed_; }}};
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
  EXPECT_TRUE(ops_.queued(kRootGroup));
  EXPECT_FALSE(ops_.queued(GroupId(7)));
  add(second, kRootGroup, false);
  add(other, GroupId(7), false);
  (void)ops_.look();
  ASSERT_EQ(begun_.size(), 1u);
  EXPECT_EQ(begun_[0].group, GroupId(7));
  device_.run();
  (void)ops_.look();
  ASSERT_EQ(begun_.size(), 3u);
  EXPECT_EQ(begun_[2].spec.recv, host_.data());
  EXPECT_FALSE(ops_.queued(kRootGroup));
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
  OpSpec spec;
  spec.dtype = reduce::Dtype::f32;
  spec.count = 16;
  spec.send = spec.recv = device_.memory.data();
  DeviceOp op(kRootGroup, spec, &user);
  ASSERT_TRUE(op.prepare(device_, slabs_, DeviceWords(words_.data()), nullptr, false));
  device_.broken = true;
  EXPECT_EQ(op.enqueue(device_).code(), Code::kIo);
  EXPECT_EQ(words_[1], kRaised);
}

class PeerOpTest : public DeviceOpsTest {
 protected:
  static constexpr uint64_t kTag = 12345;

  void add_kernel(User& user, Epoch epoch = Epoch(3)) {
    OpSpec spec;
    spec.dtype = reduce::Dtype::f32;
    spec.count = 16;
    spec.send = device_.memory.data();
    spec.recv = device_.memory.data() + 64;
    PeerOp::Plan plan;
    plan.access = &access_;
    plan.kernel = "all-reduce";
    plan.host_in = host_.data();
    plan.host_out = host_.data() + 64;
    plan.tag = kTag;
    plan.epoch = epoch;
    plan.slots = {Slot(0), Slot(1)};
    auto op = std::make_unique<PeerOp>(kRootGroup, spec, &user, std::move(plan));
    DeviceWord* const first = words_.data() + DeviceWords::kCount * used_++;
    ASSERT_TRUE(op->prepare(device_, slabs_, DeviceWords(first), nullptr, false));
    ASSERT_TRUE(op->enqueue(device_));
    ops_.add(std::move(op));
  }
  void look() {
    for (int i = 0; i < 4; ++i) device_.run(), (void)ops_.look();
  }
  // What the others say as well, or something else.
  void vote(size_t i, bool alike) {
    const OpSpec& spec = begun_[i].spec;
    ASSERT_EQ(spec.count, 2u);
    uint64_t words[2];
    std::memcpy(words, spec.send, sizeof words);
    if (!alike) words[0] = 0;
    std::memcpy(spec.recv, words, sizeof words);
    begun_[i].completion->released(OpOutcome{});
    begun_[i].completion->finalised(Status::ok());
  }
  std::byte* sent() { return device_.memory.data(); }
  std::byte* got() { return device_.memory.data() + 64; }

  TestAccess access_{device_};
};

TEST_F(PeerOpTest, IsOverWhenAllSayThatTheirKernelsAre) {
  User user;
  access_.kernel = [&](const PeerAllReduce&) { return got()[0] = std::byte{7}, true; };
  add_kernel(user);
  look();
  ASSERT_EQ(begun_.size(), 1u);
  EXPECT_TRUE(ops_.queued(kRootGroup)) << "nothing overtakes the vote";
  vote(0, true);
  look();
  EXPECT_EQ(user.told, std::vector{Code::kOk});
  EXPECT_EQ(user.final, std::vector{Code::kOk});
  EXPECT_EQ(got()[0], std::byte{7});
  EXPECT_EQ(begun_.size(), 1u);
  EXPECT_TRUE(ops_.idle());
}

TEST_F(PeerOpTest, IsReducedAgainThroughTheHostWhenOneDidNotComeToItsEnd) {
  User user, behind;
  access_.kernel = [&](const PeerAllReduce&) { return got()[0] = std::byte{99}, true; };
  add_kernel(user);
  add(behind, kRootGroup, false);
  sent()[0] = std::byte{5};
  look();
  vote(0, false);
  look();
  ASSERT_EQ(begun_.size(), 2u) << "the one behind waits";
  EXPECT_EQ(begun_[1].spec.send[0], std::byte{5}) << "the input is unchanged";
  EXPECT_TRUE(user.told.empty());
  finish(1);
  look();
  EXPECT_EQ(user.told, std::vector{Code::kOk});
  EXPECT_EQ(user.final, std::vector{Code::kOk});
  EXPECT_EQ(got()[0], std::byte{6});
  EXPECT_EQ(begun_.size(), 3u);
}

TEST_F(PeerOpTest, AKernelThatWaitsEndsWhenTheMembersChange) {
  User user;
  access_.kernel = [](const PeerAllReduce& p) {
    return *p.abort != 0 ? (*p.status = kPeerAborted, true) : false;
  };
  add_kernel(user);
  look();
  ops_.unsettle(Epoch(3), false);
  look();
  EXPECT_TRUE(begun_.empty());
  ops_.unsettle(Epoch(3), true);
  look();
  ASSERT_EQ(begun_.size(), 1u);
  uint64_t word;
  std::memcpy(&word, begun_[0].spec.send, sizeof word);
  EXPECT_EQ(word, 0u) << "it says that its kernel was ended";
}

TEST_F(PeerOpTest, AnErrorOfTheVoteEndsTheOp) {
  User user;
  access_.kernel = [](const PeerAllReduce&) { return true; };
  add_kernel(user);
  look();
  begun_[0].completion->released(with(Code::kTimeout));
  begun_[0].completion->finalised(with(Code::kTimeout).status);
  look();
  EXPECT_EQ(user.told, std::vector{Code::kTimeout});
  EXPECT_EQ(device_.queued(), 0u);
  EXPECT_TRUE(ops_.idle());
}

TEST_F(PeerOpTest, WhatIsRefusedBeforeItsVoteLeavesNoKernelAndNoClosedGate) {
  User user;
  access_.kernel = [](const PeerAllReduce& p) { return *p.abort != 0; };
  add_kernel(user);
  ops_.refuse_all(Status(Code::kClosed, "test"));
  look();
  EXPECT_EQ(user.told, std::vector{Code::kClosed});
  EXPECT_EQ(device_.queued(), 0u);
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

OpSpec spec_of(OpKind kind, std::byte* send, std::byte* recv) {
  OpSpec spec;
  spec.kind = kind;
  spec.dtype = reduce::Dtype::u16;
  spec.count = 10;
  spec.ranks = has_layout(kind) ? 3 : 0;
  spec.send = send;
  spec.recv = recv;
  return spec;
}

using Extents = std::vector<Extent>;

TEST(DeviceUse, IsWhatEachCollectiveGivesAndGets) {
  std::byte s, r;
  const Extents none, block{{0, 20}}, all{{0, 60}};
  struct {
    OpKind kind;
    bool root;
    Extents reads, writes;
  } const cases[] = {
      {OpKind::kAllReduce, false, block, block},   {OpKind::kBroadcast, true, block, none},
      {OpKind::kBroadcast, false, none, block},    {OpKind::kReduce, true, block, block},
      {OpKind::kReduce, false, block, none},       {OpKind::kAllGather, false, block, all},
      {OpKind::kReduceScatter, false, all, block}, {OpKind::kGather, true, block, all},
      {OpKind::kGather, false, block, none},       {OpKind::kScatter, true, all, block},
      {OpKind::kScatter, false, none, block},      {OpKind::kAllToAll, false, all, all},
  };
  for (const auto& c : cases) {
    const DeviceUse use = use_of(spec_of(c.kind, &s, &r), c.root);
    EXPECT_EQ(use.send.reads, c.reads) << static_cast<int>(c.kind);
    EXPECT_EQ(use.recv.writes, c.writes) << static_cast<int>(c.kind);
    EXPECT_TRUE(use.send.writes.empty() && use.recv.reads.empty());
  }
}

TEST(DeviceUse, InPlaceCopiesAllBlocksBecauseRanksMayMove) {
  std::byte b;
  const DeviceUse gather = use_of(spec_of(OpKind::kAllGather, nullptr, &b), false);
  EXPECT_EQ(gather.recv.reads, (Extents{{0, 60}}));
  EXPECT_EQ(gather.recv.writes, (Extents{{0, 60}}));
  const DeviceUse scatter = use_of(spec_of(OpKind::kReduceScatter, &b, nullptr), false);
  EXPECT_EQ(scatter.send.reads, (Extents{{0, 60}}));
  EXPECT_EQ(scatter.send.writes, (Extents{{0, 60}}));
}

TEST(DeviceUse, LeavesAloneWhatLiesBetweenBlocks) {
  std::byte s, r;
  OpSpec spec = spec_of(OpKind::kAllGather, &s, &r);
  auto varying = std::make_shared<Varying>();
  varying->counts = {4, 0, 7};
  varying->send_at = {0};
  varying->recv_at = {1, 9, 20};
  varying->rank = 2;
  spec.varying = varying;
  DeviceUse use = use_of(spec, false);
  EXPECT_EQ(use.send.reads, (Extents{{0, 14}}));
  EXPECT_EQ(use.recv.writes, (Extents{{2, 8}, {40, 14}}));
  EXPECT_EQ(use.recv.end(), 54u);
  spec.send = nullptr;  // in place
  use = use_of(spec, false);
  EXPECT_EQ(use.recv.reads, (Extents{{40, 14}}));
}

TEST(DeviceUse, OfNothingIsNothing) {
  std::byte b;
  OpSpec spec = spec_of(OpKind::kAllReduce, &b, &b);
  spec.count = 0;
  EXPECT_EQ(use_of(spec, false).send.end(), 0u);
}

}  // namespace
}  // namespace rhz::api::test
