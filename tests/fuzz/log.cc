// Decision logs: bytes as they are, and good logs that were cut or damaged somewhere.
#include <algorithm>

#include "runtime/membership/log_format.h"
#include "tests/fuzz/messages.h"

namespace rhz::fuzz {
namespace {

constexpr const char* kRun = "fuzz";

LogEntry entry_number(uint64_t n) {
  LogEntry entry;
  entry.term = Term(1);
  entry.index = LogIndex(n);
  entry.record = ViewRecord{View{Epoch(n), {{peer_id(0), Slot(0), 0, {}}}, "fuzz"}};
  return entry;
}

struct Written {
  Bytes bytes;
  std::vector<size_t> ends;  // of records
};

Written good_log(uint64_t records) {
  Written log;
  log.bytes = make_log_header(kRun);
  Digest chain = log_chain_start(log.bytes);
  for (uint64_t n = 1; n <= records; ++n) {
    const auto record = make_log_record(chain, entry_number(n));
    RHZ_FUZZ_CHECK(record);
    chain = record.value().chain;
    log.bytes.insert(log.bytes.end(), record.value().bytes.begin(), record.value().bytes.end());
    log.ends.push_back(log.bytes.size());
  }
  return log;
}

// What was cut is a torn tail; what was damaged is either that (of the last record only) or refused.  Never are other entries read.
void damage(Tape& tape) {
  const uint64_t records = 1 + tape.below(4);
  Written log = good_log(records);
  const bool cut = tape.flip();
  const size_t at = kLogHeaderBytes + tape.below(log.bytes.size() - kLogHeaderBytes);
  if (cut) log.bytes.resize(at);
  else log.bytes[at] ^= std::byte{static_cast<unsigned char>(1 + tape.below(255))};
  const auto scanned = scan_log(log.bytes, kRun);
  const auto whole = static_cast<uint64_t>(std::count_if(log.ends.begin(), log.ends.end(), [&](size_t end) { return end <= at; }));
  if (cut) RHZ_FUZZ_CHECK(scanned && scanned.value().entries.size() == whole);
  if (!scanned) return;
  RHZ_FUZZ_CHECK(scanned.value().entries.size() == whole && (cut || whole + 1 == records));
  for (uint64_t n = 0; n < whole; ++n) RHZ_FUZZ_CHECK(scanned.value().entries[n] == entry_number(n + 1));
}

}  // namespace

std::vector<Bytes> seeds() {
  return {good_log(1).bytes, good_log(3).bytes, bytes_from("\1\0\70"), bytes_from("\3\1\100")};
}

}  // namespace rhz::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rhz::fuzz;
  const rhz::ConstBytes input(reinterpret_cast<const std::byte*>(data), size);
  (void)rhz::log_header_is_torn(input, kRun);
  if (const auto scanned = rhz::scan_log(input, kRun)) RHZ_FUZZ_CHECK(scanned.value().good_bytes <= size);
  Tape tape(data, size);
  damage(tape);
  return 0;
}
