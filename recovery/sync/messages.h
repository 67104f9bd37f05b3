// Payloads of the frames STATE_PULL (a joiner asks) and STATE_DATA (a donor answers).  Little-endian, 32 bytes each:
//
//   offset  PULL                            DATA
//   0       kind u32: 1 manifest, 2 range,  echoed
//           3 updates
//   4       tensor u32 (range; else 0)      echoed
//   8       sync u64: the admit op          echoed
//   16      offset u64                      echoed
//   24      length u32                      echoed
//   28      0 u32                           status u32, and with status 0 `length` bytes follow
//
// `offset` counts bytes of the tensor (named by its position in the order of names), of the serialised manifest, or of the log of
// updates since the copy of `sync` (update_log.h).  A range
// begins at a multiple of 256 KiB and ends at one or at the end of the tensor: every byte of it is in a block that can be checked.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "runtime/base/bytes.h"
#include "runtime/base/types.h"

namespace rhz::recovery {

// Large enough that a round trip per range is small against its transfer, small enough that losing one costs little.
inline constexpr uint32_t kMaxPullBytes = 1u << 20;
inline constexpr uint32_t kPullBytes = 32;
inline constexpr uint32_t kDataHeaderBytes = 32;
// The longest payload of STATE_DATA; longer ones are dropped unread.
inline constexpr uint32_t kMaxStateDataBytes = kDataHeaderBytes + kMaxPullBytes;

enum class PullKind : uint32_t { kManifest = 1, kRange = 2, kUpdates = 3 };

enum class DataStatus : uint32_t {
  kOk = 0,
  kClosed = 1,    // this donor does not, or no longer, stand at that admit op
  kRefused = 2,   // there is no such range
  kBusy = 3,      // too many answers are unsent, or it is not here yet: ask again
  kDiverged = 4,  // this donor's tensors are not the logged ones
};

struct Pull {
  PullKind kind = PullKind::kManifest;
  uint32_t tensor = 0;
  OpSeq sync;
  uint64_t offset = 0;
  uint32_t length = 0;  // 1 … kMaxPullBytes
  friend bool operator==(const Pull&, const Pull&) = default;
};

struct Data {
  Pull pull;
  DataStatus status = DataStatus::kOk;
  ConstBytes bytes;  // into the payload; empty unless kOk
};

// Whether this is a range of a tensor of so many bytes, all of it in blocks that can be checked.
bool is_range(const Pull& pull, uint64_t tensor_bytes);

using PullPayload = std::array<std::byte, kPullBytes>;

PullPayload encode_pull(const Pull& pull);
// Empty when it is not one: wrong size, kind, length or reserved field.
std::optional<Pull> decode_pull(ConstBytes payload);

// Writes kDataHeaderBytes bytes.
void encode_data_header(const Pull& pull, DataStatus status, std::byte* out);
// Empty when it is not one, also when the bytes that follow are not as many as the status and the length say.
std::optional<Data> decode_data(ConstBytes payload);

}  // namespace rhz::recovery
