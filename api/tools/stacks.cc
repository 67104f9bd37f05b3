#include "api/tools/stacks.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "api/tools/child.h"
#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr uint64_t kPatienceNs = 20'000'000'000;

// False: there is no such program, or it said nothing.
bool ask(const std::vector<std::string>& arguments) {
  Command command;
  command.arguments = arguments;
  auto child = spawn(command);
  if (!child) return false;
  const uint64_t until = monotonic_ns() + kPatienceNs;
  uint32_t lines = 0;
  LineReader& out = child.value().out;
  while (out.is_open() && monotonic_ns() < until) {
    pollfd fd{out.fd(), POLLIN, 0};
    (void)poll(&fd, 1, 100);
    out.drain([&](std::string_view line) {
      ++lines;
      std::fprintf(stderr, "  %.*s\n", static_cast<int>(line.size()), line.data());
    });
  }
  (void)kill(child.value().pid, SIGKILL);
  (void)waitpid(child.value().pid, nullptr, 0);
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
