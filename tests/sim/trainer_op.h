// An op of the simulated program, with its buffers.
#pragma once

#include "tests/sim/trainer.h"

namespace rhz::sim {

struct Trainer::Op final : OpCompletion {
  explicit Op(Trainer& owner) : trainer(owner) {}
  void released(const OpOutcome& result) override { trainer.op_released(*this, result); }
  void finalised(const Status& status) override { trainer.op_finalised(*this, status); }

  Trainer& trainer;
  OpKey key;
  Workload workload;
  bool in_place = false;
  GroupId group;
  uint32_t ranks = 1;  // that the buffers have room for
  uint32_t rank = 0;   // as these were made
  std::vector<uint64_t> input, output;
  std::vector<uint64_t> to_come;  // all of the input, where some of it comes later
  const std::byte* result = nullptr;  // where it is made, if it is read before the op is over: so far
  std::vector<std::byte> early;
  Communicator::Handle handle = 0;
  OpSeq seq = kNoOp;
  bool submitted = false, returned = false, final = false;
};

}  // namespace rhz::sim
