// rhizome.h, section "ops".
#include <algorithm>
#include <set>

#include "api/src/abi.h"
#include "api/src/op_handle.h"

namespace {

using rhz::Code;
using rhz::Duration;
using rhz::Status;
using rhz::api::guard;

uint64_t to_us(Duration d) {
  return static_cast<uint64_t>(std::max<int64_t>(
      0, std::chrono::duration_cast<rhz::microseconds>(d).count()));
}

Status outcome_of(const rhz_op& op, bool need_final) {
  Status status = op.status();
  return status.is_ok() && need_final ? op.final_status() : status;
}

const Status kNull(Code::kArgument, "the op is NULL");

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_op_wait(rhz_op* op, uint32_t timeout_ms, uint32_t flags) {
  if (!op) return rhz::api::report(kNull);
  if (flags & ~uint32_t{RHZ_WAIT_FINAL})
    return rhz::api::report(Status(Code::kArgument, "flags holds bits that are none of RHZ_WAIT_*"));
  return guard([&]() -> Status {
    const bool need_final = flags & RHZ_WAIT_FINAL;
    auto done = [&] { return need_final ? op->is_final() : op->is_released(); };
    if (done()) return outcome_of(*op, need_final);
    if (op->is_in_group())
      return Status(Code::kState, "the op is not submitted yet: call rhz_group_end before waiting for it");
    auto& driver = op->driver();
    const rhz::Time deadline =
        timeout_ms ? driver.now() + rhz::milliseconds(timeout_ms) : rhz::kNever;
    if (!driver.progress().wait(done, deadline)) return Status(Code::kPending, "");
    return outcome_of(*op, need_final);
  });
}

RHZ_API rhz_status rhz_op_poll(rhz_op* op) {
  if (!op) return rhz::api::report(kNull);
  return guard([&]() -> Status {
    return op->is_released() ? op->status() : Status(Code::kPending, "");
  });
}

RHZ_API rhz_status rhz_op_event_fd(rhz_op* op, int* out_fd) {
  if (!op) return rhz::api::report(kNull);
  return guard([&]() -> Status {
    if (!out_fd) return Status(Code::kArgument, "out_fd is NULL");
    auto fd = op->event_fd();
    if (fd) *out_fd = fd.value();
    return fd.status();
  });
}

RHZ_API rhz_status rhz_op_cancel(rhz_op* op) {
  if (!op) return rhz::api::report(kNull);
  return guard([&]() -> Status {
    op->cancel();
    return Status::ok();
  });
}

RHZ_API rhz_status rhz_op_release(rhz_op* op) {
  if (!op) return RHZ_OK;
  return guard([&]() -> Status {
    if (!op->is_released())
      return Status(Code::kState, "the op is still pending and its buffers are borrowed: wait for "
                                  "it (rhz_op_wait), or cancel it and wait");
    op->unreference();
    return Status::ok();
  });
}

RHZ_API rhz_status rhz_op_info_get(rhz_op* op, rhz_op_info* out_info) {
  if (!op) return rhz::api::report(kNull);
  return guard([&]() -> Status {
    rhz_op_info info{};
    info.status = RHZ_PENDING;
    if (op->is_released()) {
      const rhz::OpOutcome& o = op->outcome();
      const Status status = op->status();
      info.op_seq = o.seq.value;
      info.first_epoch = o.first_epoch.value;
      info.last_epoch = o.last_epoch.value;
      info.bytes = o.bytes;
      info.sent_bytes = o.sent_bytes;
      info.received_bytes = o.received_bytes;
      info.redone_bytes = o.redone_bytes;
      info.held_bytes = o.held_bytes;
      info.wait_us = to_us(o.wait);
      info.run_us = to_us(o.run);
      info.rebuild_us = to_us(o.rebuild);
      info.release_us = to_us(o.release);
      info.rebuilds = o.rebuilds;
      info.joined = o.joined;
      info.status = static_cast<rhz_status>(status.code());
      std::strncpy(info.algorithm, rhz::name(o.algorithm), sizeof info.algorithm - 1);
      info.culprit_slot_plus_one = o.culprit == rhz::kAnySlot ? 0 : o.culprit.value + 1;
      bool first = true;
      for (const auto& run : o.contributors()) {
        const uint32_t block = run.first / o.chunks_of_block;
        if (o.result_blocks.position_of(block) == o.result_blocks.count)
          continue;  // only held for others
        const auto n = static_cast<uint32_t>(run.slots.size());
        info.contributors_min = first ? n : std::min(info.contributors_min, n);
        first = false;
        info.contributors_max = std::max(info.contributors_max, n);
      }
      const size_t length = std::min(status.text().size(), sizeof info.text - 1);
      std::memcpy(info.text, status.text().data(), length);
    }
    return rhz::api::write_struct(info, "rhz_op_info", out_info);
  });
}

RHZ_API rhz_status rhz_op_contributors(rhz_op* op, uint64_t element, uint32_t* slots,
                                       uint32_t* inout_count) {
  if (!op) return rhz::api::report(kNull);
  return guard([&]() -> Status {
    if (!inout_count) return Status(Code::kArgument, "inout_count is NULL");
    if (!op->is_released() || !op->status().is_ok())
      return Status(Code::kState, "only an op that ended with RHZ_OK has contributors");
    const rhz::OpOutcome& o = op->outcome();
    // Of an op without elements, a barrier for one, element 0 stands for the whole.
    const bool past = o.fused && element >= std::max<uint64_t>(op->count(), 1);
    element += o.first_element;
    uint64_t block = o.block_elements ? element / o.block_elements : element;
    if (!o.block_counts.empty()) {
      for (block = 0; block < o.block_counts.size() && element >= o.block_counts[block]; ++block)
        element -= o.block_counts[block];
    }
    if (block >= o.result_blocks.size() || past)
      return Status(Code::kArgument, "element is past the end of the result");
    uint64_t chunk = uint64_t{o.result_blocks[static_cast<uint32_t>(block)]} * o.chunks_of_block;
    if (o.block_elements) chunk += element % o.block_elements / o.chunk_elements;
    for (const auto& run : o.contributors()) {
      if (chunk < run.first || chunk >= uint64_t{run.first} + run.count) continue;
      const auto n = static_cast<uint32_t>(run.slots.size());
      const bool fits = slots && n <= *inout_count;
      *inout_count = n;
      if (!fits) return Status(Code::kArgument, "the array is too small for the contributors");
      for (uint32_t i = 0; i < n; ++i) slots[i] = run.slots[i].value;
      return Status::ok();
    }
    return Status(Code::kInternal, "a chunk without contributors");
  });
}
}
