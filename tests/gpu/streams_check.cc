// The order of a stream: what is before an op on it, what is behind it, and ops on several streams.
#include <poll.h>

#include <atomic>
#include <thread>

#include "tests/gpu/rank.h"
#include "tests/gpu/values.h"

namespace rhz::gpu {
namespace {

constexpr uint64_t kCount = 100000;
constexpr size_t kBytes = kCount * 4;

std::vector<float> filled(float value) { return std::vector<float>(kCount, value); }

rhz_status submit(Rank& rank, Memory memory, Stream stream, rhz_op** op) {
  rhz_allreduce_params p{};
  p.struct_size = sizeof p;
  p.recv = reinterpret_cast<void*>(memory);
  p.count_elems = kCount;
  p.dtype = RHZ_DTYPE_F32;
  p.stream = stream;
  return rhz_allreduce(rank.comm(), &p, op);
}

std::string all_are(const std::vector<float>& got, double expected) {
  for (uint64_t i = 0; i < got.size(); ++i)
    if (got[i] != static_cast<float>(expected))
      return "element " + std::to_string(i) + " is " + std::to_string(got[i]) + ", not " +
             std::to_string(expected);
  return "";
}

// Holds a stream up until it is opened.
class Latch {
 public:
  explicit Latch(Stream stream) { run_on_host(stream, wait, this); }
  ~Latch() { open(); }
  void open() { open_.store(true, std::memory_order_release); }

