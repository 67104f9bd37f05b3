// A simulator that finds nothing proves nothing: every rule of docs/protocol.md is switched off in
// turn (runtime/base/canary.h), and some seed has to fail, by an oracle, a hang or an assertion.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "runtime/base/canary.h"
#include "tests/sim/cluster.h"

namespace rhz {
namespace {
Rule planted = Rule::kNone;
}
bool canary(Rule rule) { return planted == rule; }
}  // namespace rhz

namespace {

using rhz::Rule;

struct Bird {
  Rule rule;
  const char* name;
  const char* without;
};
constexpr Bird kBirds[] = {
    {Rule::kA, "A", "frames of a newer epoch are dropped, not held"},
    {Rule::kB, "B", "an op is released when its own result is full"},
    {Rule::kC, "C", "decisions are told before they are logged"},
    {Rule::kD, "D", "install keeps what the resolution did not keep"},
    {Rule::kE, "E", "the epoch goes on after the report"},
    {Rule::kF, "F", "the resolution waits for the first report only"},
    {Rule::kH, "H", "the runtime keeps no originals, strict and in place"},
    {Rule::kI, "I", "what is freed is not reported, nor announced again"},
    {Rule::kJ, "J", "transports are not quiesced before SEALED and before an end"},
};
constexpr uint64_t kMostSeeds = 4000;  // per rule
constexpr uint64_t kControls = 20;  // seeds in which nothing is planted, and nothing may be found

// In a process of its own: a planted bug may well end in an assertion.  What was found; empty:
// nothing.
std::string found(Rule rule, uint64_t seed) {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    rhz::planted = rule;
    const std::string violation = rhz::sim::Cluster(rhz::sim::make_config(seed)).run().violation;
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
  const bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return clean ? std::string() : text.substr(0, text.find('\n'));
}

}  // namespace

int main(int argc, char** argv) {
  const char* only = argc > 1 ? argv[1] : nullptr;
  bool all = true;
  for (uint64_t seed = 1; seed <= kControls; ++seed) {
    if (const std::string what = found(Rule::kNone, seed); !what.empty()) {
      std::printf("nothing planted, and seed %llu finds: %s\n",
                  static_cast<unsigned long long>(seed), what.c_str());
      all = false;
    }
  }
  for (const Bird& bird : kBirds) {
    if (only && only[0] != bird.name[0]) continue;
    const auto begin = std::chrono::steady_clock::now();
    std::string what;
    uint64_t seed = 0;
    while (what.empty() && seed < kMostSeeds) what = found(bird.rule, ++seed);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    all &= !what.empty();
    std::printf("rule=%s found=%s seeds=%llu seconds=%.2f without=\"%s\" by=\"%.120s\"\n",
                bird.name, what.empty() ? "NO" : "yes", static_cast<unsigned long long>(seed),
                took.count(), bird.without, what.c_str());
    std::fflush(stdout);
  }
  return all ? 0 : 1;
}
