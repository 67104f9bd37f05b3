#include "api/src/peer_windows.h"

#include <algorithm>
#include <set>

#include "api/src/kernels.h"
#include "collectives/reduce/cuda/peer_ways.h"
#include "runtime/base/prng.h"

namespace rhz::api {
namespace {

constexpr uint64_t kAlignment = 16;

const char* kernel_of(reduce::Dtype dtype, PeerWay way) {
  const auto pick = [way](const char* push, const char* one, const char* two) {
    return way == PeerWay::kPush ? push : way == PeerWay::kOneShot ? one : two;
  };
  switch (dtype) {
    case reduce::Dtype::f16: return pick("rhz_push_f16", "rhz_one_shot_f16", "rhz_two_shot_f16");
    case reduce::Dtype::bf16:
      return pick("rhz_push_bf16", "rhz_one_shot_bf16", "rhz_two_shot_bf16");
    case reduce::Dtype::f32: return pick("rhz_push_f32", "rhz_one_shot_f32", "rhz_two_shot_f32");
    case reduce::Dtype::f64: return pick("rhz_push_f64", "rhz_one_shot_f64", "rhz_two_shot_f64");
    default: return nullptr;
  }
}

bool is_aligned(const void* memory) {
  return reinterpret_cast<uintptr_t>(memory) % kAlignment == 0;
}

// What all ranks have to agree in, beside the signature of the vote.
uint64_t tag_of(const PeerWindows::Wish& wish, uint64_t op, const PeerWindow& send,
                const PeerWindow& recv) {
  const OpSpec& spec = *wish.spec;
  uint64_t tag = wish.view->epoch.value;
  for (uint64_t part :
       {op, send.number, send.offset_of(spec.send), recv.number, recv.offset_of(spec.recv),
        spec.count, static_cast<uint64_t>(spec.dtype), static_cast<uint64_t>(spec.redop)})
    tag = mix64(tag ^ mix64(part));
  return tag | 1;  // 0 says that a kernel did not come to its end
}

constexpr reduce::Dtype kDtypes[] = {reduce::Dtype::f16, reduce::Dtype::bf16, reduce::Dtype::f32,
                                     reduce::Dtype::f64};

}  // namespace

// Each kernel once, on nothing: loading one for an op would wait for the op itself.
Status PeerWindows::warm_up(const PeerWindow& window) const {
  std::byte* const flags = window.parts.front().flags;
  std::byte* const idle = flags + PeerWindow::kIdleSetAt;
  auto* const ended =
      reinterpret_cast<uint64_t*>(flags + PeerWindow::kEndedBlocksAt) + PeerWindow::kFlagSets;
  PeerAllReduce alone{};
  alone.ranks = 1;
  alone.divisor = 1;
  alone.in[0] = alone.out[0] = idle;
  alone.flags[0] = reinterpret_cast<uint64_t*>(idle);
  alone.ended_blocks = ended;
  alone.slot_over = reinterpret_cast<uint32_t*>(flags + PeerWindow::kSlotsOverAt) + RHZ_PEER_SLOTS;
  alone.abort = reinterpret_cast<const uint32_t*>(idle) + 2;  // behind the one flag that it uses
  alone.order = alone.abort;
  alone.ended = alone.given = alone.done = const_cast<uint32_t*>(alone.abort) + 1;
  Status status;
  for (const reduce::Dtype dtype : kDtypes)
    for (const PeerWay way : {PeerWay::kPush, PeerWay::kOneShot, PeerWay::kTwoShot})
      if (status)
        status = access_->run(window.queue, {kernel_image(), kernel_of(dtype, way), 1, 32}, &alone);
  return status;
}

WindowCard PeerWindows::begin(PeerId self, std::byte* memory, uint64_t bytes, Status& why_not) {
  WindowCard card;
  card.id = self;
  card.bytes = bytes;
  const auto fail = [&](Status status) {
    why_not = std::move(status);
    return card;
  };
  if (!kernel_image())
    return fail(
        Status(Code::kState, "this library was built without CUDA's compiler, and has no kernels"));
  if (!access_ || !device_.owns(memory) || !is_aligned(memory))
    return fail(Status(Code::kArgument, "memory is not a device's, or not aligned to 16 bytes"));
  const auto queues = device_.own_queues(memory);
  if (!queues) return fail(queues.status());
  auto name = access_->share(memory);
  if (!name) return fail(name.status());
  auto flags = access_->allocate(queues.value().in, PeerWindow::kFlagBytes, true);
  if (!flags) return fail(flags.status());
  pending_.emplace();
  pending_->bytes = bytes;
  pending_->queue = queues.value().in;
  pending_->parts = {{self, memory, flags.value(), {}, {}}};
  auto host = slabs_.take(pending_->queue, bytes);
  if (!host) return fail(host.status());
  pending_->host = host.value();
  if (Status status = warm_up(*pending_); !status) return fail(status);
  auto flags_name = access_->share(flags.value());
  if (!flags_name) return fail(flags_name.status());
  card.memory = name.value();
  card.flags = flags_name.value();
  card.well = 1;
  return card;
}

Status PeerWindows::map(GroupId group, const View& view, const std::vector<WindowCard>& cards) {
  if (!pending_) return Status(Code::kState, "not shared");
  PeerWindow& window = *pending_;
  const PeerWindow::Part own = window.parts.front();
  if (cards.size() > RHZ_PEER_RANKS) return Status(Code::kState, "more than 8 ranks");
  std::set<std::array<std::byte, 16>> devices;
  for (const MemberInfo& member : view.members)
    if (member.host != view.members.front().host)
      return Status(Code::kState, "the ranks are on several hosts");
  for (const WindowCard& card : cards) {
    if (!card.well) return Status(Code::kState, "another rank cannot share its memory");
    if (card.bytes != window.bytes)
      return Status(Code::kMismatch, "the ranks register different numbers of bytes");
    if (!devices.insert(card.memory.device).second)
      return Status(Code::kState,
                    "two ranks share a device: their kernels would wait for each other's turn");
  }
  window.group = group;
  window.number = static_cast<uint64_t>(std::count_if(
      windows_.begin(), windows_.end(), [&](const PeerWindow& w) { return w.group == group; }));
  window.parts.clear();
  for (const WindowCard& card : cards) {
    if (card.id == own.id) {
      window.self = window.parts.size();
      window.parts.push_back(own);
      continue;
    }
    auto memory = access_->map(window.queue, card.memory);
    auto flags = memory ? access_->map(window.queue, card.flags) : memory;
    if (!flags && memory) access_->unmap(window.queue, card.memory, memory.value());
    if (!flags) {
      window.parts.push_back(own);
      window.self = window.parts.size() - 1;
      return flags.status();
    }
    window.parts.push_back({card.id, memory.value(), flags.value(), card.memory, card.flags});
  }
  return Status::ok();
}

const PeerWindow* PeerWindows::end(bool keep) {
  const bool kept = pending_ && keep;
  if (kept)
    windows_.push_front(std::move(*pending_));
  else if (pending_)
    close(*pending_);
  pending_.reset();
  return kept ? &windows_.front() : nullptr;
}

PeerWindow* PeerWindows::find(const Wish& wish, const void* memory, uint64_t bytes) {
  for (PeerWindow& window : windows_) {
    if (window.group != wish.group || !window.holds(memory, bytes)) continue;
    const auto& members = wish.view->members;
    const bool all = std::all_of(members.begin(), members.end(),
                                 [&](const MemberInfo& m) { return window.find(m.id) != nullptr; });
    if (all) return &window;
  }
  return nullptr;
}

std::optional<PeerOp::Plan> PeerWindows::plan(const Wish& wish) {
  const OpSpec& spec = *wish.spec;
  const bool sum = spec.redop == reduce::RedOp::sum || spec.redop == reduce::RedOp::avg;
  if (windows_.empty() || spec.kind != OpKind::kAllReduce || !sum || spec.count == 0)
    return std::nullopt;
  const bool in_place = spec.send == spec.recv;
  const uint64_t bytes = spec.count * reduce::size_of(spec.dtype);
  PeerOp::Plan plan;
  if (!is_aligned(spec.send) || !is_aligned(spec.recv)) return std::nullopt;
  PeerWindow *send = find(wish, spec.send, bytes), *recv = find(wish, spec.recv, bytes);
  if (!send || !recv) return std::nullopt;
  const auto& members = wish.view->members;
  const PeerLaunch launch = peer_launch(bytes, members.size(), send->parts.size(), in_place);
  plan.kernel = kernel_of(spec.dtype, launch.way);
  if (!plan.kernel) return std::nullopt;
  plan.access = access_;
  plan.image = kernel_image();
  plan.blocks = launch.blocks;
  const uint64_t op = send->ops++, send_at = send->offset_of(spec.send),
                 recv_at = recv->offset_of(spec.recv), set = op % PeerWindow::kFlagSets,
                 slot = op % RHZ_PEER_SLOTS;
  PeerAllReduce& p = plan.parameters;
  for (size_t r = 0; r < members.size(); ++r) {
    const PeerWindow::Part &from = *send->find(members[r].id), &to = *recv->find(members[r].id);
    p.in[r] = from.memory + send_at;
    p.out[r] = to.memory + recv_at;
    p.flags[r] = reinterpret_cast<uint64_t*>(from.flags + set * PeerWindow::kFlagSetBytes);
    p.slots[r] = reinterpret_cast<uint64_t*>(from.flags + PeerWindow::kSlotsAt +
                                             slot * PeerWindow::kSlotBytes);
    p.place[r] = static_cast<uint32_t>(&from - send->parts.data());
    if (members[r].id == wish.self) p.rank = static_cast<uint32_t>(r);
    plan.slots.push_back(members[r].slot);
  }
  p.count = spec.count;
  p.ranks = static_cast<uint32_t>(members.size());
  p.slot_lines = peer::slot_lines(send->parts.size());
  p.first_flag = static_cast<uint32_t>(1 + op / PeerWindow::kFlagSets * RHZ_PEER_STEPS);
  p.ended_blocks =
      reinterpret_cast<uint64_t*>(send->parts[send->self].flags + PeerWindow::kEndedBlocksAt) + set;
  p.push_flag = static_cast<uint32_t>(op + 1);
  p.slot_before = static_cast<uint32_t>(op / RHZ_PEER_SLOTS);
  p.slot_over =
      reinterpret_cast<uint32_t*>(send->parts[send->self].flags + PeerWindow::kSlotsOverAt) + slot;
  p.divisor = spec.redop == reduce::RedOp::avg ? static_cast<float>(p.ranks) : 1.0f;
  p.bound_ns = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(spec.timeout).count());
  plan.host_in = send->host.begin + send_at;
  plan.host_out = recv->host.begin + recv_at;
  plan.tag = tag_of(wish, op, *send, *recv);
  plan.epoch = wish.view->epoch;
  return plan;
}

