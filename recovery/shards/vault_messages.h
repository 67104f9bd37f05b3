// What is said to a vault, and what it answers: the whole interface between those who protect or
// restore a stage and the process that holds shards for it.  A request is answered once, by the
// same header with a status; requests to one vault may be answered in any order.
//
//   begin    shards of (stage, revision) will come.  The newest sealed revision of the stage,
//            or 0, comes with it: the vault seals what it holds of that and forgets what nobody
//            will seal
//   put      `length` bytes of shard (stripe, shard), which has shard_bytes of them, from `offset`
//            on.  Answered with the shard's tensor digest once it is complete, else without bytes
//   seal     the log has this revision: older ones are dropped, but for the one sealed before
//   discard  this revision will not be sealed
//   digests  of a complete shard: its block digests
//   get      `length` bytes of a complete shard, from `offset` on
//
// As bytes, little-endian: a header of 64 bytes, and what follows it.
//
//   offset  field
//   0       verb u32
//   4       status u32        0 in a request; else rhz_status, and its text follows
//   8       epoch u64         newest view of the sender; an older one than the vault has seen is
//                             stale
//   16      revision u64      from 1
//   24      tag u64           begin: the newest sealed revision, or 0; seal: the one before this
//                             one, or 0, or this one: whichever is there; put: echoed
//   32      shard_bytes u64
//   40      offset u64        begin: 0
//   48      stage u32
//   52      stripe u32
//   56      shard u32
//   60      length u32        of a range; 0: none
//
// Plain data and pure functions, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {

// A range: large enough that a round trip is small against its transfer.  Begins at a multiple of
// kDigestBlockBytes and ends at one, or with the shard.
inline constexpr uint32_t kMaxRangeBytes = 1u << 20;
inline constexpr uint32_t kVaultHeaderBytes = 64;
// B1: of one shard, so that a request cannot make a vault take all of its memory at once.
inline constexpr uint64_t kMaxShardBytes = uint64_t{1} << 30;
// The longest message: a range, or the digests of the longest shard.
inline constexpr uint32_t kMaxVaultMessageBytes = kVaultHeaderBytes + kMaxRangeBytes;
static_assert(kMaxShardBytes / kDigestBlockBytes * sizeof(Digest) <= kMaxRangeBytes);

enum class VaultVerb : uint32_t { begin = 1, put, seal, discard, digests, get };

struct VaultRequest {
  VaultVerb verb = VaultVerb::begin;
  Epoch epoch;
  uint32_t stage = 0;
  uint64_t revision = 0;
  // begin: the newest sealed revision; seal: the one that was sealed before; put: echoed
  uint64_t tag = 0;
  uint32_t stripe = 0, shard = 0;
  uint64_t shard_bytes = 0;
  uint64_t offset = 0;
  uint32_t length = 0;
  ConstBytes bytes;  // put: borrowed from the sender until the reply, or until the vault is lost
};

struct VaultReply {
  VaultRequest request;  // without its bytes
  Status status;
  // Borrowed from the vault until the next call: digests (16 bytes each), or the bytes of a range.
  ConstBytes bytes;
};

// To be sent.
struct VaultSend {
  PeerId vault;
  VaultRequest request;
};

using VaultHeader = std::array<std::byte, kVaultHeaderBytes>;

// The header; the sender puts request.bytes, or the reply's bytes or text, behind it.
VaultHeader encode_header(const VaultRequest& request, Code status = Code::kOk);
// Views into `message`.  Nothing where it is none: wrong size, verb, or a range that cannot be.
std::optional<VaultRequest> decode_request(ConstBytes message);
std::optional<VaultReply> decode_reply(ConstBytes message);

}  // namespace rhz::recovery
