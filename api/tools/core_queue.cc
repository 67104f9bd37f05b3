#include "api/tools/core_queue.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

namespace rhz::tools {

uint64_t CoreQueue::longest_ns(pid_t process) {
  if (std::exchange(process_, process) != process) waited_ns_.clear();
  uint64_t longest = 0;
  std::map<pid_t, uint64_t> now;
  std::error_code gone;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator thread("/proc/" + std::to_string(process) + "/task", gone); !gone && thread != end; thread.increment(gone)) {
    uint64_t ran_ns = 0, waited_ns = 0;
    if (!(std::ifstream(thread->path() / "schedstat") >> ran_ns >> waited_ns)) continue;
    const auto id = static_cast<pid_t>(std::stol(thread->path().filename().string()));
    now[id] = waited_ns;
    if (const auto before = waited_ns_.find(id); before != waited_ns_.end()) longest = std::max(longest, waited_ns - before->second);
  }
  waited_ns_ = std::move(now);
  return longest;
}

}  // namespace rhz::tools
