// What trainers and a vault say to each other (docs/wire.md, "Vault"): one form for all,
// little-endian.
//
//   message = magic "RHZV" u32, version 1 u16, kind u16, run u64, slot u32, pieces u32, data_bytes
//   u64, table_bytes u64, revision u64,
//             part u32, parts u32, pid u32, status u32, flags u32, text length u32, text
//
// What a kind does not use is 0.  Descriptors travel beside the bytes, at most kMaxDescriptors with
// one message; what does not fit follows in messages of kind kMore.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recovery/vault/vault.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

enum class VaultKind : uint16_t {
  // trainer → vault; each is answered
  kKeep = 1,    // `pieces` descriptors
  kAttach = 2,  // → kPieces, or kDone
  kDrop = 3,
  kBegin = 4,  // a snapshot → kDone; pieces = 1 and a descriptor: the buffer to be written; 0: send
               // kBuffer
  kBuffer = 5,  // one descriptor
  kSeal = 6,
  kRead = 7,  // → kSnapshot and a descriptor, or kDone
  kList = 8,  // of the slots from `slot` on → kHolder and kSnapshot for each, then kDone; with
              // kMoreHolders in flags: ask on
  kHold = 9,  // → kDone and a descriptor: the connection that one allocation of a device is held by
  // both ways
  kMore = 16,  // further descriptors of the message before
  // vault → trainer
  kDone = 32,  // status and text
  kPieces = 33,
  kSnapshot = 34,
  kHolder = 35,
};

inline constexpr size_t kVaultMessageBytes = 72;
inline constexpr size_t kMaxVaultText = 512;
inline constexpr size_t kMaxDescriptors = 250;  // the system's limit is 253

inline constexpr uint32_t kMoreHolders = 1;  // of the kDone behind a list
// Of kHolder.
inline constexpr uint32_t kHolderAlive = 1, kHolderKept = 2, kHolderVerdictShift = 8;

struct VaultMessage {
  VaultKind kind = VaultKind::kDone;
  uint64_t run = 0;
  Slot slot{};
  uint32_t pieces = 0;
  SnapshotInfo snapshot;  // kHolder: bytes that are kept, bytes of buffers, revision
  uint32_t pid = 0;
  Code status = Code::kOk;
  uint32_t flags = 0;
  std::string text;

  std::vector<std::byte> encode() const;
  // kArgument: no message of this form.  kVersion: of another version.
  [[nodiscard]] static Result<VaultMessage> decode(ConstBytes bytes);
};

}  // namespace rhz::recovery
