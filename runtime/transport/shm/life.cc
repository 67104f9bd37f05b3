#include "runtime/transport/shm/life.h"

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/base/thread.h"

namespace rhz::shm {
namespace {

// The most that one call waits for; who is watched beyond that is known by its sockets only.
constexpr size_t kMostWaits = FUTEX_WAITV_MAX;

futex_waitv wait_on(const std::atomic<uint32_t>& word, uint32_t value, uint32_t flags) {
  futex_waitv wait{};
  wait.val = value;
  wait.uaddr = reinterpret_cast<uint64_t>(&word);
  wait.flags = FUTEX_32 | flags;
  return wait;
}

}  // namespace

Life::Life(AsioLoop& loop) {
  event_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (event_ < 0) return;
  event_ready_ = tcp::Connection(loop, event_);
  if (!event_ready_) return;
  event_ready_.on_ready([this] { tell(); }, [] {});
  event_ready_.want_read();
  own_.list.next = &own_.list;
  own_.futex_offset =
      static_cast<long>(offsetof(LifeMark, word)) - static_cast<long>(offsetof(LifeMark, entry));
  thread_ = start_thread("rhz-life", [this] { run(); });
  started_.wait(false);
}

Life::~Life() {
  if (!thread_.joinable()) return;
  own_.list.next = &own_.list;  // its end is not the end of the process
  stop_.store(true);
  nudge();
  thread_.join();
}

// The list is whole after every store, since the kernel may follow it at any moment.
void Life::vouch(LifeMark& mark) {
  const uint32_t owner = owner_.load();
  if (owner == 0) return;
  mark.entry.next = own_.list.next;
  mark.word.store(owner);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  own_.list.next = &mark.entry;
}

void Life::withdraw(LifeMark& mark) {
  for (robust_list* at = &own_.list; at->next && at->next != &own_.list; at = at->next) {
    if (at->next != &mark.entry) continue;
    at->next = mark.entry.next;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    mark.word.store(0);
    return;
  }
}

void Life::watch(const LifeMark& mark, std::function<void()> died) {
  if (owner_.load() == 0) return;
  {
    std::lock_guard lock(mutex_);
    watched_.push_back({&mark, std::move(died)});
  }
  nudge();
}

void Life::unwatch(const LifeMark& mark) {
  std::lock_guard lock(mutex_);
  if (std::erase_if(watched_, [&](const Watched& w) { return w.mark == &mark; }) > 0) nudge();
}

void Life::nudge() {
  changes_.fetch_add(1);
  ::syscall(SYS_futex, &changes_, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0);
}

// What to wait for next, but for changes behind `seen`; true: somebody died.
bool Life::collect(std::vector<futex_waitv>& waits, uint32_t seen) {
  bool died = false;
  waits.assign(1, wait_on(changes_, seen, FUTEX_PRIVATE_FLAG));
  std::lock_guard lock(mutex_);
  for (Watched& watched : watched_) {
    if (watched.dead) continue;
    const uint32_t word = watched.mark->word.load();
    if (word & FUTEX_OWNER_DIED) {
      watched.dead = died = true;
    } else if ((word & FUTEX_TID_MASK) != 0 && waits.size() < kMostWaits) {
      waits.push_back(wait_on(watched.mark->word, word, 0));
    }
  }
  return died;
}

void Life::run() {
  std::vector<futex_waitv> waits;
  // Asked for nothing, a kernel that can do it calls the request wrong; one that cannot does not know the call.
  const bool can_wait = ::syscall(SYS_futex_waitv, nullptr, 0, 0, nullptr, 0) < 0 && errno == EINVAL;
  if (can_wait && ::syscall(SYS_set_robust_list, &own_, sizeof own_) == 0)
    owner_.store(static_cast<uint32_t>(::syscall(SYS_gettid)) | FUTEX_WAITERS);
  started_.store(true);
  started_.notify_one();
  while (owner_.load() != 0) {
    const uint32_t seen = changes_.load();  // before all that it tells of, which else could change in between
    if (stop_.load()) break;
    if (collect(waits, seen)) {
      const uint64_t one = 1;
      [[maybe_unused]] const ssize_t written = ::write(event_, &one, sizeof one);
    }
    // However it ends, everything is looked at again.  A mark that went meanwhile has changed changes_.
    ::syscall(SYS_futex_waitv, waits.data(), waits.size(), 0, nullptr, 0);
  }
}

void Life::tell() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(event_, &count, sizeof count);
  std::vector<std::function<void()>> calls;
  {
    std::lock_guard lock(mutex_);
    for (Watched& watched : watched_)
      if (watched.dead) calls.push_back(std::move(watched.died));
    std::erase_if(watched_, [](const Watched& watched) { return watched.dead; });
  }
  event_ready_.want_read();
  for (const auto& call : calls) call();
}

}  // namespace rhz::shm
