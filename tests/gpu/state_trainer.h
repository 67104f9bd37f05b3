// A trainer with state on a device, that does what it is told line by line: what the checks and the
// benchmark of attach and snapshots start, kill, and start again.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <thread>

struct rhz_coordinator;

namespace rhz::gpu {

// The trainer's side: a process of its own, by argv "NAME --state-trainer COORDINATOR BYTES".
// False: these are other arguments.  `busy`: the fat binary of a kernel rhz_busy(iterations); null:
// none.
bool be_state_trainer(int argc, char** argv, const void* busy = nullptr);

// Who holds memory of devices for the vault: a process of its own, by argv "NAME --device-holder".
// False: these are other arguments.
bool be_device_holder(int argc, char** argv);

// The parent's side: a vault and a coordinator in this process, which never touches a device, and
// one trainer at a time.
class StateRun {
 public:
  explicit StateRun(uint64_t bytes);
  ~StateRun();

  struct Answer {
    int status = -1;  // of the C API; -1: the trainer is gone
    double us = 0;    // that the call took
    std::string text;
    bool ok() const { return status == 0; }
  };
  // Starts a trainer in slot 0 and waits for its context.
  Answer start();
  Answer say(const std::string& line);
  void kill_trainer();

 private:
  void start_coordinator();

  const uint64_t bytes_;
  const std::string vault_;
  int stop_ = -1;
  std::thread serving_;
  rhz_coordinator* coordinator_ = nullptr;
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
  std::string rest_;
};

}  // namespace rhz::gpu
