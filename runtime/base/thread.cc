#include "runtime/base/thread.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace rhz {
namespace {

constexpr int kOfOwnFaults[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};

// While a thread is made, which has its maker's mask from its first moment on.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    for (const int signal : kOfOwnFaults) ::sigdelset(&all, signal);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

std::jthread start_thread(const char* name, std::function<void()> run) {
  const SignalsBlocked blocked;
  return std::jthread([name, run = std::move(run)] {
    ::pthread_setname_np(::pthread_self(), name);
    run();
  });
}

}  // namespace rhz
