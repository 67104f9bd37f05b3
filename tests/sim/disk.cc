#include "tests/sim/disk.h"

#include "runtime/base/assert.h"
#include "runtime/membership/log_format.h"

namespace rhz::sim {

namespace {

struct File {
  std::vector<std::byte> bytes;
  Digest chain{};
  explicit File(const std::string& run_id, const std::vector<LogEntry>& log)
      : bytes(make_log_header(run_id)), chain(log_chain_start(bytes)) {
    for (const LogEntry& entry : log) append(entry);
  }
  void append(const LogEntry& entry) {
    auto record = make_log_record(chain, entry);
    RHZ_ASSERT("sim", record.is_ok());
    chain = record.value().chain;
    bytes.insert(bytes.end(), record.value().bytes.begin(), record.value().bytes.end());
  }
};

// By the next coordinator: everything that was acknowledged, and perhaps the entry that was not.
std::vector<LogEntry> what_is_read(const std::string& run_id, const std::vector<LogEntry>& log, const std::vector<std::byte>& bytes) {
  auto scanned = scan_log(bytes, run_id);
  RHZ_ASSERT("disk", scanned.is_ok());
  const auto& entries = scanned.value().entries;
  RHZ_ASSERT("disk", entries.size() == log.size() || entries.size() == log.size() + 1);
  return entries;
}

}  // namespace

std::vector<LogEntry> after_crash(const std::string& run_id, const std::vector<LogEntry>& log,
                                  const LogEntry& entry, Prng& dice) {
  File file(run_id, log);
  const size_t before = file.bytes.size();
  file.append(entry);
  const size_t whole = file.bytes.size();
  const double fate = dice.unit();
  if (fate < 0.3)
    file.bytes.resize(before);  // never written
  else if (fate < 0.6)
    file.bytes.resize(before + dice.below(whole - before));  // in part
  else if (fate < 0.7)  // its blocks reached the disk in another order
    std::fill(file.bytes.begin() + static_cast<long>(before + dice.below(whole - before)), file.bytes.end(),
              std::byte{0});
  return what_is_read(run_id, log, file.bytes);
}

std::vector<LogEntry> after_failure(const std::string& run_id, const std::vector<LogEntry>& log,
                                    const LogEntry& entry, bool full, Prng& dice) {
  if (!full) return after_crash(run_id, log, entry, dice);
  File file(run_id, log);
  const size_t before = file.bytes.size();
  file.append(entry);
  file.bytes.resize(before + dice.below(file.bytes.size() - before));
  return what_is_read(run_id, log, file.bytes);
}

bool refuses_a_flip(const std::string& run_id, const std::vector<LogEntry>& log, Prng& dice) {
  if (log.empty()) return true;
  File file(run_id, {log.begin(), log.end() - 1});
  const size_t last = file.bytes.size();
  file.append(log.back());
  const size_t at = dice.chance(0.3) ? last + dice.below(file.bytes.size() - last) : dice.below(file.bytes.size());
  file.bytes[at] ^= std::byte{1} << dice.below(8);
  auto scanned = scan_log(file.bytes, run_id);
  if (!scanned) return true;
  RHZ_ASSERT("disk", at >= last && scanned.value().entries == std::vector<LogEntry>(log.begin(), log.end() - 1));
  return false;
}

}  // namespace rhz::sim
