// Attach to state on a device, and snapshots of it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "bench/gpu/bench.h"
#include "tests/gpu/state_trainer.h"

namespace rhz::gpu {
namespace {

constexpr int kRounds = 5;

class Measured {
 public:
  explicit Measured(StateRun& run) : run_(run) {}
  StateRun::Answer say(const std::string& line) {
    const StateRun::Answer answer = line == "start" ? run_.start() : run_.say(line);
    if (!answer.ok()) std::printf("FAIL %s: %s\n", line.c_str(), answer.text.c_str());
    well_ &= answer.ok();
    return answer;
  }
  void all(std::initializer_list<const char*> lines) {
    for (const char* line : lines) say(line);
  }
  bool well() const { return well_; }

 private:
  StateRun& run_;
  bool well_ = true;
};

double number(const std::string& text, const std::string& name) {
  const size_t at = text.find(name + " ");
  return at == std::string::npos ? 0 : std::atof(text.c_str() + at + name.size() + 1);
}

void measure_attach(StateRun& run, Measured& m, double gib, const char* memory) {
  std::vector<double> plain, proved;
  for (int i = 0; i < kRounds; ++i) {
    run.kill_trainer();
    m.say("start");
    proved.push_back(m.say("attach 0").us / 1e3);
    if (i == 0) m.say("verify 1");
    run.kill_trainer();
    m.say("start");
    plain.push_back(m.say("attach 1").us / 1e3);
  }
  m.say("verify 1");
  std::printf(
      "attach to %.1f GiB of %s after SIGKILL, the context being there: %.2f ms (max %.2f); with the "
      "proof of every byte %.2f ms (max %.2f)\n",
      gib, memory, median(plain), *std::max_element(plain.begin(), plain.end()), median(proved),
      *std::max_element(proved.begin(), proved.end()));
}

void measure_snapshots(Measured& m, double bytes) {
  std::vector<double> ms;
  for (int i = 0; i < 2 + kRounds; ++i) {
    const double begun = now_us();
    const double call = m.say("snapshot").us;
    m.say("fence");
    const double took = (now_us() - begun) / 1e3;
    std::printf("snapshot %d: %.1f ms, %.1f GB/s, the call %.3f ms\n", i, took, bytes / took / 1e6,
                call / 1e3);
    if (i >= 2) ms.push_back(took);
  }
  std::printf(
      "snapshot of %.2f GB, sealed with digests: %.1f ms, %.1f GB/s (the first two make "
      "their buffers, and are left out)\n",
      bytes / 1e9, median(ms), bytes / median(ms) / 1e6);
}

// By turns, so that both see the same device.
void measure_stall(Measured& m, int memory) {
  std::vector<double> without, with, calls, fences;
  for (int i = 0; i < 3; ++i) {
    const std::string load = " 400 " + std::to_string(memory);
    without.push_back(number(m.say("steps 7" + load + " 0").text, "step-us") / 1e3);
    const auto answer = m.say("steps 7" + load + " 1");
    with.push_back(number(answer.text, "step-us") / 1e3);
    calls.push_back(number(answer.text, "call-us") / 1e3);
    fences.push_back(number(answer.text, "fence-us") / 1e3);
  }
  std::printf(
      "step of %s: %.2f ms, with a snapshot in each %.2f ms: stall %.2f ms (rhz_snapshot "
      "%.3f, rhz_snapshot_fence %.3f)\n",
      memory ? "writes to memory" : "arithmetic", median(without), median(with),
      median(with) - median(without), median(calls), median(fences));
}

}  // namespace

bool measure_state(const Options& options) {
  const auto bytes = static_cast<double>(options.state_bytes);
  StateRun run(options.state_bytes);
  Measured m(run);
  m.all({"start", "alloc", "enrol", "begin", "write 1", "end", "commit 1"});
  const auto digest = m.say("digest");
  std::printf("rhz_state_digest of it: %.2f ms; of a copy in the host by one thread %.0f ms\n",
              number(digest.text, "us") / 1e3, number(digest.text, "host-us") / 1e3);
  measure_attach(run, m, bytes / (1u << 30), "rhz_cuda_alloc");
  m.say("enrol");
  measure_snapshots(m, bytes);
  const double restored = m.say("restore").us / 1e3;
  std::printf("restore from it: %.0f ms, %.1f GB/s\n", restored, bytes / restored / 1e6);
  m.say("verify 1");
  m.say("commit 2");
  for (int memory : {0, 1}) measure_stall(m, memory);
  return m.well();
}

// Held by a process of its own, and copied.
bool measure_held(const Options& options) {
  StateRun run(options.state_bytes);
  Measured m(run);
  m.all({"start", "malloc"});
  const double joined = m.say("enrol").us / 1e3;
  std::printf("rhz_comm_join with it, its memory held from then on: %.0f ms\n", joined);
  m.all({"begin", "write 1", "end", "commit 1", "digest"});
  measure_attach(run, m, static_cast<double>(options.state_bytes) / (1u << 30), "cudaMalloc");
  return m.well();
}

}  // namespace rhz::gpu
