#include "api/tools/chaos_faults.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rhz::tools {
namespace {

// Parts of the suspicion time.  Between a pause and a freeze nobody can say whether the peer has to stay.
constexpr double kShortestPause = 0.05, kLongestPause = 0.5;
constexpr double kShortestFreeze = 1.5, kLongestFreeze = 4;
constexpr double kShortestSlow = 1, kLongestSlow = 4;
constexpr double kLongestGap = 5;  // in means

constexpr std::string_view kNames[] = {"kill", "kill-several", "pause", "freeze", "slow", "reset", "coordinator"};

}  // namespace

std::string_view name_of(FaultKind kind) { return kNames[static_cast<size_t>(kind)]; }

std::optional<FaultKind> fault_of(std::string_view name) {
  for (const FaultKind kind : kAllFaults)
    if (name_of(kind) == name) return kind;
  return std::nullopt;
}

std::string fault_names() {
  std::string all;
  for (const FaultKind kind : kAllFaults) all += (all.empty() ? "" : ", ") + std::string(name_of(kind));
  return all;
}

FaultPlan::FaultPlan(uint64_t seed, uint32_t peers, uint64_t mean_ns, uint64_t suspicion_ns, std::vector<FaultKind> kinds)
    : when_(Prng(seed).split(1)), what_(Prng(seed).split(2)), whom_(Prng(seed).split(3)), how_long_(Prng(seed).split(4)),
      peers_(peers), mean_ns_(mean_ns), suspicion_ns_(suspicion_ns), kinds_(std::move(kinds)) {
  advance();
}

void FaultPlan::advance() {
  const double gap = std::min(kLongestGap, -std::log(1 - when_.unit()));
  next_.at_ns += static_cast<uint64_t>(gap * static_cast<double>(mean_ns_));
  next_.kind = kinds_[what_.below(kinds_.size())];
  next_.order.resize(peers_);
  std::iota(next_.order.begin(), next_.order.end(), 0u);
  for (size_t i = peers_; i > 1; --i) std::swap(next_.order[i - 1], next_.order[whom_.below(i)]);
  next_.victims = peers_ > 2 ? 2 + static_cast<uint32_t>(whom_.below(peers_ - 2)) : 1;
  const double u = how_long_.unit();
  const auto between = [&](double least, double most) {
    return static_cast<uint64_t>((least + u * (most - least)) * static_cast<double>(suspicion_ns_));
  };
  next_.lasts_ns = next_.kind == FaultKind::kPause    ? between(kShortestPause, kLongestPause)
                   : next_.kind == FaultKind::kFreeze ? between(kShortestFreeze, kLongestFreeze)
                   : next_.kind == FaultKind::kSlow   ? between(kShortestSlow, kLongestSlow)
                                                      : 0;
}

}  // namespace rhz::tools
