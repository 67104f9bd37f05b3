#include "recovery/vault/snapshot.h"

#include <algorithm>
#include <string>
#include <utility>

#include "recovery/state/even_part.h"
#include "recovery/vault/piece.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

constexpr uint64_t kAlign = 64;
// Of one system call: small enough that its digests find it in the cache, large enough that the
// call costs nothing.
constexpr uint64_t kPieceOfCopy = 4 * kDigestBlockBytes;

uint64_t aligned(uint64_t offset) { return (offset + kAlign - 1) / kAlign * kAlign; }

// The bytes of the tensor that the entry names.
std::byte* begin_of(const TableEntry& entry, const Tensor& tensor) {
  return tensor.data + entry.first * (tensor.bytes / tensor.count_elems);
}

}  // namespace

SnapshotCopy::SnapshotCopy(std::span<const Tensor> tensors, uint64_t revision, uint32_t part,
                           uint32_t parts)
    : tensors_(tensors) {
  info_.revision = revision;
  info_.part = part;
  info_.parts = parts;
  uint64_t digests = 0;
  for (const Tensor& tensor : tensors) {
    const ElementRange range = even_part(tensor.count_elems, part, parts);
    const uint64_t bytes = range.count * (tensor.bytes / tensor.count_elems);
    table_.entries.push_back({tensor.name,
                              tensor.dtype,
                              tensor.count_elems,
                              range.first,
                              range.count,
                              0,
                              info_.data_bytes,
                              bytes,
                              {}});
    table_.entries.back().blocks.reserve(digest_blocks(bytes));
    info_.data_bytes = aligned(info_.data_bytes + bytes);
    digests += digest_blocks(bytes);
  }
  info_.table_bytes = table_bytes(table_) + digests * sizeof(Digest);
}

Result<bool> SnapshotCopy::step(const Fd& buffer, uint64_t budget_bytes) {
  for (uint64_t copied = 0; entry_ < table_.entries.size(); ++entry_) {
    TableEntry& entry = table_.entries[entry_];
    const std::byte* const begin = begin_of(entry, tensors_[entry_]);
    for (uint64_t at = entry.blocks.size() * kDigestBlockBytes; at < entry.bytes;
         at += kPieceOfCopy) {
      if (copied >= budget_bytes) return false;
      const ConstBytes piece{begin + at, std::min(kPieceOfCopy, entry.bytes - at)};
      if (Status put = write_piece(buffer, entry.offset + at, piece); !put) return put;
      for (uint64_t i = 0; i < digest_blocks(piece.size()); ++i)
        entry.blocks.push_back(digest128(digest_block(piece, i)));
      copied += piece.size();
    }
  }
  if (Status put = write_piece(buffer, info_.data_bytes, table_.serialise()); !put) return put;
  return true;
}

Result<StateTable> read_table(const Snapshot& snapshot) {
  const SnapshotInfo& info = snapshot.info;
  const uint64_t size = piece_bytes(snapshot.buffer);
  if (info.data_bytes > size || info.table_bytes > size - info.data_bytes)
    return Status(Code::kCorrupt, "the snapshot is shorter than it should be");
  std::vector<std::byte> bytes(info.table_bytes);
  if (Status got = read_piece(snapshot.buffer, info.data_bytes, bytes); !got) return got;
  const uint64_t pieces[] = {info.data_bytes};
  return StateTable::parse(bytes, pieces);
}

Result<Restore> Restore::make(const Snapshot& snapshot, const StateTable& table,
                              std::span<const Tensor> tensors, bool unchecked) {
  if (Status same = table.matches(tensors); !same) return same;
  Restore restore(snapshot, unchecked);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TableEntry& entry = table.entries[i];
    if (entry.blocks.size() != digest_blocks(entry.bytes))
      return Status(Code::kCorrupt, "the snapshot has no digests of tensor \"" + entry.name + "\"");
    for (uint64_t at = 0; at < entry.bytes; at += kPieceOfCopy)
      restore.pieces_.push_back({&entry, begin_of(entry, tensors[i]), at});
  }
  return restore;
}

Status Restore::piece(size_t index) const {
  const auto& [entry, tensor, at] = pieces_[index];
  const MutableBytes into{tensor + at, std::min(kPieceOfCopy, entry->bytes - at)};
  if (Status got = read_piece(snapshot_->buffer, entry->offset + at, into); !got) return got;
  for (uint64_t i = 0; !unchecked_ && i < digest_blocks(into.size()); ++i) {
    const uint64_t block = at / kDigestBlockBytes + i;
    if (digest128(digest_block(into, i)) == entry->blocks[block]) continue;
    return {Code::kCorrupt, "the snapshot of revision " + std::to_string(snapshot_->info.revision) +
                                " is damaged in tensor \"" + entry->name + "\", byte " +
                                std::to_string(block * kDigestBlockBytes) +
                                "; the tensors hold neither what they held nor the snapshot"};
  }
  return Status::ok();
}

Status restore(const Snapshot& snapshot, const StateTable& table, std::span<const Tensor> tensors,
               bool unchecked) {
  auto work = Restore::make(snapshot, table, tensors, unchecked);
  if (!work) return work.status();
  for (size_t i = 0; i < work.value().pieces(); ++i)
    if (Status put = work.value().piece(i); !put) return put;
  return Status::ok();
}

}  // namespace rhz::recovery
