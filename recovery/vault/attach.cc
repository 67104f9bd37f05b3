#include "recovery/vault/attach.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "recovery/state/device_tensors.h"
#include "recovery/vault/device_pieces.h"
#include "recovery/vault/piece.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

// Whoever has the header has the memory.
std::shared_ptr<StateHeader> header_of(std::shared_ptr<SharedRegion> region) {
  auto* const header = reinterpret_cast<StateHeader*>(region->data());
  return {std::move(region), header};
}

constexpr size_t kDeviceRecordBytes = sizeof(DeviceId) + sizeof(uint64_t);

// A page for the header, the table behind it, and what there is of devices.
Result<Keeping> make_head(const State& state, const StateTable& table,
                          std::span<const DeviceBlock* const> devices) {
  const std::vector<std::byte> bytes = table.serialise();
  auto region =
      SharedRegion::create(kStateHeaderBytes + bytes.size() + devices.size() * kDeviceRecordBytes);
  if (!region) return Status(Code::kMemory, region.status().text());
  auto head = std::make_shared<SharedRegion>(std::move(region).value());
  std::memcpy(head->data() + kStateHeaderBytes, bytes.data(), bytes.size());
  auto* const header = new (head->data()) StateHeader;
  header->table_bytes = bytes.size();
  header->device_pieces = devices.size();
  std::byte* record = head->data() + kStateHeaderBytes + bytes.size();
  for (const DeviceBlock* block : devices) {
    std::memcpy(record, block->device.data(), sizeof(DeviceId));
    store(record + sizeof(DeviceId), block->bytes);
    record += kDeviceRecordBytes;
    header->device_bytes += block->bytes;
  }
  header->copy_from(state.header());
  auto piece = duplicate(head->fd());
  if (!piece) return piece.status();
  head->forget_fd();
  Keeping keeping;
  keeping.pieces.push_back(std::move(piece).value());
  keeping.header = header_of(std::move(head));
  return keeping;
}

// Which piece each tensor lies in: those of the host come first.
class Placing {
 public:
  bool add(const Tensor& tensor, const SharedMemory::Block* block) {
    return block && add(tensor, blocks, block, block->region.data());
  }
  bool add(const Tensor& tensor, const DeviceBlock* block) {
    return block && add(tensor, on_device, block, block->begin);
  }
  StateTable table() {
    for (size_t i = 0; i < table_.entries.size(); ++i)
      table_.entries[i].piece += static_cast<uint32_t>(1 + (device_[i] ? blocks.size() : 0));
    return std::move(table_);
  }
  std::vector<const SharedMemory::Block*> blocks;
  std::vector<const DeviceBlock*> on_device;

 private:
  template <class Block>
  bool add(const Tensor& tensor, std::vector<const Block*>& all, const Block* block,
           const std::byte* begin) {
    const auto [at, added] = numbers_.emplace(block, static_cast<uint32_t>(all.size()));
    if (added) all.push_back(block);
    table_.entries.push_back({tensor.name,
                              tensor.dtype,
                              tensor.count_elems,
                              0,
                              tensor.count_elems,
                              at->second,
                              static_cast<uint64_t>(tensor.data - begin),
                              tensor.bytes,
                              {}});
    device_.push_back(tensor.device != nullptr);
    return true;
  }

  StateTable table_;
  std::vector<bool> device_;  // of each entry
  std::map<const void*, uint32_t> numbers_;
};

// Null: it goes with this process.
const DeviceBlock* block_of(const Tensor& tensor, const DeviceBlocks& devices,
                            std::span<const DeviceBlock> held) {
  const DeviceBlock* const own = devices.find(tensor.data, tensor.bytes);
  if (own && own->fd.valid()) return own;
  for (const DeviceBlock& block : held)
    if (tensor.data >= block.begin && tensor.data + tensor.bytes <= block.begin + block.bytes)
      return &block;
  return nullptr;
}

