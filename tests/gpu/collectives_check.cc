// Every collective on memory of the device: all types, a small and a large size, in place and not,
// host memory on one side.
#include <algorithm>
#include <functional>

#include "tests/gpu/rank.h"
#include "tests/gpu/values.h"

namespace rhz::gpu {
namespace {

constexpr unsigned char kPoison = 0xA5;

enum class Kind {
  kAllReduce,
  kBroadcast,
  kReduce,
  kAllGather,
  kReduceScatter,
  kGather,
  kScatter,
  kAllToAll
};
struct Collective {
  Kind kind;
  const char* name;
  rhz_status (*submit)(rhz_comm*, const rhz_collective_params*, rhz_op**);
};
const Collective kCollectives[] = {{Kind::kAllReduce, "allreduce", nullptr},
                                   {Kind::kBroadcast, "broadcast", rhz_broadcast},
                                   {Kind::kReduce, "reduce", rhz_reduce},
                                   {Kind::kAllGather, "allgather", rhz_allgather},
                                   {Kind::kReduceScatter, "reduce_scatter", rhz_reduce_scatter},
                                   {Kind::kGather, "gather", rhz_gather},
                                   {Kind::kScatter, "scatter", rhz_scatter},
                                   {Kind::kAllToAll, "alltoall", rhz_alltoall}};

enum class Where { kDevice, kInPlace, kSendOnHost, kRecvOnHost };
const char* const kWhere[] = {"", " in place", " send on the host", " recv on the host"};

struct Case {
  const Collective& collective;
  const Type& type;
  uint64_t count;
  uint32_t redop;
  Where where;
  bool on_stream;
  uint32_t salt;
};

// Blocks that this rank gives and gets, and what the latter hold in the end.
struct Shape {
  uint64_t gives = 1, gets = 1;
  std::function<int(uint64_t block, uint64_t i)> expected;
};

// A rank gets a block of each.
bool gathers(Kind kind) { return kind == Kind::kAllGather || kind == Kind::kGather || kind == Kind::kAllToAll; }

int reduced(const Case& c, uint32_t ranks, uint64_t i) {
  int sum = 0, most = 0;
  for (uint32_t r = 0; r < ranks; ++r)
    sum += value(r, i, c.salt), most = std::max(most, value(r, i, c.salt));
  return c.redop == RHZ_REDOP_MAX ? most : sum;
}

Shape shape_of(const Rank& rank, const Case& c, uint32_t root) {
  const uint32_t n = rank.ranks(), self = rank.slot();
  const uint64_t count = c.count;
  const uint32_t salt = c.salt;
  switch (c.collective.kind) {
    case Kind::kAllReduce: return {1, 1, [=](uint64_t, uint64_t i) { return reduced(c, n, i); }};
    case Kind::kBroadcast:
      return {self == root, self != root,
              [=](uint64_t, uint64_t i) { return value(root, i, salt); }};
    case Kind::kReduce:
      return {1, self == root, [=](uint64_t, uint64_t i) { return reduced(c, n, i); }};
    case Kind::kAllGather:
      return {1, n,
              [=](uint64_t b, uint64_t i) { return value(static_cast<uint32_t>(b), i, salt); }};
    case Kind::kReduceScatter:
      return {n, 1, [=](uint64_t, uint64_t i) { return reduced(c, n, self * count + i); }};
    case Kind::kGather:
      return {1, self == root ? n : 0,
              [=](uint64_t b, uint64_t i) { return value(static_cast<uint32_t>(b), i, salt); }};
    case Kind::kScatter:
      return {self == root ? n : 0, 1,
              [=](uint64_t, uint64_t i) { return value(root, self * count + i, salt); }};
    case Kind::kAllToAll:
      return {n, n, [=](uint64_t b, uint64_t i) {
                return value(static_cast<uint32_t>(b), self * count + i, salt);
              }};
  }
  return {};
}

class Run {
 public:
  Run(Rank& rank, const Case& c)
      : rank_(rank), c_(c), root_(c.salt % rank.ranks()), shape_(shape_of(rank, c, root_)) {}

  std::string operator()() {
    block_ = c_.count * c_.type.bytes;
    place();
    rhz_op* op = nullptr;
    const rhz_status submitted = submit(&op);
    std::string wrong;
    std::vector<std::byte> got(shape_.gets * block_);
    if (c_.on_stream) {  // the order of the stream alone: no wait for the op before
      if (recv_ && !got.empty()) to_host(got.data(), recv_, got.size(), rank_.stream());
      wrong = outcome(submitted, op);
      if (synchronize(rank_.stream()) != 0) wrong = "the stream failed";
    } else {
      wrong = outcome(submitted, op);
      if (recv_ && !got.empty()) to_host(got.data(), recv_, got.size(), rank_.stream());
      if (synchronize(rank_.stream()) != 0) wrong = "the stream failed";
    }
    if (!recv_) got = host_recv_;
    if (wrong.empty()) wrong = compare(got);
    for (Memory memory : {send_, recv_ == in_place_ ? 0 : recv_})
      if (memory) free(memory);
    return wrong;
  }

 private:
  bool in_place() const { return c_.where == Where::kInPlace; }

