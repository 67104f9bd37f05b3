#include "runtime/memory/spare_memory.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

namespace rhz {
namespace {

// The number in a file that is nothing else; `otherwise` where there is none ("max").
uint64_t number_in(const std::string& path, uint64_t otherwise) {
  unsigned long long value = 0;
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (!file) return otherwise;
  const bool read = std::fscanf(file, "%llu", &value) == 1;
  std::fclose(file);
  return read ? value : otherwise;
}

uint64_t available_bytes() {
  std::FILE* file = std::fopen("/proc/meminfo", "re");
  if (!file) return 0;
  char line[128];
  unsigned long long kib = 0;
  while (std::fgets(line, sizeof line, file))
    if (std::sscanf(line, "MemAvailable: %llu kB", &kib) == 1) break;
  std::fclose(file);
  return uint64_t{kib} << 10;
}

// The folder of this process's control group; empty where there is none of version 2.
std::string control_group() {
  std::FILE* file = std::fopen("/proc/self/cgroup", "re");
  if (!file) return {};
  char line[512] = {};
  std::string folder;
  while (std::fgets(line, sizeof line, file)) {
    if (std::strncmp(line, "0::", 3) != 0) continue;
    folder = line + 3;
    folder.erase(folder.find_last_not_of('\n') + 1);
  }
  std::fclose(file);
  return folder.empty() ? folder : "/sys/fs/cgroup" + folder;
}

}  // namespace

uint64_t spare_memory_bytes() {
  const uint64_t available = available_bytes();
  const std::string group = control_group();
  if (group.empty()) return available;
  const uint64_t most = number_in(group + "/memory.max", UINT64_MAX);
  const uint64_t used = number_in(group + "/memory.current", 0);
  return std::min(available, most - std::min(most, used));
}

}  // namespace rhz
