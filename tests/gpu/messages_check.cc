// Messages of memory of a device, with and without a stream, and groups of ops of a device.
#include <algorithm>
#include <numeric>

#include "tests/gpu/rank.h"
#include "tests/gpu/values.h"

namespace rhz::gpu {
namespace {

constexpr uint64_t kLong = 5'000'003;

std::byte* bytes_of(Memory memory) { return reinterpret_cast<std::byte*>(memory); }

// Another for each sender, length and place.
std::vector<std::byte> text(uint32_t from, uint64_t bytes, uint32_t salt = 0) {
  std::vector<std::byte> all(bytes);
  for (uint64_t i = 0; i < bytes; ++i)
    all[i] = static_cast<std::byte>(i * 7 + (i >> 8) + from * 31 + bytes + salt * 5);
  return all;
}

std::string is_text(const std::vector<std::byte>& got, uint32_t from, uint64_t bytes,
                    uint32_t salt = 0) {
  const auto wanted = text(from, bytes, salt);
  const auto wrong = std::mismatch(wanted.begin(), wanted.end(), got.begin());
  if (wrong.first == wanted.end()) return "";
  return "byte " + std::to_string(wrong.first - wanted.begin()) + " of " + std::to_string(bytes) +
         " from rank " + std::to_string(from) + " is wrong";
}

// Of a channel with a neighbour.
class Post {
 public:
  explicit Post(Rank& rank) : rank_(rank) {}
  uint32_t next() const { return (rank_.slot() + 1) % rank_.ranks(); }
  uint32_t previous() const { return (rank_.slot() + rank_.ranks() - 1) % rank_.ranks(); }

  rhz_status send(const void* from, uint64_t bytes, Stream stream, rhz_op** op, uint64_t tag = 0) {
    rhz_message_params p = params(next(), bytes, stream, tag);
    p.send = from;
    return rhz_send(rank_.comm(), &p, op);
  }
  rhz_status receive(void* to, uint64_t bytes, Stream stream, rhz_op** op, uint64_t tag = 0) {
    rhz_message_params p = params(previous(), bytes, stream, tag);
    p.recv = to;
    return rhz_recv(rank_.comm(), &p, op);
  }

