// What the processes of a benchmark share on their host: a barrier, numbers of each rank, handles
// of its memory.
#pragma once

#include <sched.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdint>

#include "bench/gpu/nccl.h"
#include "tests/gpu/cuda_calls.h"

namespace rhz::gpu {

struct Meeting {
  static constexpr uint32_t kMostRanks = 8;

  // Before the fork.
  static Meeting* make(uint32_t ranks) {
    void* memory =
        mmap(nullptr, sizeof(Meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    auto* meeting = new (memory) Meeting;
    meeting->ranks = ranks;
    return meeting;
  }

  void barrier() {
    const uint32_t round = rounds.load();
    if (arrived.fetch_add(1) + 1 == ranks.load()) {
      arrived.store(0);
      rounds.store(round + 1);
    } else {
      while (rounds.load() == round) sched_yield();
    }
  }
  // The largest of all ranks' numbers; all call it.
  double slowest(uint32_t rank, double own) {
    numbers[rank] = own;
    barrier();
    double most = 0;
    for (uint32_t r = 0; r < ranks.load(); ++r) most = numbers[r] > most ? numbers[r] : most;
    barrier();
    return most;
  }

  std::atomic<uint32_t> ranks{0}, arrived{0}, rounds{0}, failures{0};
  double numbers[kMostRanks] = {};
  Handle in[kMostRanks], out[kMostRanks], flags[kMostRanks];
  NcclId nccl;
  char address[128] = {};
  std::atomic<bool> made{false};
  std::atomic<bool> dead{false};  // the victim, as its parent has seen
};

}  // namespace rhz::gpu
