// Puts the small all-reduces of a group together, so that many cost what one costs.
//
// What is fused follows from what all ranks submit alike (kind, dtype, reduction, mode, counts, in
// this order) and from nothing else: not from buffers, time-outs or timing.  The counts of the
// parts are in the signature, so that ranks that fused differently get RHZ_ERR_MISMATCH.
#pragma once

#include <span>
#include <vector>

#include "api/src/op_handle.h"

namespace rhz::api {

struct Kept {
  rhz_op* op = nullptr;
  AnySpec spec;
  void* stream = nullptr;
  bool on_device = false;  // memory of a device, or a stream
};

struct Fused {
  std::vector<Request> requests;          // in the order of submission
  std::vector<std::vector<rhz_op*>> ops;  // that each stands for

  size_t reserve();
  void put(size_t place, Kept&& kept);
  void add_single(Kept&& kept) { put(reserve(), std::move(kept)); }
};

// Of one communicator, in the host's memory.
Fused fuse(std::vector<Kept>&& kept);

}  // namespace rhz::api
