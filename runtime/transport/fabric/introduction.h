// What a receiver says on a connection behind its welcome, before any credit: where the frames of
// the lane are to be sent.
//
//   magic u32   length u32   tag u64   address, `length` bytes
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "runtime/base/bytes.h"

namespace rhz::fabric {

// What a sender says there besides heartbeats and GOODBYE: the flags of a VOID without a number.
enum class Beside : uint16_t {
  kSharesReceiver = 1,  // Fabric::shares_receiver
  kOrderlyEnd = 2,      // it ends this connection, and lives
};

struct Introduction {
  static constexpr uint32_t kMagic = 0x3166687a;  // "zhf1" in memory order
  static constexpr size_t kHeadBytes = 16;

  uint32_t address_bytes = 0;
  uint64_t tag = 0;  // comes with every message of this connection
};

std::string encode_introduction(uint64_t tag, std::span<const std::byte> address);
// `from`: kHeadBytes.  Nothing: it makes no sense.
std::optional<Introduction> decode_introduction(const std::byte* from);

}  // namespace rhz::fabric
