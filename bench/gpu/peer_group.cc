#include "bench/gpu/peer_group.h"

#include "collectives/reduce/cuda/peer_ways.h"

extern "C" const unsigned char rhz_peer_allreduce_fatbin[];

namespace rhz::gpu {
namespace {
// A whole allocation of the driver's, which is what is shared.
constexpr size_t kSlotsAt = size_t{2} << 20, kSlotBytes = size_t{16} * RHZ_PEER_SLOT_LINES;
constexpr size_t kFlagBytes = kSlotsAt + RHZ_PEER_SLOTS * kSlotBytes;
constexpr size_t kFlags = RHZ_PEER_RANKS * RHZ_PEER_BLOCKS;
// By turns: who is through with an op and begins the next writes where nobody looks for the one
// before.
constexpr size_t kSets = 2;
static_assert(kSlotsAt > sizeof(uint64_t) * kSets * kFlags + 64);
}  // namespace

PeerGroup::PeerGroup(Meeting& meeting, uint32_t rank, uint32_t ranks, size_t bytes)
    : in_(allocate(bytes)),
      out_(allocate(bytes)),
      flags_(allocate(kFlagBytes)),
      host_(static_cast<uint32_t*>(allocate_mapped(4096))),
      push_(kernel(rhz_peer_allreduce_fatbin, "rhz_push_f32")),
      one_shot_(kernel(rhz_peer_allreduce_fatbin, "rhz_one_shot_f32")),
      two_shot_(kernel(rhz_peer_allreduce_fatbin, "rhz_two_shot_f32")) {
  fill(flags_, 0, kFlagBytes, nullptr);
  (void)synchronize(nullptr);
  meeting.in[rank] = share(in_);
  meeting.out[rank] = share(out_);
  meeting.flags[rank] = share(flags_);
  meeting.barrier();
  for (uint32_t r = 0; r < ranks; ++r) {
    p_.place[r] = r;
    p_.in[r] = reinterpret_cast<void*>(r == rank ? in_ : map(meeting.in[r]));
    p_.out[r] = reinterpret_cast<void*>(r == rank ? out_ : map(meeting.out[r]));
    p_.flags[r] = reinterpret_cast<uint64_t*>(r == rank ? flags_ : map(meeting.flags[r]));
  }
  p_.rank = rank;
  p_.ranks = ranks;
  p_.slot_lines = peer::slot_lines(ranks);
  p_.divisor = 1;
  p_.bound_ns = 10'000'000'000;
  p_.ended_blocks = p_.flags[rank] + kSets * kFlags;
  p_.slot_over = reinterpret_cast<uint32_t*>(p_.ended_blocks + 1);
  auto* const words = const_cast<uint32_t*>(host_);
  p_.abort = words;
  p_.ended = words + 1;
  p_.order = words + 2;
  p_.given = words + 3;
  p_.done = words + 4;
  words[2] = kPeerGoOn;  // nobody here reduces again
  meeting.barrier();
}

void PeerGroup::run(Kernel kernel, uint64_t count, unsigned blocks, Stream stream) {
  PeerAllReduce p = p_;
  p.count = count;
  p.first_flag = static_cast<uint32_t>(1 + ops_ * RHZ_PEER_STEPS);
  p.push_flag = static_cast<uint32_t>(ops_ + 1);
  p.slot_before = static_cast<uint32_t>(ops_ / RHZ_PEER_SLOTS);
  p.slot_over += ops_ % RHZ_PEER_SLOTS;
  for (uint32_t r = 0; r < p.ranks; ++r) {
    p.slots[r] = p.flags[r] + (kSlotsAt + ops_ % RHZ_PEER_SLOTS * kSlotBytes) / sizeof(uint64_t);
    p.flags[r] += ops_ % kSets * kFlags;
  }
  launch(kernel, blocks, kPeerThreads, stream, {&p});
  ++ops_;
}

void PeerGroup::allreduce_f32(uint64_t count, PeerLaunch how, Stream stream) {
  run(how.way == PeerWay::kPush      ? push_
      : how.way == PeerWay::kOneShot ? one_shot_
                                     : two_shot_,
      count, how.blocks, stream);
}

void PeerGroup::allreduce_as(const char* name, uint64_t count, unsigned blocks, Stream stream) {
  run(kernel(rhz_peer_allreduce_fatbin, name), count, blocks, stream);
}

void PeerGroup::go_alone() {
  p_.in[0] = p_.in[p_.rank];
  p_.out[0] = p_.out[p_.rank];
  p_.flags[0] = p_.flags[p_.rank];
  p_.rank = 0;
  p_.ranks = 1;
}

int PeerGroup::unmap_of(uint32_t rank) {
  int error = 0;
  for (const void* memory : {p_.in[rank], static_cast<const void*>(p_.out[rank]),
                             static_cast<const void*>(p_.flags[rank])})
    error |= unmap(reinterpret_cast<Memory>(memory));
  return error;
}

}  // namespace rhz::gpu
