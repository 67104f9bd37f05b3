#include "api/src/core_sharing.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace rhz {
namespace {

constexpr Duration kBetweenLooks = milliseconds(1);
// After a move: should there be something to share every core with, this is how often it is tried, at first and in the end.
constexpr Duration kApart = milliseconds(5), kFarApart = milliseconds(320);

}  // namespace

void CoreSharing::gave_way(Time now, uint32_t fair) {
  if (now < again_) return;
  again_ = now + kBetweenLooks;
  // Longer than that only who does not give way keeps a thread from its core, and such threads the scheduler parts.
  const bool whole = now - std::exchange(looked_, now) <= 2 * kBetweenLooks;
  const Spent before = last_;
  const bool same = thread_ == pthread_self();
  if (!spent(last_) || !same || !whole) return;
  const uint64_t ran = last_.ran - before.ran, waited = last_.waited - before.waited;
  if (!is_crowded(ran, waited, fair)) {
    pause_ = kApart;
    return;
  }
  if (random_.chance(0.5)) return;
  again_ = now + pause_;
  pause_ = std::min(2 * pause_, kFarApart);
  move();
}

bool CoreSharing::spent(Spent& now) {
  if (thread_ != pthread_self()) {
    thread_ = pthread_self();
    pause_ = kApart;
    file_ = Fd(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
  }
  char text[96];
  const ssize_t size = file_.valid() ? ::pread(file_.get(), text, sizeof text, 0) : -1;
  if (size <= 0) {
    thread_ = 0;  // another thread had this name before: opened anew
    return false;
  }
  const auto [end, failed] = std::from_chars(text, text + size, now.ran);
  return failed == std::errc() && end < text + size &&
         std::from_chars(end + 1, text + size, now.waited).ec == std::errc();
}

// Off this core for a moment; then every core that the thread may use is allowed again.
void CoreSharing::move() {
  cpu_set_t allowed;
  const int core = sched_getcpu();
  if (core < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
  cpu_set_t others = allowed;
  CPU_CLR(static_cast<size_t>(core), &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  (void)sched_setaffinity(0, sizeof allowed, &allowed);
  ++moves_;
}

}  // namespace rhz
