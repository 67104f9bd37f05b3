// Ops of a device, with a device that does what the test tells it.
#include <gtest/gtest.h>

#include <cstring>
#include <deque>

#include "api/src/device_ops.h"
#include "api/src/device_use.h"

namespace rhz::api::test {
namespace {

// One queue for everything, whose work is done when the test says so: memory of the "device" is that of its vector.
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
  Result<std::span<DeviceWord>> words(const DeviceQueue&, size_t) override { return Status(Code::kMemory, "none"); }
  Status fetch(const DeviceQueue&, std::byte* to, const void* from, size_t bytes) override { return copy(to, from, bytes); }
  Status put(const DeviceQueue&, void* to, const std::byte* from, size_t bytes) override { return copy(to, from, bytes); }
  Status raise(const DeviceQueue&, DeviceWord& word) override {
    return push([&word] { return word.store(kRaised), true; });
  }
  Status await(const DeviceQueue&, DeviceWord& word) override {
    return push([&word] { return word.load() == kRaised; });
  }
  Status health(const DeviceQueue&) override { return Status::ok(); }

 private:
  Status copy(void* to, const void* from, size_t bytes) {
    return push([=] { return std::memcpy(to, from, bytes), true; });
  }
  Status push(std::function<bool()> work) {
    if (broken) return Status(Code::kIo, "broken");
    work_.push_back(std::move(work));
    return Status::ok();
  }
  std::deque<std::function<bool()>> work_;
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
      DeviceWord* const w = words_.data() + 3 * used_++;
      EXPECT_TRUE(op->prepare(device_, slabs_, {w, w + 1, w + 2}, nullptr, false));
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
  Slabs slabs_{device_, {[this](size_t bytes) -> Result<std::byte*> { return given_.emplace_back(bytes).data(); }, [](std::byte*) {}}};
  std::vector<DeviceWord> words_ = std::vector<DeviceWord>(64);
  size_t used_ = 0;
  std::vector<std::byte> host_ = std::vector<std::byte>(4096);
  std::vector<Begun> begun_;
  std::vector<uint64_t> cancelled_;
  Status ended_;
  int freed_ = 0;
  DeviceOps ops_{{[this] { return ended_; },
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
  ASSERT_TRUE(op.prepare(device_, slabs_, {&words_[0], &words_[1], &words_[2]}, nullptr, false));
  device_.broken = true;
  EXPECT_EQ(op.enqueue(device_).code(), Code::kIo);
  EXPECT_EQ(words_[1], kRaised);
}

TEST(Slabs, KeepsWhatItLockedForTheNextOfThatSize) {
  TestDevice device;
  std::deque<std::vector<std::byte>> given;
  Slabs slabs(device, {[&](size_t bytes) -> Result<std::byte*> { return given.emplace_back(bytes).data(); }, [](std::byte*) {}});
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
      {OpKind::kAllReduce, false, block, block}, {OpKind::kBroadcast, true, block, none},
      {OpKind::kBroadcast, false, none, block},  {OpKind::kReduce, true, block, block},
      {OpKind::kReduce, false, block, none},     {OpKind::kAllGather, false, block, all},
      {OpKind::kReduceScatter, false, all, block}, {OpKind::kGather, true, block, all},
      {OpKind::kGather, false, block, none},     {OpKind::kScatter, true, all, block},
      {OpKind::kScatter, false, none, block},    {OpKind::kAllToAll, false, all, all},
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
