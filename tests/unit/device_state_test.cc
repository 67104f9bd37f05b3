// State in the memory of devices: kept, taken up, digested, snapshotted, restored.
#include <gtest/gtest.h>

#include "recovery/state/device_tensors.h"
#include "recovery/vault/local_vault.h"
#include "recovery/vault/snapshot.h"
#include "tests/unit/test_state_memory.h"
#include "tests/unit/vault_kit.h"

namespace rhz::test {
namespace {

// As Trainer, with "weight" on a device, longer than what a lane takes at once, and "bias" in the
// host's memory.
class DeviceTrainer {
 public:
  static constexpr size_t kWeight = StateMemory::kPieceBytes + 2 * kDigestBlockBytes + 100,
                          kAt = 64, kBias = 10;
  explicit DeviceTrainer(unsigned seed = 1, uint64_t revision = 7) {
    std::byte* const weight = devices.allocate(kAt + kWeight).value() + kAt;
    fill(device->real(weight), kWeight, seed);
    std::byte* const bias = memory.allocate(kBias).value();
    fill(bias, kBias, seed + 1);
    EXPECT_TRUE(state.add({"weight", kByte, kWeight, weight, kWeight, true, device.get()}));
    EXPECT_TRUE(state.add({"bias", kByte, kBias, bias, kBias}));
    state.header().marked = 1;
    EXPECT_TRUE(state.commit(revision));
  }
  std::byte* real_weight() const { return device->real(state.all_tensors()[1].data); }
  std::vector<Fd> pieces() { return pieces_of(state, memory, devices); }
  static std::vector<Tensor> wanted() {
    return {{"bias", kByte, kBias, nullptr, kBias}, {"weight", kByte, kWeight, nullptr, kWeight}};
  }

