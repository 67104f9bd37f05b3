// rhz_gpu_bench: all-reduce among the devices of one host.
//
//   rhz_gpu_bench --state BYTES     attach to state on one device, and snapshots of it
//   rhz_gpu_bench [--ranks 2] [--most BYTES] [--faults N] [--only-faults 1] [--sweep 1] [--api 0]
//   [--nccl LIBRARY]
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/gpu/bench.h"
#include "tests/gpu/state_trainer.h"

extern "C" const unsigned char rhz_busy_fatbin[];

namespace rhz::gpu {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double now_us() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

bool run_ranks(Meeting& meeting, uint32_t ranks, void (*rank)(Meeting&, const Options&, uint32_t),
               const Options& options) {
  std::vector<pid_t> pids;
  std::fflush(stdout);
  for (uint32_t r = 0; r < ranks; ++r) {
    pids.push_back(fork());
    if (pids.back() != 0) continue;
    alarm(200);  // nothing here takes so long
    if (!begin(static_cast<int>(r))) {
      std::printf("FAIL there is no device %u\n", r);
      std::fflush(stdout);
      _exit(2);
    }
    rank(meeting, options, r);
    std::fflush(stdout);
    _exit(0);
  }
  bool well = true;
  for (uint32_t left = ranks; left > 0; --left) {
    int status = 0;
    (void)wait(&status);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
      meeting.dead.store(true);  // that is part of the plan
    else
      well &= status == 0;
    if (status != 0 && !meeting.dead.load())
      for (pid_t pid : pids) kill(pid, SIGTERM);  // the others would wait for ever
  }
  return well;
}

namespace {

Options read(int argc, char** argv) {
  Options o;
  for (int i = 1; i + 1 < argc; i += 2) {
    const auto number = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--ranks") == 0)
      o.ranks = static_cast<uint32_t>(number);
    else if (std::strcmp(argv[i], "--most") == 0)
      o.most_bytes = number;
    else if (std::strcmp(argv[i], "--faults") == 0)
      o.faults = static_cast<uint32_t>(number);
    else if (std::strcmp(argv[i], "--state") == 0)
      o.state_bytes = number;
    else if (std::strcmp(argv[i], "--only-faults") == 0)
      o.only_faults = number != 0;
    else if (std::strcmp(argv[i], "--sweep") == 0)
      o.sweep = number != 0;
    else if (std::strcmp(argv[i], "--api") == 0)
      o.api = number != 0;
    else if (std::strcmp(argv[i], "--nccl") == 0)
      o.nccl = argv[i + 1];
    else
      std::fprintf(stderr, "unknown: %s\n", argv[i]), std::exit(2);
  }
  return o;
}

}  // namespace
}  // namespace rhz::gpu

int main(int argc, char** argv) {
  using namespace rhz::gpu;
  if (be_state_trainer(argc, argv, rhz_busy_fatbin) || be_device_holder(argc, argv)) return 0;
  const Options options = read(argc, argv);
  if (options.state_bytes > 0) {
    bool well = measure_state(options);
    well &= measure_held(options);
    std::printf("%s\n", well ? "all results were right" : "FAILED");
    return well ? 0 : 1;
  }
  if (options.ranks < 2 || options.ranks > Meeting::kMostRanks) {
    std::fprintf(stderr, "--ranks 2 … 8\n");
    return 2;
  }
  bool well = true;
  for (auto* part : {&measure_speed, &measure_accuracy}) {
    if (options.only_faults) break;
    Meeting* meeting = Meeting::make(options.ranks);
    well &= run_ranks(*meeting, options.ranks, part, options) && meeting->failures.load() == 0;
  }
  if (options.faults > 0) well &= measure_faults(options);
  std::printf("%s\n", well ? "all results were right" : "FAILED");
  return well ? 0 : 1;
}
