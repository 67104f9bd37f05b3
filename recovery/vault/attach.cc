#include "recovery/vault/attach.h"

#include <map>
#include <utility>

#include "recovery/vault/piece.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

// Whoever has the header has the memory.
std::shared_ptr<StateHeader> header_of(std::shared_ptr<SharedRegion> region) {
  auto* const header = reinterpret_cast<StateHeader*>(region->data());
  return {std::move(region), header};
}

// A page for the header, and the table behind it.
Result<Keeping> make_head(const State& state, const StateTable& table) {
  const std::vector<std::byte> bytes = table.serialise();
  auto region = SharedRegion::create(kStateHeaderBytes + bytes.size());
  if (!region) return Status(Code::kMemory, region.status().text());
  auto head = std::make_shared<SharedRegion>(std::move(region).value());
  std::memcpy(head->data() + kStateHeaderBytes, bytes.data(), bytes.size());
  auto* const header = new (head->data()) StateHeader;
  header->table_bytes = bytes.size();
  header->copy_from(state.header());
  auto piece = duplicate(head->fd());
  if (!piece) return piece.status();
  head->forget_fd();
  Keeping keeping;
  keeping.pieces.push_back(std::move(piece).value());
  keeping.header = header_of(std::move(head));
  return keeping;
}

}  // namespace

Result<Keeping> keep_state(const State& state, const SharedMemory& memory) {
  StateTable table;
  std::vector<const SharedMemory::Block*> blocks;
  std::map<const SharedMemory::Block*, uint32_t> numbers;
  for (const Tensor& tensor : state.all_tensors()) {
    const SharedMemory::Block* const block = memory.find(tensor.data, tensor.bytes);
    if (!block)
      return Status(Code::kArgument,
                    "tensor \"" + tensor.name + "\" lies in no memory of rhz_alloc");
    const auto [at, added] = numbers.emplace(block, static_cast<uint32_t>(blocks.size() + 1));
    if (added) blocks.push_back(block);
    const auto offset = static_cast<uint64_t>(tensor.data - block->region.data());
    table.entries.push_back({tensor.name,
                             tensor.dtype,
                             tensor.count_elems,
                             0,
                             tensor.count_elems,
                             at->second,
                             offset,
                             tensor.bytes,
                             {}});
  }
  auto keeping = make_head(state, table);
  if (!keeping) return keeping;
  for (const SharedMemory::Block* block : blocks) {
    auto piece = duplicate(block->region.fd());
    if (!piece) return piece.status();
    keeping.value().pieces.push_back(std::move(piece).value());
  }
  return keeping;
}

Result<KeptState> open_kept(std::vector<Fd> pieces) {
  std::vector<uint64_t> sizes;
  for (const Fd& piece : pieces) sizes.push_back(piece_bytes(piece));
  if (pieces.size() < 2) return Status(Code::kCorrupt, "a state has two pieces at least");
  auto region = SharedRegion::adopt(pieces.front().release());
  if (!region) return Status(Code::kCorrupt, region.status().text());
  auto head = std::make_shared<SharedRegion>(std::move(region).value());
  head->forget_fd();
  const auto* const header = reinterpret_cast<const StateHeader*>(head->data());
  if (head->size() < kStateHeaderBytes || header->magic != StateHeader::kMagic ||
      header->table_bytes > head->size() - kStateHeaderBytes)
    return Status(Code::kCorrupt, "what was kept does not begin with the header of a state");
  // A copy: whoever wrote it may still be about to change it.
  const ConstBytes kept{head->data() + kStateHeaderBytes, header->table_bytes};
  const std::vector<std::byte> bytes(kept.begin(), kept.end());
  auto table = StateTable::parse(bytes, sizes);
  if (!table) return table.status();
  for (const TableEntry& entry : table.value().entries) {
    if (entry.piece == 0 || entry.offset < SharedMemory::kControlBytes ||
        entry.count != entry.count_elems)
      return Status(Code::kCorrupt, "tensor \"" + entry.name + "\" lies where none can be");
  }
  pieces.erase(pieces.begin());
  return KeptState{header_of(std::move(head)), std::move(table).value(), std::move(pieces)};
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

Status map_kept(KeptState& kept, SharedMemory& memory, std::span<Tensor> tensors) {
  if (Status same = kept.table.matches(tensors); !same) return same;
  std::vector<std::byte*> begins;
  Status failed;
  for (Fd& block : kept.blocks) {
    auto begin = memory.adopt(block.release());
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
    tensors[i].data = begins[entry.piece - 1] + (entry.offset - SharedMemory::kControlBytes);
  }
  return Status::ok();
}

void unmap_kept(SharedMemory& memory, std::span<const Tensor> tensors) {
  for (const Tensor& tensor : tensors)
    if (const auto* block = memory.find(tensor.data, tensor.bytes))
      (void)memory.free(block->begin());
}

Status check_root(const StateHeader& header, std::span<const Tensor> tensors) {
  std::vector<Digest> digests;
  for (const Tensor& tensor : tensors) digests.push_back(tensor_digest(tensor.view()));
  const Digest found = digest_of(digests);
  if (found == header.root) return Status::ok();
  return {Code::kStateLost, "its bytes are not those of revision " +
                                std::to_string(header.revision.load()) + ": their digest is " +
                                to_hex(found) + ", and was " + to_hex(header.root)};
}

}  // namespace rhz::recovery
