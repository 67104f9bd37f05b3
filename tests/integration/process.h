// A child process: commands go to its standard input, lines come from its standard output, its
// standard error lies in a file. Owned by one test; it dies with the test's process.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/integration/patience.h"

namespace rhz::test {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;
using Milliseconds = std::chrono::milliseconds;

// "verb key=value key=value … text=the rest of the line".
struct Line {
  std::string verb;
  std::map<std::string, std::string> fields;
  std::string raw;

  const std::string& text(const std::string& key) const;  // empty when it is not there
  uint64_t number(const std::string& key) const;          // 0 when it is not there
};
Line parse_line(const std::string& raw);

class Process {
 public:
  // `arguments[0]`: the program's path.  `errors`: the file that standard error is appended to.
  Process(std::vector<std::string> arguments, std::string errors);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();  // SIGKILL, and the wait for its end

  pid_t pid() const { return pid_; }
  bool alive() const { return pid_ > 0 && !status_; }
  void tell(const std::string& command);
  void end_input();
  // The next line; empty at the deadline, and when the process is gone and has said everything.
  std::optional<Line> next(Deadline deadline);
  uint64_t heard() const { return heard_; }  // lines so far
  // The next line of this verb; earlier ones of other verbs stay where they are.
  std::optional<Line> await(const std::string& verb, Deadline deadline);
  // The next line that has `words` somewhere; the same for the others.
  std::optional<Line> await_words(const std::string& words, Deadline deadline);
  void signal(int number) const;
  // Waits for the end; the wait status, or nothing at the deadline.
  std::optional<int> wait(Deadline deadline);
  // gdb's view of all threads where it may attach, else SIGABRT, which leaves the flight recorder
  // in standard error.
  std::string stacks();
  std::string errors() const;  // the tail of standard error
  // Peak and current resident set in bytes, from /proc.
  uint64_t peak_bytes() const;
  uint64_t resident_bytes() const;

 private:
  std::optional<Line> await_if(const std::function<bool(const Line&)>& wanted, Deadline deadline);
  bool read_some(Deadline deadline);

  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
  std::string error_path_, rest_;
  std::deque<Line> lines_;
  uint64_t heard_ = 0;
  std::optional<int> status_;
};

}  // namespace rhz::test
