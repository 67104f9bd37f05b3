#include "api/tools/chaos_ledger.h"

#include <algorithm>

#include "api/tools/text.h"

namespace rhz::tools {
namespace {

constexpr std::string_view kWord = "ledger ";
constexpr size_t kMostEntries = 65'536;  // peers are never that many ops apart

}  // namespace

std::string Ledger::note(size_t slot, std::string_view line) {
  if (!line.starts_with(kWord)) return {};
  const uint64_t op = whole(line, "op"), wrong = whole(line, "wrong");
  slowest_us_ = std::max(slowest_us_, whole(line, "us"));
  std::string text;
  for (const char* key : {"outcome", "digest", "contributors"}) text += format("%s=%s ", key, std::string(field(line, key)).c_str());
  if (wrong) return format("slot %zu has op %llu with %llu wrong elements: %s", slot, static_cast<unsigned long long>(op), static_cast<unsigned long long>(wrong), text.c_str());
  const auto [at, is_new] = entries_.try_emplace(op, Entry{text, slot});
  ops_ += is_new;
  compared_ += !is_new;
  if (entries_.size() > kMostEntries) entries_.erase(entries_.begin());
  if (is_new || at->second.text == text) return {};
  return format("op %llu: slot %zu has %s, slot %zu %s", static_cast<unsigned long long>(op), at->second.slot, at->second.text.c_str(), slot, text.c_str());
}

}  // namespace rhz::tools
