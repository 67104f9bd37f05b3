// The first words on a connection: who calls whom, for which lane, and where the lane goes on.
//
//   sender → receiver   kHello     run, payload LinkHello
//   receiver → sender   kHelloAck  lane_seq = highest frame consumed;  or flags = Refusal, payload
//   = why, and the end
#pragma once

#include <string>

#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/wire/frame.h"

namespace rhz::tcp {

struct LinkHello {
  PeerId sender;
  PeerId receiver;
  uint64_t generation = 0;  // random for each lane object: its numbering starts at 1
  uint32_t lane = 0;        // 0: express, from 1: bulk
  friend bool operator==(const LinkHello&, const LinkHello&) = default;
};
inline constexpr size_t kLinkHelloBytes = 44;
inline constexpr size_t kHelloFrameBytes = wire::kHeaderBytes + kLinkHelloBytes;
using HelloFrame = std::array<std::byte, kHelloFrameBytes>;

inline constexpr uint32_t kMaxLanes = 16;  // of one peer, express and bulk

enum class Refusal : uint16_t {
  kNone = 0,
  kWrongRun = 1,       // final: another job took the port
  kWrongReceiver = 2,  // final: another process took the port
  kVersion = 3,        // final
  kUnknownPeer = 4,    // may pass: this side has not been told of the caller, or not yet
  kMalformed = 5,      // final
};
inline constexpr size_t kMaxRefusalText = 256;

HelloFrame encode_hello(const LinkHello& hello, uint64_t run_hash);
// `header` is a kHello of kLinkHelloBytes.
LinkHello decode_hello(const std::byte* payload);

// A whole kHelloAck, ready to be written.
std::string encode_welcome(uint64_t consumed, uint64_t run_hash);
std::string encode_refusal(Refusal refusal, std::string_view why, uint64_t run_hash);

// The process there is not the peer that was meant, and never will be.
constexpr bool is_final(Refusal refusal) {
  return refusal != Refusal::kNone && refusal != Refusal::kUnknownPeer;
}

}  // namespace rhz::tcp