  void place() {
    std::vector<std::byte> input(shape_.gives * block_);
    for (uint64_t i = 0; i < shape_.gives * c_.count; ++i)
      store(c_.type, input.data() + i * c_.type.bytes, value(rank_.slot(), i, c_.salt));
    const size_t gets = shape_.gets * block_;
    if (in_place()) {  // one buffer, which has room for both sides
      send_ = in_place_ = recv_ = allocate(std::max({input.size(), gets, size_t{1}}));
      const bool own_block = c_.collective.kind == Kind::kAllGather;
      fill(send_, kPoison, std::max({input.size(), gets, size_t{1}}), rank_.stream());
      if (!input.empty())
        to_device(send_ + (own_block ? rank_.slot() * block_ : 0), input.data(), input.size(),
                  rank_.stream());
      if (c_.collective.kind == Kind::kReduceScatter)
        recv_ += rank_.slot() * block_, in_place_ = recv_;
    } else {
      if (c_.where == Where::kSendOnHost)
        host_send_ = input;
      else if (!input.empty()) {
        send_ = allocate(input.size());
        to_device(send_, input.data(), input.size(), rank_.stream());
      }
      if (c_.where == Where::kRecvOnHost)
        host_recv_.resize(gets);
      else if (gets > 0) {
        recv_ = allocate(gets);
        fill(recv_, kPoison, gets, rank_.stream());
      }
    }
    if (!c_.on_stream || !host_send_.empty()) (void)synchronize(rank_.stream());
    kept_ = std::move(input);
    if (c_.on_stream) (void)synchronize(rank_.stream());  // what it was copied from is pageable
  }

  rhz_status submit(rhz_op** op) {
    const void* send = send_                ? reinterpret_cast<void*>(send_)
                       : host_send_.empty() ? nullptr
                                            : host_send_.data();
    void* recv = recv_                ? reinterpret_cast<void*>(recv_)
                 : host_recv_.empty() ? nullptr
                                      : host_recv_.data();
    void* stream = c_.on_stream ? rank_.stream() : nullptr;
    if (c_.collective.kind == Kind::kAllReduce) {
      rhz_allreduce_params p{};
      p.struct_size = sizeof p;
      p.send = in_place() ? nullptr : send;
      p.recv = recv;
      p.count_elems = c_.count;
      p.dtype = c_.type.dtype;
      p.redop = c_.redop;
      p.stream = stream;
      return rhz_allreduce(rank_.comm(), &p, op);
    }
    rhz_collective_params p{};
    p.struct_size = sizeof p;
    p.send = send;
    p.recv = recv;
    if (in_place())
      (c_.collective.kind == Kind::kReduceScatter ? p.recv : const_cast<void*&>(p.send)) = nullptr;
    p.count_elems = c_.count;
    p.dtype = c_.type.dtype;
    p.redop = c_.redop;
    p.root_slot = root_;
    p.world_size = rank_.ranks();
    p.stream = stream;
    return c_.collective.submit(rank_.comm(), &p, op);
  }

  std::string compare(const std::vector<std::byte>& got) const {
    std::byte one[8];
    for (uint64_t b = 0; b < shape_.gets; ++b)
      for (uint64_t i = 0; i < c_.count; ++i) {
        store(c_.type, one, shape_.expected(b, i));
        if (std::memcmp(one, got.data() + (b * c_.count + i) * c_.type.bytes, c_.type.bytes) != 0)
          return "wrong at block " + std::to_string(b) + " element " + std::to_string(i);
      }
    return "";
  }

  Rank& rank_;
  const Case c_;
  const uint32_t root_;
  const Shape shape_;
  size_t block_ = 0;
  Memory send_ = 0, recv_ = 0, in_place_ = 0;
  std::vector<std::byte> host_send_, host_recv_, kept_;
};

bool can_be_in_place(Kind kind) {
  return kind == Kind::kAllReduce || kind == Kind::kBroadcast || kind == Kind::kReduce ||
         kind == Kind::kAllGather || kind == Kind::kReduceScatter;
}

}  // namespace

void check_collectives(Rank& rank) {
  uint32_t salt = 0;
  for (const Collective& collective : kCollectives) {
    for (const Type& type : kTypes) {
      std::string wrong;
      for (uint64_t count : {uint64_t{1000}, uint64_t{200003}})
        for (uint32_t redop : {RHZ_REDOP_SUM, RHZ_REDOP_MAX})
          for (bool on_stream : {false, true}) {
            const std::string w =
                Run(rank, {collective, type, count, redop, Where::kDevice, on_stream, salt++})();
            if (!w.empty() && wrong.empty())
              wrong = w + " (count " + std::to_string(count) + (on_stream ? ", stream)" : ")");
          }
      rank.check(std::string(collective.name) + " " + type.name, wrong);
    }
    for (Where where : {Where::kInPlace, Where::kSendOnHost, Where::kRecvOnHost}) {
      if (where == Where::kInPlace && !can_be_in_place(collective.kind)) continue;
      std::string wrong;
      for (uint64_t count : {uint64_t{1000}, uint64_t{200003}})
        for (bool on_stream : {false, true}) {
          const std::string w =
              Run(rank, {collective, kF32, count, RHZ_REDOP_SUM, where, on_stream, salt++})();
          if (!w.empty() && wrong.empty())
            wrong = w + " (count " + std::to_string(count) + (on_stream ? ", stream)" : ")");
        }
      rank.check(std::string(collective.name) + kWhere[static_cast<int>(where)], wrong);
    }
    // An input of 20 MB is copied in pieces, and the op begins with the first; a result goes back so.
    const uint64_t count = gathers(collective.kind) ? 5000003 / rank.ranks() : 5000003;
    std::string wrong;
    for (Where where : {Where::kDevice, Where::kInPlace, Where::kRecvOnHost}) {
      if (where == Where::kInPlace && !can_be_in_place(collective.kind)) continue;
      for (bool on_stream : {false, true}) {
        const std::string w = Run(rank, {collective, kF32, count, RHZ_REDOP_SUM, where, on_stream, salt++})();
        if (!w.empty() && wrong.empty()) wrong = w + kWhere[static_cast<int>(where)] + (on_stream ? " (stream)" : "");
      }
    }
    rank.check(std::string(collective.name) + " in pieces", wrong);
  }
}

}  // namespace rhz::gpu