 private:
  static void wait(void* self) {
    while (!static_cast<Latch*>(self)->open_.load(std::memory_order_acquire))
      std::this_thread::yield();
  }
  std::atomic<bool> open_{false};
};

// Queued without a single wait: late input → all-reduce → a copy of its result → all-reduce of that
// → back to the host.
std::string chain(Rank& rank) {
  const Memory a = allocate(kBytes), b = allocate(kBytes);
  const std::vector<float> input = filled(static_cast<float>(rank.slot() + 1)),
                           wrong_input = filled(1000);
  std::vector<float> got(kCount);
  to_device(a, wrong_input.data(), kBytes, rank.stream());
  (void)synchronize(rank.stream());
  rhz_op *first = nullptr, *second = nullptr;
  Latch latch(rank.stream());
  to_device(a, input.data(), kBytes, rank.stream());
  const rhz_status one = submit(rank, a, rank.stream(), &first);
  copy(b, a, kBytes, rank.stream());
  const rhz_status two = submit(rank, b, rank.stream(), &second);
  std::string wrong;
  if (rhz_op_poll(first) != RHZ_PENDING || rhz_op_poll(second) != RHZ_PENDING)
    wrong = "an op did not wait for its stream";
  latch.open();
  to_host(got.data(), b, kBytes, rank.stream());  // of pageable memory: comes back when it is done
  if (synchronize(rank.stream()) != 0) return "the stream failed";
  if (wrong.empty()) wrong = outcome(one, first);
  if (wrong.empty()) wrong = outcome(two, second);
  const double n = rank.ranks(), sum = n * (n + 1) / 2;
  free(a), free(b);
  return wrong.empty() ? all_are(got, sum * n) : wrong;
}

// The first op waits for its stream; the one behind it, of the host, has to wait as well.
std::string order(Rank& rank) {
  const Memory a = allocate(kBytes);
  fill(a, 0, kBytes, rank.stream());
  Latch latch(rank.stream());
  rhz_op *device = nullptr, *host = nullptr;
  const rhz_status one = submit(rank, a, rank.stream(), &device);
  std::vector<float> mine = filled(2);
  rhz_allreduce_params p{};
  p.struct_size = sizeof p;
  p.recv = mine.data();
  p.count_elems = kCount;
  p.dtype = RHZ_DTYPE_F32;
  const rhz_status two = rhz_allreduce(rank.comm(), &p, &host);
  std::string wrong;
  if (two == RHZ_OK && rhz_op_wait(host, 20, RHZ_WAIT_DEFAULT) != RHZ_PENDING)
    wrong = "the second op overtook the first";
  latch.open();
  const std::string of_second = outcome(two, host);
  if (wrong.empty()) wrong = of_second;
  const std::string of_first = outcome(one, device);
  free(a);
  if (wrong.empty()) wrong = of_first;
  return wrong.empty() ? all_are(mine, 2.0 * rank.ranks()) : wrong;
}

std::string two_streams(Rank& rank) {
  const Stream other = make_stream();
  const Memory a = allocate(kBytes), b = allocate(kBytes);
  std::vector<float> one = filled(1), two = filled(2), got_a(kCount), got_b(kCount);
  to_device(a, one.data(), kBytes, rank.stream());
  to_device(b, two.data(), kBytes, other);
  std::string wrong;
  for (int i = 0; i < 4; ++i) {
    rhz_op *x = nullptr, *y = nullptr;
    const rhz_status sx = submit(rank, a, rank.stream(), &x), sy = submit(rank, b, other, &y);
    if (wrong.empty()) wrong = outcome(sx, x);
    if (wrong.empty()) wrong = outcome(sy, y);
  }
  to_host(got_a.data(), a, kBytes, rank.stream());
  to_host(got_b.data(), b, kBytes, other);
  (void)synchronize(rank.stream());
  (void)synchronize(other);
  free(a), free(b);
  const double n4 = static_cast<double>(rank.ranks()) * rank.ranks() * rank.ranks() * rank.ranks();
  if (wrong.empty()) wrong = all_are(got_a, n4);
  return wrong.empty() ? all_are(got_b, 2 * n4) : wrong;
}

std::string default_stream(Rank& rank) {
  const Memory a = allocate(kBytes);
  const std::vector<float> input = filled(3);
  std::vector<float> got(kCount);
  to_device(a, input.data(), kBytes, nullptr);
  rhz_op* op = nullptr;
  const rhz_status status = submit(rank, a, RHZ_STREAM_LEGACY, &op);
  to_host(got.data(), a, kBytes, nullptr);
  (void)synchronize(nullptr);
  const std::string wrong = outcome(status, op);
  free(a);
  return wrong.empty() ? all_are(got, 3.0 * rank.ranks()) : wrong;
}

// By the event fd, with no thread in rhz_op_wait: the progress thread looks at the device.
std::string by_event(Rank& rank) {
  const Memory a = allocate(kBytes);
  fill(a, 0, kBytes, rank.stream());
  Latch latch(rank.stream());
  rhz_op* op = nullptr;
  if (submit(rank, a, rank.stream(), &op) != RHZ_OK) return rhz_last_error();
  pollfd ready{-1, POLLIN, 0};
  std::string wrong;
  const rhz_status has_fd = rhz_op_event_fd(op, &ready.fd);
  latch.open();
  if (has_fd != RHZ_OK || ::poll(&ready, 1, 20000) != 1) wrong = "the event fd says nothing";
  const std::string of_op = outcome(RHZ_OK, op);
  free(a);
  return wrong.empty() ? of_op : wrong;
}

}  // namespace

// Ranks 1 and up cancel an op whose stream has not come to it; rank 0 comes to it after they were
// told that it is over.
std::string cancelled_in(Rank& rank, Memory a) {
  fill(a, 0, kBytes, rank.stream());
  Latch latch(rank.stream());
  rhz_op *op = nullptr, *note = nullptr;
  const rhz_status submitted = submit(rank, a, rank.stream(), &op);
  char word = 0;
  rhz_message_params m{};
  m.struct_size = sizeof m;
  m.send = m.recv = &word;
  m.bytes = 1;
  m.tag = 7;
  std::string wrong;
  if (rank.slot() == 0) {
    for (uint32_t r = 1; r < rank.ranks() && wrong.empty(); ++r) {
      m.peer_slot = r;
      const rhz_status asked = rhz_recv(rank.comm(), &m, &note);
      wrong = outcome(asked, note);
    }
    latch.open();
  } else {
    if (submitted == RHZ_OK && rhz_op_cancel(op) != RHZ_OK) wrong = rhz_last_error();
    latch.open();
  }
  const std::string of_op = outcome(submitted, op, rank.ranks() > 1 ? RHZ_ERR_CANCELLED : RHZ_OK);
  if (wrong.empty()) wrong = of_op;
  if (rank.slot() != 0) {
    m.peer_slot = 0;
    const rhz_status told = rhz_send(rank.comm(), &m, &note);
    const std::string of_note = outcome(told, note);
    if (wrong.empty()) wrong = of_note;
  }
  if (synchronize(rank.stream()) != 0) return "the stream failed";  // the gate is open
  return wrong;
}

void check_streams(Rank& rank) {
  rank.check("stream: input, two all-reduces and what follows, with no wait between", chain(rank));
  rank.check("stream: a later op of the host does not overtake", order(rank));
  rank.check("stream: ops on two streams", two_streams(rank));
  rank.check("stream: the default one by name", default_stream(rank));
  rank.check("stream: the event fd", by_event(rank));
  const Memory a = allocate(kBytes);
  rank.check("stream: a cancelled op opens it", cancelled_in(rank, a));
  free(a);
}

}  // namespace rhz::gpu
