// The lanes whose memory is looked at, by the polling owner of the loop or before it sleeps.  Not
// polled, it is armed: every sender finds its receiver asleep and wakes it.  Progress thread only.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace rhz::shm {

class Watched {
 public:
  virtual bool poll() = 0;   // moves what has come; true when there was something
  virtual bool ready() = 0;  // poll() would find something
  virtual void set_sleeping(bool sleeping) = 0;

 protected:
  ~Watched() = default;
};

class Watch {
 public:
  // Lanes of a lower rank are polled first.
  void add(Watched& lane, uint32_t rank) {
    auto at = lanes_.begin();
    while (at != lanes_.end() && at->rank <= rank) ++at;
    lanes_.insert(at, {&lane, rank});
    ++changes_;
  }
  void remove(Watched& lane) {
    changes_ += std::erase_if(lanes_, [&](const Entry& entry) { return entry.lane == &lane; });
  }
  bool armed() const { return armed_; }
  bool empty() const { return lanes_.empty(); }

  bool poll() {
    if (armed_) set_sleeping(false);
    bool moved = false;
    const uint64_t changes = changes_;
    for (size_t i = 0; i < lanes_.size(); ++i) {
      moved |= lanes_[i].lane->poll();
      if (changes != changes_) return true;  // a lane came or went meanwhile
    }
    return moved;
  }
  bool arm() {
    set_sleeping(true);
    // Pairs with the fence of who writes: either it sees the flag, or its bytes are seen here.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (const Entry& entry : lanes_) {
      if (!entry.lane->ready()) continue;
      set_sleeping(false);
      return false;
    }
    return true;
  }

 private:
  struct Entry {
    Watched* lane;
    uint32_t rank;
  };
  void set_sleeping(bool sleeping) {
    armed_ = sleeping;
    for (const Entry& entry : lanes_) entry.lane->set_sleeping(sleeping);
  }

  std::vector<Entry> lanes_;
  uint64_t changes_ = 0;
  bool armed_ = true;
};

}  // namespace rhz::shm
