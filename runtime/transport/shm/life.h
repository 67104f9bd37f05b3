// Whether the processes at the other ends of lanes live, told by the kernel.  When it ends a process, it takes the memory apart
// before it closes the sockets, which for a trainer's memory lasts many milliseconds; robust futexes (get_robust_list(2))
// it settles before either.
//
// A *mark* is such a futex: it names a thread of its owner that ends with the process only.  The kernel then says so in the
// mark and wakes one waiter, hence a mark for each watcher, in the memory of the lane between the two.
//
// Where the kernel lacks what this needs (Linux before 5.16, some sandboxes) nothing is told, and the sockets tell it later.
#pragma once

#include <linux/futex.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/loop/asio_loop.h"
#include "runtime/transport/tcp/connection.h"

namespace rhz::shm {

// In shared memory.  Written by its owner and its owner's kernel.
struct LifeMark {
  robust_list entry{};  // in the owner's list, by the owner's addresses
  std::atomic<uint32_t> word{0};
};

// Progress thread only, but for the thread that it has.
class Life {
 public:
  explicit Life(AsioLoop& loop);
  ~Life();
  Life(const Life&) = delete;
  Life& operator=(const Life&) = delete;

  // The own marks: withdrawn before their memory goes.
  void vouch(LifeMark& mark);
  void withdraw(LifeMark& mark);

  // The marks of others.  `died` is called from the loop, once, if the process ends before unwatch().
  void watch(const LifeMark& mark, std::function<void()> died);
  void unwatch(const LifeMark& mark);

 private:
  struct Watched {
    const LifeMark* mark;
    std::function<void()> died;
    bool dead = false;
  };

  void run();
  bool collect(std::vector<futex_waitv>& waits, uint32_t seen);
  void nudge();
  void tell();

  int event_ = -1;
  tcp::Connection event_ready_;  // owns event_
  robust_list_head own_{};       // read by the kernel when the thread ends
  std::atomic<uint32_t> owner_{0};  // the thread's id and FUTEX_WAITERS; 0: not started, or of no use
  std::atomic<bool> started_{false};
  std::atomic<bool> stop_{false};
  std::atomic<uint32_t> changes_{0};  // the thread waits on it too
  std::mutex mutex_;
  std::vector<Watched> watched_;  // under mutex_
  std::jthread thread_;
};

}  // namespace rhz::shm
