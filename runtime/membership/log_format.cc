#include "runtime/membership/log_format.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>

#include "runtime/base/assert.h"
#include "runtime/base/crc32c.h"
#include "runtime/digest/digest.h"
#include "runtime/wire/codec.h"

namespace rhz {
namespace {

constexpr std::string_view kMagic = "RHZLOG1\n";
constexpr uint32_t kMark = 0x727a4852;  // "RHZr" in memory order
constexpr size_t kHeadBytes = 32;
constexpr size_t kAlignment = 8;
// Offsets in the header, and in the head of a record.
constexpr size_t kVersionAt = 8, kHeaderCrcAt = 12, kRunAt = 16;
constexpr size_t kMarkAt = 0, kLengthAt = 4, kPayloadCrcAt = 8, kHeadCrcAt = 12, kChainAt = 16;

// Of 32 bytes whose CRC has its place at offset 12.
uint32_t crc_around(const std::byte* bytes) {
  static_assert(kHeaderCrcAt == kHeadCrcAt && kLogHeaderBytes == kHeadBytes);
  const uint32_t before = crc32c({bytes, kHeadCrcAt});
  return crc32c({bytes + kHeadCrcAt + 4, kHeadBytes - kHeadCrcAt - 4}, before);
}

Digest run_digest(std::string_view run_id) {
  return digest128(bytes_of(run_id.data(), run_id.size()));
}

struct Head {
  size_t length;
  uint32_t payload_crc;
  Digest chain;
};

std::optional<Head> parse_head(ConstBytes bytes) {
  if (bytes.size() < kHeadBytes) return {};
  const std::byte* at = bytes.data();
  if (load<uint32_t>(at + kMarkAt) != kMark || load<uint32_t>(at + kHeadCrcAt) != crc_around(at))
    return {};
  return Head{load<uint32_t>(at + kLengthAt), load<uint32_t>(at + kPayloadCrcAt),
              load<Digest>(at + kChainAt)};
}

Digest next_chain(const Digest& before, ConstBytes payload) {
  return digest_of(std::array{before, digest128(payload)});
}

bool payload_is_whole(const Head& head, ConstBytes rest) {
  return rest.size() - kHeadBytes >= head.length &&
         crc32c(rest.subspan(kHeadBytes, head.length)) == head.payload_crc;
}

// `rest` begins with a bad record: can it be the write that a crash interrupted?
bool is_torn_tail(const std::optional<Head>& head, ConstBytes rest) {
  if (head) return rest.size() <= kHeadBytes + head->length;
  if (rest.size() > kHeadBytes + wire::kMaxEntryBytes) return false;
  for (size_t at = kAlignment; at < rest.size(); at += kAlignment)
    if (parse_head(rest.subspan(at))) return false;
  return true;
}

Status corrupt(size_t at, const std::string& what) {
  return {Code::kCorrupt, what + " at byte " + std::to_string(at)};
}

Status check_order(const ScannedLog& log, const LogEntry& entry, size_t at) {
  if (log.entries.empty()) {
    if (entry.index == LogIndex(1) || std::holds_alternative<SnapshotRecord>(entry.record))
      return Status::ok();
    return corrupt(at, "the first record has index " + std::to_string(entry.index.value));
  }
  const Status order = check_append(log.tip, entry);
  return order ? order : corrupt(at, "a record out of place (" + order.text() + ")");
}

// Takes over the whole record at the front of `rest`.
Status accept(ScannedLog& log, const Head& head, ConstBytes rest, size_t at) {
  const ConstBytes payload = rest.subspan(kHeadBytes, head.length);
  if (next_chain(log.tip.hash, payload) != head.chain)
    return corrupt(at, "a record that does not continue the one before");
  Result<LogEntry> entry = wire::decode_entry(payload);
  if (!entry) return corrupt(at, "a record that cannot be read (" + entry.status().text() + ")");
  if (Status order = check_order(log, entry.value(), at); !order) return order;
  log.tip = {entry.value().term, entry.value().index, head.chain};
  log.entries.push_back(std::move(entry).value());
  return Status::ok();
}

}  // namespace

std::vector<std::byte> make_log_header(std::string_view run_id) {
  std::vector<std::byte> header(kLogHeaderBytes);
  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  store(header.data() + kVersionAt, kLogVersion);
  store(header.data() + kRunAt, run_digest(run_id));
  store(header.data() + kHeaderCrcAt, crc_around(header.data()));
  return header;
}

bool log_header_is_torn(ConstBytes file, std::string_view run_id) {
  if (file.size() > kLogHeaderBytes) return false;
  // A file system may have made the file longer, and not yet have written into it.
  if (std::all_of(file.begin(), file.end(), [](std::byte b) { return b == std::byte{0}; }))
    return true;
  const std::vector<std::byte> header = make_log_header(run_id);
  return file.size() < kLogHeaderBytes && std::equal(file.begin(), file.end(), header.begin());
}

Status check_log_header(ConstBytes file, std::string_view run_id) {
  if (file.size() < kLogHeaderBytes || std::memcmp(file.data(), kMagic.data(), kMagic.size()) != 0)
    return corrupt(0, "not a decision log: no \"RHZLOG1\"");
  const auto version = load<uint32_t>(file.data() + kVersionAt);
  if (version != kLogVersion)
    return {Code::kVersion, "format version " + std::to_string(version) + " instead of " +
                                std::to_string(kLogVersion)};
  if (load<uint32_t>(file.data() + kHeaderCrcAt) != crc_around(file.data()))
    return corrupt(0, "a damaged header");
  if (load<Digest>(file.data() + kRunAt) != run_digest(run_id))
    return {Code::kRunId, "it is the log of another run than \"" + std::string(run_id) + "\""};
  return Status::ok();
}

Digest log_chain_start(ConstBytes header) { return digest128(header.first(kLogHeaderBytes)); }

Result<LogRecordBytes> make_log_record(const Digest& chain_before, const LogEntry& entry) {
  const std::vector<std::byte> payload = wire::encode(entry);
  if (payload.empty()) return Status(Code::kArgument, "the entry is larger than a record may be");
  RHZ_ASSERT("log", payload.size() % kAlignment == 0);
  LogRecordBytes record{std::vector<std::byte>(kHeadBytes + payload.size()),
                        next_chain(chain_before, payload)};
  std::byte* head = record.bytes.data();
  store(head + kMarkAt, kMark);
  store(head + kLengthAt, static_cast<uint32_t>(payload.size()));
  store(head + kPayloadCrcAt, crc32c(payload));
  store(head + kChainAt, record.chain);
  store(head + kHeadCrcAt, crc_around(head));
  std::memcpy(head + kHeadBytes, payload.data(), payload.size());
  return record;
}

Result<ScannedLog> scan_log(ConstBytes file, std::string_view run_id) {
  if (Status header = check_log_header(file, run_id); !header) return header;
  ScannedLog log;
  log.tip.hash = log_chain_start(file);
  size_t at = kLogHeaderBytes;
  while (at < file.size()) {
    const ConstBytes rest = file.subspan(at);
    const std::optional<Head> head = parse_head(rest);
    if (!head || !payload_is_whole(*head, rest)) {
      if (is_torn_tail(head, rest)) break;
      return corrupt(at, "a damaged record with data behind it");
    }
    if (Status status = accept(log, *head, rest, at); !status) return status;
    at += kHeadBytes + head->length;
  }
  log.good_bytes = at;
  return log;
}

}  // namespace rhz
