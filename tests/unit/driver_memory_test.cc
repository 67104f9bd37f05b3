// Whole all-reduces over memory that peers map.  Three ranks in one process, each with its own loop
// and thread.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "api/src/coordinator_config.h"
#include "api/src/coordinator_driver.h"
#include "api/src/peer_driver.h"

namespace rhz::test {
namespace {

constexpr uint32_t kRanks = 3;
constexpr uint64_t kCount = 3'000'001;
constexpr std::chrono::seconds kPatience{60};

struct Completion final : OpenOp {
  void when_released(const OpOutcome& outcome) override {
    status = outcome.status;
    done = true;
  }
  void when_final(const Status&) override { over = true; }
  Status status;
  std::atomic<bool> done{false}, over{false};
};

struct Member {
  std::shared_ptr<PeerDriver> driver;
  uint32_t* send = nullptr;
  uint32_t* recv = nullptr;

  void prepare(bool in_place) {
    send = reinterpret_cast<uint32_t*>(driver->allocate(kCount * 4).value());
    recv = in_place ? send : reinterpret_cast<uint32_t*>(driver->allocate(kCount * 4).value());
  }
  void reduce(uint32_t slot, RebuildMode mode) {
    for (uint64_t i = 0; i < kCount; ++i) send[i] = static_cast<uint32_t>(i * (slot + 1));
    OpSpec spec;
    spec.dtype = ::rhz::reduce::Dtype::u32;
    spec.rebuild = mode;
    spec.count = kCount;
    spec.send = reinterpret_cast<const std::byte*>(send);
    spec.recv = reinterpret_cast<std::byte*>(recv);
    Completion completion;
    ASSERT_TRUE(driver->submit(kRootGroup, spec, &completion).is_ok());
    ASSERT_TRUE(driver->progress().wait([&] { return completion.done && completion.over; },
                                        driver->now() + kPatience));
    EXPECT_TRUE(completion.status.is_ok()) << completion.status.text();
    for (uint64_t i = 0; i < kCount; ++i)
      ASSERT_EQ(recv[i], static_cast<uint32_t>(i * (kRanks * (kRanks + 1) / 2))) << i;
  }
};

TEST(DriverMemory, IsReducedRightlyInPlaceAndOutOfPlaceInEveryMode) {
  rhz_coordinator_params params{};
  params.struct_size = sizeof params;
  params.world = kRanks;
  params.suspicion_ms = 30000;  // nobody dies here, and a busy machine is no death
  CoordinatorOptions config;
  ASSERT_TRUE(api::coordinator_options(params, config).is_ok());
  auto coordinator = CoordinatorDriver::start(config);
  ASSERT_TRUE(coordinator.is_ok()) << coordinator.status().text();
  std::vector<std::thread> threads;
  for (uint32_t slot = 0; slot < kRanks; ++slot) {
    threads.emplace_back([slot, address = coordinator.value()->address()] {
      PeerOptions options;
      options.coordinator = address;
      options.slot = Slot(slot);
      options.transport = TransportChoice::kShm;
      Member rank{PeerDriver::create(options).value()};
      ASSERT_TRUE(rank.driver->join(kPatience).is_ok());
      for (const bool in_place : {false, true}) {
        rank.prepare(in_place);
        for (const RebuildMode mode : {RebuildMode::kStrict, RebuildMode::kKeep})
          for (int round = 0; round < 3; ++round) rank.reduce(slot, mode);
        EXPECT_TRUE(rank.driver->free(reinterpret_cast<std::byte*>(rank.send)).is_ok());
        if (in_place) continue;
        EXPECT_TRUE(rank.driver->free(reinterpret_cast<std::byte*>(rank.recv)).is_ok());
      }
      EXPECT_EQ(rank.driver->free(nullptr).code(), Code::kArgument);
      EXPECT_TRUE(rank.driver->leave(kPatience).is_ok());
      rank.driver->close();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace rhz::test
