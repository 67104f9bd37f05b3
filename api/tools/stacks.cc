#include "api/tools/stacks.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "api/tools/child.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kPatienceNs = 20'000'000'000;

// False: there is no such program, or it said nothing.
bool ask(const std::vector<std::string>& arguments) {
  uint32_t lines = 0;
  (void)read_lines(arguments, kPatienceNs, [&](std::string_view line) {
    ++lines;
    std::fprintf(stderr, "  %.*s\n", static_cast<int>(line.size()), line.data());
  });
  return lines > 1;
}

std::string first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

void print_stacks(pid_t pid) {
  const std::string number = std::to_string(pid);
  std::fprintf(stderr, "stacks of process %s:\n", number.c_str());
  if (ask({"gdb", "-batch", "-p", number, "-ex", "thread apply all backtrace"})) return;
  if (ask({"eu-stack", "-p", number})) return;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + number + "/task", error))
    std::fprintf(stderr, "  thread %s %s: waits in \"%s\", %s\n", task.path().filename().c_str(), first_line(task.path() / "comm").c_str(),
                 first_line(task.path() / "wchan").c_str(), first_line(task.path() / "syscall").c_str());
}

}  // namespace rhz::tools
