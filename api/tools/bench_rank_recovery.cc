// A rank of `bench recovery`: a fixed number of ops, so that survivors need not agree on when to
// end.
#include <cstdio>

#include "api/tools/bench_rank.h"
#include "api/tools/text.h"
#include "runtime/digest/digest.h"

namespace rhz::tools {
namespace {

// An op that takes longer counts as a hang.
constexpr uint32_t kTimeoutMs = 10'000;
using ull = unsigned long long;

}  // namespace

bool rank_recovery(BenchRank& rank) {
  const RankOptions& o = rank.options();
  const uint64_t bytes = whole("bytes=" + o.plan, "bytes");
  const uint64_t count = bytes / dtype_bytes(o.reduction.dtype);
  const bool huge = o.reduction.huge_pages;
  BenchBuffer send(o.reduction.in_place ? 1 : bytes, huge), recv(bytes, huge);
  if (!send.data() || !recv.data()) {
    tell("@fail status=200 text=\"no memory for the buffers\"");
    return false;
  }
  void* input = o.reduction.in_place ? recv.data() : send.data();
  for (uint32_t k = 0; k < o.before + 1 + o.after; ++k) {
    rank.values().fill(input, count, o.slot, k);
    if (!rank.barrier(kTimeoutMs)) return false;
    // The fault strikes in this one, or soon after.
    if (k == o.before) tell(format("@begin op=%u ns=%llu", k, static_cast<ull>(monotonic_ns())));
    BenchRank::Op op;
    if (!rank.allreduce(send.data(), recv.data(), count, kTimeoutMs, op)) return false;
    const bool check = k == 0 || k == o.before || k == o.before + 1 || op.info.rebuilds > 0;
    const uint64_t wrong = check ? rank.wrong(recv.data(), count, k) : 0;
    const std::string digest =
        check ? to_hex(digest128({static_cast<const std::byte*>(recv.data()), bytes})) : "-";
    tell(
        format("@op op=%u begin_ns=%llu end_ns=%llu rebuilds=%u held=%llu redone=%llu "
               "least=%u wrong=%llu digest=%s",
               k, static_cast<ull>(op.begin_ns), static_cast<ull>(op.end_ns), op.info.rebuilds,
               static_cast<ull>(op.info.held_bytes), static_cast<ull>(op.info.redone_bytes),
               op.info.contributors_min, static_cast<ull>(wrong), digest.c_str()));
  }
  return true;
}

}  // namespace rhz::tools
