// Child processes: started with their own environment, read line by line, and never outliving this
// process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/status.h"

namespace rhz::tools {

// A file descriptor that is closed with its owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// What a process printed, cut into lines.  The fd is non-blocking.
class LineReader {
 public:
  LineReader() = default;
  explicit LineReader(Fd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }
  bool is_open() const { return static_cast<bool>(fd_); }
  // Reads what is there and gives out the whole lines; at the end also a last one without its
  // newline.
  void drain(const std::function<void(std::string_view)>& line);
  void close() { fd_.reset(); }

 private:
  Fd fd_;
  std::string rest_;
};

struct Command {
  std::vector<std::string> arguments;  // [0]: the program, looked up in PATH
  std::vector<std::pair<std::string, std::string>> environment;  // added to ours, or instead
  bool merge_output = true;  // standard error goes where standard output goes
  int network = -1;          // a network namespace to start it in; -1: ours
};

struct Child {
  pid_t pid = -1;
  LineReader out, err;  // err: only when not merged
};

// Starts it in a process group of its own, so that the terminal's signals reach it through us only,
// with /dev/null as its input.  It is killed when this process dies.  Returns once the program
// runs, or why it does not (kIo).
[[nodiscard]] Result<Child> spawn(const Command& command);

// Runs a program to its end and gives out its lines; killed when that takes longer than `patience_ns`.  False: it does not run.
bool read_lines(const std::vector<std::string>& arguments, uint64_t patience_ns, const std::function<void(std::string_view)>& line);

// "exit status 3", "signal 9 (Killed)".
std::string wait_text(int wait_status);
// As a shell has it: the status, or 128 + the signal.
int shell_status(int wait_status);

// The path of the running program, for starting it again.
std::string self_path();

}  // namespace rhz::tools
