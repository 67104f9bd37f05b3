// Messages of a device, with a device that does what the test tells it.
#include <thread>

#include "tests/unit/device_kit.h"

namespace rhz::api::test {
namespace {

class DeviceMessageTest : public DeviceOpsTest {
 protected:
  static constexpr uint64_t kBytes = 8;

  std::unique_ptr<DeviceMessage> make(User& user, bool sends, bool on_stream, uint64_t tag = 0,
                                      std::byte* memory = nullptr) {
    MessageSpec spec;
    spec.sends = sends;
    spec.peer = Slot(1);
    spec.channel.tag = tag;
    spec.bytes = kBytes;
    std::byte* const buffer = memory ? memory : device_.memory.data() + 16 * used_;
    if (sends)
      spec.send = buffer;
    else
      spec.recv = buffer;
    auto op = std::make_unique<DeviceMessage>(kRootGroup, spec, on_stream, &user, puts_);
    const DeviceQueue stream{&device_, nullptr};
    EXPECT_TRUE(op->prepare(device_, slabs_, words(), on_stream ? &stream : nullptr, false));
    return op;
  }
  uint64_t add(User& user, bool sends, bool on_stream, uint64_t tag = 0,
               std::byte* memory = nullptr) {
    auto op = make(user, sends, on_stream, tag, memory);
    enqueue(*op);
    return ops_.add(std::move(op));
  }
  void add_of_host(User& user, bool sends, uint64_t tag) {
    MessageSpec spec;
    spec.sends = sends;
    spec.peer = Slot(1);
    spec.channel.tag = tag;
    (void)ops_.add(std::make_unique<DeviceOp>(kRootGroup, spec, &user));
  }
  void end(size_t i, uint64_t bytes = kBytes, Code code = Code::kOk) {
    OpOutcome outcome = with(code);
    outcome.bytes = bytes;
    begun_[i].completion->released(outcome);
    begun_[i].completion->finalised(outcome.status);
  }
  // Until the thread has queued what it was given.
  void until_queued() {
    while (device_.queued() == 0) std::this_thread::yield();
  }

