// The memory of one lane, made by its sender (docs/wire.md, "Lanes in shared memory"):
//
//   control │ one word per frame that the receiver may read from the sender's memory │ ring of
//   bytes
//
// Nothing that is read from it is trusted: either side keeps its own position in the ring, checks
// the other's against it, and copies what it judges before it judges it.
#pragma once

#include <atomic>
#include <cstring>
#include <span>

#include "runtime/memory/copy.h"
#include "runtime/memory/shared_region.h"
#include "runtime/transport/shm/life.h"

namespace rhz::shm {

// How the receiver takes large payloads that lie in no block; it decides once, when it has mapped
// the lane.
enum class Bulk : uint32_t { kUnknown = 0, kDirect = 1, kThroughRing = 2 };

struct Control {
  // The sender's, before it hands the memory over.
  uint64_t magic = 0;
  uint64_t ring_bytes = 0;
  // A random word, and where in the sender's own memory it stands as well: who finds it there reads
  // the process that it means.
  uint64_t token = 0;
  uint64_t token_address = 0;
  // One line of the cache for each writer.
  alignas(64) std::atomic<uint64_t> written;  // sender: bytes ever put into the ring
  alignas(64) std::atomic<uint64_t> taken;    // receiver: bytes ever taken out of it
  std::atomic<uint64_t> consumed;             // receiver: highest number consumed
  std::atomic<uint32_t> bulk;                 // receiver: Bulk
  // Set by who sleeps, cleared by who wakes it with a byte on the socket.
  alignas(64) std::atomic<uint32_t> receiver_sleeps;
  alignas(64) std::atomic<uint32_t> sender_sleeps;
  // Of the express lane: whether the sender lives.
  alignas(64) LifeMark sender_lives;
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

inline constexpr uint64_t kLaneMagic = 0x326d68732d7a6872;  // "rhz-shm2"
// Frames that the receiver may read from the sender's memory at a time.
inline constexpr size_t kWords = 4096;
inline constexpr size_t kControlBytes = 4096;
inline constexpr size_t kExpressRingBytes = size_t{256} << 10;
// Large payloads pass through the ring in pieces of this size, both sides at work at once, and stay in a
// cache on their way.  (Microbenchmark, 64 MiB: rings of 1 to 4 MiB are alike, 256 KiB is a quarter slower.)
inline constexpr size_t kBulkRingBytes = size_t{1} << 20;
inline constexpr size_t kPieceBytes = size_t{64} << 10;
// Payloads up to this follow their header without a descriptor.
inline constexpr size_t kInlineBytes = size_t{16} << 10;

struct Descriptor {  // behind the header of a large frame: where its payload is
  static constexpr uint64_t kNoBlock = 0, kInRing = ~uint64_t{0};
  uint64_t address = 0;  // in the sender's memory, or from the start of the block
  uint64_t block = kNoBlock;  // or the number of one that was sent on this connection; kInRing: the payload follows
};

class LaneMemory {
 public:
  LaneMemory() = default;
  explicit LaneMemory(SharedRegion&& region) : region_(std::move(region)) {}
  static constexpr size_t ring_bytes(uint32_t lane) {
    return lane == 0 ? kExpressRingBytes : kBulkRingBytes;
  }
  static constexpr size_t bytes(uint32_t lane) {
    return kControlBytes + kWords * sizeof(uint64_t) + ring_bytes(lane);
  }

  explicit operator bool() const { return static_cast<bool>(region_); }
  SharedRegion& region() { return region_; }
  Control& control() const { return *reinterpret_cast<Control*>(region_.data()); }
  // Holds `number` while the payload of that frame may be read.
  std::atomic<uint64_t>& word(uint64_t number) const {
    return reinterpret_cast<std::atomic<uint64_t>*>(region_.data() +
                                                    kControlBytes)[number % kWords];
  }
  std::span<std::byte> ring() const {
    constexpr size_t at = kControlBytes + kWords * sizeof(uint64_t);
    return {region_.data() + at, region_.size() - at};
  }
  void reset() { region_.reset(); }

 private:
  SharedRegion region_;
};
static_assert(sizeof(Control) <= kControlBytes);

// The sender's end of the ring.
class RingWriter {
 public:
  RingWriter() = default;
  explicit RingWriter(const LaneMemory& memory)
      : control_(&memory.control()), ring_(memory.ring()) {}

  size_t space() {
    const uint64_t taken = control_->taken.load(std::memory_order_acquire);
    const uint64_t used = written_ - taken;
    corrupt_ |= used > ring_.size();
    return corrupt_ ? 0 : ring_.size() - used;
  }
  bool corrupt() const { return corrupt_; }
  // At most space() bytes.
  void put(const void* from, size_t size) {
    if (size == 0) return;
    const size_t at = written_ & (ring_.size() - 1), first = std::min(size, ring_.size() - at);
    std::memcpy(ring_.data() + at, from, first);
    std::memcpy(ring_.data(), static_cast<const std::byte*>(from) + first, size - first);
    written_ += size;
  }
  void publish() { control_->written.store(written_, std::memory_order_release); }

 private:
  Control* control_ = nullptr;
  std::span<std::byte> ring_;
  uint64_t written_ = 0;
  bool corrupt_ = false;
};

// The receiver's end.
class RingReader {
 public:
  RingReader() = default;
  explicit RingReader(const LaneMemory& memory)
      : control_(&memory.control()), ring_(memory.ring()) {}

  size_t available() {
    const uint64_t ready = control_->written.load(std::memory_order_acquire) - taken_;
    corrupt_ |= ready > ring_.size();
    return corrupt_ ? 0 : ready;
  }
  bool corrupt() const { return corrupt_; }
  // At most available() bytes.  `cold`: nobody here reads them soon.
  void take(void* into, size_t size, bool cold = false) {
    if (size == 0) return;
    const auto copy = cold ? copy_past_caches : copy_through_caches;
    const size_t at = taken_ & (ring_.size() - 1), first = std::min(size, ring_.size() - at);
    copy(into, ring_.data() + at, first);
    copy(static_cast<std::byte*>(into) + first, ring_.data(), size - first);
    taken_ += size;
  }
  void skip(size_t size) { taken_ += size; }
  // The next bytes where they lie, at most available() of them; null: they go round the end.  The writer leaves them alone until they are
  // behind what is published as taken.
  const std::byte* next(size_t size) const {
    const size_t at = taken_ & (ring_.size() - 1);
    return at + size <= ring_.size() ? ring_.data() + at : nullptr;
  }
  void publish() { control_->taken.store(taken_, std::memory_order_release); }

 private:
  Control* control_ = nullptr;
  std::span<std::byte> ring_;
  uint64_t taken_ = 0;
  bool corrupt_ = false;
};

}  // namespace rhz::shm
