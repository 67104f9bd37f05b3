// NCCL, found at run time: the few functions that the comparison calls.
#pragma once

#include <cstddef>
#include <string>

namespace rhz::gpu {

struct NcclId {  // as ncclUniqueId
  char bytes[128];
};

class Nccl {
 public:
  // False: there is none.
  bool load(const std::string& path);
  int version() const;
  NcclId make_id() const;
  // All ranks at once; the thread's context is the device.
  void begin(const NcclId& id, int ranks, int rank);
  void allreduce_f32(const void* send, void* recv, size_t count, void* stream) const;
  void end();
  // Without the others, one of which is gone.
  void abort();
  // A communicator of those that are left, whatever runs on this one being ended; false: this NCCL
  // has none such.
  bool shrink(int without_rank);

 private:
  void* library_ = nullptr;
  void* comm_ = nullptr;
};

}  // namespace rhz::gpu
