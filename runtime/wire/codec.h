// Control messages and log records as bytes (control.capnp), and back.  Cap'n Proto stays behind
// this header: the codec_*.cc files are its only users, and no exception of it leaves them. Pure
// functions, any thread.  Input may be unaligned and may be hostile: it gets a Status, never an
// assertion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/agreement/message.h"
#include "runtime/agreement/record.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"

namespace rhz::wire {

// Bounds that encoding and decoding share, so that what one peer can write another can read (B1).
// They are above all that a run of kMaxPeers needs, and keep what a message can make its reader
// allocate in proportion to its size.
inline constexpr size_t kMaxPeers = 1u << 16;    // members, ranks, joiners, … of one list
inline constexpr size_t kMaxRetired = 1u << 19;  // ids that were removed before they had sealed once (8 MiB)
inline constexpr size_t kMaxGroups = 1u << 16;   // of one report or resolution
inline constexpr size_t kMaxOps = 1u << 16;      // of one group
inline constexpr size_t kMaxRuns = 1u << 19;     // of chunks, in one op
inline constexpr size_t kMaxHistory = 1u << 12;  // views
inline constexpr size_t kMaxEntries = 1u << 16;  // of the log, in one message
inline constexpr size_t kMaxEndpoints = 64;      // of one peer
inline constexpr size_t kMaxMetrics = 8;         // of one peer
inline constexpr size_t kMaxFaults = 32;         // of one status reply
inline constexpr size_t kMaxStringBytes = 4u << 10;  // of any text
// A record by itself: 1 MiB below kMaxControlBytes, room for the EntriesMessage that carries it.
inline constexpr size_t kMaxEntryBytes = 15u << 20;

// The bytes of the message, a multiple of 8.  Text for people (a status, a cause) is cut at
// kMaxStringBytes.  Empty where the message breaks another bound, or as a whole is larger than
// kMaxControlBytes (an entry: than kMaxEntryBytes): the caller has to check.
[[nodiscard]] std::vector<std::byte> encode(const ControlMessage& message);
[[nodiscard]] std::vector<std::byte> encode(const LogEntry& entry);

// kArgument, with what was wrong and where, for anything that encode() cannot have written.
[[nodiscard]] Result<ControlMessage> decode_message(ConstBytes bytes);
[[nodiscard]] Result<LogEntry> decode_entry(ConstBytes bytes);

}  // namespace rhz::wire
