#include "recovery/vault/table.h"

#include <algorithm>
#include <utility>

#include "runtime/base/byte_stream.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

constexpr uint32_t kMagic = 0x565a4852;  // "RHZV" in memory order
constexpr uint32_t kFormat = 1;
constexpr size_t kHeaderBytes = 32;
constexpr size_t kEntryBytes = 56;  // before the name

Status refused(const char* why) {
  return {Code::kCorrupt, std::string("table of tensors: ") + why};
}

// kMaxStateBytes keeps all sums below far from their ends.
bool possible(const TableEntry& entry, uint32_t digests, std::span<const uint64_t> pieces) {
  if (entry.count_elems == 0 || entry.count_elems > kMaxStateBytes || entry.bytes > kMaxStateBytes)
    return false;
  if (entry.count > entry.count_elems || entry.first > entry.count_elems - entry.count)
    return false;
  if (entry.count == 0 ? entry.bytes != 0 : (entry.bytes == 0 || entry.bytes % entry.count != 0))
    return false;
  if (digests != 0 && digests != digest_blocks(entry.bytes)) return false;
  if (entry.piece >= pieces.size()) return false;
  const uint64_t piece = pieces[entry.piece];
  return entry.offset <= piece && entry.bytes <= piece - entry.offset;
}

Status read_entry(ByteReader& in, TableEntry& entry, std::span<const uint64_t> pieces) {
  if (in.left() < kEntryBytes) return refused("it ends inside a tensor");
  const auto name_bytes = in.number<uint32_t>();
  entry.dtype = in.number<uint32_t>();
  entry.count_elems = in.number<uint64_t>();
  entry.first = in.number<uint64_t>();
  entry.count = in.number<uint64_t>();
  entry.piece = in.number<uint32_t>();
  const auto digests = in.number<uint32_t>();
  entry.offset = in.number<uint64_t>();
  entry.bytes = in.number<uint64_t>();
  if (name_bytes == 0 || name_bytes > kMaxTensorNameBytes)
    return refused("a name has an impossible length");
  if (!possible(entry, digests, pieces)) return refused("a tensor has an impossible size or place");
  if (in.left() < name_bytes) return refused("it ends inside a name");
  const ConstBytes name = in.raw(name_bytes);
  entry.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  if (in.left() / sizeof(Digest) < digests) return refused("it ends inside the digests");
  entry.blocks.resize(digests);
  const ConstBytes blocks = in.raw(digests * sizeof(Digest));
  if (!blocks.empty()) std::memcpy(entry.blocks.data(), blocks.data(), blocks.size());
  return Status::ok();
}

}  // namespace

uint64_t table_bytes(const StateTable& table) {
  uint64_t size = kHeaderBytes;
  for (const TableEntry& entry : table.entries)
    size += kEntryBytes + entry.name.size() + entry.blocks.size() * sizeof(Digest);
  return size;
}

std::vector<std::byte> StateTable::serialise() const {
  ByteWriter out(table_bytes(*this));
  out.number(kMagic);
  out.number(kFormat);
  out.number(static_cast<uint32_t>(entries.size()));
  out.number(uint32_t{0});
  out.number(Digest{});
  for (const TableEntry& entry : entries) {
    out.number(static_cast<uint32_t>(entry.name.size()));
    out.number(entry.dtype);
    out.number(entry.count_elems);
    out.number(entry.first);
    out.number(entry.count);
    out.number(entry.piece);
    out.number(static_cast<uint32_t>(entry.blocks.size()));
    out.number(entry.offset);
    out.number(entry.bytes);
    out.raw(bytes_of(entry.name.data(), entry.name.size()));
    out.raw(std::as_bytes(std::span(entry.blocks)));
  }
  std::vector<std::byte> bytes = out.take();
  store(bytes.data() + kHeaderBytes - sizeof(Digest),
        digest128(ConstBytes(bytes).subspan(kHeaderBytes)));
  return bytes;
}

Result<StateTable> StateTable::parse(ConstBytes bytes, std::span<const uint64_t> piece_bytes) {
  ByteReader in(bytes);
  if (in.left() < kHeaderBytes) return refused("it is shorter than its header");
  if (in.number<uint32_t>() != kMagic) return refused("the magic is wrong");
  if (in.number<uint32_t>() != kFormat) return refused("the format is unknown");
  const auto tensors = in.number<uint32_t>();
  if (in.number<uint32_t>() != 0) return refused("a reserved field is set");
  if (in.number<Digest>() != digest128(bytes.subspan(kHeaderBytes)))
    return refused("it is damaged");
  if (tensors > kMaxTensors || tensors > in.left() / kEntryBytes)
    return refused("it is too short for its tensors");
  StateTable table;
  table.entries.reserve(tensors);
  for (uint32_t i = 0; i < tensors; ++i) {
    TableEntry entry;
    if (Status status = read_entry(in, entry, piece_bytes); !status) return status;
    if (i > 0 && entry.name <= table.entries.back().name) return refused("the names do not rise");
    table.entries.push_back(std::move(entry));
  }
  if (in.left() != 0) return refused("something follows the last tensor");
  return table;
}

Status StateTable::matches(std::span<const Tensor> tensors) const {
  for (size_t i = 0; i < std::min(entries.size(), tensors.size()); ++i) {
    const TableEntry& there = entries[i];
    const Tensor& here = tensors[i];
    if (there.name != here.name)
      return {Code::kMismatch,
              "tensor \"" + here.name + "\" is asked for, \"" + there.name + "\" is kept"};
    const bool same_count = there.dtype == here.dtype && there.count_elems == here.count_elems;
    const bool same_size = same_count && (there.count == 0 || there.bytes / there.count ==
                                                                  here.bytes / here.count_elems);
    if (!same_size)
      return {Code::kMismatch,
              "tensor \"" + here.name +
                  "\" is kept with another dtype or count: " + std::to_string(there.count_elems) +
                  " elements of dtype " + std::to_string(there.dtype)};
  }
  if (entries.size() == tensors.size()) return Status::ok();
  return {Code::kMismatch, std::to_string(tensors.size()) + " tensors are asked for, " +
                               std::to_string(entries.size()) + " are kept"};
}

}  // namespace rhz::recovery
