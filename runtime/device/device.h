// An accelerator as the rest of the library sees it: memory that the CPU does not reach, and queues
// that carry work out in order. Nothing here waits for the device, and the loop's owner calls none
// of it: what the loop looks at and writes are Words. Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "runtime/base/status.h"

namespace rhz {

// Of CUDA: a CUcontext and a CUstream.  Both belong to whoever made them.
struct DeviceQueue {
  void* context = nullptr;
  void* stream = nullptr;
  friend bool operator==(const DeviceQueue&, const DeviceQueue&) = default;
};

// A number in host memory that the device reads and writes as well: 0 until it is raised.
using DeviceWord = std::atomic<uint32_t>;
inline constexpr uint32_t kRaised = 1;

class PeerAccess;  // peer_access.h

class Device {
 public:
  virtual ~Device() = default;

  // Whether `memory` is a device's.  Nothing is: false, and quick, so that every op may ask.
  virtual bool owns(const void* memory) const = 0;
  // That of the program's stream.  kState: it is being captured into a graph.
  [[nodiscard]] virtual Result<DeviceQueue> queue_of(void* stream) = 0;
  // Two of the library's own beside this memory: what is on one does not wait for what is on the
  // other.
  struct Pair {
    DeviceQueue in, out;
  };
  [[nodiscard]] virtual Result<Pair> own_queues(const void* memory) = 0;

  // The same of the device that is the thread's.  kState: it has chosen none.
  [[nodiscard]] virtual Result<Pair> own_queues_here() = 0;

  // Locks host memory, so that the device copies from and to it by itself.  Slow: once per piece of
  // memory.
  [[nodiscard]] virtual Status pin(const DeviceQueue& by, std::byte* begin, size_t bytes) = 0;
  virtual void unpin(const DeviceQueue& by, std::byte* begin) = 0;
  // Good as long as the process.  All 0.
  [[nodiscard]] virtual Result<std::span<DeviceWord>> words(const DeviceQueue& by,
                                                            size_t count) = 0;

  // In the order of the queue: each returns when it is queued.
  [[nodiscard]] virtual Status fetch(const DeviceQueue& on, std::byte* to, const void* from,
                                     size_t bytes) = 0;
  [[nodiscard]] virtual Status put(const DeviceQueue& on, void* to, const std::byte* from,
                                   size_t bytes) = 0;
  // Raises the word when what is before it is done; what is behind it waits until it is raised.
  [[nodiscard]] virtual Status raise(const DeviceQueue& on, DeviceWord& word) = 0;
  [[nodiscard]] virtual Status await(const DeviceQueue& on, DeviceWord& word) = 0;

  // Null: no memory of it can be mapped by others.
  virtual PeerAccess* peers() { return nullptr; }

  // Not ok: work on it failed, and what is queued will never be done.  May block as long as another
  // call of the device's does.
  [[nodiscard]] virtual Status health(const DeviceQueue& of) = 0;
};

// Null, with the reason: there is none.
struct OpenedDevice {
  std::shared_ptr<Device> device;
  Status why_not;
};
OpenedDevice open_device();

}  // namespace rhz
