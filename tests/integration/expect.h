// What the ledger lines of one op must say, whatever happened meanwhile.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "tests/integration/cluster.h"

namespace rhz::test {

constexpr uint64_t kOk = 0;

// Of what a test leaves to chance: always the same, or --gtest_random_seed; another one in each
// round of --gtest_repeat.
uint64_t seed();

// "0,1,2|0,2": the slots of each distinct set.
std::vector<std::set<uint32_t>> sets_of(const std::string& contributors);

// One right result everywhere: every value, one digest, one text of contributors.
void expect_one_result(const std::vector<Line>& lines);
// O3: every set holds all of `survivors` and nobody else than `starters`.
void expect_contributors(const Line& line, const std::set<uint32_t>& survivors,
                         const std::set<uint32_t>& starters);
// The same error everywhere, and the same words.
void expect_one_error(const std::vector<Line>& lines, uint64_t status, const std::string& words);
// Registered state: of its revision, and the same on every member.
void expect_one_state(Cluster& cluster);
// An all-reduce of all members that must go well.
std::vector<Line> expect_all_reduce(Cluster& cluster, uint64_t id, uint64_t count = 4096);

}  // namespace rhz::test
