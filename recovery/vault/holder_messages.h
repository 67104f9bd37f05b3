// What is said about a device's memory that is held beyond its process (docs/wire.md, "Memory of
// devices"): one form for all, little-endian.
//
//   message = magic "RHZH" u32, version 1 u16, kind u16, number u64, bytes u64, device 16 bytes,
//             name 64 bytes, status u32, text length u32, text
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/device/plain_memory.h"

namespace rhz::recovery {

enum class HolderKind : uint16_t {
  kPiece = 1,  // vault → holder, with one descriptor: the connection for a piece
  // trainer → holder, on such a connection; each is answered by kDone
  kHold = 2,  // this allocation, until the connection's end
  kFill = 3,  // copies what is held into this one, of as many bytes, of the same device
  kDone = 32,
};

inline constexpr size_t kHolderMessageBytes = 112;
inline constexpr size_t kMaxHolderText = 256;

struct HolderMessage {
  HolderKind kind = HolderKind::kDone;
  uint64_t number = 0;  // of a request, and of its answer: trainers follow each other on a connection
  uint64_t bytes = 0;
  SharedAllocation allocation;  // without an offset
  Code status = Code::kOk;
  std::string text;

  std::vector<std::byte> encode() const;
  // kArgument: no message of this form.  kVersion: of another version.
  [[nodiscard]] static Result<HolderMessage> decode(ConstBytes bytes);
};

}  // namespace rhz::recovery