// What the head says of the pieces that are a device's.
Result<std::vector<KeptState::OnDevice>> read_devices(const SharedRegion& head, size_t pieces) {
  const auto* const header = reinterpret_cast<const StateHeader*>(head.data());
  const uint64_t count = header->device_pieces, behind = kStateHeaderBytes + header->table_bytes;
  if (count >= pieces || count > (head.size() - behind) / kDeviceRecordBytes)
    return Status(Code::kCorrupt, "the header tells of more memory of devices than there is");
  std::vector<KeptState::OnDevice> all(count);
  const std::byte* record = head.data() + behind;
  for (KeptState::OnDevice& one : all) {
    std::memcpy(one.device.data(), record, sizeof(DeviceId));
    one.bytes = load<uint64_t>(record + sizeof(DeviceId));
    if (one.bytes == 0 || one.bytes > kMaxPieceBytes)
      return Status(Code::kCorrupt, "memory of a device has an impossible size");
    record += kDeviceRecordBytes;
  }
  return all;
}

}  // namespace

Result<Keeping> keep_state(const State& state, const SharedMemory& memory,
                           const DeviceBlocks& devices, std::span<const DeviceBlock> held) {
  Placing placing;
  for (const Tensor& tensor : state.all_tensors()) {
    const bool placed = tensor.device ? placing.add(tensor, block_of(tensor, devices, held))
                                      : placing.add(tensor, memory.find(tensor.data, tensor.bytes));
    if (!placed)
      return Status(Code::kArgument, "tensor \"" + tensor.name + "\" lies in no memory of " +
                                         (tensor.device ? "rhz_cuda_alloc" : "rhz_alloc"));
  }
  StateTable table = placing.table();
  auto keeping = make_head(state, table, placing.on_device);
  if (!keeping) return keeping;
  std::vector<int> fds;
  for (const SharedMemory::Block* block : placing.blocks) fds.push_back(block->region.fd());
  for (const DeviceBlock* block : placing.on_device) fds.push_back(block->fd.get());
  for (int fd : fds) {
    auto piece = duplicate(fd);
    if (!piece) return piece.status();
    keeping.value().pieces.push_back(std::move(piece).value());
  }
  return keeping;
}

Result<KeptState> open_kept(std::vector<Fd> pieces) {
  if (pieces.size() < 2) return Status(Code::kCorrupt, "a state has two pieces at least");
  auto region = SharedRegion::adopt(pieces.front().release());
  if (!region) return Status(Code::kCorrupt, region.status().text());
  auto head = std::make_shared<SharedRegion>(std::move(region).value());
  head->forget_fd();
  const auto* const header = reinterpret_cast<const StateHeader*>(head->data());
  if (head->size() < kStateHeaderBytes || header->magic != StateHeader::kMagic ||
      header->table_bytes > head->size() - kStateHeaderBytes)
    return Status(Code::kCorrupt, "what was kept does not begin with the header of a state");
  auto on_device = read_devices(*head, pieces.size());
  if (!on_device) return on_device.status();
  const size_t of_host = pieces.size() - on_device.value().size();
  std::vector<uint64_t> sizes = {head->size()};
  for (size_t i = 1; i < of_host; ++i) sizes.push_back(piece_bytes(pieces[i]));
  for (const KeptState::OnDevice& one : on_device.value()) sizes.push_back(one.bytes);
  // A copy: whoever wrote it may still be about to change it.
  const ConstBytes kept{head->data() + kStateHeaderBytes, header->table_bytes};
  const std::vector<std::byte> bytes(kept.begin(), kept.end());
  auto table = StateTable::parse(bytes, sizes);
  if (!table) return table.status();
  for (const TableEntry& entry : table.value().entries) {
    const uint64_t least = entry.piece < of_host ? SharedMemory::kControlBytes : 0;
    if (entry.piece == 0 || entry.offset < least || entry.count != entry.count_elems)
      return Status(Code::kCorrupt, "tensor \"" + entry.name + "\" lies where none can be");
  }
  pieces.erase(pieces.begin());
  const bool copied = std::any_of(pieces.begin(), pieces.end(), is_held_elsewhere);
  return KeptState{header_of(std::move(head)), std::move(table).value(), std::move(pieces),
                   std::move(on_device).value(), copied};
}

