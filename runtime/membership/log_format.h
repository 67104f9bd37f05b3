// The bytes of a decision log file.  Pure functions, any thread; file_log does the input and
// output.  The format is persistent: a change that an old reader would misread raises kLogVersion.
//
//   file     = header record*                  numbers are little-endian, offsets multiples of 8
//   header   = magic         8 bytes           "RHZLOG1\n"
//              version       u32               2
//              crc           u32               CRC-32C of the header's other 28 bytes, in order
//              run           16 bytes          XXH3-128 of the run id
//   record   = mark          u32               "RHZr"
//              length        u32               bytes of the payload, a multiple of 8, <= 15 MiB
//              payload crc   u32               CRC-32C of the payload
//              head crc      u32               CRC-32C of the head's other 28 bytes, in order
//              chain         16 bytes          XXH3-128(chain before || XXH3-128(payload))
//              payload       length bytes      a LogEntry (runtime/wire/control.capnp), unpacked
//
// The chain before the first record is the XXH3-128 of the header.
// The entries' indices are dense and their terms do not fall.  The first entry has index 1, or is a
// snapshot.
//
// The torn tail.  One record is written at a time, and nothing is said to anybody before fdatasync
// has returned: so after a crash at most the last record is incomplete or partly there, and nobody
// knows of it.  A bad record is taken for that, and cut, only if it is the last thing in the file:
// its head is good and the file ends where the record does or before; or its head is bad, no good
// head follows, and no more bytes follow than one record can have.  The head has a CRC of its own
// so that a damaged length cannot make later records look like the end of this one.  Everything
// else is corruption: it is refused, never repaired.  (What this cannot tell from a torn tail is
// damage to the very last record after it was acknowledged.  A peer that says Hello with a newer
// index than the log's gives that away.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/agreement/record.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/membership/decision_log.h"

namespace rhz {

inline constexpr uint32_t kLogVersion = 3;
inline constexpr size_t kLogHeaderBytes = 32;

std::vector<std::byte> make_log_header(std::string_view run_id);

// A file that was created, but whose header never became durable: it holds no entry.
bool log_header_is_torn(ConstBytes file, std::string_view run_id);

// kCorrupt: no log, or damaged; kVersion; kRunId.
Status check_log_header(ConstBytes file, std::string_view run_id);

struct LogRecordBytes {
  std::vector<std::byte> bytes;  // head and payload
  Digest chain{};
};
// kArgument: the entry is larger than a record may be.
Result<LogRecordBytes> make_log_record(const Digest& chain_before, const LogEntry& entry);

// The chain before the first record.
Digest log_chain_start(ConstBytes header);

struct ScannedLog {
  std::vector<LogEntry> entries;
  LogTip tip;
  uint64_t good_bytes = 0;  // what lies behind is a torn tail
};
// kCorrupt, with the byte at which it is; else as check_log_header().
Result<ScannedLog> scan_log(ConstBytes file, std::string_view run_id);

}  // namespace rhz
