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

Status SnapshotCopy::copy_piece(const Fd& buffer, uint64_t at, uint64_t bytes) {
  TableEntry& entry = table_.entries[entry_];
  const Tensor& tensor = tensors_[entry_];
  const std::byte* const from = begin_of(entry, tensor) + at;
  const uint64_t offset = entry.offset + at;
  if (tensor.device) {
    if (mapped_.size() < info_.bytes())
      return {Code::kState, "the buffer is not mapped, and no device copies into it"};
    if (at % StateMemory::kDigestedBytes == 0) {
      const uint64_t digested = std::min(StateMemory::kDigestedBytes, entry.bytes - at);
      if (Status s = fetch_.digest(tensor, from, digested, &entry.blocks); !s) return s;
    }
    return fetch_.copy(tensor, from, mapped_.subspan(offset, bytes));
  }
  const ConstBytes piece{from, bytes};
  if (Status put = write_piece(buffer, offset, piece); !put) return put;
  for (uint64_t i = 0; i < digest_blocks(bytes); ++i)
    entry.blocks.push_back(digest128(digest_block(piece, i)));
  return Status::ok();
}

Status SnapshotCopy::finish(const Fd& buffer) {
  if (Status landed = fetch_.drain(); !landed) return landed;
  return write_piece(buffer, info_.data_bytes, table_.serialise());
}

Result<bool> SnapshotCopy::step(const Fd& buffer, uint64_t budget_bytes) {
  for (uint64_t copied = 0; entry_ < table_.entries.size(); ++entry_, at_ = 0) {
    const uint64_t all = table_.entries[entry_].bytes;
    const uint64_t most = tensors_[entry_].device ? StateMemory::kPieceBytes : kPieceOfCopy;
    while (at_ < all) {
      if (copied >= budget_bytes) return false;
      const uint64_t bytes = std::min(most, all - at_);
      if (Status put = copy_piece(buffer, at_, bytes); !put) return put;
      at_ += bytes;
      copied += bytes;
    }
  }
  if (Status done = finish(buffer); !done) return done;
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
      restore.pieces_.push_back({&entry, &tensors[i], at});
  }
  return restore;
}

// Behind a device the CPU looks at the bytes before they go there.
Status Restore::piece(size_t index) const {
  const Piece& piece = pieces_[index];
  const auto& [entry, tensor, at] = piece;
  std::byte* const to = begin_of(*entry, *tensor) + at;
  const uint64_t bytes = std::min(kPieceOfCopy, entry->bytes - at);
  std::vector<std::byte> staged(tensor->device ? bytes : 0);
  const MutableBytes into{tensor->device ? staged.data() : to, bytes};
  if (Status got = read_piece(snapshot_->buffer, entry->offset + at, into); !got) return got;
  if (Status same = check(piece, into); !same || !tensor->device) return same;
  auto lane = tensor->device->lane(to);
  Status put = lane.status();
  if (put) put = lane.value()->begin_put(to, into);
  if (put) put = lane.value()->finish();
  return put;
}

Status Restore::check(const Piece& piece, ConstBytes bytes) const {
  for (uint64_t i = 0; !unchecked_ && i < digest_blocks(bytes.size()); ++i) {
    const uint64_t block = piece.at / kDigestBlockBytes + i;
    if (digest128(digest_block(bytes, i)) == piece.entry->blocks[block]) continue;
    return {Code::kCorrupt, "the snapshot of revision " + std::to_string(snapshot_->info.revision) +
                                " is damaged in tensor \"" + piece.entry->name + "\", byte " +
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