Status judge_kept(const StateHeader& header) {
  const std::string revision = std::to_string(header.revision.load());
  switch (header.verdict()) {
    case StateHeader::Verdict::kWhole: return Status::ok();
    case StateHeader::Verdict::kOpen:
      return {Code::kStateLost,
              "its trainer died inside an update of revision " + revision +
                  ", so that its tensors hold neither this revision nor the next"};
    case StateHeader::Verdict::kUncommitted:
      return {Code::kStateLost, "its trainer died between an update of revision " + revision +
                                    " and the commit behind it"};
    case StateHeader::Verdict::kNoRevision:
      return {Code::kStateLost, "its trainer had committed no revision yet"};
    case StateHeader::Verdict::kUnmarked: break;
  }
  return {Code::kStateLost,
          "its trainer did not mark its updates (rhz_state_begin_update), so that nobody knows "
          "whether it is whole"};
}

Status map_devices(KeptState& kept, DeviceBlocks& devices) {
  const size_t of_host = kept.blocks.size() - kept.on_device.size();
  for (size_t i = 0; i < kept.on_device.size(); ++i) {
    KeptState::OnDevice& one = kept.on_device[i];
    Fd& piece = kept.blocks[of_host + i];
    auto begin = is_held_elsewhere(piece)
                     ? copy_held(piece, one.bytes, one.device, devices)
                     : devices.adopt(std::move(piece), one.bytes, one.device);
    if (!begin) {
      unmap_devices(kept, devices);
      return begin.status();
    }
    one.begin = begin.value();
  }
  kept.blocks.resize(of_host);
  return Status::ok();
}

void unmap_devices(KeptState& kept, DeviceBlocks& devices) {
  for (KeptState::OnDevice& one : kept.on_device)
    if (std::byte* const begin = std::exchange(one.begin, nullptr)) (void)devices.free(begin);
}

namespace {

// In place of the block.
Result<std::byte*> copy_of(std::byte* block, SharedMemory& memory) {
  const size_t bytes = memory.find(block, 0)->size();
  auto copy = memory.allocate(bytes);
  if (copy) std::memcpy(copy.value(), block, bytes);
  (void)memory.free(block);
  return copy;
}

}  // namespace

Status map_kept(KeptState& kept, SharedMemory& memory, StateMemory* device_memory,
                std::span<Tensor> tensors) {
  if (Status same = kept.table.matches(tensors); !same) return same;
  std::vector<std::byte*> begins;
  Status failed;
  for (Fd& block : kept.blocks) {
    auto begin = memory.adopt(block.release());
    if (begin && kept.copied) begin = copy_of(begin.value(), memory);
    if (begin)
      begins.push_back(begin.value());
    else
      failed = begin.status();
  }
  if (!failed) {
    for (std::byte* begin : begins) (void)memory.free(begin);
    return failed;
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TableEntry& entry = kept.table.entries[i];
    const size_t piece = entry.piece - 1;
    if (piece >= begins.size()) {
      tensors[i].data = kept.on_device[piece - begins.size()].begin + entry.offset;
      tensors[i].device = device_memory;
    } else {
      tensors[i].data = begins[piece] + (entry.offset - SharedMemory::kControlBytes);
    }
  }
  return Status::ok();
}

void unmap_kept(SharedMemory& memory, std::span<const Tensor> tensors) {
  for (const Tensor& tensor : tensors)
    if (const auto* block = tensor.device ? nullptr : memory.find(tensor.data, tensor.bytes))
      (void)memory.free(block->begin());
}

Status check_root(const StateHeader& header, std::span<const Tensor> tensors) {
  const auto root = root_of(tensors);
  if (!root) return root.status();
  const Digest found = root.value();
  if (found == header.root) return Status::ok();
  return {Code::kStateLost, "its bytes are not those of revision " +
                                std::to_string(header.revision.load()) + ": their digest is " +
                                to_hex(found) + ", and was " + to_hex(header.root)};
}

}  // namespace rhz::recovery
