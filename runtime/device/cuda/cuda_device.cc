#include "runtime/device/cuda/cuda_device.h"

#include <new>

#include "runtime/device/cuda/current.h"

namespace rhz::cuda {
// Everything is the host's before the program has used CUDA, and the driver says that it is not
// initialised.  Managed memory counts as the device's, whose copies do with it what is right.
bool CudaDevice::owns(const void* memory) const {
  if (!memory) return false;
  unsigned type = 0;
  void* const data[] = {&type};
  const Error error = driver_.pointer_get_attributes(1, &kAttributeMemoryType,
                                                     const_cast<void**>(data), address_of(memory));
  return error == kSuccess && type == kMemoryTypeDevice;
}

Result<DeviceQueue> CudaDevice::queue_of(void* stream) {
  DeviceQueue queue{nullptr, stream};
  const auto name = reinterpret_cast<uintptr_t>(stream);
  const bool default_stream = name == kLegacyStream || name == kPerThreadStream;
  Status status =
      default_stream
          ? driver_.check(driver_.context_get_current(&queue.context), "cuCtxGetCurrent")
          : driver_.check(driver_.stream_get_context(stream, &queue.context), "cuStreamGetCtx");
  if (!status) return status;
  if (!queue.context)
    return Status(Code::kState,
                  "the thread has no CUDA context, whose default stream could be meant");
  int capture = kCaptureNone;
  status = in_context(driver_, queue.context, "cuStreamIsCapturing",
                      [&] { return driver_.stream_is_capturing(stream, &capture); });
  if (!status) return status;
  if (capture != kCaptureNone)
    return Status(Code::kState,
                  "the stream is being captured into a graph: an op cannot be part of one");
  if (auto own = own_queues_in(queue.context); !own) return own.status();  // for health()
  return queue;
}

Result<Device::Pair> CudaDevice::own_queues(const void* memory) {
  auto context = contexts_.of(memory);
  if (!context) return context.status();
  return own_queues_in(context.value());
}

Result<Device::Pair> CudaDevice::own_queues_here() {
  Context context = nullptr;
  if (driver_.context_get_current(&context) != kSuccess || !context)
    return Status(Code::kState, "the thread has no CUDA context");
  return own_queues_in(context);
}

Result<Device::Pair> CudaDevice::own_queues_in(Context context) {
  std::lock_guard lock(mutex_);
  if (const auto known = own_.find(context); known != own_.end()) return known->second;
  Pair pair{{context, nullptr}, {context, nullptr}};
  for (DeviceQueue* queue : {&pair.in, &pair.out}) {
    Status status = in_context(driver_, context, "cuStreamCreate", [&] {
      return driver_.stream_create(&queue->stream, kStreamNonBlocking);
    });
    if (!status) return status;
  }
  own_.emplace(context, pair);
  return pair;
}

Status CudaDevice::pin(const DeviceQueue& by, std::byte* begin, size_t bytes) {
  return in_context(driver_, by.context, "cuMemHostRegister",
                    [&] { return driver_.host_register(begin, bytes, kHostRegisterPortable); });
}

// Of a context that is gone, so is this.
void CudaDevice::unpin(const DeviceQueue& by, std::byte* begin) {
  (void)in_context(driver_, by.context, "cuMemHostUnregister",
                   [&] { return driver_.host_unregister(begin); });
}

Result<std::span<DeviceWord>> CudaDevice::words(const DeviceQueue& by, size_t count) {
  static_assert(sizeof(DeviceWord) == 4);
  void* memory = nullptr;
  Status status = in_context(driver_, by.context, "cuMemHostAlloc", [&] {
    return driver_.host_alloc(&memory, count * sizeof(DeviceWord),
                              kHostAllocPortable | kHostAllocMapped);
  });
  if (!status) return status;
  auto* first = static_cast<DeviceWord*>(memory);
  for (size_t i = 0; i < count; ++i) new (first + i) DeviceWord(0);
  return std::span<DeviceWord>(first, count);
}

Status CudaDevice::fetch(const DeviceQueue& on, std::byte* to, const void* from, size_t bytes) {
  return in_context(driver_, on.context, "cuMemcpyDtoHAsync",
                    [&] { return driver_.copy_to_host(to, address_of(from), bytes, on.stream); });
}

Status CudaDevice::put(const DeviceQueue& on, void* to, const std::byte* from, size_t bytes) {
  return in_context(driver_, on.context, "cuMemcpyHtoDAsync",
                    [&] { return driver_.copy_to_device(address_of(to), from, bytes, on.stream); });
}

Status CudaDevice::raise(const DeviceQueue& on, DeviceWord& word) {
  return in_context(driver_, on.context, "cuStreamWriteValue32", [&] {
    Address where = 0;
    const Error error = driver_.host_get_device_pointer(&where, &word, 0);
    return error != kSuccess ? error
                             : driver_.stream_write_value(on.stream, where, kRaised, kWriteDefault);
  });
}

Status CudaDevice::await(const DeviceQueue& on, DeviceWord& word) {
  return in_context(driver_, on.context, "cuStreamWaitValue32", [&] {
    Address where = 0;
    const Error error = driver_.host_get_device_pointer(&where, &word, 0);
    return error != kSuccess ? error
                             : driver_.stream_wait_value(on.stream, where, kRaised, kWaitGeq);
  });
}

// A failure ends the whole context, and every call in it tells.  Asked of an own stream, because
// the program may have destroyed its own.
Status CudaDevice::health(const DeviceQueue& of) {
  const auto own = own_queues_in(of.context);
  if (!own) return own.status();
  return in_context(driver_, of.context, "an earlier operation", [&] {
    const Error error = driver_.stream_query(own.value().out.stream);
    return error == kNotReady ? kSuccess : error;
  });
}

}  // namespace rhz::cuda

namespace rhz {

OpenedDevice open_device() {
  auto driver = cuda::driver();
  if (!driver) return {nullptr, driver.status()};
  return {std::make_shared<cuda::CudaDevice>(*driver.value()), Status::ok()};
}

}  // namespace rhz
