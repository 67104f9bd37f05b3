#include "tests/integration/expect.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace rhz::test {
namespace {

std::set<uint32_t> slots_of(const std::string& text) {
  std::set<uint32_t> slots;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',') && word != "-";)
    slots.insert(static_cast<uint32_t>(std::stoul(word)));
  return slots;
}

bool holds(const std::set<uint32_t>& all, const std::set<uint32_t>& some) {
  return std::includes(all.begin(), all.end(), some.begin(), some.end());
}

}  // namespace

uint64_t seed() {
  static uint64_t round = 0;
  return 4711 + 1000 * static_cast<uint64_t>(GTEST_FLAG_GET(random_seed)) + round++;
}

std::vector<std::set<uint32_t>> sets_of(const std::string& contributors) {
  std::vector<std::set<uint32_t>> sets;
  std::istringstream parts(contributors);
  for (std::string part; std::getline(parts, part, '|');) sets.push_back(slots_of(part));
  return sets;
}

void expect_one_result(const std::vector<Line>& lines) {
  for (const Line& line : lines) {
    EXPECT_EQ(line.number("status"), kOk) << line.raw;
    EXPECT_EQ(line.number("wrong"), 0u) << line.raw;
    EXPECT_EQ(line.number("changed"), 0u) << line.raw;
    EXPECT_EQ(line.text("digest"), lines[0].text("digest")) << line.raw << "\n" << lines[0].raw;
    EXPECT_EQ(line.text("contributors"), lines[0].text("contributors")) << line.raw;
    EXPECT_FALSE(line.text("contributors").empty()) << line.raw;
  }
}

void expect_contributors(const Line& line, const std::set<uint32_t>& survivors,
                         const std::set<uint32_t>& starters) {
  for (const auto& set : sets_of(line.text("contributors"))) {
    EXPECT_TRUE(holds(set, survivors)) << line.raw;
    EXPECT_TRUE(holds(starters, set)) << line.raw;
  }
}

void expect_one_error(const std::vector<Line>& lines, uint64_t status, const std::string& words) {
  for (const Line& line : lines) {
    EXPECT_EQ(line.number("status"), status) << line.raw;
    EXPECT_NE(line.text("text").find(words), std::string::npos) << line.raw;
    EXPECT_EQ(line.text("text"), lines[0].text("text")) << line.raw;
    EXPECT_EQ(line.text("culprit"), lines[0].text("culprit")) << line.raw;
  }
}

void expect_one_state(Cluster& cluster) {
  const auto lines = cluster.all("state", "state");
  for (const Line& line : lines) {
    EXPECT_EQ(line.number("status"), kOk) << line.raw;
    EXPECT_EQ(line.number("right"), 1u) << line.raw;
    EXPECT_EQ(line.text("revision"), lines[0].text("revision")) << line.raw;
    EXPECT_EQ(line.text("digest"), lines[0].text("digest")) << line.raw;
  }
}

std::vector<Line> expect_all_reduce(Cluster& cluster, uint64_t id, uint64_t count) {
  auto lines =
      cluster.all("allreduce id=" + std::to_string(id) + " count=" + std::to_string(count), "op");
  expect_one_result(lines);
  return lines;
}

}  // namespace rhz::test
