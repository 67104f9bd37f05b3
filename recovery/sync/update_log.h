// What made each revision out of the one before it, since a copy of the state was taken: members
// append, and a newcomer that has the copy's revision reads it like a file that grows, and does the
// same to its own tensors (follower.h).
//
//   log = (revision u64, bytes u64, bytes)*, little-endian, by rising revision
//
// Of a bounded length: who would have to read more pulls what differs instead.  One thread at a
// time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "recovery/sync/messages.h"
#include "runtime/base/bytes.h"

namespace rhz::recovery {

// An update's place in the log, before its bytes.
inline constexpr uint32_t kUpdateHeaderBytes = 16;

// An entry of the log, or the memory for one.  Nobody clears it: the system makes its pages when
// they are first written, unless somebody had them made before (page_maker.h).
class Update {
 public:
  Update() = default;
  // Room for so many bytes, header included; none where there is no memory.
  explicit Update(uint64_t capacity);
  uint64_t capacity() const { return capacity_; }
  std::byte* data() const { return memory_.get(); }

  // False: there is no room.
  [[nodiscard]] bool fill(uint64_t revision, ConstBytes bytes);
  uint64_t size() const { return size_; }
  ConstBytes view() const { return {memory_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[]> memory_;
  uint64_t capacity_ = 0, size_ = 0;
};

class UpdateLog {
 public:
  static constexpr size_t kMostUpdates = 65536;

  // Of what follows `revision`.
  void open(uint64_t revision, uint64_t limit_bytes);
  void close();
  bool is_open() const { return open_; }
  // Takes the entry of the next revision; what comes behind a gap, or is too much, ends the log.
  void append(Update update);
  bool has_room_for(uint64_t entry_bytes) const { return open_ && entry_bytes <= limit_ - bytes_; }

  // kBusy: it is not here yet.  kRefused: it crosses the end of an entry's header, or of its bytes.
  // kClosed: there is no log.
  DataStatus find(const Pull& pull, ConstBytes& bytes) const;

 private:
  struct Entry {
    uint64_t begin = 0;  // in the log
    Update update;
  };

  bool open_ = false;
  uint64_t revision_ = 0;  // newest
  uint64_t limit_ = 0, bytes_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace rhz::recovery
