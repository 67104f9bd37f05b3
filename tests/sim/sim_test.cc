// The simulator's own tools: files of scenarios, the shrinker, and that each fault has an effect.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/sim/cluster.h"
#include "tests/sim/planted.h"
#include "tests/sim/scenario.h"
#include "tests/sim/shrink.h"
#include "tests/sim/trial.h"

namespace rhz::sim {
namespace {

constexpr uint64_t kMostSeeds = 400;

struct File {
  std::string path = std::filesystem::temp_directory_path() / ("rhizome-scenario-" + std::to_string(getpid()) + ".json");
  ~File() { std::filesystem::remove(path); }
  void hold(const std::string& text) const { std::ofstream(path) << text; }
};

Config behind_a_file(const Config& config) {
  const File file;
  EXPECT_TRUE(write_scenario(file.path, {"why", config}).is_ok());
  auto read = read_scenario(file.path);
  EXPECT_TRUE(read.is_ok()) << read.status().text();
  EXPECT_EQ(read.value().found, "why");
  return read.value().config;
}

size_t kinds(const Config& config) {
  return static_cast<size_t>(std::count_if(config.per_second.begin(), config.per_second.end(), [](double rate) { return rate > 0; }));
}

std::string invariant(const Verdict& verdict) { return verdict.text.substr(0, verdict.text.find(':')); }

Verdict without_rule_b(const Config& config) {
  return trial([&] {
    const Planted rule(Rule::kB);
    return Cluster(config).run().violation;
  });
}

// What a file did not have would come from its seed, which has drawn something else.
TEST(Scenario, IsTheSameRunBehindAFile) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    Config config = make_config(seed);
    config.seed = seed + 1000;
    config.spared = {{Fault::kCrash, 0}, {Fault::kReplay, 3}};
    const Config read = behind_a_file(config);
    EXPECT_EQ(read.text(), config.text());
    EXPECT_EQ(read.spared, config.spared);
    EXPECT_EQ(read.per_second, config.per_second);
    const Outcome one = Cluster(config).run(), other = Cluster(read).run();
    EXPECT_EQ(one.violation, "") << "seed " << seed;
    EXPECT_EQ(one.hash, other.hash) << "seed " << seed;
    EXPECT_EQ(one.events, other.events) << "seed " << seed;
  }
}

TEST(Scenario, OfAnOlderFileHasNoFaultsThatCameLater) {
  const File file;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    file.hold("{\"seed\": " + std::to_string(seed) + "}");
    auto read = read_scenario(file.path);
    ASSERT_TRUE(read.is_ok());
    EXPECT_EQ(read.value().config.cpu_us, 0);
    for (auto k = static_cast<size_t>(kFirstOfLater); k < kFaults; ++k) EXPECT_EQ(read.value().config.per_second[k], 0);
  }
}

TEST(Scenario, RefusesAFieldOrAFaultThatItDoesNotKnow) {
  const File file;
  for (const char* text : {R"({"seed": 1, "nonsense": 1})", R"({"seed": 1, "faults_per_second": {"nonsense": 1}})",
                           R"({"seed": 1, "cpu_us": true})", R"({"cpu_us": 1})", "nonsense"}) {
    file.hold(text);
    EXPECT_FALSE(read_scenario(file.path).is_ok()) << text;
  }
}

TEST(Faults, AreLeftOutByName) {
  Config config = make_config(1);
  config.per_second.fill(1);
  config.cpu_us = 1;
  only_faults(config, "replay,cpu");
  EXPECT_EQ(kinds(config), 1u);
  EXPECT_EQ(config.rate(Fault::kReplay), 1);
  EXPECT_EQ(config.cpu_us, 1);
  only_faults(config, "crash");
  EXPECT_EQ(config.cpu_us, 0);
}

// A fault that never strikes finds nothing.
TEST(Faults, AllStrikeAndHaveAnEffect) {
  uint64_t struck[kFaults] = {}, died_at[kMarks] = {}, replayed = 0;
  const auto any_is_zero = [](const auto& counts) { return std::find(std::begin(counts), std::end(counts), 0u) != std::end(counts); };
  for (uint64_t seed = 1; seed <= kMostSeeds && (any_is_zero(struck) || any_is_zero(died_at) || replayed == 0); ++seed) {
    const Outcome outcome = Cluster(make_config(seed)).run();
    ASSERT_EQ(outcome.violation, "") << "seed " << seed;
    for (size_t k = 0; k < kFaults; ++k) struck[k] += outcome.faults[k];
    for (size_t k = 0; k < kMarks; ++k) died_at[k] += outcome.died_at[k];
    replayed += outcome.replayed;
  }
  for (size_t k = 0; k < kFaults; ++k) EXPECT_GT(struck[k], 0u) << fault_name(static_cast<Fault>(k));
  for (size_t k = 0; k < kMarks; ++k) EXPECT_GT(died_at[k], 0u) << kMarkNames[k];
  EXPECT_GT(replayed, 0u);
}

TEST(Shrink, LeavesAFileThatFailsAlike) {
  Config config;
  Verdict before;
  for (uint64_t seed = 1; seed <= kMostSeeds && !before.oracle; ++seed) before = without_rule_b(config = make_config(seed));
  ASSERT_TRUE(before.oracle);
  const Planted rule(Rule::kB);
  const auto less = shrink(config);
  ASSERT_TRUE(less);
  EXPECT_LT(kinds(*less), kinds(config));
  EXPECT_LE(less->run.world, config.run.world);
  EXPECT_FALSE(less->groups && less->letters > 0 && less->bulk_sync) << "none of this is needed";
  const Verdict after = without_rule_b(behind_a_file(*less));
  EXPECT_TRUE(after.oracle);
  EXPECT_EQ(invariant(after), invariant(before));
}

TEST(Shrink, LeavesNothingOfARunThatIsRight) { EXPECT_FALSE(shrink(make_config(1))); }

}  // namespace
}  // namespace rhz::sim
