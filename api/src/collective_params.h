// What the parameters of all collectives have in common.
#pragma once

#include <string>

#include "collectives/op.h"
#include "rhizome/rhizome.h"

namespace rhz::api {

// Their squares count blocks of an all-to-all.
inline constexpr uint32_t kMostRanks = 1u << 12;
inline constexpr uint32_t kMostSlots = 1u << 20;

// Type, reduction, mode, buffers, time-out.
template <class Params>
[[nodiscard]] Status to_kinds(const Params& p, OpSpec& spec) {
  const uint32_t redop = p.redop == RHZ_REDOP_DEFAULT ? uint32_t{RHZ_REDOP_SUM} : p.redop;
  if (!reduce::valid_dtype(p.dtype))
    return Status(Code::kArgument, "dtype " + std::to_string(p.dtype) + " is none of RHZ_DTYPE_*");
  if (!reduce::valid_redop(redop))
    return Status(Code::kArgument, "redop " + std::to_string(redop) + " is none of RHZ_REDOP_*");
  spec.dtype = static_cast<reduce::Dtype>(p.dtype);
  spec.redop = static_cast<reduce::RedOp>(redop);
  if (!reduce::valid(spec.dtype, spec.redop))
    return Status(Code::kArgument, std::string("the bitwise reduction ") +
                                       reduce::name(spec.redop) + " is not defined for " +
                                       reduce::name(spec.dtype));
  if (p.rebuild > RHZ_REBUILD_INCLUDE)
    return Status(Code::kArgument,
                  "rebuild " + std::to_string(p.rebuild) + " is none of RHZ_REBUILD_*");
  spec.rebuild = p.rebuild != RHZ_REBUILD_DEFAULT   ? static_cast<RebuildMode>(p.rebuild)
                 : spec.redop == reduce::RedOp::avg ? RebuildMode::kKeep
                                                    : RebuildMode::kStrict;
  spec.send = static_cast<const std::byte*>(p.send);
  spec.recv = static_cast<std::byte*>(p.recv);
  spec.timeout = milliseconds(p.timeout_ms);
  return Status::ok();
}

// The same and a count, of each of so many blocks.
template <class Params>
[[nodiscard]] Status to_spec(const Params& p, uint64_t blocks, OpSpec& spec) {
  if (Status s = to_kinds(p, spec); !s) return s;
  if (p.count_elems > kMaxCount / blocks)
    return Status(Code::kArgument, "count_elems " + std::to_string(p.count_elems) +
                                       " is over the limit of 2^40 elements");
  spec.count = p.count_elems;
  return Status::ok();
}

}  // namespace rhz::api
