#include "api/tools/process_limits.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "api/tools/text.h"

namespace rhz::tools {
namespace {

std::string file_of(pid_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

// "Name:   1234 kB" of /proc/PID/status.
uint64_t status_of(pid_t pid, std::string_view name) {
  std::ifstream file(file_of(pid, "status"));
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name))
      return std::strtoull(line.c_str() + name.size(), nullptr, 10) * 1024;
  return 0;
}

}  // namespace

uint64_t open_files_of(pid_t pid) {
  std::error_code error;
  uint64_t count = 0;
  for (std::filesystem::directory_iterator at(file_of(pid, "fd"), error), end; !error && at != end;
       at.increment(error))
    ++count;
  return count;
}

uint64_t address_space_of(pid_t pid) { return status_of(pid, "VmSize:"); }

uint64_t peak_memory_of(pid_t pid) { return status_of(pid, "VmHWM:"); }

ScarceLimit::ScarceLimit(pid_t pid, int resource, uint64_t limit) : pid_(pid), resource_(resource) {
  rlimit before{};
  const auto what = static_cast<__rlimit_resource>(resource);
  if (prlimit(pid, what, nullptr, &before) != 0) return;
  const rlimit now{std::min<rlim_t>(limit, before.rlim_max), before.rlim_max};
  if (prlimit(pid, what, &now, nullptr) == 0) before_ = before;
}

void ScarceLimit::give_back() {
  if (before_) (void)prlimit(pid_, static_cast<__rlimit_resource>(resource_), &*before_, nullptr);
  before_.reset();
}

}  // namespace rhz::tools
