#include "api/tools/bench_rank.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr uint32_t kJoinTimeoutMs = 30'000, kLeaveTimeoutMs = 2'000;

uint64_t cpu_ns() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto ns = [](const timeval& t) {
    return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 +
           static_cast<uint64_t>(t.tv_usec) * 1000;
  };
  return ns(usage.ru_utime) + ns(usage.ru_stime);
}

}  // namespace

void tell(const std::string& line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

BenchBuffer::BenchBuffer(uint64_t bytes, bool huge_pages) : bytes_(std::max<uint64_t>(bytes, 1)) {
  void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return;
  if (huge_pages) (void)madvise(at, bytes_, MADV_HUGEPAGE);
  data_ = at;
}

BenchBuffer::~BenchBuffer() {
  if (data_) munmap(data_, bytes_);
}

BenchRank::BenchRank(const RankOptions& options)
    : options_(options),
      values_(static_cast<reduce::Dtype>(dtype_number(options.reduction.dtype)),
              static_cast<reduce::RedOp>(redop_number(options.reduction.redop))) {}

BenchRank::~BenchRank() {
  rhz_op_release(last_);
  rhz_comm_close(comm_);
}

bool BenchRank::fail(rhz_status status, const std::string& what) {
  std::string text = what + ": " + rhz_last_error();
  std::replace(text.begin(), text.end(), '"', '\'');
  std::replace(text.begin(), text.end(), '\n', ' ');
  tell(format("@fail status=%d text=\"%s\"", status, text.c_str()));
  return false;
}

bool BenchRank::join() {
  rhz_comm_params params{};
  params.struct_size = sizeof params;
  params.coordinator = options_.coordinator.c_str();
  params.slot_plus_one = options_.slot + 1;
  rhz_status status = rhz_comm_create(&params, &comm_);
  if (status != RHZ_OK) return fail(status, "cannot create a communicator");
  status = rhz_comm_join(comm_, kJoinTimeoutMs);
  if (status != RHZ_OK) return fail(status, "cannot join");
  rhz_view view{};
  view.struct_size = sizeof view;
  status = rhz_comm_view(comm_, &view);
  if (status != RHZ_OK) return fail(status, "no view");
  founded_epoch_ = view.epoch;
  tell("@joined");
  return true;
}

bool BenchRank::finish(rhz_op* op, uint32_t timeout_ms, const char* what) {
  const rhz_status status = rhz_op_wait(op, timeout_ms, RHZ_WAIT_DEFAULT);
  if (status == RHZ_PENDING)
    return fail(status, format("%s has not ended after %u ms", what, timeout_ms));
  if (status != RHZ_OK) return fail(status, what);
  return true;
}

bool BenchRank::costs(uint64_t bytes, rhz_costs& costs) {
  costs = {};
  costs.struct_size = sizeof costs;
  const rhz_status status = rhz_comm_costs(comm_, bytes, &costs);
  return status == RHZ_OK || fail(status, "no costs");
}

bool BenchRank::barrier(uint32_t timeout_ms) {
  rhz_op* op = nullptr;
  const rhz_status status = rhz_barrier(comm_, &op);
  if (status != RHZ_OK) return fail(status, "cannot submit a barrier");
  const bool good = finish(op, timeout_ms, "a barrier");
  rhz_op_release(op);
  return good;
}

bool BenchRank::allreduce(const void* send, void* recv, uint64_t count, uint32_t timeout_ms,
                          Op& op) {
  rhz_op_release(last_);
  last_ = nullptr;
  rhz_allreduce_params params{};
  params.struct_size = sizeof params;
  params.send = options_.reduction.in_place ? nullptr : send;
  params.recv = recv;
  params.count_elems = count;
  params.dtype = dtype_number(options_.reduction.dtype);
  params.redop = redop_number(options_.reduction.redop);
  params.rebuild = rebuild_number(options_.reduction.rebuild);
  const uint64_t cpu_before = cpu_ns();
  op.begin_ns = monotonic_ns();
  const rhz_status status = rhz_allreduce(comm_, &params, &last_);
  if (status != RHZ_OK) return fail(status, "cannot submit an all-reduce");
  if (!finish(last_, timeout_ms, "an all-reduce")) return false;
  op.end_ns = monotonic_ns();
  op.cpu_ns = cpu_ns() - cpu_before;
  op.info = {};
  op.info.struct_size = sizeof op.info;
  if (rhz_op_info_get(last_, &op.info) != RHZ_OK) return fail(RHZ_ERR_INTERNAL, "no op info");
  last_info_ = op.info;
  return true;
}

std::vector<uint32_t> BenchRank::contributors_at(uint64_t element) const {
  std::vector<uint32_t> slots(kMostRanks);
  auto count = static_cast<uint32_t>(slots.size());
  if (rhz_op_contributors(last_, element, slots.data(), &count) != RHZ_OK) count = 0;
  slots.resize(count);
  return slots;
}

// All ranks in an op begun with all; all but one, this one among them, in an op that ended after
// the fault.
bool BenchRank::legal(const std::vector<uint32_t>& slots) const {
  if (slots.size() == options_.ranks) return last_info_.first_epoch == founded_epoch_;
  return last_info_.last_epoch > founded_epoch_ && slots.size() + 1 == options_.ranks &&
         std::find(slots.begin(), slots.end(), options_.slot) != slots.end();
}

uint64_t BenchRank::wrong(const void* result, uint64_t count, uint64_t op_number) {
  const std::vector<uint32_t> first = contributors_at(0);
  if (last_info_.rebuilds == 0 || options_.reduction.rebuild == "strict") {
    const bool one_set = last_info_.contributors_min == last_info_.contributors_max;
    if (!one_set || !legal(first)) return count;
    return values_.wrong(result, 0, count, first, op_number);
  }
  // Chunk by chunk.  The API tells contributors by element: runs of blocks with equal sets at both
  // ends are one chunk's or equal chunks', since a chunk is no smaller than a block.
  constexpr uint64_t kBlock = 1024;
  uint64_t wrong = 0;
  for (uint64_t at = 0; at < count;) {
    const std::vector<uint32_t> slots = contributors_at(at);
    uint64_t end = at;
    while (end < count && contributors_at(end) == slots) end += kBlock;
    end = std::min(end, count);
    wrong += legal(slots) ? values_.wrong(result, at, end - at, slots, op_number) : end - at;
    at = end;
  }
  return wrong;
}

void BenchRank::leave() {
  const rhz_status status = rhz_comm_leave(comm_, kLeaveTimeoutMs);
  if (status != RHZ_OK) (void)fail(status, "cannot leave");
}

int bench_rank(const RankOptions& options) {
  if (options.kind == "attach" || options.kind == "snapshot") return rank_state(options);
  BenchRank rank(options);
  if (!rank.join()) return kRankFailed;
  const bool good = options.kind == "recovery" ? rank_recovery(rank) : rank_allreduce(rank);
  if (!good) return kRankFailed;
  rank.leave();
  return 0;
}

}  // namespace rhz::tools
