#include "tests/sim/trial.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace rhz::sim {
namespace {
constexpr unsigned kMostSeconds = 30;  // a run takes far less than one
}

Verdict trial(const std::function<std::string()>& run) {
  int ends[2];
  std::fflush(stdout);
  if (pipe(ends) != 0) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    dup2(ends[1], STDERR_FILENO);
    alarm(kMostSeconds);
    const std::string violation = run();
    std::fprintf(stderr, "%s\n", violation.c_str());
    _exit(violation.empty() ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char piece[512];
  for (ssize_t n = 0; (n = read(ends[0], piece, sizeof piece)) > 0;)
    text.append(piece, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  text = text.substr(0, text.find('\n'));
  if (WIFEXITED(status)) return {text, true};
  return {text.empty() ? "signal " + std::to_string(WTERMSIG(status)) : text, false};
}

}  // namespace rhz::sim
