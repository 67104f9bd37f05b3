// rhizome.h, the v-variants: collectives with blocks of different sizes.
#include <algorithm>
#include <numeric>

#include "api/src/abi.h"
#include "api/src/collective_params.h"
#include "api/src/handles.h"
#include "api/src/submit.h"

namespace {

using rhz::Code;
using rhz::OpKind;
using rhz::OpSpec;
using rhz::Status;
using rhz::Varying;
using Elements = std::vector<uint64_t>;

constexpr uint32_t kNoRank = rhz::kNoRank.value;

struct Side {  // one of the two buffers
  const char* name;
  Elements counts, starts;
  // Elements from its beginning to the end of its last block that has any.
  uint64_t extent() const {
    uint64_t extent = 0;
    for (size_t r = 0; r < counts.size(); ++r)
      if (counts[r] > 0) extent = std::max(extent, starts[r] + counts[r]);
    return extent;
  }
};

// Displacements that are not given: one block behind the other.
Status read_side(const uint64_t* counts, const uint64_t* displs, uint32_t ranks, uint64_t blocks,
                 Side& side) {
  const std::string name = side.name;
  if (!counts)
    return Status(Code::kArgument,
                  name + "_counts is NULL, and this collective needs it on every rank");
  side.counts.assign(counts, counts + ranks);
  for (uint32_t r = 0; r < ranks; ++r)
    if (counts[r] > rhz::kMaxCount / blocks)
      return Status(Code::kArgument, name + "_counts[" + std::to_string(r) + "] is " +
                                         std::to_string(counts[r]) +
                                         ", over the limit of 2^40 elements for all blocks");
  side.starts.assign(ranks, 0);
  if (displs)
    side.starts.assign(displs, displs + ranks);
  else
    std::partial_sum(counts, counts + ranks - 1, side.starts.begin() + 1);
  for (uint32_t r = 0; r < ranks; ++r)
    if (side.starts[r] > rhz::kMaxCount)
      return Status(Code::kArgument,
                    name + "_displs[" + std::to_string(r) + "] is over the limit of 2^40 elements");
  return Status::ok();
}

// Two blocks must not be written to one place.
Status check_apart(const Side& side) {
  Elements order(side.counts.size());
  std::iota(order.begin(), order.end(), uint64_t{0});
  std::erase_if(order, [&](uint64_t r) { return side.counts[r] == 0; });
  std::sort(order.begin(), order.end(),
            [&](uint64_t a, uint64_t b) { return side.starts[a] < side.starts[b]; });
  for (size_t i = 1; i < order.size(); ++i)
    if (side.starts[order[i - 1]] + side.counts[order[i - 1]] > side.starts[order[i]])
      return Status(Code::kOverlap, std::string("the blocks of ranks ") +
                                        std::to_string(order[i - 1]) + " and " +
                                        std::to_string(order[i]) + " overlap in " + side.name);
  return Status::ok();
}

// Of `given` and `got` elements that this rank gives and gets.  In place: the one block lies among
// the many of the other buffer.
Status check_buffers(OpSpec& spec, uint64_t given, uint64_t got, bool may_be_in_place) {
  const uint64_t element = rhz::reduce::size_of(spec.dtype);
  given *= element, got *= element;
  const bool in_send = spec.kind == OpKind::kReduceScatter;
  if (may_be_in_place && (in_send ? !spec.recv && spec.send : !spec.send && spec.recv))
    return Status::ok();
  if (given > 0 && !spec.send)
    return Status(Code::kArgument, "send is NULL, and this rank needs it");
  if (got > 0 && !spec.recv) return Status(Code::kArgument, "recv is NULL, and this rank needs it");
  if (given == 0 || got == 0) return Status::ok();
  const auto send = reinterpret_cast<uintptr_t>(spec.send),
             recv = reinterpret_cast<uintptr_t>(spec.recv);
  if (send > UINTPTR_MAX - given || recv > UINTPTR_MAX - got)
    return Status(Code::kArgument, "the counts reach past the end of the address space");
  if (send + given <= recv || recv + got <= send) return Status::ok();
  return Status(Code::kOverlap,
                "send and recv overlap; make them disjoint, or see rhizome.h for how this "
                "collective works in place");
}

// What this rank gives and gets, and where.
struct Places {
  bool is_root = false, sends_all = false, gets_all = false, in_place = false;
};
Places places_of(const OpSpec& spec, rhz::Slot self) {
  Places p;
  p.is_root = has_root(spec.kind) && spec.root == self;
  p.sends_all = spec.kind == OpKind::kReduceScatter || spec.kind == OpKind::kAllToAll ||
                (p.is_root && spec.kind == OpKind::kScatter);
  p.gets_all = spec.kind == OpKind::kAllGather || spec.kind == OpKind::kAllToAll ||
               (p.is_root && spec.kind == OpKind::kGather);
  p.in_place = spec.kind == OpKind::kAllGather || spec.kind == OpKind::kReduceScatter;
  return p;
}

Status to_varying(const rhz_vcollective_params& p, uint32_t rank, rhz::Slot self, OpSpec& spec) {
  const bool by_source = spec.kind == OpKind::kAllGather || spec.kind == OpKind::kGather;
  const bool all_to_all = spec.kind == OpKind::kAllToAll;
  const uint64_t blocks = uint64_t{spec.ranks} * (all_to_all ? spec.ranks : 1);
  Side send{"send", {}, {}}, recv{"recv", {}, {}};
  if (!by_source)
    if (Status s = read_side(p.send_counts, p.send_displs, spec.ranks, blocks, send); !s) return s;
  if (by_source || all_to_all)
    if (Status s = read_side(p.recv_counts, p.recv_displs, spec.ranks, blocks, recv); !s) return s;
  const Places places = places_of(spec, self);
  if (places.gets_all)
    if (Status s = check_apart(recv); !s) return s;
  const Elements& counts = by_source ? recv.counts : send.counts;
  const uint64_t given = places.sends_all ? send.extent() : by_source ? counts[rank] : 0;
  const uint64_t got = places.gets_all ? recv.extent() : by_source ? 0 : counts[rank];
  if (Status s = check_buffers(spec, given, got, places.in_place); !s) return s;
  if (spec.kind == OpKind::kReduceScatter && !spec.recv)
    if (Status s = check_apart(send); !s) return s;
  auto varying = std::make_shared<Varying>();
  varying->rank = rank;
  if (all_to_all) {
    varying->give = send.counts;
    varying->expect = recv.counts;
  } else {
    varying->counts = counts;
  }
  varying->send_at = places.sends_all ? send.starts : Elements{0};
  varying->recv_at = places.gets_all ? recv.starts : Elements{0};
  spec.count = *std::max_element(counts.begin(), counts.end());
  spec.varying = std::move(varying);
  return Status::ok();
}

rhz_status submit_varying(OpKind kind, rhz_comm* comm, const rhz_vcollective_params* params,
                          rhz_op** out_op) {
  return rhz::api::guard([&]() -> Status {
    const auto group = rhz::api::find_group(comm);
    if (!group) return group.status();
    rhz_vcollective_params p{};
    if (Status s = rhz::api::read_struct(params, "rhz_vcollective_params", p); !s) return s;
    OpSpec spec;
    spec.kind = kind;
    if (p.world_size == 0 || p.world_size > rhz::api::kMostRanks)
      return Status(Code::kArgument, "world_size " + std::to_string(p.world_size) +
                                         ": set it to the number of ranks that the arrays are for");
    spec.ranks = p.world_size;
    if (has_root(kind)) {
      if (p.root_slot >= rhz::api::kMostSlots)
        return Status(Code::kArgument, "root_slot " + std::to_string(p.root_slot) + " is no slot");
      spec.root = rhz::Slot(p.root_slot);
    }
    if (Status s = rhz::api::to_kinds(p, spec); !s) return s;
    const auto now = group.value().driver->membership(group.value().group);
    if (!now.joined) return Status(Code::kState, "not a member yet: call rhz_comm_join first");
    // One that is out of the run, or for another number of ranks, ends so, whatever its buffers
    // are.
    const bool placed = now.rank.value != kNoRank && now.rank.value < spec.ranks;
    const uint32_t rank = placed ? now.rank.value : 0;
    const rhz::Slot self =
        now.rank.value != kNoRank ? now.view.members[now.rank.value].slot : rhz::kAnySlot;
    if (Status s = to_varying(p, rank, self, spec); !s) return s;
    return rhz::api::submit(group.value(), std::move(spec), p.stream, out_op);
  });
}

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_allgatherv(rhz_comm* comm, const rhz_vcollective_params* params,
                                  rhz_op** out_op) {
  return submit_varying(OpKind::kAllGather, comm, params, out_op);
}
RHZ_API rhz_status rhz_gatherv(rhz_comm* comm, const rhz_vcollective_params* params,
                               rhz_op** out_op) {
  return submit_varying(OpKind::kGather, comm, params, out_op);
}
RHZ_API rhz_status rhz_scatterv(rhz_comm* comm, const rhz_vcollective_params* params,
                                rhz_op** out_op) {
  return submit_varying(OpKind::kScatter, comm, params, out_op);
}
RHZ_API rhz_status rhz_reduce_scatterv(rhz_comm* comm, const rhz_vcollective_params* params,
                                       rhz_op** out_op) {
  return submit_varying(OpKind::kReduceScatter, comm, params, out_op);
}
RHZ_API rhz_status rhz_alltoallv(rhz_comm* comm, const rhz_vcollective_params* params,
                                 rhz_op** out_op) {
  return submit_varying(OpKind::kAllToAll, comm, params, out_op);
}
}
