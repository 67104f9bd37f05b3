#include "recovery/sync/update_log.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace rhz::recovery {

Update::Update(uint64_t capacity) : memory_(new (std::nothrow) std::byte[capacity]) {
  if (memory_) capacity_ = capacity;
}

bool Update::fill(uint64_t revision, ConstBytes bytes) {
  if (capacity_ < kUpdateHeaderBytes || bytes.size() > capacity_ - kUpdateHeaderBytes) return false;
  store(data(), revision);
  store(data() + sizeof revision, static_cast<uint64_t>(bytes.size()));
  if (!bytes.empty()) std::memcpy(data() + kUpdateHeaderBytes, bytes.data(), bytes.size());
  size_ = kUpdateHeaderBytes + bytes.size();
  return true;
}

void UpdateLog::open(uint64_t revision, uint64_t limit_bytes) {
  close();
  open_ = true;
  revision_ = revision;
  limit_ = limit_bytes;
}

void UpdateLog::close() {
  open_ = false;
  bytes_ = 0;
  entries_.clear();
}

void UpdateLog::append(Update update) {
  if (!open_) return;
  const bool next =
      update.size() >= kUpdateHeaderBytes && load<uint64_t>(update.data()) == revision_ + 1;
  if (!next || !has_room_for(update.size()) || entries_.size() == kMostUpdates) return close();
  ++revision_;
  const uint64_t begin = std::exchange(bytes_, bytes_ + update.size());
  entries_.push_back({begin, std::move(update)});
}

DataStatus UpdateLog::find(const Pull& pull, ConstBytes& bytes) const {
  if (!open_) return DataStatus::kClosed;
  if (pull.tensor != 0) return DataStatus::kRefused;
  if (pull.offset >= bytes_) return DataStatus::kBusy;
  const auto behind =
      std::upper_bound(entries_.begin(), entries_.end(), pull.offset,
                       [](uint64_t at, const Entry& entry) { return at < entry.begin; });
  const Entry& entry = *std::prev(behind);
  const uint64_t at = pull.offset - entry.begin;
  const uint64_t end = at < kUpdateHeaderBytes ? kUpdateHeaderBytes : entry.update.size();
  if (pull.length > end - at) return DataStatus::kRefused;
  bytes = entry.update.view().subspan(at, pull.length);
  return DataStatus::kOk;
}

}  // namespace rhz::recovery
