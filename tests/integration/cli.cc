#include "tests/integration/cli.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <sstream>

namespace rhz::test {
namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream all;
  all << file.rdbuf();
  return all.str();
}

}  // namespace

const Words kOneStream{"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1"};

bool gone(pid_t pid) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return true;
  pollfd ended{fd, POLLIN, 0};
  const bool over = poll(&ended, 1, static_cast<int>(kPatience.count())) > 0;
  close(fd);
  return over;
}

Words words(const std::string& text) {
  std::istringstream in(text);
  Words all;
  for (std::string word; in >> word;) all.push_back(word);
  return all;
}

Words operator+(Words left, const Words& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

// Process wants a path: env looks the rest up.  Logs at info would hide what is looked for.
Cli::Cli(const Words& arguments, const Words& environment, const Words& within)
    : process_(Words{"/usr/bin/env", "--default-signal=HUP,INT", "RHZ_LOG=warn"} + environment +
                   within + Words{RHZ_TEST_CLI} + arguments,
               folder_.file("stderr")) {}

Line Cli::await(const std::string& text) {
  // As long as it goes on saying something it does not hang, however slow this machine is.
  for (uint64_t before = ~uint64_t{0}; before != process_.heard();) {
    before = process_.heard();
    if (auto line = process_.await_words(text, Clock::now() + kPatience)) return *line;
  }
  ADD_FAILURE() << "no line with \"" << text << "\"; it said\n" << output() << errors();
  return {};
}

int Cli::end() {
  const auto status = process_.wait(Clock::now() + kPatience);
  if (!status) {
    ADD_FAILURE() << "it does not end; it said\n" << output() << errors();
    return -1;
  }
  return WIFSIGNALED(*status) ? 128 + WTERMSIG(*status) : WEXITSTATUS(*status);
}

std::vector<std::string> Cli::rest() {
  std::vector<std::string> lines;
  // What has been said: the far end of the pipe is closed, or nothing is in it.
  while (auto line = process_.next(Clock::now())) lines.push_back(line->raw);
  return lines;
}

std::string Cli::output() {
  std::string all;
  for (const std::string& line : rest()) all += line + "\n";
  return all;
}

pid_t Cli::child(const std::string& file, const std::string& text) const {
  const std::string pid = std::to_string(process_.pid());
  for (const std::string& one : words(content("/proc/" + pid + "/task/" + pid + "/children")))
    if (content("/proc/" + one + "/" + file).find(text) != std::string::npos)
      return static_cast<pid_t>(std::stol(one));
  ADD_FAILURE() << "no child has " << text << " in its " << file;
  return std::numeric_limits<pid_t>::max();  // nobody: kill(0) would be this test and all that started it
}

std::string listening(Cli& command) {
  const std::string before = "coordinator: listening on ";
  const std::string line = command.await(before).raw;
  const size_t at = line.find(before);
  return at == std::string::npos ? "" : words(line.substr(at + before.size()))[0];
}

CliCoordinator::CliCoordinator(const std::string& options, const std::string& listen)
    : command(words("coordinator --listen " + listen + " " + options)),
      address(listening(command)) {}

Words trainer(int steps, int min_step_ms) {
  return {RHZ_TEST_CHAR_LM,
          "--batch",
          "1",
          "--context",
          "8",
          "--steps",
          std::to_string(steps),
          "--min-step-ms",
          std::to_string(min_step_ms)};
}

std::string final_digest(Cli& command) { return command.await("final step=").text("digest"); }

void expect_has(const std::string& text, const Words& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in: " << text;
}

}  // namespace rhz::test