Result<std::byte*> PeerWindows::take_room(const DeviceQueue& queue, uint64_t bytes) {
  {
    std::lock_guard lock(rooms_mutex_);
    for (Room& room : rooms_)
      if (room.idle && room.bytes >= bytes && room.queue.context == queue.context) {
        room.idle = false;
        return room.begin;
      }
  }
  auto begin = access_->allocate(queue, bytes, false);
  if (!begin) return begin;
  std::lock_guard lock(rooms_mutex_);
  rooms_.push_back({queue, begin.value(), bytes, false});
  return begin;
}

void PeerWindows::give_room_back(std::byte* begin) {
  std::lock_guard lock(rooms_mutex_);
  for (Room& room : rooms_)
    if (room.begin == begin) room.idle = true;
}

void PeerWindows::close(PeerWindow& window) {
  for (size_t i = 0; i < window.parts.size(); ++i) {
    const PeerWindow::Part& part = window.parts[i];
    if (i == window.self) continue;
    access_->unmap(window.queue, part.memory_name, part.memory);
    access_->unmap(window.queue, part.flags_name, part.flags);
  }
  access_->free(window.queue, window.parts[window.self].flags);
  if (window.host.begin) slabs_.give_back(window.host);
}

void PeerWindows::clear() {
  end(false);
  for (PeerWindow& window : windows_) close(window);
  windows_.clear();
  std::lock_guard lock(rooms_mutex_);
  for (const Room& room : rooms_) access_->free(room.queue, room.begin);
  rooms_.clear();
}

}  // namespace rhz::api
