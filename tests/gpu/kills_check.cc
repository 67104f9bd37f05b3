// All-reduces on the device's memory while ranks are killed: each result against the ranks that it
// says it is made of.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "tests/gpu/rank.h"
#include "tests/gpu/values.h"

namespace rhz::gpu {
namespace {

std::string compare(rhz_op* op, const std::vector<float>& got, uint32_t salt) {
  uint32_t slots[64];
  constexpr uint64_t kStep = 4096;  // chunks are larger, and borders lie at multiples of it
  for (uint64_t from = 0; from < got.size(); from += kStep) {
    uint32_t count = 64;
    if (rhz_op_contributors(op, from, slots, &count) != RHZ_OK) return rhz_last_error();
    for (uint64_t i = from; i < std::min<uint64_t>(from + kStep, got.size()); ++i) {
      int sum = 0;
      for (uint32_t s = 0; s < count; ++s) sum += value(slots[s], i, salt);
      if (got[i] != static_cast<float>(sum)) return "wrong at element " + std::to_string(i);
    }
  }
  return "";
}

// What the parent wants: 'k', that this rank dies in its next op; anything else, that all stop.  0:
// nothing.
char wish() {
  pollfd in{0, POLLIN, 0};
  char byte = 0;
  if (::poll(&in, 1, 0) != 1) return 0;
  return read(0, &byte, 1) == 1 ? byte : '.';
}

// Half of those who die have given nothing to the op that the others have begun; the kernel of the other half may
// well come to its end without them.
bool gives_nothing() { return std::random_device()() % 2 == 0; }

// Somewhere in an op that takes so long.
[[noreturn]] void die_within(uint64_t ns) {
  const uint64_t at = now_ns() + std::random_device()() % std::max<uint64_t>(ns, 1);
  while (now_ns() < at) {
  }
  std::printf("killed %" PRIu64 "\n", now_ns());
  std::fflush(stdout);
  kill(getpid(), SIGKILL);
  std::abort();
}

uint32_t world_size(Rank& rank) {
  rhz_view view{};
  view.struct_size = sizeof view;
  return rhz_comm_view(rank.comm(), &view) == RHZ_OK ? view.world_size : 0;
}

// All ranks stop behind the same op: the last one, in which one of them says that it wants to.
bool all_go_on(Rank& rank, bool self, std::string& wrong) {
  int32_t word = self ? 1 : 0;
  rhz_allreduce_params p{};
  p.struct_size = sizeof p;
  p.recv = &word;
  p.count_elems = 1;
  p.dtype = RHZ_DTYPE_I32;
  p.redop = RHZ_REDOP_MIN;
  rhz_op* op = nullptr;
  const rhz_status submitted = rhz_allreduce(rank.comm(), &p, &op);
  wrong = outcome(submitted, op);
  return wrong.empty() && word == 1;
}

}  // namespace

void run_until_killed(Rank& rank, uint32_t least, uint64_t bytes, uint32_t rebuild,
                      bool registered) {
  const uint64_t count = bytes / 4;
  const Memory send = allocate(bytes), recv = allocate(bytes);
  std::vector<float> input(count), got(count);
  std::string wrong;
  for (Memory memory : {send, recv})
    if (registered &&
        rhz_cuda_register(rank.comm(), reinterpret_cast<void*>(memory), bytes, 0) != RHZ_OK)
      wrong = rhz_last_error();
  uint64_t took = 0;  // an op, the last time
  bool stop = false;
  for (uint32_t salt = 0; wrong.empty(); ++salt) {
    for (uint64_t i = 0; i < count; ++i) input[i] = static_cast<float>(value(rank.slot(), i, salt));
    to_device(send, input.data(), bytes, rank.stream());
    rhz_allreduce_params p{};
    p.struct_size = sizeof p;
    p.send = reinterpret_cast<void*>(send);
    p.recv = reinterpret_cast<void*>(recv);
    p.count_elems = count;
    p.dtype = RHZ_DTYPE_F32;
    p.rebuild = rebuild;
    p.stream = rank.stream();
    rhz_op* op = nullptr;
    (void)synchronize(rank.stream());
    const uint64_t begun = now_ns();
    const char wanted = wish();
    stop |= wanted != 0 && wanted != 'k';
    if (wanted == 'k' && gives_nothing()) die_within(2 * took);
    if (rhz_allreduce(rank.comm(), &p, &op) != RHZ_OK) {
      wrong = rhz_last_error();
      break;
    }
    if (wanted == 'k') die_within(took);
    if (synchronize(rank.stream()) != 0) wrong = "the stream failed";
    const uint64_t over = now_ns();
    took = over - begun;
    to_host(got.data(), recv, bytes, rank.stream());
    (void)synchronize(rank.stream());
    const rhz_status status = rhz_op_wait(op, 60000, RHZ_WAIT_DEFAULT);
    rhz_op_info info{};
    info.struct_size = sizeof info;
    if (rhz_op_info_get(op, &info) != RHZ_OK) wrong = rhz_last_error();
    const bool lost = status == RHZ_ERR_PEER_LOST && rebuild == RHZ_REBUILD_FAIL;
    if (wrong.empty() && status != RHZ_OK && !lost)
      wrong = std::string("ended as ") + rhz_status_text(status) + ": " + rhz_last_error();
    if (wrong.empty() && status == RHZ_OK) wrong = compare(op, got, salt);
    std::printf("op %u %" PRIu64 " %" PRIu64 " rebuilds %u status %d\n", salt, begun, over,
                info.rebuilds, status);
    std::fflush(stdout);
    (void)rhz_op_release(op);
    const bool want = world_size(rank) >= least && !stop;
    std::string of_vote;
    if (wrong.empty() && !all_go_on(rank, want, of_vote)) {
      wrong = of_vote;
      break;
    }
  }
  if (!registered) free(send), free(recv);  // others may have it mapped until they close
  rank.check("kills: results of slot " + std::to_string(rank.slot()), wrong);
}

}  // namespace rhz::gpu
