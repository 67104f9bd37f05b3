#include "api/src/device_use.h"

#include <algorithm>

namespace rhz::api {
namespace {

struct Sides {
  bool gives_all = false, gets_all = false;  // a block for each rank, else one
  bool gives = true, gets = true;
};

Sides sides_of(OpKind kind, bool is_root) {
  switch (kind) {
    case OpKind::kBroadcast: return {.gives = is_root, .gets = !is_root};
    case OpKind::kReduce: return {.gets = is_root};
    case OpKind::kAllGather: return {.gets_all = true};
    case OpKind::kReduceScatter: return {.gives_all = true};
    case OpKind::kGather: return {.gets_all = true, .gets = is_root};
    case OpKind::kScatter: return {.gives_all = true, .gives = is_root};
    case OpKind::kAllToAll: return {.gives_all = true, .gets_all = true};
    default: return {};
  }
}

// Blocks one by one: what lies between them is not touched.
std::vector<Extent> blocks(const std::vector<uint64_t>& starts, const std::vector<uint64_t>& counts,
                           uint32_t own, size_t element) {
  std::vector<Extent> extents;
  const bool all = starts.size() > 1;
  for (size_t i = 0; i < starts.size(); ++i) {
    const uint64_t count = counts[all || counts.size() == 1 ? i : own];
    if (count > 0) extents.push_back({starts[i] * element, count * element});
  }
  return extents;
}

DeviceUse varying_use(const OpSpec& spec, const Sides& sides) {
  const Varying& v = *spec.varying;
  const size_t element = reduce::size_of(spec.dtype);
  const auto& gives = v.is_known() ? v.counts : v.give;
  const auto& gets = v.is_known() ? v.counts : v.expect;
  DeviceUse use;
  const std::vector<uint64_t> own_in_recv = {sides.gets_all ? v.recv_at[v.rank] : 0};
  const std::vector<uint64_t> own_in_send = {sides.gives_all ? v.send_at[v.rank] : 0};
  if (sides.gives) {
    if (spec.send)
      use.send.reads = blocks(v.send_at, gives, v.rank, element);
    else
      use.recv.reads = blocks(own_in_recv, gives, v.rank, element);  // all-gather in place
  }
  if (sides.gets) {
    if (spec.recv)
      use.recv.writes = blocks(v.recv_at, gets, v.rank, element);
    else
      use.send.writes = blocks(own_in_send, gets, v.rank, element);  // reduce-scatter in place
  }
  return use;
}

DeviceUse message_use(const MessageSpec& spec) {
  DeviceUse use;
  if (spec.bytes == 0) return use;
  if (spec.sends)
    use.send.reads = {{0, spec.bytes}};
  else
    use.recv.writes = {{0, spec.bytes}};
  return use;
}

// In place, a rank may have moved by the time when the op begins: all blocks are copied, and not
// just the own one.
DeviceUse collective_use(const OpSpec& spec, bool is_root) {
  const Sides sides = sides_of(spec.kind, is_root);
  if (spec.varying) return varying_use(spec, sides);
  const size_t block = spec.count * reduce::size_of(spec.dtype),
               all = block * std::max(1u, spec.ranks);
  const Extent given{0, sides.gives_all ? all : block}, got{0, sides.gets_all ? all : block};
  DeviceUse use;
  if (block == 0) return use;
  if (sides.gives) {
    if (spec.send)
      use.send.reads = {given};
    else
      use.recv.reads = {got};
  }
  if (sides.gets) {
    if (spec.recv)
      use.recv.writes = {got};
    else
      use.send.writes = {given};
  }
  return use;
}

}  // namespace

size_t BufferUse::end() const {
  size_t end = 0;
  for (const auto* list : {&reads, &writes})
    for (const Extent& extent : *list) end = std::max(end, extent.offset + extent.bytes);
  return end;
}

DeviceUse use_of(const AnySpec& spec, bool is_root) {
  const auto* collective = std::get_if<OpSpec>(&spec);
  return collective ? collective_use(*collective, is_root)
                    : message_use(std::get<MessageSpec>(spec));
}

Buffers buffers_of(const AnySpec& spec) {
  return std::visit([](const auto& known) { return Buffers{known.send, known.recv}; }, spec);
}

}  // namespace rhz::api
