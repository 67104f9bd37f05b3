// What a program submits, of whatever kind, on its way to the loop.
#pragma once

#include <variant>

#include "api/src/open_ops.h"
#include "collectives/op.h"
#include "collectives/p2p/message.h"

namespace rhz {

using AnySpec = std::variant<OpSpec, MessageSpec>;

struct Request {
  GroupId group;  // of a collective
  AnySpec spec;
  OpenOp* completion = nullptr;
  void* stream = nullptr;  // of a device: whose order the op keeps; null: of none
  Result<uint64_t> handle = Status(Code::kMemory, "");  // the answer
};

}  // namespace rhz
