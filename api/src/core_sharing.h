// Ranks may share a core although another one is idle, or has fewer of them: each gives way to the others all the time, so none
// has to wait, and the scheduler, which moves threads that wait, takes up to a tenth of a second to part them, or leaves them.
// Whoever finds it out moves itself.  Measured with 4 KiB over shared memory on two cores: an op of two ranks takes 2 µs apart and
// 19 µs on one core; an op of four 12 µs by twos and 40 µs on one core.
#pragma once

#include "runtime/base/fd.h"
#include "runtime/base/prng.h"
#include "runtime/base/types.h"

namespace rhz {

class CoreSharing {
 public:
  explicit CoreSharing(uint64_t seed) : random_(seed) {}

  // From the thread that has just given way (sched_yield).  `fair`: ranks of this host for each core that they may use, rounded up.
  void gave_way(Time now, uint32_t fair);
  uint64_t moves() const { return moves_; }
  // Whether a thread that ran and waited for so long has more than `fair` ranks on its core, itself among them.
  static bool is_crowded(uint64_t ran, uint64_t waited, uint32_t fair) {
    // Of k threads that give way to each other on one core, each waits k − 1 times as long as it runs.
    return 2 * waited > ran * (2 * fair - 1);
  }

 private:
  // Of a thread, since it began, in ns.
  struct Spent {
    uint64_t ran = 0;
    uint64_t waited = 0;  // for a core, ready to run
  };
  bool spent(Spent& now);
  void move();

  Prng random_;  // not all move at once
  Fd file_;      // of thread_
  unsigned long thread_ = 0;
  Spent last_;
  Time looked_{}, again_{};
  Duration pause_{};  // until it is looked at again
  uint64_t moves_ = 0;
};

}  // namespace rhz
