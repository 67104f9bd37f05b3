// A device's memory without a device: blocks are memfds that are mapped elsewhere, and what the
// rest sees is an address that nobody may touch.  What is begun on a lane happens when it is
// finished, and not before.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "recovery/vault/piece.h"
#include "runtime/device/device_blocks.h"
#include "runtime/digest/digest.h"
#include "runtime/memory/shared_region.h"

namespace rhz::test {

// Allocations of a process that other ones open by their names.  All are this process's, and what
// makes one another's is that it has another TestPlainMemory.
class TestPlainMemory final : public PlainMemory {
 public:
  static constexpr DeviceId kDevice{std::byte{7}};

  ~TestPlainMemory() override {
    std::lock_guard lock(lives().mutex);
    for (const auto& [begin, memory] : own_) lives().all.erase(begin);
  }
  // Under the lock, as copy() is: to a sanitizer the sockets in between order nothing.
  Result<PlainBlock> share(const std::byte* at) override {
    std::lock_guard lock(lives().mutex);
    for (const auto& [begin, memory] : own_) {
      if (at < begin || at >= begin + memory->size()) continue;
      PlainBlock block{begin, memory->size(), {}};
      block.shared.device = kDevice;
      store(block.shared.name.data(), reinterpret_cast<uintptr_t>(begin));
      return block;
    }
    return Status(Code::kArgument, "memory of a pool");
  }
  Result<std::byte*> allocate(uint64_t bytes, const DeviceId& device) override {
    if (device != kDevice) return Status(Code::kState, "no such device");
    if (full) return Status(Code::kMemory, "out of memory");
    auto memory = std::make_shared<std::vector<std::byte>>(bytes);
    std::byte* const begin = memory->data();
    own_.emplace(begin, memory);
    std::lock_guard lock(lives().mutex);
    lives().all[begin] = memory;
    return begin;
  }
  void free(std::byte* begin) override {
    own_.erase(begin);
    std::lock_guard lock(lives().mutex);
    lives().all.erase(begin);
  }
  Result<MutableBytes> open(const SharedAllocation& allocation) override {
    auto* const begin =
        reinterpret_cast<std::byte*>(load<uintptr_t>(allocation.name.data()));
    std::scoped_lock lock(mutex_, lives().mutex);
    const auto found = lives().all.find(begin);
    if (found == lives().all.end()) return Status(Code::kIo, "invalid handle");
    opened_[begin].first = found->second;
    ++opened_[begin].second;
    return MutableBytes(*found->second);
  }
  void close(const SharedAllocation& allocation) override {
    std::lock_guard lock(mutex_);
    const auto at = opened_.find(reinterpret_cast<std::byte*>(load<uintptr_t>(allocation.name.data())));
    if (at != opened_.end() && --at->second.second == 0) opened_.erase(at);
  }
  Status copy(const DeviceId&, std::byte* to, const std::byte* from, uint64_t bytes) override {
    if (broken) return Status(Code::kIo, "the device is broken");
    std::lock_guard lock(lives().mutex);
    std::memcpy(to, from, bytes);
    return Status::ok();
  }
  size_t opened() const {
    std::lock_guard lock(mutex_);
    return opened_.size();
  }
  size_t allocated() const { return own_.size(); }
  bool full = false;
  std::atomic<bool> broken = false;

 private:
  using Memory = std::shared_ptr<std::vector<std::byte>>;
  struct Lives {
    std::mutex mutex;
    std::map<std::byte*, Memory> all;
  };
  static Lives& lives() {
    static Lives lives;
    return lives;
  }
  std::map<std::byte*, Memory> own_;
  mutable std::mutex mutex_;
  std::map<std::byte*, std::pair<Memory, int>> opened_;
};

class TestStateMemory final : public StateMemory {
 public:
  TestPlainMemory plain_memory;
  int settled = 0;
  bool broken = false;     // every lane's work fails
  bool visible = true;     // the device is there
  size_t most_copies = 0;  // to the host, at a time

  Result<DeviceBlock> allocate(uint64_t bytes) override {
    auto region = SharedRegion::create(bytes);
    if (!region) return region.status();
    Fd fd(recovery::duplicate(region.value().fd()).value().release());
    return add(std::move(region).value(), std::move(fd));
  }
  Result<DeviceBlock> adopt(Fd fd, uint64_t bytes, const DeviceId& device) override {
    if (!visible || device != kDevice) return Status(Code::kState, "no such device");
    auto region = SharedRegion::map(recovery::duplicate(fd.get()).value().release(), bytes);
    if (!region) return Status(Code::kCorrupt, region.status().text());
    return add(std::move(region).value(), std::move(fd));
  }
  void free(DeviceBlock& block) override {
    munmap(block.begin, block.bytes);
    blocks_.erase(block.begin);
    block = DeviceBlock();
  }
  PlainMemory& plain() override { return plain_memory; }
  size_t blocks() const { return blocks_.size(); }
  // Where the bytes really are.
  std::byte* real(const std::byte* at) {
    if (plain_memory.share(at)) return const_cast<std::byte*>(at);
    const auto& [begin, region] = *std::prev(blocks_.upper_bound(at));
    return region.data() + (at - begin);
  }

  const void* place_of(const std::byte*) override { return this; }
  Status settle(const std::byte*) override {
    if (broken) return Status(Code::kIo, "the device is broken");
    return ++settled, Status::ok();
  }
  Status pin(const void*, MutableBytes) override { return Status::ok(); }
  void unpin(const void*, std::byte*) override {}
  Result<std::unique_ptr<Lane>> lane(const std::byte*) override {
    return std::unique_ptr<Lane>(std::make_unique<TestLane>(*this));
  }

  static constexpr DeviceId kDevice = TestPlainMemory::kDevice;

 private:
  class TestLane final : public Lane {
   public:
    explicit TestLane(TestStateMemory& memory) : memory_(memory) {}
    Status begin_fetch(MutableBytes into, const std::byte* from) override {
      EXPECT_LE(into.size(), kPieceBytes);
      memory_.most_copies = std::max(memory_.most_copies, ++memory_.copies_);
      return begin([this, into, from] {
        --memory_.copies_;
        std::memcpy(into.data(), memory_.real(from), into.size());
      });
    }
    Status begin_put(std::byte* to, ConstBytes from) override {
      return begin([=, this] { std::memcpy(memory_.real(to), from.data(), from.size()); });
    }
    Status begin_digest(const std::byte* from, uint64_t bytes,
                        std::vector<Digest>* append) override {
      EXPECT_LE(bytes, kDigestedBytes);
      return begin([=, this] {
        const ConstBytes all(memory_.real(from), bytes);
        for (uint64_t i = 0; i < digest_blocks(bytes); ++i)
          append->push_back(digest128(digest_block(all, i)));
      });
    }
    Status finish() override {
      if (memory_.broken) return Status(Code::kIo, "the device is broken");
      std::exchange(work_, nullptr)();
      return Status::ok();
    }

   private:
    Status begin(std::function<void()> work) {
      EXPECT_FALSE(work_) << "one piece at a time";
      work_ = std::move(work);
      return Status::ok();
    }
    TestStateMemory& memory_;
    std::function<void()> work_;
  };

  Result<DeviceBlock> add(SharedRegion region, Fd fd) {
    const uint64_t bytes = region.size();
    auto* const begin = static_cast<std::byte*>(
        mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    blocks_.emplace(begin, std::move(region));
    return DeviceBlock{begin, bytes, kDevice, std::move(fd)};
  }

  std::map<const std::byte*, SharedRegion> blocks_;  // by what the rest sees
  size_t copies_ = 0;
};

}  // namespace rhz::test
