// Which of the kernels of peer_allreduce.cu an all-reduce takes, and with how many blocks: what was
// fastest on two H200, and on four (docs/results-gpu.md).  A pure function of what all ranks have
// in common.
#pragma once

#include <cstddef>
#include <cstdint>

#include "collectives/reduce/cuda/peer_allreduce.h"

namespace rhz {

enum class PeerWay { kPush, kOneShot, kTwoShot };

constexpr unsigned kPeerThreads = 512;  // of a block

struct PeerLaunch {
  PeerWay way;
  unsigned blocks;  // at most RHZ_PEER_BLOCKS
};

namespace peer {

constexpr uint64_t kPackBytes = 16, kKiB = 1024;

constexpr uint64_t ceil_div(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

// Of a thread: one while that takes few blocks; then as many as a thread can.
constexpr uint64_t push_packs(uint64_t bytes) {
  return bytes <= 64 * kKiB ? 1 : RHZ_PEER_PUSH_PACKS;
}
constexpr unsigned push_blocks(uint64_t bytes) {
  return static_cast<unsigned>(
      ceil_div(ceil_div(bytes, kPackBytes), push_packs(bytes) * kPeerThreads));
}

constexpr unsigned one_shot_blocks(uint64_t bytes) {
  const uint64_t blocks = ceil_div(bytes, kPackBytes * kPeerThreads);
  return blocks < 16 ? static_cast<unsigned>(blocks) : 16;
}

// The lines of a rank in a slot, which all that have a place there share.
constexpr uint32_t slot_lines(size_t places) {
  return static_cast<uint32_t>(RHZ_PEER_SLOT_LINES / places);
}

constexpr bool fits_slot(uint64_t bytes, size_t places) {
  return push_blocks(bytes) * kPeerThreads * (push_packs(bytes) + 1) <= slot_lines(places);
}

}  // namespace peer

// `places`: of the window, which has one for each that registered, those that are gone included. In
// place, others still read what one shot overwrites.  Of two ranks, each reads as much by one shot
// as by two, which have a meeting more.
constexpr PeerLaunch peer_launch(uint64_t bytes, size_t ranks, size_t places, bool in_place) {
  const uint64_t most_pushed = (ranks == 2 ? 512 : in_place ? 256 : 64) * peer::kKiB;
  if (bytes <= most_pushed && peer::fits_slot(bytes, places))
    return {PeerWay::kPush, peer::push_blocks(bytes)};
  if (ranks == 2) return {in_place ? PeerWay::kTwoShot : PeerWay::kOneShot, 64};
  if (in_place || bytes > 512 * peer::kKiB) return {PeerWay::kTwoShot, 32};
  return {PeerWay::kOneShot, peer::one_shot_blocks(bytes)};
}

}  // namespace rhz