  DevicePuts puts_{device_, 4};
};

TEST_F(DeviceMessageTest, ASendsStreamHasItsBufferBackBeforeAnybodyTookTheMessage) {
  User user;
  device_.memory[0] = std::byte{7};
  add(user, true, true);
  EXPECT_FALSE(ops_.look());
  device_.run();
  EXPECT_EQ(device_.queued(), 0u);
  device_.memory[0] = std::byte{8};
  (void)ops_.look();
  ASSERT_EQ(begun_.size(), 1u);
  EXPECT_EQ(begun_[0].message.send[0], std::byte{7});
  EXPECT_TRUE(user.told.empty());
  EXPECT_FALSE(ops_.idle());
  EXPECT_TRUE(ops_.settled()) << "the device has nothing to do";
  end(0);
  (void)ops_.look();
  EXPECT_EQ(user.told, std::vector{Code::kOk});
  EXPECT_EQ(freed_, 1);
}

TEST_F(DeviceMessageTest, ASendFromTheHostsMemoryHoldsItsStreamUntilItIsOver) {
  User user;
  add(user, true, true, 0, host_.data());
  device_.run();
  (void)ops_.look();
  ASSERT_EQ(begun_.size(), 1u);
  EXPECT_EQ(begun_[0].message.send, host_.data());
  device_.run();
  EXPECT_GT(device_.queued(), 0u);
  end(0);
  device_.run();
  EXPECT_EQ(device_.queued(), 0u);
  (void)ops_.look();
  EXPECT_EQ(user.told, std::vector{Code::kOk});
}

TEST_F(DeviceMessageTest, AReceivesStreamStandsUntilTheMessageIsThere) {
  for (const Code code : {Code::kOk, Code::kPeerLost}) {
    User user;
    const size_t first = begun_.size();
    std::byte* const to = device_.memory.data() + 16 * used_;
    add(user, false, true);
    device_.run();
    (void)ops_.look();
    ASSERT_EQ(begun_.size(), first + 1);
    device_.run();
    EXPECT_GT(device_.queued(), 0u);
    EXPECT_TRUE(ops_.settled()) << "it is the sender that has to go on";
    begun_[first].message.recv[0] = std::byte{5};
    end(first, kBytes, code);
    EXPECT_FALSE(ops_.settled());
    device_.run();
    EXPECT_EQ(device_.queued(), 0u);
    (void)ops_.look();
    EXPECT_EQ(user.told, std::vector{code});
    EXPECT_EQ(to[0], code == Code::kOk ? std::byte{5} : to[0]);
  }
}

TEST_F(DeviceMessageTest, ReceivesOfNoStreamEndInAnyOrderAndGetWhatCame) {
  User first, second;
  add(first, false, false, 1);
  std::byte* const to = device_.memory.data() + 16 * used_;
  std::fill(to, to + kBytes, std::byte{1});
  add(second, false, false, 2);
  EXPECT_EQ(device_.queued(), 0u);
  (void)ops_.look();
  ASSERT_EQ(begun_.size(), 2u);
  std::fill(begun_[1].message.recv, begun_[1].message.recv + kBytes, std::byte{9});
  end(1, 3);
  until_queued();
  while (second.told.empty()) device_.run(), (void)ops_.look();
  EXPECT_EQ(second.told, std::vector{Code::kOk});
  EXPECT_EQ(to[2], std::byte{9});
  EXPECT_EQ(to[3], std::byte{1}) << "behind the message nothing is written";
  EXPECT_TRUE(first.told.empty());
  end(0, 0, Code::kTimeout);
  (void)ops_.look();
  EXPECT_EQ(first.told, std::vector{Code::kTimeout}) << "there is nothing to copy";
}

TEST_F(DeviceMessageTest, AMessageThatTheDeviceDoesNotTakeEndsSo) {
  User user;
  add(user, false, false);
  (void)ops_.look();
  device_.broken = true;
  end(0);
  while (user.told.empty()) (void)ops_.look();
  EXPECT_EQ(user.told, std::vector{Code::kIo});
}

TEST_F(DeviceMessageTest, LaterMessagesOfTheChannelWaitAndNothingElseDoes) {
  User first, same, back, other, collective;
  add(first, true, true, 1);
  add_of_host(same, true, 1);
  add_of_host(back, false, 1);
  add_of_host(other, true, 2);
  DeviceOpsTest::add(collective, kRootGroup, false);
  (void)ops_.look();
  ASSERT_EQ(begun_.size(), 3u);
  device_.run();
  (void)ops_.look();
  ASSERT_EQ(begun_.size(), 5u);
  EXPECT_TRUE(ops_.settled()) << "the device has nothing to do with those behind it";
  EXPECT_EQ(begun_[3].message.bytes, kBytes) << "the one of the device, then the one behind it";
}

TEST_F(DeviceMessageTest, ASendThatIsRefusedKeepsItsCopyUntilTheDeviceHasFilledIt) {
  User user;
  add(user, true, false);
  ops_.refuse_all(Status(Code::kClosed, "test"));
  (void)ops_.look();
  EXPECT_TRUE(user.told.empty());
  EXPECT_EQ(freed_, 0);
  device_.run();
  (void)ops_.look();
  EXPECT_EQ(user.told, std::vector{Code::kClosed});
  EXPECT_EQ(freed_, 1);
}

TEST_F(DeviceMessageTest, InOneGroupAReceiveDoesNotHoldUpTheSendBehindIt) {
  User receive, send;
  auto first = make(receive, false, true), second = make(send, true, true);
  for (DeviceMessage* op : {first.get(), second.get()}) ASSERT_TRUE(op->enqueue_input(device_));
  for (DeviceMessage* op : {first.get(), second.get()}) ASSERT_TRUE(op->enqueue_output(device_));
  ops_.add(std::move(first));
  ops_.add(std::move(second));
  device_.run();
  (void)ops_.look();
  EXPECT_EQ(begun_.size(), 2u);
}

}  // namespace
}  // namespace rhz::api::test
