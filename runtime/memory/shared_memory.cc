#include "runtime/memory/shared_memory.h"

#include <limits>
#include <string>

namespace rhz {
namespace {

constexpr size_t kPage = 4096;

SharedMemory::Control& control_of(const SharedMemory::Block& block) {
  return *reinterpret_cast<SharedMemory::Control*>(block.region.data());
}

}  // namespace

SharedMemory::~SharedMemory() {
  for (auto& [begin, block] : blocks_) control_of(block).freed.store(1, std::memory_order_release);
}

Result<std::byte*> SharedMemory::allocate(size_t bytes) {
  if (bytes == 0) return Status(Code::kArgument, "no memory of 0 bytes");
  if (blocks_.size() >= kMaxBlocks) {
    return Status(Code::kMemory, "there are " + std::to_string(kMaxBlocks) +
                                     " blocks already: free some, or take larger ones");
  }
  if (bytes > std::numeric_limits<ptrdiff_t>::max() - 2 * kPage)
    return Status(Code::kMemory, "so much memory there is not");
  const size_t rounded = (bytes + kPage - 1) / kPage * kPage;
  auto region = SharedRegion::create(kControlBytes + rounded);
  if (!region) return Status(Code::kMemory, region.status().text());
  Block block{next_id_++, std::move(region).value()};
  control_of(block).magic = kMagic;
  std::byte* const begin = block.begin();
  blocks_.emplace(begin, std::move(block));
  return begin;
}

bool SharedMemory::free(std::byte* begin) {
  const auto at = blocks_.find(begin);
  if (at == blocks_.end()) return false;
  control_of(at->second).freed.store(1, std::memory_order_release);
  blocks_.erase(at);
  return true;
}

const SharedMemory::Block* SharedMemory::find(const std::byte* begin, size_t size) const {
  auto at = blocks_.upper_bound(begin);
  if (at == blocks_.begin()) return nullptr;
  const Block& block = (--at)->second;
  const auto offset = static_cast<size_t>(begin - block.begin());
  return offset < block.size() && size <= block.size() - offset ? &block : nullptr;
}

}  // namespace rhz
