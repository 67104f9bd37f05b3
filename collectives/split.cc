#include "collectives/split.h"

#include <algorithm>
#include <string>

#include "runtime/agreement/group.h"

namespace rhz {
namespace {

// Of a row: id (high, low), flags and colour, key.
constexpr size_t kRowWords = 4;
constexpr uint64_t kWants = uint64_t{1} << 32, kHasRoom = uint64_t{1} << 33;

struct Row {
  PeerId id;
  int32_t key;
};

}  // namespace

std::vector<uint64_t> split_table(uint32_t slots, Slot self, PeerId id, const SplitChoice& choice,
                                  bool room) {
  std::vector<uint64_t> table(slots * kRowWords, 0);
  uint64_t* row = &table[self.value * kRowWords];
  row[0] = id.high;
  row[1] = id.low;
  row[2] = (choice.none ? 0 : kWants | choice.colour) | (room ? kHasRoom : 0);
  row[3] = static_cast<uint32_t>(choice.key);
  return table;
}

Result<std::vector<PeerId>> split_members(const std::vector<uint64_t>& table,
                                          const SplitChoice& choice,
                                          const std::vector<PeerId>& order) {
  std::vector<Row> rows;
  for (size_t at = 0; at < table.size(); at += kRowWords) {
    const uint64_t what = table[at + 2];
    if ((what & kWants) == 0) continue;
    if ((what & kHasRoom) == 0)
      return Status(Code::kState, "slot " + std::to_string(at / kRowWords) + " has " +
                                      std::to_string(kMaxSubgroups) +
                                      " sub-communicators open, or closed while others have not: "
                                      "close some, on all their ranks");
    if (!choice.none && static_cast<uint32_t>(what) == choice.colour)
      rows.push_back(
          {{table[at], table[at + 1]}, static_cast<int32_t>(static_cast<uint32_t>(table[at + 3]))});
  }
  const auto place = [&](const Row& row) { return std::find(order.begin(), order.end(), row.id); };
  if (!order.empty())
    std::sort(rows.begin(), rows.end(),
              [&](const Row& a, const Row& b) { return place(a) < place(b); });
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.key < b.key; });
  std::vector<PeerId> members;
  for (const Row& row : rows) members.push_back(row.id);
  return members;
}

}  // namespace rhz