 private:
  static rhz_message_params params(uint32_t peer, uint64_t bytes, Stream stream, uint64_t tag) {
    rhz_message_params p{};
    p.struct_size = sizeof p;
    p.peer_slot = peer;
    p.bytes = bytes;
    p.stream = stream;
    p.tag = tag;
    p.timeout_ms = 20000;
    return p;
  }
  Rank& rank_;
};

std::string first_of(std::initializer_list<std::string> all) {
  for (const std::string& wrong : all)
    if (!wrong.empty()) return wrong;
  return "";
}

// Around the ring, from and to a device or the host.
std::string around(Rank& rank, uint64_t bytes, bool from_host, bool to_host_memory) {
  Post post(rank);
  const Memory out = allocate(bytes + 1), in = allocate(bytes + 1);
  auto own = text(rank.slot(), bytes);
  std::vector<std::byte> got(bytes + 1, std::byte{99});
  to_device(out, own.data(), bytes, rank.stream());
  to_device(in, got.data(), bytes + 1, rank.stream());
  (void)synchronize(rank.stream());
  rhz_op *sent = nullptr, *received = nullptr;
  const rhz_status receives = post.receive(to_host_memory ? got.data() : bytes_of(in), bytes + 1,
                                           nullptr, &received);
  const rhz_status sends = post.send(from_host ? own.data() : bytes_of(out), bytes, nullptr, &sent);
  const std::string of_send = outcome(sends, sent), of_receive = outcome(receives, received);
  if (!to_host_memory) to_host(got.data(), in, bytes + 1, rank.stream());
  (void)synchronize(rank.stream());
  free(out);
  free(in);
  const bool untouched = got.back() == std::byte{99};
  return first_of({of_send, of_receive, is_text(got, post.previous(), bytes),
                   untouched ? "" : "what is behind the message was written"});
}

// A receive and a send of one group on one stream, between what makes the message and what reads
// what came: no wait in between.
std::string grouped_on_a_stream(Rank& rank) {
  Post post(rank);
  const uint64_t bytes = kLong;
  const Memory out = allocate(bytes), in = allocate(bytes), kept = allocate(bytes);
  const auto own = text(rank.slot(), bytes);
  std::vector<std::byte> got(bytes);
  std::string wrong;
  for (int turn = 0; turn < 3 && wrong.empty(); ++turn) {
    fill(in, 0, bytes, rank.stream());
    to_device(out, own.data(), bytes, rank.stream());
    rhz_op *sent = nullptr, *received = nullptr;
    (void)rhz_group_begin();
    const rhz_status receives = post.receive(bytes_of(in), bytes, rank.stream(), &received);
    const rhz_status sends = post.send(bytes_of(out), bytes, rank.stream(), &sent);
    const std::string end = rhz_group_end() == RHZ_OK ? "" : rhz_last_error();
    fill(out, 0, bytes, rank.stream());  // the send has its copy
    copy(kept, in, bytes, rank.stream());
    to_host(got.data(), kept, bytes, rank.stream());
    if (synchronize(rank.stream()) != 0) wrong = "the stream failed";
    wrong = first_of({wrong, end, is_text(got, post.previous(), bytes), outcome(receives, received),
                      outcome(sends, sent)});
  }
  free(out);
  free(in);
  free(kept);
  return wrong;
}

// Receives that are submitted first end last.
std::string in_any_order(Rank& rank) {
  Post post(rank);
  constexpr uint32_t kTags = 8;
  const uint64_t bytes = 100'000;
  const Memory out = allocate(kTags * bytes), in = allocate(kTags * bytes);
  rhz_op *received[kTags] = {}, *sent[kTags] = {};
  rhz_status receives[kTags];
  std::string wrong;
  for (uint32_t t = 0; t < kTags; ++t) {
    const auto own = text(rank.slot(), bytes, t);
    to_device(out + t * bytes, own.data(), bytes, rank.stream());
    (void)synchronize(rank.stream());
    receives[t] = post.receive(bytes_of(in + t * bytes), bytes, nullptr, &received[t], t);
  }
  for (uint32_t i = 0; i < kTags && wrong.empty(); ++i) {
    const uint32_t t = kTags - 1 - i;
    const rhz_status sends = post.send(bytes_of(out + t * bytes), bytes, nullptr, &sent[t], t);
    std::vector<std::byte> got(bytes);
    wrong = first_of({outcome(receives[t], received[t]), outcome(sends, sent[t])});
    to_host(got.data(), in + t * bytes, bytes, rank.stream());
    (void)synchronize(rank.stream());
    if (wrong.empty()) wrong = is_text(got, post.previous(), bytes, t);
  }
  free(out);
  free(in);
  return wrong;
}

// A stream goes on behind a receive that ends with an error.
std::string errors(Rank& rank) {
  Post post(rank);
  const Memory out = allocate(64), in = allocate(64);
  rhz_op *none = nullptr, *sent = nullptr, *received = nullptr;
  const rhz_status waits = post.receive(bytes_of(in), 64, rank.stream(), &none, 77);
  std::string wrong;
  if (waits == RHZ_OK && rhz_op_cancel(none) != RHZ_OK) wrong = rhz_last_error();
  if (synchronize(rank.stream()) != 0) wrong = "the stream failed";
  const rhz_status short_of = post.receive(bytes_of(in), 8, rank.stream(), &received, 78);
  const rhz_status sends = post.send(bytes_of(out), 64, nullptr, &sent, 78);
  if (synchronize(rank.stream()) != 0) wrong = "the stream failed";
  wrong = first_of({wrong, outcome(waits, none, RHZ_ERR_CANCELLED),
                    outcome(short_of, received, RHZ_ERR_MISMATCH), outcome(sends, sent)});
  free(out);
  free(in);
  return wrong;
}

std::string too_many(Rank& rank) {
  Post post(rank);
  const Memory in = allocate(64);
  std::vector<rhz_op*> open;
  rhz_op* op = nullptr;
  rhz_status status = RHZ_OK;
  while (open.size() < 1000) {
    status = post.receive(bytes_of(in), 64, nullptr, &op, 1000 + open.size());
    if (status != RHZ_OK) break;
    open.push_back(op);
  }
  std::string wrong = status == RHZ_ERR_STATE ? "" : "no end of what is taken: " + std::to_string(open.size());
  for (rhz_op* o : open)
    if (rhz_op_cancel(o) != RHZ_OK) wrong = rhz_last_error();
  for (rhz_op* o : open)
    if (const std::string of = outcome(RHZ_OK, o, RHZ_ERR_CANCELLED); !of.empty()) wrong = of;
  free(in);
  return wrong;
}

// Small all-reduces of a device, one of the host, and a broadcast.
std::string group_of_collectives(Rank& rank) {
  constexpr size_t kOps = 4, kCount = 1000;
  const Memory memory = allocate(kOps * kCount * 4);
  std::vector<float> host(kCount, 1.0F), ours(kOps * kCount);
  for (size_t i = 0; i < ours.size(); ++i) ours[i] = static_cast<float>(value(rank.slot(), i, 1));
  to_device(memory, ours.data(), ours.size() * 4, rank.stream());
  rhz_op* ops[kOps + 1] = {};
  rhz_status submitted[kOps + 1];
  (void)rhz_group_begin();
  for (size_t i = 0; i < kOps; ++i) {
    void* const at = bytes_of(memory) + i * kCount * 4;
    if (i == 2) {
      rhz_collective_params p{};
      p.struct_size = sizeof p;
      p.count_elems = kCount;
      p.dtype = RHZ_DTYPE_F32;
      p.root_slot = 0;
      p.stream = rank.stream();
      if (rank.slot() == 0)
        p.send = at;
      else
        p.recv = at;
      submitted[i] = rhz_broadcast(rank.comm(), &p, &ops[i]);
      continue;
    }
    rhz_allreduce_params p{};
    p.struct_size = sizeof p;
    p.recv = at;
    p.count_elems = kCount;
    p.dtype = RHZ_DTYPE_F32;
    p.stream = rank.stream();
    submitted[i] = rhz_allreduce(rank.comm(), &p, &ops[i]);
  }
  rhz_allreduce_params p{};
  p.struct_size = sizeof p;
  p.recv = host.data();
  p.count_elems = kCount;
  p.dtype = RHZ_DTYPE_F32;
  submitted[kOps] = rhz_allreduce(rank.comm(), &p, &ops[kOps]);
  std::string wrong = rhz_group_end() == RHZ_OK ? "" : rhz_last_error();
  std::vector<float> got(ours.size());
  to_host(got.data(), memory, got.size() * 4, rank.stream());
  if (synchronize(rank.stream()) != 0) wrong = "the stream failed";
  for (size_t i = 0; i <= kOps; ++i)
    if (const std::string of = outcome(submitted[i], ops[i]); !of.empty()) wrong = of;
  for (size_t i = 0; i < got.size() && wrong.empty(); ++i) {
    int wanted = 0;
    for (uint32_t r = 0; r < rank.ranks(); ++r) wanted += value(r, i, 1);
    if (i / kCount == 2) wanted = value(0, i, 1);
    if (got[i] != static_cast<float>(wanted)) wrong = "element " + std::to_string(i) + " is wrong";
  }
  for (float f : host)
    if (f != static_cast<float>(rank.ranks())) wrong = "the one of the host is wrong";
  free(memory);
  return wrong;
}

}  // namespace

void check_messages(Rank& rank) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{8}, uint64_t{16384}, kLong})
    for (const bool from_host : {false, true})
      for (const bool to_host_memory : {false, true})
        rank.check("message: " + std::to_string(bytes) + " bytes" +
                       (from_host ? " from the host" : "") + (to_host_memory ? " to the host" : ""),
                   around(rank, bytes, from_host, to_host_memory));
  rank.check("message: a receive and a send of a group on one stream", grouped_on_a_stream(rank));
  rank.check("message: receives of no stream end in any order", in_any_order(rank));
  rank.check("message: a stream goes on behind errors", errors(rank));
  rank.check("message: too many at once are refused", too_many(rank));
  rank.check("group: collectives of a device and of the host", group_of_collectives(rank));
}

}  // namespace rhz::gpu
