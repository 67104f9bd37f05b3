#include "api/tools/chaos_ledger.h"

#include <algorithm>
#include <fstream>

#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr std::string_view kWord = "ledger ";
constexpr size_t kMostEntries = 65'536;  // peers are never that many ops apart

}  // namespace

std::optional<LedgerLine> LedgerLine::of(std::string_view line) {
  if (!line.starts_with(kWord)) return std::nullopt;
  LedgerLine all{whole(line, "op"), whole(line, "wrong"), whole(line, "us"), whole(line, "epoch"), {}};
  for (const char* key : {"outcome", "digest", "contributors"}) all.result += format("%s=%s ", key, std::string(field(line, key)).c_str());
  return all;
}

std::string Ledger::note(size_t slot, const LedgerLine& line) {
  const auto op = static_cast<unsigned long long>(line.op);
  slowest_us_ = std::max(slowest_us_, line.us);
  if (line.wrong) return format("slot %zu has op %llu with %llu wrong elements: %s", slot, op, static_cast<unsigned long long>(line.wrong), line.result.c_str());
  const auto [at, is_new] = entries_.try_emplace(line.op, Entry{line.result, slot});
  const Entry first = at->second;
  ops_ += is_new;
  compared_ += !is_new;
  if (entries_.size() > kMostEntries) entries_.erase(entries_.begin());
  if (is_new || first.text == line.result) return {};
  return format("op %llu: slot %zu has %s, slot %zu %s", op, first.slot, first.text.c_str(), slot, line.result.c_str());
}

void Ledger::write(const std::string& path) const {
  std::ofstream file(path);
  for (const auto& [op, entry] : entries_) file << "op=" << op << " slot=" << entry.slot << " " << entry.text << "\n";
}

}  // namespace rhz::tools
