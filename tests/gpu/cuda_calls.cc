#include "tests/gpu/cuda_calls.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace rhz::gpu {
namespace {

void* library() {
  static void* const loaded = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  return loaded;
}

template <class... Args>
int attempt(const char* name, Args... args) {
  auto* function = library() ? reinterpret_cast<int (*)(Args...)>(dlsym(library(), name)) : nullptr;
  return function ? function(args...) : -1;
}

template <class... Args>
void call(const char* name, Args... args) {
  const int error = attempt(name, args...);
  if (error == 0) return;
  std::fprintf(stderr, "%s: error %d\n", name, error);
  std::_Exit(3);
}

using HostFunction = void (*)(void*);

}  // namespace

int devices() {
  int count = 0;
  if (attempt("cuInit", 0u) != 0 || attempt("cuDeviceGetCount", &count) != 0) return 0;
  return count;
}

bool begin(int device) {
  if (device >= devices()) return false;
  int number = 0;
  void* context = nullptr;
  call("cuDeviceGet", &number, device);
  call("cuDevicePrimaryCtxRetain", &context, number);
  call("cuCtxSetCurrent", context);
  return true;
}

std::string device_name(int device) {
  char name[128] = "";
  int number = 0;
  call("cuDeviceGet", &number, device);
  call("cuDeviceGetName", static_cast<char*>(name), int{sizeof name}, number);
  return name;
}

Memory allocate(size_t bytes) {
  Memory memory = 0;
  call("cuMemAlloc_v2", &memory, bytes);
  return memory;
}

void free(Memory memory) { call("cuMemFree_v2", memory); }
void to_device(Memory to, const void* from, size_t bytes, Stream stream) {
  call("cuMemcpyHtoDAsync_v2", to, from, bytes, stream);
}
void to_host(void* to, Memory from, size_t bytes, Stream stream) {
  call("cuMemcpyDtoHAsync_v2", to, from, bytes, stream);
}
void copy(Memory to, Memory from, size_t bytes, Stream stream) {
  call("cuMemcpyDtoDAsync_v2", to, from, bytes, stream);
}
void fill(Memory at, unsigned char value, size_t bytes, Stream stream) {
  call("cuMemsetD8Async", at, value, bytes, stream);
}

Stream make_stream() {
  Stream stream = nullptr;
  call("cuStreamCreate", &stream, 1u);  // does not wait for the default stream
  return stream;
}

void run_on_host(Stream stream, HostFunction function, void* argument) {
  call("cuLaunchHostFunc", stream, function, argument);
}

int synchronize(Stream stream) { return attempt("cuStreamSynchronize", stream); }

void* allocate_mapped(size_t bytes) {
  void* memory = nullptr;
  call("cuMemHostAlloc", &memory, bytes, 3u);  // for all contexts, and mapped
  std::memset(memory, 0, bytes);
  return memory;
}

Event make_event() {
  Event event = nullptr;
  call("cuEventCreate", &event, 0u);
  return event;
}
void record(Event event, Stream stream) { call("cuEventRecord", event, stream); }
double ms_between(Event begin, Event end) {
  float ms = 0;
  call("cuEventElapsedTime", &ms, begin, end);
  return static_cast<double>(ms);
}

Handle share(Memory memory) {
  Handle handle;
  call("cuIpcGetMemHandle", &handle, memory);
  return handle;
}
Memory map(const Handle& handle) {
  Memory memory = 0;
  call("cuIpcOpenMemHandle_v2", &memory, handle, 1u);  // peer access as needed
  return memory;
}
int unmap(Memory memory) { return attempt("cuIpcCloseMemHandle", memory); }

Kernel kernel(const void* image, const char* name) {
  void *module = nullptr, *function = nullptr;
  call("cuModuleLoadData", &module, image);
  call("cuModuleGetFunction", &function, module, name);
  return function;
}

void launch(Kernel kernel, unsigned blocks, unsigned threads, Stream stream,
            std::initializer_list<const void*> parameters) {
  const void* given[8];
  std::copy(parameters.begin(), parameters.end(), given);
  call("cuLaunchKernel", kernel, blocks, 1u, 1u, threads, 1u, 1u, 0u, stream,
       static_cast<void*>(given), static_cast<void*>(nullptr));
}

}  // namespace rhz::gpu
