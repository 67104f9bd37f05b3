// A child process that does not outlive this one.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace rhz::perf {

class Child {
 public:
  Child() = default;
  // arguments[0] is looked up in PATH; `environment` ("NAME=value") is added to this process's. The
  // child's standard output goes to output_fd, its input is empty. Not started: see running().
  Child(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
        int output_fd);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  // Gives it time to leave by itself, then kills it.
  ~Child();

  bool running() const { return pid_ > 0; }
  void kill(int signal) const;
  // Exit status; 128 + signal when one ended it; -1 when it was still running at the deadline.
  int wait(int timeout_ms);

 private:
  pid_t pid_ = -1;
};

// What a short program prints, "" when it fails.
std::string output_of(const std::vector<std::string>& arguments);

}  // namespace rhz::perf
