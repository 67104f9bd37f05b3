// How long the threads of a process stood in line for a core, as the kernel counts it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>

namespace rhz::tools {

class CoreQueue {
 public:
  // Of the waits that ended since the last look at this process, the longest that there can have been: the most that one of its threads
  // waited altogether.  In ns; 0 for a thread's first look, and where the kernel does not count (no /proc/PID/task/TID/schedstat).
  uint64_t longest_ns(pid_t process);

 private:
  pid_t process_ = 0;
  std::map<pid_t, uint64_t> waited_ns_;  // by thread, since it began
};

}  // namespace rhz::tools
