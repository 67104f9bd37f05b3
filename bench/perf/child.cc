#include "bench/perf/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

namespace rhz::perf {
namespace {

constexpr int kLeaveMs = 10'000;    // a library may take seconds to shut down
constexpr int kProgramMs = 60'000;  // of output_of: a raw ring takes about two seconds

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> own_environment() {
  std::vector<std::string> result;
  for (char** variable = environ; *variable; variable++) result.emplace_back(*variable);
  return result;
}

std::string name_of(const std::string& variable) {
  return variable.substr(0, variable.find('=') + 1);
}

}  // namespace

Child::Child(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
             int output_fd) {
  // All memory before the fork: this process has threads (the coordinator's).
  std::vector<std::string> words = arguments;
  std::vector<std::string> variables = environment;  // the first of a name wins
  for (const std::string& own : own_environment()) {
    bool replaced = false;
    for (const std::string& added : environment) replaced |= name_of(own) == name_of(added);
    if (!replaced) variables.push_back(own);
  }
  const std::vector<char*> argv = pointers(words);
  const std::vector<char*> envp = pointers(variables);
  pid_ = ::fork();
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // not KILL: mpirun then cleans up after itself
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none,
                nullptr);  // this process blocks some (scratch.h), children must not
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(output_fd, STDOUT_FILENO);
  ::execvpe(argv[0], argv.data(), envp.data());
  ::_exit(127);
}

Child::~Child() {
  if (!running() || wait(kLeaveMs) != -1) return;
  kill(SIGKILL);
  wait(kLeaveMs);
}

void Child::kill(int signal) const {
  if (running()) ::kill(pid_, signal);
}

int Child::wait(int timeout_ms) {
  if (!running()) return -1;
  const int handle = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  pollfd ended{handle, POLLIN, 0};
  const bool over = handle < 0 || ::poll(&ended, 1, timeout_ms) > 0;
  if (handle >= 0) ::close(handle);
  if (!over) return -1;
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string output_of(const std::vector<std::string>& arguments) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return "";
  Child child(arguments, {}, ends[1]);
  ::close(ends[1]);
  std::string text;
  std::array<char, 4096> buffer{};
  pollfd readable{ends[0], POLLIN, 0};
  while (::poll(&readable, 1, kProgramMs) > 0) {
    const ssize_t got = ::read(ends[0], buffer.data(), buffer.size());
    if (got <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  ::close(ends[0]);
  return child.wait(kProgramMs) == 0 ? text : "";
}

}  // namespace rhz::perf
