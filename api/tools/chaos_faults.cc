#include "api/tools/chaos_faults.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rhz::tools {
namespace {

constexpr double kLongestGap = 5;  // in means

// How long it lasts, in suspicion times.  Between a pause and a freeze nobody can say whether the peer has to stay.  Behind a cut TCP
// waits for as long again before it tries once more, so that a blip is shorter than a pause.
struct Kind {
  std::string_view name;
  double shortest = 0, longest = 0;
  double rarely = 0;  // one in kRare lasts for `longest` up to this; 0: none does
};
constexpr double kRare = 8;
constexpr Kind kKinds[kFaults] = {
    {"kill"},
    {"kill-several"},
    {"pause", 0.05, 0.5},
    {"freeze", 1.5, 4, 20},
    {"slow", 1, 4},
    {"reset", 0.02, 0.2},
    {"coordinator"},
    {"kill-joiners"},
    {"garbage", 0.5, 2},
    {"descriptors", 0.3, 2},
    {"memory", 0.3, 2},
    {"full-disk", 1, 4},
    {"blip", 0.02, 0.2},
    {"partition", 1.5, 4},
    {"one-way", 1.5, 4},
    {"edge", 1.5, 4},
    {"flip-flop", 2, 6},
    {"narrow", 2, 8},
    {"rough", 2, 8},
    {"cut-coordinator", 0.5, 4},
    {"flips", 2, 8},
};
const Kind& kind_of(FaultKind kind) { return kKinds[static_cast<size_t>(kind)]; }

}  // namespace

std::string_view name_of(FaultKind kind) { return kind_of(kind).name; }

std::vector<FaultKind> all_faults(bool with_network) {
  std::vector<FaultKind> all;
  for (size_t i = 0; i < (with_network ? kFaults : kProcessFaults); ++i) all.push_back(static_cast<FaultKind>(i));
  return all;
}

std::optional<FaultKind> fault_of(std::string_view name) {
  for (const FaultKind kind : all_faults(true))
    if (name_of(kind) == name) return kind;
  return std::nullopt;
}

std::string fault_names(bool with_network) {
  std::string all;
  for (const FaultKind kind : all_faults(with_network)) all += (all.empty() ? "" : ", ") + std::string(name_of(kind));
  return all;
}

FaultPlan::FaultPlan(uint64_t seed, uint32_t peers, uint64_t mean_ns, uint64_t suspicion_ns, std::vector<FaultKind> kinds)
    : when_(Prng(seed).split(1)), what_(Prng(seed).split(2)), whom_(Prng(seed).split(3)), how_long_(Prng(seed).split(4)), how_much_(Prng(seed).split(5)),
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
  const Kind& kind = kind_of(next_.kind);
  const double drawn = how_long_.unit();
  double times = kind.shortest + drawn * (kind.longest - kind.shortest);
  if (kind.rarely > 0 && drawn < 1 / kRare) times = kind.longest + drawn * kRare * (kind.rarely - kind.longest);
  next_.lasts_ns = static_cast<uint64_t>(times * static_cast<double>(suspicion_ns_));
  next_.strength = how_much_.unit();
}

}  // namespace rhz::tools
