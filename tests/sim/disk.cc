#include "tests/sim/disk.h"

#include "runtime/base/assert.h"
#include "runtime/membership/log_format.h"

namespace rhz::sim {

std::vector<LogEntry> after_crash(const std::string& run_id, const std::vector<LogEntry>& log,
                                  const LogEntry& entry, Prng& dice) {
  std::vector<std::byte> file = make_log_header(run_id);
  Digest chain = log_chain_start(file);
  auto append = [&](const LogEntry& next) {
    auto record = make_log_record(chain, next);
    RHZ_ASSERT("sim", record.is_ok());
    chain = record.value().chain;
    file.insert(file.end(), record.value().bytes.begin(), record.value().bytes.end());
  };
  for (const LogEntry& old : log) append(old);
  const size_t before = file.size();
  append(entry);
  const size_t whole = file.size();
  const double fate = dice.unit();
  if (fate < 0.3)
    file.resize(before);  // never written
  else if (fate < 0.6)
    file.resize(before + dice.below(whole - before));  // in part
  else if (fate < 0.7)  // its blocks reached the disk in another order
    std::fill(file.begin() + static_cast<long>(before + dice.below(whole - before)), file.end(),
              std::byte{0});
  auto scanned = scan_log(file, run_id);
  RHZ_ASSERT("disk", scanned.is_ok());
  const auto& entries = scanned.value().entries;
  RHZ_ASSERT("disk", entries.size() == log.size() || entries.size() == log.size() + 1);
  return entries;
}

}  // namespace rhz::sim
