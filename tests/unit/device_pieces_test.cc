// Large inputs and results of a device: piece by piece, while the op runs.
#include "tests/unit/device_kit.h"

namespace rhz::api::test {
namespace {

TEST_F(DeviceOpsTest, ALargeInputComesInPiecesAndTheOpBeginsWithTheFirst) {
  constexpr size_t kBytes = (size_t{20} << 20) + 12;
  User user;
  add_large(user, kBytes);
  device_.memory[0] = std::byte{1};
  device_.memory[kBytes - 1] = std::byte{2};
  device_.run(1);
  EXPECT_FALSE(ops_.look());
  device_.run(1);
  EXPECT_TRUE(ops_.look());
  ASSERT_EQ(begun_.size(), 1u);
  const uint64_t piece = begun_[0].spec.input_there;
  EXPECT_EQ(piece, (kBytes + 4) / 5);
  EXPECT_EQ(begun_[0].spec.send[0], std::byte{1});
  EXPECT_FALSE(ops_.look()) << "no more than that";
  device_.run(4);
  EXPECT_TRUE(ops_.look());
  EXPECT_EQ(input_there_, (std::vector<std::pair<uint64_t, uint64_t>>{{0, 3 * piece}}));
  device_.run();
  EXPECT_TRUE(ops_.look());
  ASSERT_EQ(input_there_.size(), 2u);
  EXPECT_EQ(input_there_[1].second, OpSpec::kWhole);
  EXPECT_EQ(begun_[0].spec.send[kBytes - 1], std::byte{2});
  finish(0);
  device_.run();
  EXPECT_TRUE(ops_.look());
  EXPECT_EQ(user.told, std::vector{Code::kOk});
  EXPECT_EQ(device_.memory[0], std::byte{2});
}

TEST_F(DeviceOpsTest, WhatIsRefusedWhileItsInputComesIsToldOfNoMore) {
  User user;
  add_large(user, size_t{16} << 20);
  device_.run(2);
  EXPECT_TRUE(ops_.look());
  finish(0, Code::kPeerLost);
  device_.run(2);
  (void)ops_.look();
  EXPECT_TRUE(input_there_.empty());
  EXPECT_TRUE(user.told.empty()) << "the device still writes to the copies";
  device_.run();
  EXPECT_TRUE(ops_.look());
  EXPECT_EQ(user.told, std::vector{Code::kPeerLost});
}

// What is still on its way into the copies is waited for, where results go on a queue of their own.
TEST_F(DeviceOpsTest, IsNotDoneBeforeItsInputIsThere) {
  device_.apart = true;
  User user;
  add_large(user, size_t{16} << 20);
  device_.run(2);
  EXPECT_TRUE(ops_.look());
  finish(0, Code::kPeerLost);
  device_.run_later();
  EXPECT_TRUE(device_.later.empty()) << "what is behind the gate is through";
  (void)ops_.look();
  EXPECT_TRUE(user.told.empty());
  device_.run();
  EXPECT_TRUE(ops_.look());
  EXPECT_EQ(user.told, std::vector{Code::kPeerLost});
}

// Of 20 MiB and 12 bytes, in 5 parts, each of a value.
class DeviceResultTest : public DeviceOpsTest {
 protected:
  static constexpr size_t kBytes = (size_t{20} << 20) + 12, kPart = (kBytes + 4) / 5;
  DeviceResultTest() {
    device_.has_kernels = true;
    add_large(user_, kBytes);
    device_.run();
    EXPECT_TRUE(ops_.look());
  }
  void make(std::byte value, size_t from, size_t until) {
    std::fill(begun_[0].spec.recv + from, begun_[0].spec.recv + until, value);
    result_there_ = std::max<uint64_t>(result_there_, until);
  }
  void end(bool remade, Code code = Code::kOk) {
    OpOutcome outcome = with(code);
    outcome.remade = remade;
    begun_[0].completion->released(outcome);
    begun_[0].completion->finalised(outcome.status);
    device_.run();
    EXPECT_EQ(device_.queued(), 0u);
    EXPECT_TRUE(ops_.look());
    EXPECT_EQ(user_.told, std::vector{code});
  }
  // How much of the device's memory has this value.
  size_t there(std::byte value) const {
    size_t at = 0;
    while (at < kBytes && device_.memory[at] == value) ++at;
    return at;
  }
  User user_;
};

TEST_F(DeviceResultTest, GoesToTheDeviceAsFarAsItIsThere) {
  make(std::byte{7}, 0, kPart - 1);
  EXPECT_FALSE(ops_.look()) << "no part is whole";
  make(std::byte{7}, kPart - 1, 2 * kPart + 5);
  EXPECT_TRUE(ops_.look());
  device_.run();
  EXPECT_EQ(there(std::byte{7}), 2 * kPart);
  EXPECT_FALSE(ops_.look());
  make(std::byte{7}, 2 * kPart + 5, kBytes);
  EXPECT_TRUE(ops_.look());
  device_.run();
  EXPECT_EQ(there(std::byte{7}), 4 * kPart) << "the last one goes when the op is over";
  EXPECT_TRUE(user_.told.empty());
  end(false);
  EXPECT_EQ(there(std::byte{7}), kBytes);
}

TEST_F(DeviceResultTest, IsCopiedOnceMoreWhereAPartWasMadeAnew) {
  make(std::byte{7}, 0, 3 * kPart);
  EXPECT_TRUE(ops_.look());
  device_.run();
  EXPECT_EQ(there(std::byte{7}), 3 * kPart);
  make(std::byte{8}, 0, kBytes);
  end(true);
  EXPECT_EQ(there(std::byte{8}), kBytes);
}

TEST_F(DeviceResultTest, IsLeftAsItIsWhereNothingWas) {
  make(std::byte{7}, 0, 3 * kPart);
  EXPECT_TRUE(ops_.look());
  device_.run();
  make(std::byte{8}, 0, kBytes);
  end(false);
  EXPECT_EQ(there(std::byte{7}), 3 * kPart) << "the kernel copies only where it is told to";
}

TEST_F(DeviceResultTest, AnErrorOpensAllGates) {
  make(std::byte{7}, 0, kPart);
  EXPECT_TRUE(ops_.look());
  end(false, Code::kPeerLost);
}

TEST_F(DeviceOpsTest, AResultGoesAsAWholeWithoutKernels) {
  User user;
  add_large(user, size_t{20} << 20);
  device_.run(2);
  EXPECT_TRUE(ops_.look());
  device_.run();
  (void)ops_.look();
  result_there_ = size_t{20} << 20;
  EXPECT_FALSE(ops_.look());
  EXPECT_EQ(device_.queued(), 3u) << "a wait, a copy, a word";
}

}  // namespace
}  // namespace rhz::api::test
