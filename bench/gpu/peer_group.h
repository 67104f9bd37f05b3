// The mapped memory of all ranks of a benchmark, and the kernels on it.
#pragma once

#include "bench/gpu/meeting.h"
#include "collectives/reduce/cuda/peer_allreduce.h"
#include "collectives/reduce/cuda/peer_ways.h"

namespace rhz::gpu {

class PeerGroup {
 public:
  // Collective.  `bytes`: of input and result.
  PeerGroup(Meeting& meeting, uint32_t rank, uint32_t ranks, size_t bytes);

  void allreduce_f32(uint64_t count, PeerLaunch how, Stream stream);
  // `kernel`: rhz_two_shot_bf16, …
  void allreduce_as(const char* kernel, uint64_t count, unsigned blocks, Stream stream);
  Memory in() const { return in_; }
  Memory out() const { return out_; }

  void abort() { host_[0] = 1; }
  // Of the last kernel that ended.
  PeerEnd status() const { return static_cast<PeerEnd>(host_[1]); }
  void clear() {
    host_[0] = 0;
    host_[1] = 0;
  }
  void set_bound(uint64_t ns) { p_.bound_ns = ns; }
  // What another rank exported, whether it lives or not.
  Memory in_of(uint32_t rank) const { return reinterpret_cast<Memory>(p_.in[rank]); }
  // Without others from here on: its own flags answer for them.
  void go_alone();
  int unmap_of(uint32_t rank);

 private:
  void run(Kernel kernel, uint64_t count, unsigned blocks, Stream stream);

  uint64_t ops_ = 0;
  PeerAllReduce p_{};
  Memory in_, out_, flags_;
  volatile uint32_t* host_;
  Kernel push_, one_shot_, two_shot_;
};

}  // namespace rhz::gpu
