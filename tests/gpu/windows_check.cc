// All-reduces by kernels over registered memory: all types that have one, both ways, in place, with
// a rest that fills no pack.
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
      for (uint64_t count : {uint64_t{1}, uint64_t{1003}, uint64_t{100001}, uint64_t{1500007}})
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
  const Case after{kF32, 50000, RHZ_REDOP_SUM, false, true, 0, salt + 1};
  rank.check(how + "and the op behind that", run(rank, a, b, after));
}

}  // namespace rhz::gpu
