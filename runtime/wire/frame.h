// The one frame of every connection, data and control: a fixed little-endian header, then `length` bytes.
// docs/wire.md has the table and a worked example.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz::wire {

inline constexpr uint32_t kMagic = 0x315a4852;  // "RHZ1" in memory order
inline constexpr uint8_t kProtocolVersion = 3;
inline constexpr size_t kHeaderBytes = 96;
// Larger payloads are refused before a byte of them is read.
inline constexpr uint32_t kMaxDataBytes = 16u << 20;
inline constexpr uint32_t kMaxControlBytes = 16u << 20;
// An op whose result is at most this large is sent without waiting for the receiver's GRANT.
inline constexpr uint32_t kEagerBytes = 16u << 10;

enum class Kind : uint8_t {
  kHello = 1,      // first frame of a data connection; payload: LinkHello
  kHelloAck = 2,   // answer; lane_seq: highest frame consumed on this lane, payload: Refusal or empty
  kPartial = 3,    // a sum on its way to the chunk's owner
  kResult = 4,     // a final value on its way round
  kDone = 5,       // op_seq, and all ops < full_upto, are full at rank `chunk` in this epoch; kHasDigest
  kGrant = 6,      // the receiver has begun the op: bulk may flow
  kCredit = 7,     // lane_seq: highest frame consumed; against the direction of the lane
  kVoid = 8,       // takes the place of a frame whose op has ended; length 0
  kHeartbeat = 9,  // "the process lives"; never queued behind data
  kGoodbye = 10,   // the end of the connection is intended
  kControl = 11,   // payload: a Cap'n Proto message (codec.h)
  kStatePull = 12, // recovery/sync: a joiner asks for a range; not fenced by epoch
  kStateData = 13, // recovery/sync: the range, or the manifest
  // Send and receive (collectives/p2p/message.h says what their fields mean).
  kMessage = 14,   // a message, whole where it is small, else the offer of one; or that it is withdrawn
  kPull = 15,      // a receive is there: these pieces may come
  kPiece = 16,     // a piece of a message, straight to its place
  kTaken = 17,     // messages that their receives have consumed
  // What a link costs (runtime/membership/prober.h); not fenced by epoch.
  kPing = 18,      // to be answered at once; the payload means nothing
  kPong = 19,      // the answer; op_seq: that of the PING
  kVault = 20,     // on a vault's connection: a vault message (recovery/shards/vault_messages.h)
};
inline constexpr uint8_t kLastKind = 20;

constexpr bool is_message(Kind kind) { return kind >= Kind::kMessage && kind <= Kind::kTaken; }
// Frames of ops: fenced by the epoch, and ended by quiescence.
constexpr bool is_op_frame(Kind kind) {
  return (kind >= Kind::kPartial && kind <= Kind::kGrant) || is_message(kind);
}

// DONE, in flags: signature is the digest of what rank `chunk` has of the result of op_seq (O2).
inline constexpr uint16_t kHasDigest = 1;

struct FrameHeader {
  Kind kind = Kind::kVoid;
  uint16_t flags = 0;      // HELLO_ACK: why it refuses; MESSAGE: why it is withdrawn; DONE: kHasDigest
  uint32_t length = 0;     // bytes of payload
  uint64_t run = 0;        // hash of the run id
  Epoch epoch;
  OpSeq op_seq;
  GroupId group;
  ChunkIndex chunk;
  SegmentIndex segment;
  uint64_t lane_seq = 0;   // number of the frame in its lane, dense from 1; 0: not numbered
  uint64_t full_upto = 0;  // leading ops of the group that are full or over; DONE: at rank `chunk`; data: at all who have added to it
  uint64_t signature = 0;  // of the op (collectives/op.h); 0: none; DONE: see kHasDigest
  std::array<std::byte, 16> tag{};  // room for a security layer; zero

  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

using HeaderBytes = std::array<std::byte, kHeaderBytes>;

// Fills in magic, version and CRC.
void encode_header(const FrameHeader& header, std::byte* out);
// Refuses (kVersion, kArgument) a wrong magic, version, CRC, kind or length; `bytes` holds kHeaderBytes bytes.
[[nodiscard]] Result<FrameHeader> decode_header(const std::byte* bytes);

// Hash of the run id that every frame carries.
uint64_t run_hash(std::string_view run_id);

}  // namespace rhz::wire
