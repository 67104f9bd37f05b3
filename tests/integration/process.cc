#include "tests/integration/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace rhz::test {
namespace {

constexpr size_t kErrorTail = 64u << 10;

int poll_ms(Deadline deadline) {
  const auto left = std::chrono::duration_cast<Milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left + 1, 0, 1 << 30));
}

uint64_t proc_status_bytes(pid_t pid, const std::string& key) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.rfind(key + ":", 0) == 0)
      return std::strtoull(line.c_str() + key.size() + 1, nullptr, 10) * 1024;
  return 0;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

// Ours, and the library's transitions on standard error unless somebody has chosen otherwise.
std::vector<std::string> environment_of_child() {
  std::vector<std::string> all;
  bool chosen = false;
  for (char** variable = environ; *variable; ++variable) {
    all.emplace_back(*variable);
    chosen |= all.back().rfind("RHZ_LOG=", 0) == 0;
  }
  if (!chosen) all.emplace_back("RHZ_LOG=info");
  return all;
}

// Between fork and exec: nothing that allocates.
[[noreturn]] void run_program(char** arguments, char** environment, int in, int out, int errors,
                              pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);  // it died in between
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  execve(arguments[0], arguments, environment);
  _exit(127);
}

}  // namespace

const std::string& Line::text(const std::string& key) const {
  static const std::string empty;
  const auto at = fields.find(key);
  return at == fields.end() ? empty : at->second;
}

uint64_t Line::number(const std::string& key) const {
  return std::strtoull(text(key).c_str(), nullptr, 0);
}

Line parse_line(const std::string& raw) {
  Line line;
  line.raw = raw;
  std::istringstream words(raw);
  words >> line.verb;
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) continue;
    const std::string key = word.substr(0, equals);
    if (key == "text") {
      std::string rest;
      std::getline(words, rest);
      line.fields[key] = word.substr(equals + 1) + rest;
      break;
    }
    line.fields[key] = word.substr(equals + 1);
  }
  return line;
}

Process::Process(std::vector<std::string> arguments, std::string errors)
    : error_path_(std::move(errors)) {
  std::signal(SIGPIPE, SIG_IGN);  // a child that is gone shows in its silence
  int to_child[2], from_child[2];
  if (pipe2(to_child, O_CLOEXEC) != 0 || pipe2(from_child, O_CLOEXEC) != 0) std::abort();
  const int error_fd = open(error_path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  std::vector<std::string> environment = environment_of_child();
  std::vector<char*> argv = pointers(arguments), envp = pointers(environment);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0)
    run_program(argv.data(), envp.data(), to_child[0], from_child[1], error_fd, parent);
  close(to_child[0]);
  close(from_child[1]);
  close(error_fd);
  in_ = to_child[1];
  out_ = from_child[0];
  fcntl(out_, F_SETFL, O_NONBLOCK);
}

Process::~Process() {
  if (alive()) {
    signal(SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
  }
  end_input();
  if (out_ >= 0) close(out_);
}

void Process::end_input() {
  if (in_ >= 0) close(in_);
  in_ = -1;
}

void Process::tell(const std::string& command) {
  const std::string line = command + "\n";
  // A dead child is found out by whoever waits for its answer.
  (void)!::write(in_, line.data(), line.size());
}

// False when nothing more can come, or at the deadline.
bool Process::read_some(Deadline deadline) {
  if (out_ < 0) return false;
  pollfd ready{out_, POLLIN, 0};
  if (poll(&ready, 1, poll_ms(deadline)) <= 0) return false;
  char bytes[4096];
  const ssize_t got = ::read(out_, bytes, sizeof bytes);
  if (got <= 0) {
    close(out_);
    out_ = -1;
    return false;
  }
  rest_.append(bytes, static_cast<size_t>(got));
  for (size_t end; (end = rest_.find('\n')) != std::string::npos; rest_.erase(0, end + 1)) {
    lines_.push_back(parse_line(rest_.substr(0, end)));
    ++heard_;
  }
  return true;
}

std::optional<Line> Process::next(Deadline deadline) {
  while (lines_.empty())
    if (!read_some(deadline)) return std::nullopt;
  Line line = std::move(lines_.front());
  lines_.pop_front();
  return line;
}

std::optional<Line> Process::await(const std::string& verb, Deadline deadline) {
  return await_if([&](const Line& line) { return line.verb == verb; }, deadline);
}

std::optional<Line> Process::await_words(const std::string& words, Deadline deadline) {
  return await_if([&](const Line& line) { return line.raw.find(words) != std::string::npos; },
                  deadline);
}

std::optional<Line> Process::await_if(const std::function<bool(const Line&)>& wanted,
                                      Deadline deadline) {
  while (true) {
    const auto found = std::find_if(lines_.begin(), lines_.end(), wanted);
    if (found != lines_.end()) {
      Line line = std::move(*found);
      lines_.erase(found);
      return line;
    }
    if (!read_some(deadline)) return std::nullopt;
  }
}

void Process::signal(int number) const {
  if (alive()) kill(pid_, number);
}

std::optional<int> Process::wait(Deadline deadline) {
  if (status_) return status_;
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  pollfd ended{fd, POLLIN, 0};
  const bool over = fd >= 0 && poll(&ended, 1, poll_ms(deadline)) > 0;
  if (fd >= 0) close(fd);
  if (!over) return std::nullopt;
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) return std::nullopt;
  status_ = status;
  return status_;
}

std::string Process::stacks() {
  if (const auto status = wait(Clock::now())) {
    const std::string how = WIFSIGNALED(*status)
                                ? "killed by signal " + std::to_string(WTERMSIG(*status))
                                : "ended with status " + std::to_string(WEXITSTATUS(*status));
    return "process " + std::to_string(pid_) + " " + how + "\n";
  }
  const std::string command = "gdb -p " + std::to_string(pid_) +
                              " -batch -ex 'thread apply all bt 24' 2>/dev/null | "
                              "grep -E '^(#|Thread)'";
  std::string text = "stacks of " + std::to_string(pid_) + ":\n";
  const size_t heading = text.size();
  if (std::FILE* pipe = popen(command.c_str(), "r")) {
    for (char line[512]; std::fgets(line, sizeof line, pipe);) text += line;
    pclose(pipe);
  }
  if (text.size() == heading) {
    signal(SIGABRT);
    (void)wait(Clock::now() + Milliseconds(2000));
  }
  return text;
}

std::string Process::errors() const {
  std::ifstream file(error_path_);
  std::stringstream all;
  all << file.rdbuf();
  const std::string text = all.str();
  return text.size() > kErrorTail ? text.substr(text.size() - kErrorTail) : text;
}

uint64_t Process::peak_bytes() const { return proc_status_bytes(pid_, "VmHWM"); }
uint64_t Process::resident_bytes() const { return proc_status_bytes(pid_, "VmRSS"); }

}  // namespace rhz::test
