// The v-variants on memory of the device: blocks of different sizes, with gaps that nothing may
// touch.
#include <functional>

#include "tests/gpu/rank.h"
#include "tests/gpu/values.h"

namespace rhz::gpu {
namespace {

constexpr unsigned char kPoison = 0xA5;
constexpr uint64_t kGap = 5;

using Submit = rhz_status (*)(rhz_comm*, const rhz_vcollective_params*, rhz_op**);

struct Blocks {  // of one buffer, in elements
  std::vector<uint64_t> counts, starts;
  explicit Blocks(std::vector<uint64_t> c) : counts(std::move(c)) {
    for (uint64_t at = 0; uint64_t count : counts) {
      starts.push_back(at);
      at += count + kGap;
    }
  }
  uint64_t extent() const { return counts.empty() ? 0 : starts.back() + counts.back() + kGap; }
};

uint64_t count_of(uint64_t a, uint64_t b) {
  return (a * 7 + b * 3) % 4 == 1 ? 0 : 900 + 130 * a + 70 * b;
}

struct Buffer {
  Memory memory = 0;
  std::vector<std::byte> bytes;
  Buffer(const Blocks& blocks, Stream stream,
         const std::function<int(uint64_t block, uint64_t i)>& value_at)
      : bytes(blocks.extent() * kF32.bytes, std::byte{kPoison}) {
    for (size_t b = 0; b < blocks.counts.size(); ++b)
      for (uint64_t i = 0; value_at && i < blocks.counts[b]; ++i)
        store(kF32, bytes.data() + (blocks.starts[b] + i) * kF32.bytes, value_at(b, i));
    if (bytes.empty()) return;
    memory = allocate(bytes.size());
    to_device(memory, bytes.data(), bytes.size(), stream);
    (void)synchronize(stream);
  }
  ~Buffer() {
    if (memory) free(memory);
  }
  void* pointer() const { return reinterpret_cast<void*>(memory); }
};

struct VCase {
  const char* name;
  Submit submit;
  Blocks sends, gets;                              // of this rank
  std::vector<uint64_t> send_counts, recv_counts;  // as given; empty: none
  std::function<int(uint64_t block, uint64_t i)> given, expected;
};

std::string run(Rank& rank, const VCase& c) {
  const Buffer send(c.sends, rank.stream(), c.given), recv(c.gets, rank.stream(), nullptr);
  const Buffer expected(c.gets, rank.stream(), c.expected);
  rhz_vcollective_params p{};
  p.struct_size = sizeof p;
  p.send = send.pointer();
  p.recv = recv.pointer();
  p.dtype = RHZ_DTYPE_F32;
  p.world_size = rank.ranks();
  p.stream = rank.stream();
  if (!c.send_counts.empty()) p.send_counts = c.send_counts.data();
  if (!c.recv_counts.empty()) p.recv_counts = c.recv_counts.data();
  if (c.sends.counts.size() == rank.ranks()) p.send_displs = c.sends.starts.data();
  if (c.gets.counts.size() == rank.ranks()) p.recv_displs = c.gets.starts.data();
  rhz_op* op = nullptr;
  const rhz_status submitted = c.submit(rank.comm(), &p, &op);
  std::vector<std::byte> got(recv.bytes.size());
  if (!got.empty()) to_host(got.data(), recv.memory, got.size(), rank.stream());
  std::string wrong = outcome(submitted, op);
  if (synchronize(rank.stream()) != 0) return "the stream failed";
  if (wrong.empty() && got != expected.bytes) wrong = "wrong bytes, in a block or between two";
  return wrong;
}

}  // namespace

void check_blocks(Rank& rank) {
  const uint32_t n = rank.ranks(), self = rank.slot();
  std::vector<uint64_t> by_rank, row, column;
  for (uint32_t r = 0; r < n; ++r) {
    by_rank.push_back(count_of(r, 2));
    row.push_back(count_of(self, r));
    column.push_back(count_of(r, self));
  }
  const bool root = self == 0;  // slot 0
  const Blocks own({by_rank[self]}), all(by_rank), none({});
  const auto of_source = [](uint64_t b, uint64_t i) {
    return value(static_cast<uint32_t>(b), i, 1);
  };
  const auto of_self = [=](uint64_t, uint64_t i) { return value(self, i, 1); };
  const auto for_block = [=](uint64_t b, uint64_t i) {
    return value(self, i, static_cast<uint32_t>(b));
  };
  const auto sum = [=](uint64_t, uint64_t i) {
    int total = 0;
    for (uint32_t r = 0; r < n; ++r) total += value(r, i, self);
    return total;
  };
  const VCase cases[] = {
      {"allgatherv", rhz_allgatherv, own, all, {}, by_rank, of_self, of_source},
      {"gatherv", rhz_gatherv, own, root ? all : none, {}, by_rank, of_self, of_source},
      {"scatterv",
       rhz_scatterv,
       root ? all : none,
       own,
       by_rank,
       {},
       for_block,
       [=](uint64_t, uint64_t i) { return value(0, i, self); }},
      {"reduce_scatterv", rhz_reduce_scatterv, all, own, by_rank, {}, for_block, sum},
      {"alltoallv", rhz_alltoallv, Blocks(row), Blocks(column), row, column, for_block,
       [=](uint64_t b, uint64_t i) { return value(static_cast<uint32_t>(b), i, self); }},
  };
  for (const VCase& c : cases) rank.check(c.name, run(rank, c));
}

}  // namespace rhz::gpu
