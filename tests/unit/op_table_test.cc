// The ring of open ops: found by number, and walked while ops end and begin.
#include "collectives/op_table.h"

#include <gtest/gtest.h>

#include <memory>

namespace rhz {
namespace {

using Table = OpTable<std::unique_ptr<int>>;

void add(Table& table, uint64_t from, uint64_t to) {
  for (uint64_t seq = from; seq < to; ++seq)
    table.add(OpSeq(seq), std::make_unique<int>(static_cast<int>(seq)));
}

std::vector<uint64_t> numbers(const Table& table) {
  std::vector<uint64_t> all;
  for (const auto [seq, op] : table) {
    EXPECT_EQ(static_cast<uint64_t>(*op), seq.value);
    all.push_back(seq.value);
  }
  return all;
}

TEST(OpTable, FindsWhatIsThereAndNothingElse) {
  Table table;
  EXPECT_EQ(table.find(OpSeq(0)), nullptr);
  add(table, 5, 8);
  EXPECT_EQ(table.find(OpSeq(4)), nullptr);
  EXPECT_EQ(*table.find(OpSeq(6)), 6);
  EXPECT_EQ(table.find(OpSeq(8)), nullptr);
  table.erase(OpSeq(6));
  EXPECT_EQ(table.find(OpSeq(6)), nullptr);
  EXPECT_EQ(numbers(table), (std::vector<uint64_t>{5, 7}));
  EXPECT_EQ(table.size(), 2u);
}

TEST(OpTable, GrowsWithAnOldOpThatStaysAndHolesBehindIt) {
  Table table;
  add(table, 3, 1000);
  for (uint64_t seq = 4; seq < 990; ++seq) table.erase(OpSeq(seq));
  EXPECT_EQ(numbers(table).size(), 11u);
  EXPECT_EQ(*table.find(OpSeq(3)), 3);
  table.erase(OpSeq(3));
  EXPECT_EQ(numbers(table).front(), 990u);
  for (uint64_t seq = 990; seq < 1000; ++seq) table.erase(OpSeq(seq));
  EXPECT_TRUE(table.empty());
  add(table, 5000, 5001);  // numbers may be left out while it is empty
  EXPECT_EQ(numbers(table), std::vector<uint64_t>{5000});
}

TEST(OpTable, IsWalkedWhileOpsEndAndBegin) {
  Table table;
  add(table, 0, 4);
  std::vector<uint64_t> met;
  for (const auto [seq, op] : table) {
    met.push_back(seq.value);
    table.erase(seq);
    if (seq.value == 1) table.erase(OpSeq(2));  // one that was still to come
    if (seq.value == 3) add(table, 4, 60);      // so many that the ring grows
  }
  ASSERT_EQ(met.size(), 59u);
  EXPECT_EQ(met[2], 3u);
  EXPECT_EQ(met.back(), 59u);
  EXPECT_TRUE(table.empty());
}

}  // namespace
}  // namespace rhz
