// One submitted collective, and what becomes of it, as plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "collectives/reduce/dtype.h"
#include "collectives/schedule/algorithm.h"
#include "collectives/varying.h"
#include "runtime/agreement/blocks.h"
#include "runtime/agreement/report.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz {

struct OpSpec {
  OpKind kind = OpKind::kAllReduce;
  reduce::Dtype dtype = reduce::Dtype::u8;
  reduce::RedOp redop = reduce::RedOp::sum;
  RebuildMode rebuild = RebuildMode::kStrict;
  Algorithm algorithm = Algorithm::kAuto;  // wanted
  Slot root = kAnySlot;                    // of kinds that have one
  uint32_t ranks = 0;                      // of kinds that have a layout: for how many the buffers have room
  uint64_t count = 0;                      // elements of one block
  uint64_t parts = 0;                      // of an all-reduce that several were fused into: hash of their counts, not 0
  VaryingRef varying;                      // set: blocks of different sizes, and count is that of the largest
  bool exchange = false;                   // of the counts of an all-to-all
  // Equal: in place.  Where only one is given: all-gather finds the own block in its place in recv, reduce-scatter puts the result in the
  // place of the own block in send.
  const std::byte* send = nullptr;
  std::byte* recv = nullptr;
  // Bytes of what this rank gives that are there already; of the rest Communicator::input_there tells, in order.  Less than all of them
  // only of kinds to whose chunks all ranks add.
  uint64_t input_there = kWhole;
  static constexpr uint64_t kWhole = UINT64_MAX;
  Duration timeout = Duration::zero();  // since it was begun here; zero: none
};

inline constexpr uint64_t kMaxCount = uint64_t{1} << 40;

// Everything that must be equal on all ranks: kind 4 bits, dtype 4, redop 4, rebuild mode 2 (include is 0), algorithm that was asked for 4, count 46;
// of kinds with a root or a layout, a hash of these and the count in its place; of fused all-reduces a hash of their counts, under a bit
// that no count has.
uint64_t signature_of(const OpSpec& spec, const Blocks& blocks);
std::string describe_signature(uint64_t signature);
bool closes(uint64_t signature);  // of an op by which a group is closed

struct ContributorRun {  // of chunks [first, first + count); no slots: zeros, because their source is gone
  uint32_t first = 0, count = 0;
  std::vector<Slot> slots;
};

using Contributors = std::shared_ptr<const std::vector<ContributorRun>>;

// Numbers of blocks, equally far apart.
struct BlockRange {
  uint32_t first = 0, stride = 1, count = 0;
  uint32_t size() const { return count; }
  bool empty() const { return count == 0; }
  uint32_t operator[](uint32_t i) const { return first + i * stride; }
  // Which of them it is; count: none.
  uint32_t position_of(uint32_t block) const {
    const bool there = block >= first && (block - first) % stride == 0 && (block - first) / stride < count;
    return there ? (block - first) / stride : count;
  }
};

// The fields of rhz_op_info.
struct OpOutcome {
  Status status;
  OpSeq seq;
  Epoch first_epoch, last_epoch;
  uint64_t bytes = 0, sent_bytes = 0, received_bytes = 0, redone_bytes = 0, held_bytes = 0;
  Duration wait{}, run{}, rebuild{}, release{};
  uint32_t rebuilds = 0;
  uint32_t joined = 0;
  uint64_t chunk_elements = 0;
  uint64_t block_elements = 0;
  std::vector<uint64_t> block_counts;   // of the result_blocks, where they differ
  bool remade = false;         // what was read of the result before is no longer so (Communicator::result_there)
  bool fused = false;          // it is a part of the op that ran …
  uint64_t first_element = 0;  // … and begins at this element of it
  uint32_t chunks_of_block = 1;
  BlockRange result_blocks;    // that this rank gets, in the order of its buffer
  Algorithm algorithm = Algorithm::kAuto;  // that ran, before any rebuild
  Slot culprit = kAnySlot;
  Contributors runs;  // of RHZ_OK; many ops share one
  const std::vector<ContributorRun>& contributors() const;
};

// Given at submission; called once each, on the progress thread.
class OpCompletion {
 public:
  virtual ~OpCompletion() = default;
  // The op is terminal: its buffers are the caller's again.
  virtual void released(const OpOutcome& outcome) = 0;
  // After released().  Ok: no later fault can give another survivor a different result (release rule a).
  virtual void finalised(const Status& status) = 0;
};

}  // namespace rhz
