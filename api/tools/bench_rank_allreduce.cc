// A rank of `bench allreduce`: per size a warm-up that is checked, then timed ops, some of them
// checked.
#include <cstdio>
#include <cstring>

#include "api/tools/bench_rank.h"
#include "api/tools/text.h"
#include "runtime/base/prng.h"

namespace rhz::tools {
namespace {

constexpr uint32_t kTimeoutMs = 60'000;
constexpr uint32_t kWarmUps = 3;
constexpr uint32_t kCheckOneOf = 8;  // of the timed ops, by chance

// "VmRSS" or "VmHWM" of this process.
uint64_t memory_bytes(const char* what) {
  std::FILE* file = std::fopen("/proc/self/status", "re");
  if (!file) return 0;
  char line[256];
  unsigned long long kib = 0;
  while (std::fgets(line, sizeof line, file)) {
    if (std::strncmp(line, what, std::strlen(what)) == 0 &&
        std::sscanf(line + std::strlen(what), ": %llu", &kib) == 1)
      break;
  }
  std::fclose(file);
  return kib * 1024;
}

// The high-water mark starts again from here.
void reset_peak() {
  if (std::FILE* file = std::fopen("/proc/self/clear_refs", "we")) {
    std::fputs("5", file);
    std::fclose(file);
  }
}

struct Size {
  uint64_t bytes = 0;
  uint32_t iterations = 0;
};

class Row {
 public:
  Row(BenchRank& rank, Size size, uint64_t& op_number)
      : rank_(rank),
        size_(size),
        count_(size.bytes / dtype_bytes(rank.options().reduction.dtype)),
        op_number_(op_number),
        send_(rank.options().reduction.in_place ? 1 : size.bytes,
              rank.options().reduction.huge_pages),
        recv_(size.bytes, rank.options().reduction.huge_pages) {}

  bool run() {
    if (!send_.data() || !recv_.data()) {
      tell("@fail status=200 text=\"no memory for the buffers\"");
      return false;
    }
    std::memset(recv_.data(), 0, size_.bytes);
    fill();
    const uint64_t rss_before = memory_bytes("VmRSS");
    reset_peak();
    for (uint32_t i = 0; i < kWarmUps; ++i)
      if (!once(true, nullptr)) return false;
    std::vector<uint64_t> times_ns;
    times_ns.reserve(size_.iterations);
    // The same ops are checked on all ranks, so that none waits for another more than it must.
    Prng random(size_.bytes);
    for (uint32_t i = 0; i < size_.iterations; ++i) {
      // Before the last op, behind which the others may leave.
      if (i + 1 == size_.iterations && !tell_costs()) return false;
      if (!once(random.below(kCheckOneOf) == 0, &times_ns)) return false;
    }
    const uint64_t peak = memory_bytes("VmHWM");
    for (uint64_t ns : times_ns) std::printf("@t us=%.3f\n", static_cast<double>(ns) / 1e3);
    tell(format("@row bytes=%llu wrong=%llu rss_extra=%llu cpu_ns=%llu algorithm=%s",
                static_cast<unsigned long long>(size_.bytes),
                static_cast<unsigned long long>(wrong_),
                static_cast<unsigned long long>(peak > rss_before ? peak - rss_before : 0),
                static_cast<unsigned long long>(cpu_ns_), algorithm_.c_str()));
    return true;
  }

 private:
  void fill() {
    void* input = rank_.options().reduction.in_place ? recv_.data() : send_.data();
    rank_.values().fill(input, count_, rank_.options().slot, op_number_);
  }

  // What the next op is chosen by.
  bool tell_costs() {
    rhz_costs c{};
    if (!rank_.costs(size_.bytes, c)) return false;
    std::string predicted;
    for (uint64_t ns : c.predicted_ns)
      predicted += format("%s%llu", predicted.empty() ? "" : ",", static_cast<unsigned long long>(ns));
    tell(format("@costs known=%d local_ns=%llu local_rate=%llu remote_ns=%llu remote_rate=%llu reduce_rate=%llu predicted=%s",
                c.measured_by_op != RHZ_COSTS_UNKNOWN, static_cast<unsigned long long>(c.local_latency_ns),
                static_cast<unsigned long long>(c.local_bytes_per_s),
                static_cast<unsigned long long>(c.remote_latency_ns),
                static_cast<unsigned long long>(c.remote_bytes_per_s),
                static_cast<unsigned long long>(c.reduce_bytes_per_s), predicted.c_str()));
    return true;
  }

  bool once(bool check, std::vector<uint64_t>* times_ns) {
    ++op_number_;
    fill();
    BenchRank::Op op;
    if (!rank_.barrier(kTimeoutMs)) return false;
    if (!rank_.allreduce(send_.data(), recv_.data(), count_, kTimeoutMs, op)) return false;
    if (times_ns) {
      times_ns->push_back(op.end_ns - op.begin_ns);
      cpu_ns_ += op.cpu_ns;
    }
    algorithm_ = op.info.algorithm;
    if (check) wrong_ += rank_.wrong(recv_.data(), count_, op_number_);
    return true;
  }

  BenchRank& rank_;
  const Size size_;
  const uint64_t count_;
  uint64_t& op_number_;
  BenchBuffer send_, recv_;
  uint64_t wrong_ = 0, cpu_ns_ = 0;
  std::string algorithm_;
};

}  // namespace

bool rank_allreduce(BenchRank& rank) {
  uint64_t op_number = 0;
  // Connections and their first buffers belong to no size.
  for (uint32_t i = 0; i < kWarmUps; ++i)
    if (!rank.barrier(kTimeoutMs)) return false;
  for (const std::string& part : split(rank.options().plan, ',')) {
    Size size;
    unsigned long long bytes = 0;
    if (std::sscanf(part.c_str(), "%llu:%u", &bytes, &size.iterations) != 2) return false;
    size.bytes = bytes;
    if (!Row(rank, size, op_number).run()) return false;
  }
  return true;
}

}  // namespace rhz::tools
