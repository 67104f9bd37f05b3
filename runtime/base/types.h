// Strong types of the runtime: mixing up a rank and a slot, or an epoch and an op number, does not compile.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>

namespace rhz {

// Monotonic time as protocol code sees it: an argument, never a clock that is read.
using Time = std::chrono::nanoseconds;
using Duration = std::chrono::nanoseconds;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
inline constexpr Time kNever = Time::max();

// An integer that converts to nothing else.  Tag only distinguishes the types.
template <class Tag, class Int>
struct Number {
  using Value = Int;
  Int value{};
  constexpr Number() = default;
  constexpr explicit Number(Int v) : value(v) {}
  friend constexpr auto operator<=>(const Number&, const Number&) = default;
  constexpr Number next() const { return Number(value + 1); }
};

using Epoch = Number<struct EpochTag, uint64_t>;         // number of a view; 0: before the first one
using OpSeq = Number<struct OpSeqTag, uint64_t>;         // number of an op in its group, dense from 0
using GroupId = Number<struct GroupTag, uint64_t>;       // 0: the root group, all members; else runtime/agreement/group.h
using Rank = Number<struct RankTag, uint32_t>;           // position in the view
using Slot = Number<struct SlotTag, uint32_t>;           // stable place in the job
using ChunkIndex = Number<struct ChunkTag, uint32_t>;    // unit of agreement within an op
using SegmentIndex = Number<struct SegmentTag, uint32_t>;  // unit of pipelining within a chunk
using LogIndex = Number<struct LogIndexTag, uint64_t>;   // position in the decision log, dense from 1
using Term = Number<struct TermTag, uint64_t>;           // incarnation of the coordinator

inline constexpr GroupId kRootGroup{0};
inline constexpr Rank kNoRank{std::numeric_limits<uint32_t>::max()};
inline constexpr Slot kAnySlot{std::numeric_limits<uint32_t>::max()};
inline constexpr OpSeq kNoOp{std::numeric_limits<uint64_t>::max()};

// 128 random bits, new for every incarnation of a peer, never reused (V2).
struct PeerId {
  uint64_t high = 0, low = 0;
  friend constexpr auto operator<=>(const PeerId&, const PeerId&) = default;
  constexpr bool valid() const { return (high | low) != 0; }
};

using Digest = std::array<uint8_t, 16>;  // XXH3-128, canonical (big-endian) bytes

}  // namespace rhz

template <class Tag, class Int>
struct std::hash<rhz::Number<Tag, Int>> {
  size_t operator()(const rhz::Number<Tag, Int>& n) const { return std::hash<Int>()(n.value); }
};
template <>
struct std::hash<rhz::PeerId> {
  size_t operator()(const rhz::PeerId& p) const { return p.high ^ (p.low * 0x9e3779b97f4a7c15ull); }
};
