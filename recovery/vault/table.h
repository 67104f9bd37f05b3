// What lies where in memory that outlives its process: the tensors of a state that a vault holds,
// or of a snapshot.  Whoever reads it takes it as hostile, since another process wrote it.
// Persisted format (docs/recovery.md), little-endian:
//
//   table  = magic "RHZV" u32, format 1 u32, tensors u32, 0 u32, XXH3-128 of what follows, tensor*
//   tensor = name length u32, dtype u32, count_elems u64, first u64, count u64, piece u32, digests
//   u32, offset u64, bytes u64, name,
//            digests (one 16-byte digest per 256 KiB block of the bytes here, or none)
//
// Tensors come by rising name; nothing follows the last one.  Pure functions, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "recovery/state/state.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz::recovery {

struct TableEntry {
  std::string name;
  uint32_t dtype = 0;
  uint64_t count_elems = 0;  // of the whole tensor
  uint64_t first = 0;        // elements [first, first + count) are here
  uint64_t count = 0;
  uint32_t piece = 0;   // in which piece of memory
  uint64_t offset = 0;  // in that piece
  uint64_t bytes = 0;
  std::vector<Digest> blocks;  // of these bytes: digest_blocks(bytes) of them, or none
  friend bool operator==(const TableEntry&, const TableEntry&) = default;
};

struct StateTable {
  std::vector<TableEntry> entries;
  friend bool operator==(const StateTable&, const StateTable&) = default;

  std::vector<std::byte> serialise() const;
  // kCorrupt: no table of this format, damaged, or entries beyond the pieces, of which
  // `piece_bytes` are the sizes.
  [[nodiscard]] static Result<StateTable> parse(ConstBytes bytes,
                                                std::span<const uint64_t> piece_bytes);

  // kMismatch unless names, dtypes and counts are those of `tensors` (by rising name); the text
  // names the first difference.
  [[nodiscard]] Status matches(std::span<const Tensor> tensors) const;
};

// Length of the serialised table.
uint64_t table_bytes(const StateTable& table);

}  // namespace rhz::recovery
