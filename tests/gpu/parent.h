// Who starts the ranks, reads their lines, kills some: a process that never touches a device.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace rhz::gpu {

class Parent {
 public:
  // `under`: a command with its arguments that runs the ranks of run(); empty: none.
  explicit Parent(const std::string& under);
  // Every rank runs the checks of this role; one line per check, of all ranks.
  bool run(const std::string& role, uint32_t ranks);
  // In groups of ranks of which all but one are killed one by one, in all modes by turns.
  bool run_kills(uint32_t ranks, uint32_t kills, uint64_t bytes, bool registered);
  uint32_t devices() const { return static_cast<uint32_t>(devices_); }

 private:
  int devices_ = 0;
  std::vector<std::string> under_;
  std::mt19937 random_;
};

// state_check.cc: attach and snapshots, one trainer at a time.
bool check_state();
// sync_check.cc: a joiner's state on a device.
bool check_sync(uint32_t devices);

}  // namespace rhz::gpu
