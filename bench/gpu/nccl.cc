#include "bench/gpu/nccl.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace rhz::gpu {
namespace {

constexpr int kFloat32 = 7, kSum = 0;  // ncclFloat32, ncclSum

template <class... Args>
void call(void* library, const char* name, Args... args) {
  auto* function = reinterpret_cast<int (*)(Args...)>(dlsym(library, name));
  const int error = function ? function(args...) : -1;
  if (error == 0) return;
  std::fprintf(stderr, "%s: error %d\n", name, error);
  std::_Exit(3);
}

}  // namespace

bool Nccl::load(const std::string& path) {
  library_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  return library_ != nullptr;
}

int Nccl::version() const {
  int version = 0;
  call(library_, "ncclGetVersion", &version);
  return version;
}

NcclId Nccl::make_id() const {
  NcclId id;
  call(library_, "ncclGetUniqueId", &id);
  return id;
}

void Nccl::begin(const NcclId& id, int ranks, int rank) {
  call(library_, "ncclCommInitRank", &comm_, ranks, id, rank);
}

void Nccl::allreduce_f32(const void* send, void* recv, size_t count, void* stream) const {
  call(library_, "ncclAllReduce", send, recv, count, kFloat32, kSum, comm_, stream);
}

void Nccl::end() { call(library_, "ncclCommDestroy", comm_); }
void Nccl::abort() { call(library_, "ncclCommAbort", comm_); }

bool Nccl::shrink(int without_rank) {
  constexpr int kAbort = 1;  // NCCL_SHRINK_ABORT
  if (!dlsym(library_, "ncclCommShrink")) return false;
  void* smaller = nullptr;
  call(library_, "ncclCommShrink", comm_, &without_rank, 1, &smaller, static_cast<void*>(nullptr),
       kAbort);
  comm_ = smaller;
  return true;
}

}  // namespace rhz::gpu
