// perf_compare as a whole, with whatever peers are built, at sizes that take no time. It tests the
// harness, no speed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "bench/perf/child.h"

namespace rhz::perf {
namespace {

constexpr int kTimeoutMs = 90'000;
// Under a sanitizer peers find themselves with its runtime, and with its complaints about them.
constexpr bool kPeersToo = std::string_view(RHZ_PERF_SANITIZE).empty();

int status_of(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), RHZ_PERF_COMPARE);
  Child child(arguments, {}, STDERR_FILENO);
  return child.wait(kTimeoutMs);
}

// "ours-tcp", … of those that can run here.
std::vector<std::string> ready() {
  std::istringstream lines(output_of({RHZ_PERF_COMPARE, "--list"}));
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    std::string transport;
    std::string state;
    words >> name >> transport >> state;
    const bool ours = name.rfind("ours", 0) == 0;
    if (state == "ready" && (kPeersToo || ours)) names.push_back(name);
  }
  return names;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

std::string contents_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class Compare : public testing::Test {
 protected:
  // One run serves all tests.
  static void SetUpTestSuite() {
    json_path = testing::TempDir() + "rhz-compare-" + std::to_string(::getpid()) + ".json";
    svg_path = json_path + ".svg";
    names = ready();
    status = status_of({"-n",           "2",       "--contenders", joined(names), "--collectives",
                        "all",          "--bytes", "4B,400000B",   "--rounds",    "2",
                        "--iterations", "2",       "--raw-mib",    "4",           "--in-flight",
                        "16",           "--json",  json_path,      "--svg",       svg_path});
    json = nlohmann::json::parse(contents_of(json_path), nullptr, false);
  }
  static void TearDownTestSuite() {
    ::unlink(json_path.c_str());
    ::unlink(svg_path.c_str());
  }

  static inline std::string json_path, svg_path;
  static inline std::vector<std::string> names;
  static inline int status = -1;
  static inline nlohmann::json json;
};

TEST_F(Compare, EndsWellWithoutAFailureOfAnybody) {
  EXPECT_EQ(status, 0);
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json["failures"].dump(), nlohmann::json::object().dump());
}

TEST_F(Compare, EverybodyHasItsAllReducesAndBarriers) {
  for (const std::string& name : names) {
    int rows = 0;
    for (const auto& row : json["rows"]) {
      const bool there = row["collective"] == "allreduce" || row["collective"] == "barrier";
      if (row["contender"] != name || !there) continue;
      rows++;
      EXPECT_EQ(row["iterations"], 4) << row;
      EXPECT_GT(row["median_us"], 0) << row;
      EXPECT_EQ(row["round_median_us"].size(), 2U) << row;
    }
    EXPECT_EQ(rows, 3) << name;  // two sizes and a barrier
  }
}

TEST_F(Compare, OursHasARowOfEveryCollectiveAlsoOfThoseThatItHasNotYet) {
  int rows = 0;
  for (const auto& row : json["rows"]) rows += row["contender"] == "ours-tcp";
  EXPECT_EQ(rows, 6 * 2 + 1);
}

TEST_F(Compare, ATransportThatWasForcedIsTheOneThatCarriedTheBytes) {
  for (const auto& row : json["rows"]) {
    if (row.contains("not_yet") || row["bytes"] != 400'000) continue;
    if (row["transport"] != "tcp" && row["transport"] != "shm") continue;  // they choose again
    const bool over_tcp = row["tcp_bytes_per_op"] > 0.5 * row["buffer_bytes"].get<double>();
    EXPECT_EQ(over_tcp, row["transport"] == "tcp") << row;
  }
}

TEST_F(Compare, PeersAreSetAgainstOursOfTheirTransport) {
  for (const auto& row : json["rows"]) {
    if (row["collective"] != "allreduce") continue;
    const std::string name = row["contender"];
    EXPECT_EQ(row.contains("ours_over_theirs"), !name.starts_with("ours-") || name.find("-x") != name.npos) << row;
  }
}

TEST_F(Compare, ManyOpsInFlightAreARowWhereThereIsEnoughToCutUp) {
  int rows = 0;
  for (const auto& row : json["rows"]) {
    if (row["contender"] != "ours-tcp-x16") continue;
    rows++;
    EXPECT_EQ(row["ops_in_flight"], 16);
    EXPECT_EQ(row["bytes"], 400'000);
  }
  EXPECT_EQ(rows, 1);
}

TEST_F(Compare, TheRawRingIsInTheSameReport) {
  ASSERT_EQ(json["raw_limits"].size(), 1U);
  EXPECT_GT(json["raw_limits"][0]["allreduce_GBps"], 0);
}

TEST_F(Compare, ThePlotNamesEverybody) {
  const std::string svg = contents_of(svg_path);
  EXPECT_EQ(svg.rfind("<svg", 0), 0U);
  for (const std::string& name : names) EXPECT_NE(svg.find(">" + name + "<"), svg.npos) << name;
}

TEST(CompareArguments, WhatMakesNoSenseIsRefusedBeforeAnythingStarts) {
  EXPECT_EQ(status_of({"--bytes", "3"}), 2);
  EXPECT_EQ(status_of({"--bytes", "4XB"}), 2);
  EXPECT_EQ(status_of({"--collectives", "scan"}), 2);
  EXPECT_EQ(status_of({"-n", "1"}), 2);
  EXPECT_EQ(status_of({"-n", "65"}), 2);
  EXPECT_EQ(status_of({"--contenders", "nobody"}), 2);
  EXPECT_EQ(status_of({"--collectives", "reduce", "--in-place"}), 2);
  EXPECT_EQ(status_of({"--netns-prefix", "peer"}), 2);
}

}  // namespace
}  // namespace rhz::perf
