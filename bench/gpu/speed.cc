// All-reduce of float32 sums: the kernels over mapped memory, NCCL, and the C API on the same
// buffers, by turns in one run.
#include <rhizome/rhizome.h>
#include <rhizome/rhizome_cuda.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "bench/gpu/bench.h"
#include "bench/gpu/peer_group.h"

namespace rhz::gpu {
namespace {

constexpr int kRounds = 7;
constexpr uint64_t kMostHostBytes = 256u << 20;

struct Contender {
  std::string name;
  std::function<void()> submit;
};

class Speed {
 public:
  Speed(Meeting& meeting, const Options& options, uint32_t rank)
      : meeting_(meeting),
        options_(options),
        rank_(rank),
        group_(meeting, rank, options.ranks, options.most_bytes),
        stream_(make_stream()),
        begin_(make_event()),
        end_(make_event()),
        got_(options.most_bytes / 4) {
    for (uint64_t i = 0; i < got_.size(); ++i) got_[i] = random_value(rank, i);
    to_device(group_.in(), got_.data(), options.most_bytes, stream_);
    (void)synchronize(stream_);
    has_nccl_ = nccl_.load(options.nccl);
    if (has_nccl_) {
      if (rank == 0) meeting.nccl = nccl_.make_id();
      meeting.barrier();
      nccl_.begin(meeting.nccl, static_cast<int>(options.ranks), static_cast<int>(rank));
    }
    if (options.api) join();
    if (comm_) register_windows();
  }
  ~Speed() {
    meeting_.barrier();
    if (has_nccl_) nccl_.end();
    if (!comm_) return;
    if (rhz_comm_leave(comm_, 10000) != RHZ_OK)
      std::fprintf(stderr, "leave: %s\n", rhz_last_error());
    rhz_comm_close(comm_);
    meeting_.barrier();
    rhz_coordinator_stop(coordinator_);
  }

  void print_head() {
    if (rank_ != 0) return;
    std::printf(
        "%s, %u ranks, one process a device; NCCL %d; busbw GB/s (us per op), float32 sum, medians "
        "of %d rounds\n",
        device_name(0).c_str(), options_.ranks, has_nccl_ ? nccl_.version() : 0, kRounds);
    std::printf("%10s %22s %22s %22s %8s %22s\n", "bytes", "bare kernel", "NCCL",
                "C API, registered", "of NCCL", "C API, by the host");
  }

  void size(uint64_t bytes) {
    std::vector<Contender> all = {kernel_of(bytes)};
    if (has_nccl_)
      all.push_back({"nccl", [this, bytes] {
                       nccl_.allreduce_f32(at(group_.in()), at(group_.out()), bytes / 4, stream_);
                     }});
    for (Contender& c : all) check(c, bytes);
    if (comm_) all.push_back({"api", [this, bytes] { by_api(group_.in(), group_.out(), bytes); }});
    if (comm_) check(all.back(), bytes);
    const std::vector<double> us =
        timed(all, std::clamp<int>(static_cast<int>((4096ull << 20) / bytes), 4, 200));
    double host = 0;
    if (comm_ && bytes <= kMostHostBytes)
      host = timed({{"host", [this, bytes] { by_api(host_in_, host_out_, bytes); }}},
                   bytes <= (1u << 20) ? 20 : 2)[0];
    if (rank_ != 0) return;
    std::printf("%10lu", static_cast<unsigned long>(bytes));
    for (double one : us) std::printf(" %11.1f (%8.1f)", busbw(bytes, one), one);
    if (us.size() == 3) std::printf(" %8.2f", us[1] / us[2]);
    if (host > 0) std::printf(" %11.1f (%8.1f)", busbw(bytes, host), host);
    std::printf("\n");
    std::fflush(stdout);
  }

