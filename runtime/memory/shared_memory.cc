#include "runtime/memory/shared_memory.h"

#include <limits>
#include <string>

namespace rhz {
namespace {

constexpr size_t kPage = 4096;

SharedMemory::Control& control_of(const SharedMemory::Block& block) {
  return *reinterpret_cast<SharedMemory::Control*>(block.region.data());
}

Status too_many() {
  return {Code::kMemory, "there are " + std::to_string(SharedMemory::kMaxBlocks) +
                             " blocks already: free some, or take larger ones"};
}

}  // namespace

SharedMemory::~SharedMemory() {
  for (auto& [begin, block] : blocks_) control_of(block).freed.store(1, std::memory_order_release);
}

Result<std::byte*> SharedMemory::allocate(size_t bytes) {
  if (bytes == 0) return Status(Code::kArgument, "no memory of 0 bytes");
  if (blocks_.size() >= kMaxBlocks) return too_many();
  if (bytes > std::numeric_limits<ptrdiff_t>::max() - 2 * kPage)
    return Status(Code::kMemory, "so much memory there is not");
  const size_t rounded = (bytes + kPage - 1) / kPage * kPage;
  auto region = SharedRegion::create(kControlBytes + rounded);
  if (!region) return Status(Code::kMemory, region.status().text());
  return add(std::move(region).value());
}

Result<std::byte*> SharedMemory::adopt(int fd) {
  auto region = SharedRegion::adopt(fd);
  if (!region) return region.status();
  if (blocks_.size() >= kMaxBlocks) return too_many();
  const SharedRegion& found = region.value();
  const bool ours = found.size() > kControlBytes && found.size() % kPage == 0 &&
                    reinterpret_cast<const Control*>(found.data())->magic == kMagic;
  if (!ours) return Status(Code::kCorrupt, "this memory is no block of rhz_alloc");
  return add(std::move(region).value());
}

std::byte* SharedMemory::add(SharedRegion region) {
  Block block{next_id_++, std::move(region)};
  control_of(block).magic = kMagic;
  control_of(block).freed.store(0, std::memory_order_release);
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
