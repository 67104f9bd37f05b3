// The safetensors format (huggingface.co/docs/safetensors), as its reference implementation checks
// it:
//
//   file   = header length u64 little-endian, header, data
//   header = JSON object: tensor name → {"dtype", "shape", "data_offsets": [begin, end]}, and
//            "__metadata__" → {text: text}; spaces at its end, so that data is aligned to 8 bytes
//
// Offsets count from the beginning of data; together they cover data exactly, without gap or
// overlap.  Pure functions, any thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "collectives/reduce/dtype.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

inline constexpr size_t kSafetensorsLengthBytes = 8;
inline constexpr uint64_t kMaxSafetensorsHeaderBytes =
    100'000'000;  // the reference implementation's limit

struct SafetensorsEntry {
  std::string name;
  reduce::Dtype dtype = reduce::Dtype::f32;
  std::vector<uint64_t> shape;  // none: a scalar
  uint64_t begin = 0, end = 0;  // of data
  friend bool operator==(const SafetensorsEntry&, const SafetensorsEntry&) = default;
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsEntry> tensors;  // by rising offset

  const SafetensorsEntry* find(const std::string& name) const;
  friend bool operator==(const SafetensorsHeader&, const SafetensorsHeader&) = default;
};

// "F32" …; null for none of these dtypes.
const char* safetensors_dtype(reduce::Dtype dtype);
// The product of `shape`; false where it does not fit.
bool element_count(std::span<const uint64_t> shape, uint64_t& count);
// "[2, 3]"
std::string shape_text(std::span<const uint64_t> shape);

// Length and header, ready to be written in front of data.  kArgument: a name that is empty, taken,
// reserved or not UTF-8, an entry whose offsets do not follow from its shape or from the entry
// before, a header that is too long.
[[nodiscard]] Result<std::string> write_safetensors_header(const SafetensorsHeader& header);

// The length of the header, from the first 8 bytes of a file of `file_bytes` bytes.  kCorrupt where
// it cannot be.
[[nodiscard]] Result<uint64_t> safetensors_header_bytes(ConstBytes front, uint64_t file_bytes);
// `header`: without its length.  kCorrupt, with what is wrong, for everything that the reference
// implementation refuses, and for dtypes that this library does not have.  Allocates at most a
// small multiple of its input.
[[nodiscard]] Result<SafetensorsHeader> parse_safetensors_header(ConstBytes header,
                                                                 uint64_t data_bytes);

}  // namespace rhz::recovery
