#include "api/tools/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "api/tools/text.h"

extern char** environ;

namespace rhz::tools {
namespace {

constexpr int kReadMs = 100;  // between two looks at the time
constexpr size_t kMaxLine = size_t{1} << 20;  // a longer one is given out in pieces

Status failed(const std::string& what) { return {Code::kIo, what + ": " + std::strerror(errno)}; }

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return failed("cannot make a pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> environment_with(
    const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> all;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view text(*entry);
    const bool replaced = std::any_of(
        added.begin(), added.end(), [&](const auto& a) { return text.starts_with(a.first + "="); });
    if (!replaced) all.emplace_back(text);
  }
  for (const auto& [name, value] : added) all.push_back(name + "=" + value);
  return all;
}

// The child's side: nothing here may allocate, since the parent may have threads.
[[noreturn]] void become(char** arguments, char** environment, int out, int err, int trouble,
                         pid_t parent, int network) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before the line above
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // A shell starts its background jobs with SIGINT ignored; what we pass on is meant to arrive.
  for (int number : {SIGPIPE, SIGINT, SIGTERM}) signal(number, SIG_DFL);
  const int null = open("/dev/null", O_RDONLY);
  if (null >= 0) dup2(null, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  if (network < 0 || setns(network, CLONE_NEWNET) == 0) execvpe(arguments[0], arguments, environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(trouble, &error, sizeof error);
  _exit(127);
}

}  // namespace

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

void LineReader::drain(const std::function<void(std::string_view)>& line) {
  char chunk[16 << 10];
  while (fd_) {
    const ssize_t got = ::read(fd_.get(), chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      fd_.reset();
      if (!rest_.empty()) line(std::exchange(rest_, {}));
      return;
    }
    rest_.append(chunk, static_cast<size_t>(got));
    size_t from = 0;
    for (size_t to = rest_.find('\n'); to != rest_.npos; to = rest_.find('\n', from)) {
      line(std::string_view(rest_).substr(from, to - from));
      from = to + 1;
    }
    rest_.erase(0, from);
    if (rest_.size() > kMaxLine) line(std::exchange(rest_, {}));
  }
}

Result<Child> spawn(const Command& command) {
  auto out = make_pipe(), err = make_pipe(), trouble = make_pipe();
  for (auto* p : {&out, &err, &trouble})
    if (!*p) return p->status();
  std::vector<std::string> arguments = command.arguments;
  std::vector<std::string> environment = environment_with(command.environment);
  const std::vector<char*> argv = pointers(arguments), envp = pointers(environment);
  const int out_fd = out.value().write.get();
  const int err_fd = command.merge_output ? out_fd : err.value().write.get();
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return failed("cannot start a process");
  if (pid == 0) {
    become(const_cast<char**>(argv.data()), const_cast<char**>(envp.data()), out_fd, err_fd,
           trouble.value().write.get(), parent, command.network);
  }
  trouble.value().write.reset();
  int error = 0;
  ssize_t got = 0;
  do got = ::read(trouble.value().read.get(), &error, sizeof error);
  while (got < 0 && errno == EINTR);
  if (got == sizeof error) {
    waitpid(pid, nullptr, 0);
    return Status(Code::kIo, "cannot run " + command.arguments[0] + ": " + std::strerror(error));
  }
  for (auto* p : {&out, &err}) fcntl(p->value().read.get(), F_SETFL, O_NONBLOCK);
  Child child;
  child.pid = pid;
  child.out = LineReader(std::move(out.value().read));
  if (!command.merge_output) child.err = LineReader(std::move(err.value().read));
  return child;
}

bool read_lines(const std::vector<std::string>& arguments, uint64_t patience_ns, const std::function<void(std::string_view)>& line) {
  Command command;
  command.arguments = arguments;
  auto child = spawn(command);
  if (!child) return false;
  LineReader& out = child.value().out;
  for (const uint64_t until = monotonic_ns() + patience_ns; out.is_open() && monotonic_ns() < until;) {
    pollfd fd{out.fd(), POLLIN, 0};
    (void)poll(&fd, 1, kReadMs);
    out.drain(line);
  }
  (void)kill(child.value().pid, SIGKILL);
  (void)waitpid(child.value().pid, nullptr, 0);
  return true;
}

std::string wait_text(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return format("signal %d (%s)", WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
  }
  return format("exit status %d", WEXITSTATUS(wait_status));
}

int shell_status(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

std::string self_path() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  return length > 0 ? std::string(path, static_cast<size_t>(length)) : std::string("rhizome");
}

}  // namespace rhz::tools
