#include "api/src/pinned_buffers.h"

#include <sys/stat.h>

#include <algorithm>

#include "recovery/vault/piece.h"

namespace rhz {

PinnedBuffers::~PinnedBuffers() {
  for (Buffer& buffer : buffers_) unlock(buffer);
}

void PinnedBuffers::unlock(Buffer& buffer) {
  if (buffer.locked_by) buffer.locked_by->unpin(buffer.place, buffer.region.data());
}

Result<MutableBytes> PinnedBuffers::map(const Fd& fd, const recovery::Tensor& on_device) {
  struct stat found {};
  if (fstat(fd.get(), &found) != 0) return Status(Code::kIo, "no buffer of a snapshot");
  const auto known = std::find_if(buffers_.begin(), buffers_.end(), [&](const Buffer& b) {
    return b.device == found.st_dev && b.inode == found.st_ino;
  });
  if (known != buffers_.end()) {
    std::rotate(known, known + 1, buffers_.end());
    return MutableBytes(buffers_.back().region.data(), buffers_.back().region.size());
  }
  if (buffers_.size() == kMost) {
    unlock(buffers_.front());
    buffers_.erase(buffers_.begin());
  }
  auto copy = recovery::duplicate(fd.get());
  if (!copy) return copy.status();
  auto region = SharedRegion::adopt(std::move(copy).value().release());
  if (!region) return region.status();
  Buffer buffer{found.st_dev, found.st_ino, std::move(region).value(), nullptr, nullptr};
  buffer.region.forget_fd();
  const MutableBytes all(buffer.region.data(), buffer.region.size());
  buffer.place = on_device.device->place_of(on_device.data);
  if (on_device.device->pin(buffer.place, all)) buffer.locked_by = on_device.device;
  buffers_.push_back(std::move(buffer));
  return all;
}

}  // namespace rhz
