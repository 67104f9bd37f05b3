// The memory for a copy takes its time.
#pragma once

#include "recovery/sync/page_maker.h"
#include "tests/sim/world.h"

namespace rhz::sim {

class SlowPages final : public recovery::PageMaker {
 public:
  SlowPages(World& world, Duration time) : world_(world), time_(time) {}
  void begin(std::byte*, uint64_t) override { ready_at_ = world_.now() + time_; }
  bool ready() const override { return world_.now() >= ready_at_; }
  void end() override { ready_at_ = {}; }

 private:
  World& world_;
  const Duration time_;
  Time ready_at_{};
};

}  // namespace rhz::sim
