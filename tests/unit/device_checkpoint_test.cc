// Checkpoints of tensors in memory of a device: one peer, alone in its run.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "api/src/coordinator_config.h"
#include "api/src/coordinator_driver.h"
#include "api/src/peer_driver.h"
#include "tests/unit/test_state_memory.h"

namespace rhz::test {
namespace {

constexpr std::chrono::seconds kWaiting{60};
constexpr uint64_t kElements = 300'000, kOfDevice = kElements * sizeof(float);

class DeviceCheckpoint : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "rhz-device-checkpoint-XXXXXX";
    ASSERT_TRUE(mkdtemp(folder_.data()));
    rhz_coordinator_params params{};
    params.struct_size = sizeof params;
    params.world = 1;
    CoordinatorOptions config;
    ASSERT_TRUE(api::coordinator_options(params, config).is_ok());
    coordinator_ = CoordinatorDriver::start(config).value();
    PeerOptions options;
    options.coordinator = coordinator_->address();
    peer_ = PeerDriver::create(options).value();
    block_ = device_.allocate(kOfDevice).value();
  }
  void TearDown() override {
    peer_->close();
    peer_.reset();
    device_.free(block_);
    std::filesystem::remove_all(folder_);
  }
  void join(bool registered) {
    constexpr auto kFloat = static_cast<uint32_t>(reduce::Dtype::f32);
    if (registered) {
      ASSERT_TRUE(peer_->add_tensor(
          {"weight", kFloat, kElements, block_.begin, kOfDevice, false, &device_}));
      ASSERT_TRUE(peer_->add_tensor({"bias", kFloat, bias_.size(),
                                     reinterpret_cast<std::byte*>(bias_.data()),
                                     bias_.size() * sizeof(float)}));
    }
    ASSERT_TRUE(peer_->join(kWaiting).is_ok());
    ASSERT_TRUE(peer_->commit(1).is_ok());
    ASSERT_TRUE(run_an_op());  // a checkpoint has its place between collectives
  }
  bool run_an_op() {
    struct Done final : OpenOp {
      void when_released(const OpOutcome&) override {}
      void when_final(const Status&) override { over = true; }
      std::atomic<bool> over{false};
    } done;
    OpSpec spec;
    spec.kind = OpKind::kBarrier;
    spec.timeout = kWaiting;
    return peer_->submit(kRootGroup, spec, &done) &&
           peer_->progress().wait([&] { return done.over.load(); }, peer_->now() + kWaiting);
  }
  void fill(float first) {
    float* const weight = reinterpret_cast<float*>(device_.real(block_.begin));
    for (uint64_t i = 0; i < kElements; ++i) weight[i] = first + static_cast<float>(i);
    for (float& b : bias_) b = first;
  }
  bool holds(float first) {
    const float* const weight = reinterpret_cast<const float*>(device_.real(block_.begin));
    for (uint64_t i = 0; i < kElements; ++i)
      if (weight[i] != first + static_cast<float>(i)) return false;
    return true;
  }
  Status write(std::vector<MemorySlice> slices) {
    CheckpointKeeper::Choice choice;
    choice.folder = folder_;
    choice.slices = std::move(slices);
    if (Status begun = peer_->checkpoints().begin(choice); !begun) return begun;
    CheckpointKeeper::Progression now;
    return peer_->checkpoints().wait(kWaiting, now);
  }
  Status load(std::vector<MemorySlice> slices) {
    CheckpointKeeper::Wanted wanted;
    wanted.folder = folder_;
    wanted.slices = std::move(slices);
    return peer_->checkpoints().load(wanted).status();
  }

  std::string folder_;
  std::unique_ptr<CoordinatorDriver> coordinator_;
  TestStateMemory device_;
  DeviceBlock block_;
  std::vector<float> bias_ = std::vector<float>(100);
  std::shared_ptr<PeerDriver> peer_;
};

TEST_F(DeviceCheckpoint, RegisteredTensorsAreWrittenAndComeBack) {
  join(true);
  fill(5);
  const Status written = write({});
  ASSERT_TRUE(written) << written.text();
  fill(9);
  const Status loaded = load({});
  ASSERT_TRUE(loaded) << loaded.text();
  EXPECT_TRUE(holds(5));
  EXPECT_EQ(bias_[99], 5.0F);
  EXPECT_GT(device_.settled, 0) << "kernels may still write what is loaded";
}

TEST_F(DeviceCheckpoint, SoAreSlices) {
  join(false);
  fill(7);
  std::vector<float> first(kElements, 1.0F);
  MemorySlice of_host{"host", reduce::Dtype::f32, {}, 0, kElements,
                      reinterpret_cast<std::byte*>(first.data())};
  const MemorySlice of_device{"device", reduce::Dtype::f32, {2, kElements / 2}, 0, kElements,
                              block_.begin, &device_};
  const Status written = write({of_device, of_host});
  ASSERT_TRUE(written) << written.text();
  fill(0);
  MemorySlice half = of_device;  // the second one of it
  half.first = half.count = kElements / 2;
  half.data += kOfDevice / 2;
  const Status loaded = load({half});
  ASSERT_TRUE(loaded) << loaded.text();
  const float* const weight = reinterpret_cast<const float*>(device_.real(block_.begin));
  EXPECT_EQ(weight[kElements / 2 - 1], static_cast<float>(kElements / 2 - 1)) << "not asked for";
  EXPECT_EQ(weight[kElements / 2], 7 + static_cast<float>(kElements / 2));
  EXPECT_EQ(weight[kElements - 1], 7 + static_cast<float>(kElements - 1));
}

TEST_F(DeviceCheckpoint, ADeviceThatFailsSaysSo) {
  join(true);
  fill(1);
  ASSERT_TRUE(write({}));
  ASSERT_TRUE(peer_->commit(2).is_ok());
  device_.broken = true;
  EXPECT_EQ(write({}).code(), Code::kIo);
  EXPECT_EQ(load({}).code(), Code::kIo);
}

}  // namespace
}  // namespace rhz::test
