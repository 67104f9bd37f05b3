// A process that never rests, on the core that the test was on.
#pragma once

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace rhz::test {

// This thread, and what it forks, run there from now on, until the end of its scope.
class OnOneCore {
 public:
  OnOneCore() {
    (void)::sched_getaffinity(0, sizeof before_, &before_);
    CPU_ZERO(&one_);
    CPU_SET(::sched_getcpu(), &one_);
    (void)::sched_setaffinity(0, sizeof one_, &one_);
  }
  OnOneCore(const OnOneCore&) = delete;
  OnOneCore& operator=(const OnOneCore&) = delete;
  ~OnOneCore() { (void)::sched_setaffinity(0, sizeof before_, &before_); }
  const cpu_set_t& core() const { return one_; }

 private:
  cpu_set_t before_, one_;
};

class Spinner {
 public:
  Spinner() : process_(::fork()) {
    if (process_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) (void)::getppid();
  }
  Spinner(const Spinner&) = delete;
  Spinner& operator=(const Spinner&) = delete;
  ~Spinner() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  pid_t process() const { return process_; }

 private:
  const pid_t process_;
};

}  // namespace rhz::test
