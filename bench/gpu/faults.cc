// A rank is killed while the kernels of all run: what the others' devices do then, and how long it
// takes beside NCCL.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "bench/gpu/bench.h"
#include "bench/gpu/peer_group.h"

namespace rhz::gpu {
namespace {

constexpr uint64_t kBytes = 256u << 20;
constexpr unsigned kBlocks = 64;

// Its kernel runs again and again until it is dead.
[[noreturn]] void be_victim(Meeting& meeting, PeerGroup& group, Stream stream) {
  meeting.barrier();
  for (int i = 0; i < 3; ++i) group.allreduce_f32(kBytes / 4, {PeerWay::kTwoShot, kBlocks}, stream);
  kill(getpid(), SIGKILL);
  _exit(1);
}

bool readable(PeerGroup& group, uint32_t victim) {
  std::vector<float> got(1024);
  to_host(got.data(), group.in_of(victim), got.size() * 4, nullptr);
  if (synchronize(nullptr) != 0) return false;
  for (uint64_t i = 0; i < got.size(); ++i)
    if (got[i] != random_value(victim, i)) return false;
  return true;
}

void one_fault(Meeting& meeting, const Options& options, uint32_t rank) {
  const uint32_t victim = options.ranks - 1;
  PeerGroup group(meeting, rank, options.ranks, kBytes);
  const Stream stream = make_stream();
  std::vector<float> values(kBytes / 4);
  for (uint64_t i = 0; i < values.size(); ++i) values[i] = random_value(rank, i);
  to_device(group.in(), values.data(), kBytes, nullptr);
  (void)synchronize(nullptr);
  group.allreduce_f32(kBytes / 4, {PeerWay::kTwoShot, kBlocks}, stream);
  (void)synchronize(stream);
  if (rank == victim) be_victim(meeting, group, stream);
  meeting.barrier();
  // More than the victim has begun: the last ones wait for it in any case.
  for (int i = 0; i < 6; ++i) group.allreduce_f32(kBytes / 4, {PeerWay::kTwoShot, kBlocks}, stream);
  while (!meeting.dead.load()) sched_yield();
  const double since = now_us();
  group.abort();
  const int error = synchronize(stream);
  const double out = now_us();
  const bool aborted = group.status() != kPeerPassed, reads = readable(group, victim);
  const int unmapped = group.unmap_of(victim);
  group.clear();
  if (options.ranks == 2) {  // what is left of two still computes
    group.go_alone();
    group.allreduce_f32(kBytes / 4, {PeerWay::kTwoShot, kBlocks}, stream);
  }
  const bool healthy = synchronize(stream) == 0 && group.status() == kPeerPassed;
  std::printf(
      "fault %.1f ms-to-abort-kernels error %d aborted %d dead-rank's-input-readable %d unmap %d "
      "device-works %d\n",
      (out - since) / 1e3, error, aborted, reads, unmapped, healthy);
  std::fflush(stdout);
  if (error != 0 || !healthy) meeting.failures.fetch_add(1);
  meeting.numbers[rank] = out - since;
}

// The same with NCCL: abort, and a communicator of those who are left; or what NCCL has for it.
void one_nccl_fault(Meeting& meeting, const Options& options, uint32_t rank, bool shrink) {
  const uint32_t victim = options.ranks - 1;
  Nccl nccl;
  if (!nccl.load(options.nccl)) return;
  const Memory in = allocate(kBytes), out = allocate(kBytes);
  const Stream stream = make_stream();
  if (rank == 0) meeting.nccl = nccl.make_id();
  meeting.barrier();
  nccl.begin(meeting.nccl, static_cast<int>(options.ranks), static_cast<int>(rank));
  const auto submit = [&] {
    nccl.allreduce_f32(reinterpret_cast<void*>(in), reinterpret_cast<void*>(out), kBytes / 4,
                       stream);
  };
  submit();
  (void)synchronize(stream);
  meeting.barrier();
  for (int i = 0; i < (rank == victim ? 3 : 6); ++i) submit();
  if (rank == victim) kill(getpid(), SIGKILL);
  while (!meeting.dead.load()) sched_yield();
  const double since = now_us();
  if (shrink) {
    if (!nccl.shrink(static_cast<int>(victim))) return;
  } else {
    nccl.abort();
    if (rank == 0) meeting.nccl = nccl.make_id(), meeting.made.store(true);
    while (!meeting.made.load()) sched_yield();
    nccl.begin(meeting.nccl, static_cast<int>(options.ranks) - 1, static_cast<int>(rank));
  }
  const double usable = now_us();
  submit();
  (void)synchronize(stream);
  std::printf("nccl-fault %s: usable %.1f ms, op over %.1f ms\n",
              shrink ? "shrink" : "abort and a new communicator", (usable - since) / 1e3,
              (now_us() - since) / 1e3);
  std::fflush(stdout);
  meeting.numbers[rank] = usable - since;
}

void one_nccl_abort(Meeting& meeting, const Options& options, uint32_t rank) {
  one_nccl_fault(meeting, options, rank, false);
}
void one_nccl_shrink(Meeting& meeting, const Options& options, uint32_t rank) {
  one_nccl_fault(meeting, options, rank, true);
}

}  // namespace

bool measure_faults(const Options& options) {
  struct Part {
    void (*fault)(Meeting&, const Options&, uint32_t);
    uint32_t most;  // NCCL's take a second and more
    std::vector<double> took;
  } parts[] = {{one_fault, options.faults, {}}, {one_nccl_abort, 3, {}}, {one_nccl_shrink, 3, {}}};
  bool well = true;
  for (Part& part : parts)
    for (uint32_t i = 0; i < std::min(options.faults, part.most) && well; ++i) {
      Meeting* meeting = Meeting::make(options.ranks);
      well &=
          run_ranks(*meeting, options.ranks, part.fault, options) && meeting->failures.load() == 0;
      if (meeting->numbers[0] > 0) part.took.push_back(meeting->numbers[0] / 1e3);
    }
  std::printf(
      "killed while kernels ran, %zu times; from the death being known, p50: kernels out %.2f ms; "
      "NCCL abort and new communicator %.1f ms (%zu), ncclCommShrink %.1f ms (%zu)\n",
      parts[0].took.size(), median(parts[0].took), median(parts[1].took), parts[1].took.size(),
      median(parts[2].took), parts[2].took.size());
  return well;
}

}  // namespace rhz::gpu