  void sweep(uint64_t bytes) {
    if (rank_ == 0) std::printf("%10lu", static_cast<unsigned long>(bytes));
    const auto measure = [&](const char* name, PeerLaunch how) {
      const std::vector<Contender> one = {
          {"", [=, this] { group_.allreduce_f32(bytes / 4, how, stream_); }}};
      const int repeats = std::clamp<int>(static_cast<int>((64ull << 20) / bytes), 4, 100);
      const double us = timed(one, repeats)[0];
      if (rank_ == 0) std::printf("  %u%s %.1f", how.blocks, name, us);
    };
    if (peer::fits_slot(bytes, options_.ranks))
      measure("p", {PeerWay::kPush, peer::push_blocks(bytes)});
    for (const unsigned blocks : {1u, 2u, 4u, 8u, 16u, 32u, 48u, 64u, 96u, 128u}) {
      if (bytes > (1u << 20) && blocks < 16) continue;
      measure("x1", {PeerWay::kOneShot, blocks});
      measure("x2", {PeerWay::kTwoShot, blocks});
    }
    if (rank_ == 0) std::printf("\n"), std::fflush(stdout);
  }

  // From the call to the end of the op, as the host sees it: when the stream is through or, of the
  // C API, when rhz_op_wait says so.
  void latency(uint64_t bytes) {
    std::vector<Contender> all = {kernel_of(bytes)};
    if (has_nccl_)
      all.push_back({"nccl", [this, bytes] {
                       nccl_.allreduce_f32(at(group_.in()), at(group_.out()), bytes / 4, stream_);
                     }});
    if (comm_)
      all.push_back(
          {"api-registered", [this, bytes] { by_api(group_.in(), group_.out(), bytes); }});
    if (comm_)
      all.push_back({"api-by-host", [this, bytes] { by_api(host_in_, host_out_, bytes); }});
    std::vector<std::vector<double>> us(all.size()), calls(all.size());
    for (int i = 0; i < 300; ++i)
      for (size_t c = 0; c < all.size(); ++c) {
        meeting_.barrier();
        const double since = now_us();
        all[c].submit();
        if (i >= 20) calls[c].push_back(now_us() - since);
        if (pending_.empty()) (void)synchronize(stream_);
        finish();
        if (i >= 20) us[c].push_back(now_us() - since);
      }
    if (rank_ == 0)
      std::printf("%10lu host call to completion (the call alone), us:",
                  static_cast<unsigned long>(bytes));
    for (size_t c = 0; c < all.size(); ++c) {
      const double slowest = meeting_.slowest(rank_, median(us[c]));
      if (rank_ == 0)
        std::printf("  %s %.1f (%.1f)", all[c].name.c_str(), slowest, median(calls[c]));
    }
    if (rank_ == 0) std::printf("\n"), std::fflush(stdout);
  }

 private:
  static void* at(Memory memory) { return reinterpret_cast<void*>(memory); }
  double busbw(uint64_t bytes, double us) const {
    return 2.0 * (options_.ranks - 1) / options_.ranks * static_cast<double>(bytes) / us / 1e3;
  }
  Contender kernel_of(uint64_t bytes) {
    const PeerLaunch how = peer_launch(bytes, options_.ranks, options_.ranks, false);
    return {"kernel", [=, this] { group_.allreduce_f32(bytes / 4, how, stream_); }};
  }

  // By turns: of each contender so many in a row between two events, then the next one.
  std::vector<double> timed(const std::vector<Contender>& all, int repeats) {
    std::vector<std::vector<double>> us(all.size());
    for (int round = 0; round <= kRounds; ++round)
      for (size_t c = 0; c < all.size(); ++c) {
        meeting_.barrier();
        record(begin_, stream_);
        for (int i = 0; i < repeats; ++i) all[c].submit();
        record(end_, stream_);
        (void)synchronize(stream_);
        finish();
        const double slowest = meeting_.slowest(rank_, ms_between(begin_, end_) * 1e3 / repeats);
        if (round > 0) us[c].push_back(slowest);
      }
    std::vector<double> medians;
    for (const auto& values : us) medians.push_back(median(values));
    return medians;
  }

  void check(const Contender& c, uint64_t bytes) {
    fill(group_.out(), 0xA5, bytes, stream_);
    (void)synchronize(stream_);
    meeting_.barrier();
    c.submit();
    to_host(got_.data(), group_.out(), bytes, stream_);
    (void)synchronize(stream_);
    finish();
    const uint64_t count = bytes / 4, step = count > (4u << 20) ? 61 : 1;
    for (uint64_t i = 0; i < count; i += step) {
      const float expected = sum_at(options_.ranks, i);
      if (std::abs(got_[i] - expected) <= 1e-6f * static_cast<float>(options_.ranks)) continue;
      std::printf("FAIL %s of %lu bytes: element %lu is %g, not %g; kernel status %d\n",
                  c.name.c_str(), static_cast<unsigned long>(bytes), static_cast<unsigned long>(i),
                  static_cast<double>(got_[i]), static_cast<double>(expected), group_.status());
      meeting_.failures.fetch_add(1);
      break;
    }
    meeting_.barrier();
  }

