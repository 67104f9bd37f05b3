// One submitted collective, and what becomes of it, as plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "collectives/reduce/dtype.h"
#include "collectives/schedule/choose.h"
#include "runtime/agreement/report.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz {

enum class OpKind : uint8_t {
  kAllReduce = 1,
  kBarrier = 2,
  kProbe = 3,   // how many newcomers wait, as the members have heard: the first half of rhz_admit
  kAdmit = 4,   // the boundary at which they enter: no data
  kVerify = 5,  // compares digests
};

struct OpSpec {
  OpKind kind = OpKind::kAllReduce;
  reduce::Dtype dtype = reduce::Dtype::u8;
  reduce::RedOp redop = reduce::RedOp::sum;
  RebuildMode rebuild = RebuildMode::kStrict;
  Algorithm algorithm = Algorithm::kAuto;  // wanted
  uint64_t count = 0;
  const std::byte* send = nullptr;  // equal to recv: in place
  std::byte* recv = nullptr;
  Duration timeout = Duration::zero();  // since it was begun here; zero: none
};

inline constexpr uint64_t kMaxCount = uint64_t{1} << 40;

// Everything that must be equal on all ranks, readable: kind 4 bits, dtype 4, redop 4, rebuild mode 2, algorithm
// that was asked for 4, count 46.
uint64_t signature_of(const OpSpec& spec);
std::string describe_signature(uint64_t signature);

struct ContributorRun {  // of chunks [first, first + count)
  uint32_t first = 0, count = 0;
  std::vector<Slot> slots;
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
  Algorithm algorithm = Algorithm::kAuto;  // that ran, before any rebuild
  Slot culprit = kAnySlot;
  std::vector<ContributorRun> contributors;  // of RHZ_OK
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
