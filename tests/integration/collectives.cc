#include "tests/integration/collectives.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace rhz::test {
namespace {

bool any_of(const std::string& text, const std::vector<std::string>& words) {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& word) { return text.find(word) != std::string::npos; });
}

// Whether PEER_LOST is among the decisions, with these words.
bool may_be_lost(const Death& death, const CollectiveKind& kind, const std::string& text) {
  const bool root_died = kind.rooted && death.victim == death.root;
  std::vector<std::string> words;
  if (kind.spans) words = {"before every rank had begun the op with it", "its buffers are for"};
  if (root_died) words.insert(words.end(), {"is no member", "which was to get the result"});
  const std::string name = kind.name;
  const bool from_root = name == "broadcast" || name == "scatter";
  // What an all-to-all with different counts begins with, an all-gather of these, is strict.
  const bool strict = death.rebuild == "strict" || (death.vary && name == "alltoall");
  const bool strict_source = strict && kind.spans && !kind.reduces;
  if (from_root ? root_died : strict_source) words.push_back("and nobody has what it was to send");
  return any_of(text, words);
}

void expect_right(const Line& line) {
  EXPECT_EQ(line.number("status"), kOk) << line.raw;
  EXPECT_EQ(line.number("wrong"), 0u) << line.raw;
  EXPECT_EQ(line.number("changed"), 0u) << line.raw;
}

// What the op info says of the sets that the elements have.
void expect_counted(const Line& line) {
  const auto sets = sets_of(line.text("contributors"));
  uint64_t least = sets.empty() ? 0 : ~uint64_t{0}, most = 0;
  for (const auto& set : sets) {
    least = std::min<uint64_t>(least, set.size());
    most = std::max<uint64_t>(most, set.size());
  }
  EXPECT_EQ(line.number("least"), least) << line.raw;
  EXPECT_EQ(line.number("most"), most) << line.raw;
}

}  // namespace

std::string command_of(const CollectiveKind& kind, const Buffers& buffers, uint64_t id,
                       const std::string& rebuild) {
  return std::string("kind=") + kind.name + " dtype=" + buffers.dtype +
         " count=" + std::to_string(buffers.count) + " root=" + std::to_string(buffers.root) +
         " world=" + std::to_string(buffers.world) +
         " in_place=" + std::to_string(buffers.in_place) + " id=" + std::to_string(id) +
         (buffers.vary && kind.spans ? " vary=1" : "") +
         (rebuild.empty() ? "" : " rebuild=" + rebuild);
}

void expect_steady(const std::vector<Line>& lines, const CollectiveKind& kind, uint32_t world) {
  EXPECT_EQ(lines.size(), world);
  for (const Line& line : lines) {
    expect_right(line);
    EXPECT_TRUE(line.text("empty").empty()) << line.raw;
    for (const auto& set : sets_of(line.text("contributors")))
      EXPECT_EQ(set.size(), kind.reduces ? world : 1u) << line.raw;
  }
}

void expect_after(const Death& death, const CollectiveKind& kind, const std::vector<Line>& lines) {
  ASSERT_FALSE(lines.empty());
  if (lines[0].number("status") == kPeerLost) {
    expect_one_error(lines, kPeerLost, "");
    EXPECT_TRUE(may_be_lost(death, kind, lines[0].text("text"))) << lines[0].raw;
    return;
  }
  std::set<uint32_t> starters = death.survivors;
  starters.insert(death.victim);
  std::set<std::set<uint32_t>> sums;
  for (const Line& line : lines) {
    expect_right(line);
    const bool may_be_empty = death.rebuild == "keep" && kind.spans && !kind.reduces &&
                              std::string(kind.name) != "scatter";
    const std::string& empty = line.text("empty");
    EXPECT_TRUE(empty.empty() || (may_be_empty && empty == std::to_string(death.victim)))
        << line.raw;
    if (!death.vary) expect_counted(line);
    if (!kind.reduces) continue;
    expect_contributors(line, death.survivors, starters);
    for (const auto& set : sets_of(line.text("contributors"))) sums.insert(set);
  }
  // Strict: one set for the whole op, whoever has which part of its result.
  EXPECT_TRUE(death.rebuild == "keep" || sums.size() <= 1) << lines[0].raw;
  for (const Line& line : lines) {
    const bool same = line.text("contributors") == lines[0].text("contributors");
    EXPECT_TRUE(same || std::string(kind.name) != "allgather") << line.raw;
  }
}

}  // namespace rhz::test
