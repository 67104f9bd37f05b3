// Order in which values travel round the members of a view.
#include <set>

#include "runtime/agreement/resolve.h"

namespace rhz {
namespace {

// Depth-first search for a Hamiltonian cycle in slot order; gives up after kMaxSteps.
class RingSearch {
 public:
  RingSearch(uint32_t world, const std::vector<std::pair<Rank, Rank>>& broken)
      : world_(world), used_(world, false) {
    for (auto [a, b] : broken) {
      broken_.insert({a.value, b.value});
      broken_.insert({b.value, a.value});
    }
  }
  std::vector<Rank> run() {
    ring_.push_back(Rank(0));
    used_[0] = true;
    return extend() ? ring_ : std::vector<Rank>{};
  }

 private:
  static constexpr uint32_t kMaxSteps = 100'000;
  bool joined(uint32_t a, uint32_t b) const { return !broken_.contains({a, b}); }
  bool extend() {
    if (ring_.size() == world_) return world_ == 1 || joined(ring_.back().value, 0);
    for (uint32_t next = 1; next < world_; ++next) {
      if (used_[next] || !joined(ring_.back().value, next) || ++steps_ > kMaxSteps) continue;
      used_[next] = true;
      ring_.push_back(Rank(next));
      if (extend()) return true;
      ring_.pop_back();
      used_[next] = false;
    }
    return false;
  }

  const uint32_t world_;
  std::set<std::pair<uint32_t, uint32_t>> broken_;
  std::vector<bool> used_;
  std::vector<Rank> ring_;
  uint32_t steps_ = 0;
};

}  // namespace

std::vector<Rank> make_ring(uint32_t world, const std::vector<std::pair<Rank, Rank>>& broken) {
  if (world == 0) return {};
  return RingSearch(world, broken).run();
}

}  // namespace rhz
