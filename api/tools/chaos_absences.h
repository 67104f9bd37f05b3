// Stretches of time in which somebody was not there: what takes longer by them is not to blame.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace rhz::tools {

class Absences {
 public:
  // At every look.
  void note(uint64_t now_ns, bool away) {
    if (away_) all_.back().to = now_ns;
    else if (away) all_.push_back({now_ns, now_ns});
    away_ = away;
    if (all_.size() > kMost) all_.pop_front();
  }
  // How much of the time from `then_ns` on, as of the newest look.
  uint64_t since(uint64_t then_ns) const {
    uint64_t sum = 0;
    for (auto at = all_.rbegin(); at != all_.rend() && at->to > then_ns; ++at) sum += at->to - std::max(at->from, then_ns);
    return sum;
  }

 private:
  static constexpr size_t kMost = 4096;  // more than there are within any patience
  struct Stretch {
    uint64_t from = 0, to = 0;
  };
  std::deque<Stretch> all_;
  bool away_ = false;
};

}  // namespace rhz::tools
