// What the groups of one peer may have on the way: bytes of chunks that began here and are not back yet.  Groups that have something to
// do share it evenly, so that ops in flight on several groups do not push each other out of the caches.  It is this peer's own affair:
// every group may begin a few chunks whatever the others do, so that no two peers wait for each other.
#pragma once

#include <algorithm>
#include <cstdint>

namespace rhz {

class Window {
 public:
  explicit Window(uint64_t bytes) : bytes_(bytes) {}
  uint64_t share() const { return bytes_ / std::max<uint32_t>(1, groups_); }

  // A group's part in it.
  class Part {
   public:
    explicit Part(Window& window) : window_(window) {}
    ~Part() { take(false); }
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;
    // Whether the group has something to do.
    void take(bool part) {
      if (part != taken_) window_.groups_ += part ? 1 : -1u;
      taken_ = part;
    }
    uint32_t chunks(uint64_t chunk_bytes) const {
      return static_cast<uint32_t>(std::max(kLeastChunks, window_.share() / std::max<uint64_t>(1, chunk_bytes)));
    }

   private:
    static constexpr uint64_t kLeastChunks = 2;
    Window& window_;
    bool taken_ = false;
  };

 private:
  const uint64_t bytes_;
  uint32_t groups_ = 0;  // that have something to do
};

}  // namespace rhz
