// Shared tensors in memory of a device: joiners get them from members, through the mirrors of both in the host.  Peers in one process.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "api/src/coordinator_config.h"
#include "api/src/coordinator_driver.h"
#include "api/src/peer_driver.h"
#include "recovery/state/host_mirror.h"
#include "runtime/base/prng.h"
#include "tests/unit/test_state_memory.h"

namespace rhz::test {
namespace {

constexpr std::chrono::seconds kPatience{60};
constexpr uint64_t kWeight = StateMemory::kPieceBytes + 3 * kDigestBlockBytes + 7, kBias = 1000;
constexpr uint32_t kByte = 2;

std::vector<std::byte> random_bytes(uint64_t bytes, uint64_t seed) {
  Prng prng(seed);
  std::vector<std::byte> out(bytes + 8);
  for (uint64_t at = 0; at < bytes; at += 8) store(out.data() + at, prng.next());
  out.resize(bytes);
  return out;
}

struct Completion final : OpenOp {
  void when_released(const OpOutcome& outcome) override {
    status = outcome.status;
    joined = outcome.joined;
    done = true;
  }
  void when_final(const Status&) override { over = true; }
  Status status;
  uint32_t joined = 0;
  std::atomic<bool> done{false}, over{false};
};

// With "weight" on a device and "bias" in the host's memory.
struct Peer {
  Peer(const std::string& coordinator, uint64_t seed, uint64_t bulk_bytes) {
    PeerOptions options;
    options.coordinator = coordinator;
    options.sync_bulk_bytes = bulk_bytes;
    driver = PeerDriver::create(options).value();
    block = device.allocate(kWeight).value();
    const auto bytes = random_bytes(kWeight, seed);
    std::memcpy(weight(), bytes.data(), kWeight);
    bias = random_bytes(kBias, seed + 1);
    EXPECT_TRUE(driver->add_tensor({"weight", kByte, kWeight, block.begin, kWeight, false, &device}));
    EXPECT_TRUE(driver->add_tensor({"bias", kByte, kBias, bias.data(), kBias}));
  }
  ~Peer() {
    driver->close();
    driver.reset();
    device.free(block);
  }
  std::byte* weight() { return device.real(block.begin); }
  // How many entered.
  Result<uint32_t> admit() {
    Completion completion;
    OpSpec spec;
    spec.kind = OpKind::kProbe;
    spec.dtype = ::rhz::reduce::Dtype::u32;
    spec.redop = ::rhz::reduce::RedOp::max;
    spec.count = 1;
    spec.timeout = kPatience;
    const auto handle = driver->submit(kRootGroup, spec, &completion);
    if (!handle) return handle.status();
    if (!driver->progress().wait([&] { return completion.done && completion.over; }, driver->now() + kPatience))
      return Status(Code::kTimeout, "it hangs");
    if (!completion.status) return completion.status;
    return completion.joined;
  }
  TestStateMemory device;
  DeviceBlock block;
  std::vector<std::byte> bias;
  std::shared_ptr<PeerDriver> driver;
};

class Mirror : public ::testing::TestWithParam<uint64_t> {
 protected:
  static constexpr uint32_t kWorld = 2;
  void SetUp() override {
    rhz_coordinator_params params{};
    params.struct_size = sizeof params;
    params.world = kWorld;
    params.max_world = kWorld + 1;
    CoordinatorOptions config;
    ASSERT_TRUE(api::coordinator_options(params, config).is_ok());
    coordinator_ = CoordinatorDriver::start(config).value();
    for (uint32_t i = 0; i <= kWorld; ++i)
      peers_.push_back(std::make_unique<Peer>(coordinator_->address(), i < kWorld ? 1 : 100, GetParam()));
  }
  std::unique_ptr<CoordinatorDriver> coordinator_;
  std::vector<std::unique_ptr<Peer>> peers_;  // the last one comes later
};

TEST_P(Mirror, BringsAJoinerWhatTheDevicesOfMembersHold) {
  constexpr uint64_t kRevision = 5;
  std::vector<std::thread> threads;
  std::atomic<uint32_t> founded{0};
  std::atomic<bool> entered{false};
  for (uint32_t i = 0; i < kWorld; ++i) {
    threads.emplace_back([&, i] {
      Peer& peer = *peers_[i];
      ASSERT_TRUE(peer.driver->join(kPatience).is_ok());
      ASSERT_TRUE(peer.driver->commit(kRevision).is_ok());
      ++founded;
      // Each step changes what is on the device, alike on all members; the joiner enters behind some step.
      for (uint64_t revision = kRevision; !entered; ++revision) {
        const auto joined = peer.admit();
        ASSERT_TRUE(joined.is_ok()) << joined.status().text();
        if (joined.value() > 0) entered = true;
        if (entered) break;
        peer.weight()[revision % kWeight] ^= std::byte{0x55};
        peer.weight()[kWeight - 1] ^= std::byte{1};
        ASSERT_TRUE(peer.driver->commit(revision + 1).is_ok());
      }
    });
  }
  threads.emplace_back([&] {
    while (founded < kWorld) std::this_thread::yield();
    const Status joined = peers_[kWorld]->driver->join(kPatience);
    EXPECT_TRUE(joined.is_ok()) << joined.text();
    if (!joined) entered = true;
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::memcmp(peers_[0]->weight(), peers_[kWorld]->weight(), kWeight), 0);
  EXPECT_EQ(peers_[0]->bias, peers_[kWorld]->bias);
  EXPECT_EQ(peers_[0]->driver->membership().revision, peers_[kWorld]->driver->membership().revision);
  EXPECT_TRUE(peers_[kWorld]->driver->membership().synced);
  EXPECT_EQ(peers_[0]->driver->digest().value(), peers_[kWorld]->driver->digest().value());
}

INSTANTIATE_TEST_SUITE_P(Pulled, Mirror, ::testing::Values(UINT64_MAX, 1u << 20),
                         [](const auto& info) { return info.param == UINT64_MAX ? "AtOnce" : "InBulkFirst"; });

// The page of a joiner's state says that it is no revision until all of it is on the device.
TEST_P(Mirror, OfADeviceThatFailsEndsThePeer) {
  std::vector<std::thread> threads;
  std::atomic<bool> over{false};
  std::atomic<uint32_t> founded{0};
  for (uint32_t i = 0; i < kWorld; ++i) {
    threads.emplace_back([&, i] {
      Peer& peer = *peers_[i];
      ASSERT_TRUE(peer.driver->join(kPatience).is_ok());
      ASSERT_TRUE(peer.driver->commit(1).is_ok());
      ++founded;
      while (!over) {
        const auto joined = peer.admit();
        if (!joined.is_ok() || joined.value() > 0) break;
      }
      peer.driver->close();  // the other one may wait for it in the next op
    });
  }
  threads.emplace_back([&] {
    while (founded < kWorld) std::this_thread::yield();
    peers_[kWorld]->device.broken = true;
    const Status joined = peers_[kWorld]->driver->join(kPatience);
    over = true;
    EXPECT_EQ(joined.code(), Code::kIo) << joined.text();
    EXPECT_NE(joined.text().find("the device is broken"), std::string::npos) << joined.text();
    EXPECT_EQ(peers_[kWorld]->driver->membership().revision, 0u);
  });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace rhz::test