  void join() {
    rhz_comm_params params{};
    params.struct_size = sizeof params;
    params.run_id = "gpu-bench";
    if (rank_ == 0) {
      rhz_coordinator_params c{};
      c.struct_size = sizeof c;
      c.run_id = params.run_id;
      c.world = options_.ranks;
      if (rhz_coordinator_start(&c, &coordinator_) != RHZ_OK) std::abort();
      std::strncpy(meeting_.address, rhz_coordinator_address(coordinator_),
                   sizeof meeting_.address - 1);
    }
    meeting_.barrier();
    params.coordinator = meeting_.address;
    params.slot_plus_one = rank_ + 1;
    if (rhz_comm_create(&params, &comm_) == RHZ_OK && rhz_comm_join(comm_, 30000) == RHZ_OK) return;
    std::fprintf(stderr, "join: %s\n", rhz_last_error());
    std::_Exit(3);
  }

  void register_windows() {
    for (Memory memory : {group_.in(), group_.out()})
      if (rhz_cuda_register(comm_, at(memory), options_.most_bytes, 0) != RHZ_OK) {
        std::fprintf(stderr, "register: %s\n", rhz_last_error());
        std::_Exit(3);
      }
    host_in_ = allocate(kMostHostBytes);
    host_out_ = allocate(kMostHostBytes);
    fill(host_in_, 0, kMostHostBytes, stream_);
    (void)synchronize(stream_);
  }

  void by_api(Memory send, Memory recv, uint64_t bytes) {
    rhz_allreduce_params p{};
    p.struct_size = sizeof p;
    p.send = at(send);
    p.recv = at(recv);
    p.count_elems = bytes / 4;
    p.dtype = RHZ_DTYPE_F32;
    p.stream = stream_;
    pending_.push_back(nullptr);
    if (rhz_allreduce(comm_, &p, &pending_.back()) == RHZ_OK) return;
    std::fprintf(stderr, "all-reduce: %s\n", rhz_last_error());
    std::_Exit(3);
  }
  // The outcomes of what has passed the stream.
  void finish() {
    for (rhz_op* op : pending_) {
      if (rhz_op_wait(op, 60000, RHZ_WAIT_DEFAULT) == RHZ_OK && rhz_op_release(op) == RHZ_OK)
        continue;
      std::fprintf(stderr, "all-reduce: %s\n", rhz_last_error());
      std::_Exit(3);
    }
    pending_.clear();
  }

  Meeting& meeting_;
  const Options options_;
  const uint32_t rank_;
  PeerGroup group_;
  const Stream stream_;
  const Event begin_, end_;
  std::vector<float> got_;
  Nccl nccl_;
  bool has_nccl_ = false;
  rhz_coordinator* coordinator_ = nullptr;
  rhz_comm* comm_ = nullptr;
  Memory host_in_ = 0, host_out_ = 0;
  std::vector<rhz_op*> pending_;
};

}  // namespace

void measure_speed(Meeting& meeting, const Options& options, uint32_t rank) {
  Speed speed(meeting, options, rank);
  if (options.sweep) {
    if (rank == 0) std::printf("us by blocks, pushed (p), one (x1) or two shots (x2)\n");
    for (uint64_t bytes :
         {4ull << 10, 16ull << 10, 64ull << 10, 128ull << 10, 256ull << 10, 512ull << 10,
          1ull << 20, 2ull << 20, 4ull << 20, 16ull << 20, 64ull << 20, 256ull << 20, 1ull << 30})
      if (bytes <= options.most_bytes) speed.sweep(bytes);
  }
  speed.print_head();
  for (uint64_t bytes :
       {4ull << 10, 64ull << 10, 1ull << 20, 16ull << 20, 64ull << 20, 256ull << 20, 1ull << 30})
    if (bytes <= options.most_bytes) speed.size(bytes);
  for (uint64_t bytes : {4ull << 10, 64ull << 10}) speed.latency(bytes);
}

}  // namespace rhz::gpu
