// All-reduces by kernels over registered memory: all types that have one, both ways, in place, with
// a rest that fills no pack.
#include <signal.h>
#include <unistd.h>

#include "tests/gpu/rank.h"
#include "tests/gpu/values.h"

namespace rhz::gpu {
namespace {

constexpr size_t kBytes = size_t{32} << 20;
constexpr unsigned char kPoison = 0xA5;

struct Case {
  const Type& type;
  uint64_t count;
  uint32_t redop;
  bool in_place, on_stream;
  size_t offset;  // into the windows
  uint32_t salt;
};

std::string run(Rank& rank, Memory a, Memory b, const Case& c) {
  const size_t bytes = c.count * c.type.bytes;
  const Memory send = a + c.offset, recv = c.in_place ? send : b + c.offset;
  std::vector<std::byte> values(bytes), got(bytes);
  for (uint64_t i = 0; i < c.count; ++i)
    store(c.type, values.data() + i * c.type.bytes,
          static_cast<int>(rank.ranks()) * value(rank.slot(), i, c.salt));
  fill(b, kPoison, kBytes, rank.stream());
  to_device(send, values.data(), bytes, rank.stream());
  if (!c.on_stream) (void)synchronize(rank.stream());
  rhz_allreduce_params p{};
  p.struct_size = sizeof p;
  p.send = reinterpret_cast<void*>(send);
  p.recv = reinterpret_cast<void*>(recv);
  p.count_elems = c.count;
  p.dtype = c.type.dtype;
  p.redop = c.redop;
  p.stream = c.on_stream ? rank.stream() : nullptr;
  rhz_op* op = nullptr;
  const rhz_status submitted = rhz_allreduce(rank.comm(), &p, &op);
  std::string wrong;
  if (c.on_stream) to_host(got.data(), recv, bytes, rank.stream());
  uint32_t slots[64], n = 64;
  if (submitted == RHZ_OK && rhz_op_wait(op, 60000, RHZ_WAIT_DEFAULT) == RHZ_OK &&
      (rhz_op_contributors(op, c.count - 1, slots, &n) != RHZ_OK || n != rank.ranks()))
    wrong = "contributors are missing";
  const std::string of_op = outcome(submitted, op);
  if (!c.on_stream) to_host(got.data(), recv, bytes, rank.stream());
  if (synchronize(rank.stream()) != 0) return "the stream failed";
  if (!of_op.empty()) return of_op;
  std::byte one[8];
  for (uint64_t i = 0; i < c.count && wrong.empty(); ++i) {
    int sum = 0;
    for (uint32_t r = 0; r < rank.ranks(); ++r) sum += value(r, i, c.salt);
    store(c.type, one, c.redop == RHZ_REDOP_AVG ? sum : sum * static_cast<int>(rank.ranks()));
    if (std::memcmp(one, got.data() + i * c.type.bytes, c.type.bytes) != 0)
      wrong = "wrong at element " + std::to_string(i);
  }
  return wrong;
}

rhz_status submit(Rank& rank, Memory send, Memory recv, uint64_t count, Stream stream,
                  rhz_op** op) {
  rhz_allreduce_params p{};
  p.struct_size = sizeof p;
  p.send = reinterpret_cast<void*>(send);
  p.recv = reinterpret_cast<void*>(recv);
  p.count_elems = count;
  p.dtype = RHZ_DTYPE_F32;
  p.stream = stream;
  return rhz_allreduce(rank.comm(), &p, op);
}

// Rank 1 stands still behind its kernel, and gives no vote; the op is over for the others all the
// same, and so is the next thing on their streams.
std::string without_vote(Rank& rank, Memory a, Memory b) {
  constexpr uint64_t kCount = 4096;
  constexpr uint64_t kMostNs = 200'000'000;
  int32_t pid = static_cast<int32_t>(getpid());
  std::vector<int32_t> pids(rank.ranks());
  rhz_collective_params g{};
  g.struct_size = sizeof g;
  g.send = &pid;
  g.recv = pids.data();
  g.count_elems = 1;
  g.dtype = RHZ_DTYPE_I32;
  g.world_size = rank.ranks();
  rhz_op* op = nullptr;
  const rhz_status gathered = rhz_allgather(rank.comm(), &g, &op);
  if (const std::string wrong = outcome(gathered, op); !wrong.empty()) return wrong;
  fill(a, 0, kCount * 4, rank.stream());
  fill(b, kPoison, kCount * 4, rank.stream());
  (void)synchronize(rank.stream());
  const uint64_t begun = now_ns();
  const rhz_status submitted = submit(rank, a, b, kCount, rank.stream(), &op);
  if (rank.slot() == 1) kill(pid, SIGSTOP);
  const bool passed = synchronize(rank.stream()) == 0;
  const std::string wrong = outcome(submitted, op);
  const bool in_time = now_ns() - begun < kMostNs;
  if (rank.slot() == 0) {
    const uint64_t until = now_ns() + 20'000'000;
    while (now_ns() < until) {
    }
    kill(pids[1], SIGCONT);
  }
  if (!wrong.empty()) return wrong;
  return passed && (rank.slot() == 1 || in_time) ? "" : "it waited";
}

// More than there are slots to push to, by turns on two streams, with larger ones between.
std::string two_streams(Rank& rank, Memory a, Memory b) {
  constexpr uint64_t kSmall = 1000, kLarge = 300000, kStep = 4096;
  constexpr int kOps = 60;
  const Stream streams[] = {rank.stream(), make_stream()};
  std::vector<float> values(kStep), got(kStep);
  std::vector<rhz_op*> ops(kOps, nullptr);
  for (uint64_t i = 0; i < kStep; ++i) values[i] = static_cast<float>(value(rank.slot(), i, 1));
  fill(a, 0, kBytes, rank.stream());
  for (int i = 0; i < kOps; ++i)
    to_device(a + static_cast<size_t>(i) * kStep * 4, values.data(), kStep * 4, rank.stream());
  fill(b, kPoison, kBytes, rank.stream());
  (void)synchronize(rank.stream());
  std::string wrong;
  for (int i = 0; i < kOps; ++i) {
    const size_t at = static_cast<size_t>(i) * kStep * 4;
    const bool large = i % 7 == 6;
    const rhz_status submitted =
        submit(rank, a + (large ? 0 : at), b + (large ? kBytes / 2 : at), large ? kLarge : kSmall,
               streams[i % 2], &ops[static_cast<size_t>(i)]);
    if (submitted != RHZ_OK) wrong = rhz_last_error();
  }
  for (rhz_op* op : ops) {
    const std::string of_op = outcome(RHZ_OK, op);
    if (wrong.empty()) wrong = of_op;
  }
  for (int i = 0; i < kOps && wrong.empty(); ++i) {
    if (i % 7 == 6) continue;
    to_host(got.data(), b + static_cast<size_t>(i) * kStep * 4, kSmall * 4, rank.stream());
    (void)synchronize(rank.stream());
    for (uint64_t k = 0; k < kSmall; ++k) {
      int sum = 0;
      for (uint32_t r = 0; r < rank.ranks(); ++r) sum += value(r, k, 1);
      if (got[k] != static_cast<float>(sum))
        wrong = "op " + std::to_string(i) + " is wrong at element " + std::to_string(k);
    }
  }
  return wrong;
}

}  // namespace

void check_windows(Rank& rank) {
  const Memory a = allocate(kBytes), b = allocate(kBytes);
  std::string registered;
  for (Memory memory : {a, b}) {
    const rhz_status status =
        rhz_cuda_register(rank.comm(), reinterpret_cast<void*>(memory), kBytes, 0);
    const rhz_status expected = rank.has_own_device() ? RHZ_OK : RHZ_ERR_STATE;
    if (status != expected) registered = rhz_last_error();
  }
  const std::string how = rank.has_own_device() ? "kernels " : "two ranks on a device ";
  rank.check(how + "rhz_cuda_register", registered);
  uint32_t salt = 0;
  for (const Type& type : {kTypes[8], kTypes[9], kTypes[10], kTypes[11]})
    for (bool in_place : {false, true}) {
      std::string wrong;
      for (uint64_t count : {1u, 1003u, 8192u, 8193u, 32769u, 100001u, 262145u, 1500007u})
        for (uint32_t redop : {RHZ_REDOP_SUM, RHZ_REDOP_AVG})
          for (bool on_stream : {false, true}) {
            const std::string w =
                run(rank, a, b, {type, count, redop, in_place, on_stream, (salt % 3) * 4096, salt});
            ++salt;
            if (!w.empty() && wrong.empty()) wrong = w + " (count " + std::to_string(count) + ")";
          }
      rank.check(how + type.name + (in_place ? " in place" : ""), wrong);
    }
  // Other offsets on one rank: agreed upon by the vote, and reduced through the host.
  const Case odd{
      kF32, 50000, RHZ_REDOP_SUM, false, true, rank.slot() == 0 ? size_t{4096} : size_t{0}, salt};
  rank.check(how + "with another offset on one rank", run(rank, a, b, odd));
  // Likewise memory of another registration, at the same offset.
  const Case elsewhere{kF32, 50000, RHZ_REDOP_SUM, false, true, 4096, salt + 3};
  rank.check(how + "with the result in another window on one rank",
             run(rank, a, rank.slot() == 0 ? a : b, elsewhere));
  const Case after{kF32, 50000, RHZ_REDOP_SUM, false, true, 0, salt + 1};
  rank.check(how + "and the op behind that", run(rank, a, b, after));
  if (!rank.has_own_device()) return;
  rank.check(how + "the op is over without the vote of a rank that stands still",
             without_vote(rank, a, b));
  rank.check(how + "small and large ones by turns on two streams", two_streams(rank, a, b));
  rank.check(how + "a cancelled op opens the stream", cancelled_in(rank, a));
  rank.check(how + "and the op behind the cancelled one",
             run(rank, a, b, {kF32, 5000, RHZ_REDOP_SUM, false, true, 0, salt + 2}));
}

}  // namespace rhz::gpu
