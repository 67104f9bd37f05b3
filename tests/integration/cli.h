// The command `rhizome` as a user has it: arguments in, lines and an exit status out.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/integration/folder.h"
#include "tests/integration/process.h"

namespace rhz::test {

using Words = std::vector<std::string>;

// "run -n 4" → its words.
Words words(const std::string& text);
Words operator+(Words left, const Words& right);

// Blocks until `deadline` at the latest: a command that is not done by then is a failure.
constexpr Milliseconds kPatience{6 * kPatienceMs};

// One command that runs.  What it says is read from standard output; standard error is a file.
class Cli {
 public:
  // `arguments`: behind "rhizome".  `environment`: "NAME=value" each.  `within`: a command that
  // runs the rest of its own command line, such as nsenter.
  explicit Cli(const Words& arguments, const Words& environment = {}, const Words& within = {});

  // The next line that has `text`; fails the test, and is empty, when there is none in time.
  Line await(const std::string& text);
  // Waits for the end: the exit status as a shell has it, -1 when it does not end.
  int end();
  // The lines that nobody has awaited.  After end().
  std::vector<std::string> rest();
  // What `end()` left, with newlines.
  std::string output();
  std::string errors() const { return process_.errors(); }
  void signal(int number) const { process_.signal(number); }
  // A child of this command that has `text` in /proc/PID/`file`; none: a failure, and nobody.
  pid_t child(const std::string& file, const std::string& text) const;
  // The process in this slot, of a `rhizome run`.
  pid_t peer(int slot) const { return child("environ", "RHZ_SLOT=" + std::to_string(slot)); }

 private:
  const Folder folder_;
  Process process_;
};

// For `within`: standard error joins standard output, so that it can be awaited too.
extern const Words kOneStream;

// Waits for the end of a process, be it a child or not.
bool gone(pid_t pid);

// A coordinator on a free port of this host, with its address.
struct CliCoordinator {
  explicit CliCoordinator(const std::string& options, const std::string& listen = "127.0.0.1:0");
  Cli command;
  std::string address;
};

// The address in a "coordinator: listening on ADDRESS …" that is awaited from it.
std::string listening(Cli& command);

// A trainer that takes a few milliseconds a step (char_lm).
Words trainer(int steps, int min_step_ms = 0);
// The digest in the "final" line that is awaited from it.
std::string final_digest(Cli& command);

// `text` has all of `parts`.
void expect_has(const std::string& text, const Words& parts);

}  // namespace rhz::test
