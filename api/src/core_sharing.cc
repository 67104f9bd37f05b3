#include "api/src/core_sharing.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

namespace rhz {
namespace {

constexpr uint32_t kYieldsPerLook = 64;
// Should there be something to share every core with, this is how often it is tried.
constexpr Duration kApart = milliseconds(5);

}  // namespace

void CoreSharing::gave_way(Time now) {
  if (++yields_ < kYieldsPerLook) return;
  yields_ = 0;
  if (!others_ran() || now < again_ || random_.chance(0.5)) return;
  again_ = now + kApart;
  move();
}

// Whether most of those yields had somebody to give way to.
bool CoreSharing::others_ran() {
  rusage usage{};
  if (getrusage(RUSAGE_THREAD, &usage) != 0) return false;
  const unsigned long thread = pthread_self();
  const bool same = thread == thread_;
  const long since = usage.ru_nivcsw - switches_;
  thread_ = thread;
  switches_ = usage.ru_nivcsw;
  return same && since > kYieldsPerLook / 2;
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