  std::shared_ptr<TestStateMemory> device = std::make_shared<TestStateMemory>();
  DeviceBlocks devices{{device, Status::ok()}};
  SharedMemory memory;
  State state;
};

std::vector<std::byte> weight_of(unsigned seed) {
  std::vector<std::byte> bytes(DeviceTrainer::kWeight);
  fill(bytes.data(), bytes.size(), seed);
  return bytes;
}

TEST(DeviceState, HasTheDigestOfTheSameBytesInTheHost) {
  DeviceTrainer trainer;
  const auto weight = weight_of(1);
  std::vector<Tensor> same = {
      trainer.state.all_tensors()[0],
      {"weight", kByte, weight.size(), const_cast<std::byte*>(weight.data()), weight.size()}};
  const auto root = root_of(trainer.state.all_tensors());
  ASSERT_TRUE(root) << root.status().text();
  EXPECT_EQ(root.value(), root_of(same).value());
  EXPECT_EQ(trainer.device->settled, 1) << "kernels that are queued may still write";
  trainer.device->broken = true;
  EXPECT_EQ(root_of(trainer.state.all_tensors()).status().code(), Code::kIo);
}

TEST(DeviceState, IsTakenUpByTheNextProcessThroughItsDescriptorAlone) {
  std::vector<Fd> pieces;
  {
    DeviceTrainer trainer;
    trainer.state.header().note_root(root_of(trainer.state.all_tensors()).value());
    pieces = trainer.pieces();
    ASSERT_EQ(pieces.size(), 3u)
        << "the head, a block of the host, and behind it that of the device";
  }
  auto kept = open_kept(std::move(pieces));
  ASSERT_TRUE(kept) << kept.status().text();
  ASSERT_EQ(kept.value().on_device.size(), 1u);
  auto device = std::make_shared<TestStateMemory>();
  DeviceBlocks devices{{device, Status::ok()}};
  SharedMemory memory;
  auto tensors = DeviceTrainer::wanted();
  ASSERT_TRUE(map_devices(kept.value(), devices));
  ASSERT_TRUE(map_kept(kept.value(), memory, device.get(), tensors));
  EXPECT_EQ(tensors[0].device, nullptr);
  EXPECT_EQ(tensors[1].device, device.get());
  const auto expected = weight_of(1);
  EXPECT_EQ(std::memcmp(device->real(tensors[1].data), expected.data(), expected.size()), 0);
  EXPECT_TRUE(check_root(*kept.value().header, tensors));
  EXPECT_TRUE(devices.find(tensors[1].data, tensors[1].bytes)) << "it can be kept once more";
  device->real(tensors[1].data)[5] ^= std::byte{1};
  expect_status(check_root(*kept.value().header, tensors), Code::kStateLost,
                "not those of revision 7");
}

TEST(DeviceState, IsNotTakenUpWithoutItsDevice) {
  auto kept = open_kept(DeviceTrainer().pieces());
  ASSERT_TRUE(kept) << kept.status().text();
  auto device = std::make_shared<TestStateMemory>();
  device->visible = false;
  DeviceBlocks devices{{device, Status::ok()}};
  expect_status(map_devices(kept.value(), devices), Code::kState, "no such device");
  kept = open_kept(DeviceTrainer().pieces());
  DeviceBlocks none{{nullptr, Status(Code::kIo, "no CUDA driver")}};
  expect_status(map_devices(kept.value(), none), Code::kIo, "no CUDA driver");
  kept = open_kept(DeviceTrainer().pieces());
  kept.value().on_device[0].bytes += 4096;
  device->visible = true;
  expect_status(map_devices(kept.value(), devices), Code::kCorrupt, "");
  EXPECT_EQ(device->blocks(), 0u);
}

TEST(DeviceState, MemoryThatGoesWithItsProcessIsNotKept) {
  DeviceTrainer trainer;
  auto elsewhere = trainer.device->allocate(100).value();
  ASSERT_TRUE(
      trainer.state.add({"moment", kByte, 100, elsewhere.begin, 100, true, trainer.device.get()}));
  expect_status(keep_state(trainer.state, trainer.memory, trainer.devices).status(),
                Code::kArgument, "\"moment\" lies in no memory of rhz_cuda_alloc");
}

TEST(DeviceState, AVaultKeepsDescriptorsOfADeviceWithoutLookingAtThem) {
  DeviceTrainer trainer;
  VaultStore store({});
  auto pieces = trainer.pieces();
  ASSERT_TRUE(store.keep(1, 10, Slot(0), std::move(pieces)));
  const uint64_t bytes = store.list()[0].kept_bytes;
  EXPECT_GT(bytes, DeviceTrainer::kWeight);
  // A head that tells of more than there is.
  pieces = trainer.pieces();
  trainer.state.header().device_pieces = 3;
  EXPECT_EQ(store.keep(1, 10, Slot(0), std::move(pieces)).code(), Code::kArgument);
  EXPECT_EQ(store.list()[0].kept_bytes, bytes) << "what was kept stays";
}

TEST(DeviceState, AHeadThatLiesAboutDevicesIsNoState) {
  for (uint64_t count : {uint64_t{2}, uint64_t{3}, UINT64_MAX}) {
    DeviceTrainer trainer;
    auto pieces = trainer.pieces();
    trainer.state.header().device_pieces = count;
    EXPECT_EQ(open_kept(std::move(pieces)).status().code(), Code::kCorrupt) << count;
  }
}

class DeviceSnapshot : public testing::Test {
 protected:
  Status copy(DeviceTrainer& trainer, uint64_t revision, uint32_t part = 0, uint32_t parts = 1) {
    SnapshotCopy copy(trainer.state.all_tensors(), revision, part, parts);
    auto buffer = vault_.begin(Slot(part), copy.info());
    auto region = SharedRegion::adopt(duplicate(buffer.value().get()).value().release());
    copy.map({region.value().data(), region.value().size()});
    for (;;) {
      auto done = copy.step(buffer.value(), 1);
      if (!done) return done.status();
      if (done.value()) return vault_.seal(Slot(part), revision);
    }
  }
  Status restore_into(DeviceTrainer& trainer, uint32_t part = 0, bool unchecked = false) {
    auto found = vault_.read(Slot(part), 0);
    if (!found) return found.status();
    auto table = read_table(found.value());
    return table ? restore(found.value(), table.value(), trainer.state.all_tensors(), unchecked)
                 : table.status();
  }
  LocalVault vault_;
};

TEST_F(DeviceSnapshot, BringsTheBytesBack) {
  DeviceTrainer trainer(1), other(3);
  ASSERT_TRUE(copy(trainer, 7));
  EXPECT_EQ(trainer.device->most_copies, 2u) << "one piece is on its way while the next is begun";
  ASSERT_TRUE(restore_into(other));
  const auto expected = weight_of(1);
  EXPECT_EQ(std::memcmp(other.real_weight(), expected.data(), expected.size()), 0);
}

TEST_F(DeviceSnapshot, ByParts) {
  DeviceTrainer trainer(1), other(3);
  for (uint32_t part : {0u, 1u, 2u}) {
    ASSERT_TRUE(copy(trainer, 7, part, 3));
    ASSERT_TRUE(restore_into(other, part));
  }
  const auto expected = weight_of(1);
  EXPECT_EQ(std::memcmp(other.real_weight(), expected.data(), expected.size()), 0);
}

TEST_F(DeviceSnapshot, ADamagedPieceNeverReachesTheDevice) {
  DeviceTrainer trainer(1), other(3);
  ASSERT_TRUE(copy(trainer, 7));
  auto found = vault_.read(Slot(0), 0);
  const std::byte wrong[] = {std::byte{0x5a}, std::byte{0xa5}};
  ASSERT_TRUE(write_piece(found.value().buffer, 3 * kDigestBlockBytes + 64, wrong));
  expect_status(restore_into(other), Code::kCorrupt, "\"weight\"");
  EXPECT_TRUE(restore_into(other, 0, true)) << "unless nobody wants to know";
}

TEST_F(DeviceSnapshot, FailsWithTheDevice) {
  DeviceTrainer trainer(1);
  trainer.device->broken = true;
  expect_status(copy(trainer, 7), Code::kIo, "broken");
  trainer.device->broken = false;
  ASSERT_TRUE(copy(trainer, 8));
  trainer.device->broken = true;
  expect_status(restore_into(trainer), Code::kIo, "broken");
}

}  // namespace
}  // namespace rhz::test
