#include "runtime/device/device_blocks.h"

#include <utility>

namespace rhz {

DeviceBlocks::~DeviceBlocks() {
  for (auto& [begin, block] : blocks_) let_go(block);
}

void DeviceBlocks::let_go(DeviceBlock& block) {
  if (block.fd.valid()) return memory_->free(block);
  memory_->plain().free(block.begin);
}

Result<std::byte*> DeviceBlocks::add(Result<DeviceBlock> block) {
  if (!block) return block.status();
  {
    std::lock_guard lock(mutex_);
    if (blocks_.size() < kMostBlocks) {
      std::byte* const begin = block.value().begin;
      blocks_.emplace(begin, std::move(block).value());
      return begin;
    }
  }
  let_go(block.value());
  return Status(Code::kMemory, "a communicator gives out at most " + std::to_string(kMostBlocks) +
                                   " blocks of a device: allocate fewer, and larger ones");
}

Result<std::byte*> DeviceBlocks::allocate(uint64_t bytes) {
  if (!memory_) return why_not_;
  if (bytes == 0) return Status(Code::kArgument, "bytes is 0");
  return add(memory_->allocate(bytes));
}

Result<std::byte*> DeviceBlocks::adopt(Fd fd, uint64_t bytes, const DeviceId& device) {
  if (!memory_) return why_not_;
  return add(memory_->adopt(std::move(fd), bytes, device));
}

Result<std::byte*> DeviceBlocks::allocate_plain(uint64_t bytes, const DeviceId& device) {
  if (!memory_) return why_not_;
  auto begin = memory_->plain().allocate(bytes, device);
  if (!begin) return begin;
  return add(DeviceBlock{begin.value(), bytes, device, Fd()});
}

bool DeviceBlocks::free(std::byte* begin) {
  DeviceBlock block;
  {
    std::lock_guard lock(mutex_);
    const auto at = blocks_.find(begin);
    if (at == blocks_.end()) return false;
    block = std::move(at->second);
    blocks_.erase(at);
  }
  let_go(block);
  return true;
}

const DeviceBlock* DeviceBlocks::find(const std::byte* begin, uint64_t bytes) const {
  std::lock_guard lock(mutex_);
  auto at = blocks_.upper_bound(begin);
  if (at == blocks_.begin()) return nullptr;
  const DeviceBlock& block = (--at)->second;
  const auto offset = static_cast<uint64_t>(begin - block.begin);
  return offset <= block.bytes && bytes <= block.bytes - offset ? &block : nullptr;
}

}  // namespace rhz
