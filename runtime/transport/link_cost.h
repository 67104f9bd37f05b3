// What it costs to reach a peer, as measured (runtime/membership/prober.h).  Integers, so that every
// rank computes the same from the same numbers.
#pragma once

#include <algorithm>
#include <cstdint>

namespace rhz {

struct LinkCost {
  uint64_t latency_ns = 0;   // of a small message, one way; 0: not measured
  uint64_t ps_per_kib = 0;   // of a large one: 1024 * 10^12 / (bytes per second)

  bool is_known() const { return latency_ns > 0 && ps_per_kib > 0; }
  friend bool operator==(const LinkCost&, const LinkCost&) = default;
};

// Beyond these a link is of no use: 18 minutes, 240 KB/s.
inline constexpr uint64_t kMostLatencyNs = uint64_t{1} << 40, kMostPsPerKib = uint64_t{1} << 32;

// The worse of the two in each respect; one that is not known says nothing.
inline LinkCost worse(const LinkCost& a, const LinkCost& b) {
  return {std::max(a.latency_ns, b.latency_ns), std::max(a.ps_per_kib, b.ps_per_kib)};
}

}  // namespace rhz
