// What a process of ours has of the things that can run out, and how to let them run out.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace rhz::tools {

// 0: it has ended.
uint64_t open_files_of(pid_t pid);
uint64_t address_space_of(pid_t pid);  // bytes
uint64_t peak_memory_of(pid_t pid);    // bytes that were ever resident at once

// The limit of another process (RLIMIT_NOFILE, …), until it goes or is given back.
class ScarceLimit {
 public:
  ScarceLimit() = default;
  // Not `good` where that is not permitted, or the process has ended.
  ScarceLimit(pid_t pid, int resource, uint64_t limit);
  bool good() const { return before_.has_value(); }
  // As it was.
  void give_back();

 private:
  pid_t pid_ = 0;
  int resource_ = 0;
  std::optional<rlimit> before_;
};

}  // namespace rhz::tools
