// What a program submits, of whatever kind, on its way to the loop.
#pragma once

#include <variant>

#include "collectives/op.h"
#include "collectives/p2p/message.h"

namespace rhz {

using AnySpec = std::variant<OpSpec, MessageSpec>;

struct Request {
  GroupId group;  // of a collective
  AnySpec spec;
  OpCompletion* completion = nullptr;
  Result<uint64_t> handle = uint64_t{0};  // the answer
};

}  // namespace rhz
