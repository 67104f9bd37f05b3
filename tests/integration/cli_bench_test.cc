// `rhizome bench …`: rows and keys that other programs read.  The figures themselves are no test's.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/integration/cli.h"

namespace rhz::test {
namespace {

using Json = nlohmann::json;

std::vector<Json> rows(Cli& command) {
  EXPECT_EQ(command.end(), 0) << command.errors();
  std::vector<Json> all;
  for (const std::string& line : command.rest()) all.push_back(Json::parse(line));
  return all;
}

void expect_numbers(const Json& row, const Words& keys) {
  for (const std::string& key : keys) {
    ASSERT_TRUE(row.contains(key)) << key << " is not in " << row;
    EXPECT_TRUE(row[key].is_number()) << key << " in " << row;
  }
}

TEST(BenchAllreduce, PrintsOneObjectPerSize) {
  Cli command(
      words("bench allreduce -n 3 --bytes 4KiB,1MB --transport tcp --dtype f32 --iterations 5 "
            "--json"));
  const auto all = rows(command);
  ASSERT_EQ(all.size(), 2u);
  for (const Json& row : all) {
    EXPECT_EQ(row.at("bench"), "allreduce");
    EXPECT_EQ(row.at("n"), 3);
    EXPECT_EQ(row.at("transport"), "tcp");
    EXPECT_EQ(row.at("dtype"), "f32");
    if (row.at("bytes") <= 16384) EXPECT_EQ(row.at("algorithm"), "direct");
    else EXPECT_NE(row.at("algorithm"), "auto");
    ASSERT_TRUE(row.contains("costs")) << row;
    if (!row.at("costs").is_null()) {
      expect_numbers(row.at("costs"), words("local_latency_us local_GBps reduce_GBps"));
      EXPECT_GT(row.at("costs").at("predicted_us").at("ring"), 0) << row;
    }
    EXPECT_EQ(row.at("iterations"), 5);
    EXPECT_EQ(row.at("wrong"), 0);
    expect_numbers(row, words("bytes median_us min_us p99_us algbw_GBps busbw_GBps"));
    EXPECT_LE(row.at("min_us"), row.at("median_us"));
    EXPECT_LE(row.at("median_us"), row.at("p99_us"));
    const double algbw = row.at("bytes").get<double>() / row.at("median_us").get<double>() / 1e3;
    EXPECT_NEAR(row.at("algbw_GBps"), algbw, algbw * 1e-6);
    EXPECT_NEAR(row.at("busbw_GBps"), algbw * 4 / 3, algbw * 1e-6);
  }
  EXPECT_EQ(all[0].at("bytes"), 4096);
  EXPECT_EQ(all[1].at("bytes"), 1'000'000);
}

TEST(BenchAllreduce, WithoutJsonIsATableWithItsUnits) {
  Cli command(words("bench allreduce -n 2 --bytes 64KiB --dtype i16 --redop max --iterations 3"));
  EXPECT_EQ(command.end(), 0) << command.errors();
  expect_has(command.output(), {"all-reduce i16 max, 2 ranks", "median us", "busbw", "    64 KiB", "           "});
}

TEST(BenchAllreduce, RunsWithoutProtectionAndWithDigestsOfEverything) {
  for (const char* how : {"--protection off", "--verify all", "--verify off"}) {
    Cli command(words(std::string("bench allreduce -n 3 --bytes 4KiB,1MB --iterations 5 --json ") + how));
    for (const Json& row : rows(command)) EXPECT_EQ(row.at("wrong"), 0) << how;
  }
  Cli command(words("bench allreduce -n 2 --bytes 4KiB --verify some"));
  EXPECT_NE(command.end(), 0);
}

void expect_recovery(const Json& row, const char* fault) {
  EXPECT_EQ(row.at("bench"), "recovery");
  EXPECT_EQ(row.at("n"), 3);
  EXPECT_EQ(row.at("fault"), fault);
  EXPECT_EQ(row.at("bytes"), 16 << 20);
  EXPECT_EQ(row.at("reps"), 2);
  EXPECT_EQ(row.at("wrong"), 0);
  EXPECT_EQ(row.at("hangs"), 0);
  expect_numbers(row, words("steady_op_ms held_share redone_bytes"));
  for (const char* times : {"detect_ms", "usable_ms", "op_done_ms"}) {
    ASSERT_TRUE(row.contains(times)) << row;
    expect_numbers(row.at(times), words("p50 p99 max"));
    EXPECT_GT(row.at(times).at("max"), 0) << row;
  }
  EXPECT_LE(row.at("detect_ms").at("max"), row.at("usable_ms").at("max")) << row;
}

TEST(BenchRecovery, FromAKillPrintsOneObject) {
  Cli command(words("bench recovery -n 3 --bytes 16MiB --fault kill --reps 2 --json"));
  const auto all = rows(command);
  ASSERT_EQ(all.size(), 1u);
  expect_recovery(all[0], "kill");
}

TEST(BenchRecovery, FromAStopPrintsOneObject) {
  Cli command(
      words("bench recovery -n 3 --bytes 16MiB --fault stop --reps 2 --suspicion-ms 300 --json"));
  const auto all = rows(command);
  ASSERT_EQ(all.size(), 1u);
  expect_recovery(all[0], "stop");
  EXPECT_GE(all[0].at("detect_ms").at("p50"), 150);  // not before the silence was suspicious
}

TEST(BenchRecovery, WithoutJsonIsATable) {
  Cli command(words("bench recovery -n 2 --bytes 8MiB --reps 1 --seed 7"));
  EXPECT_EQ(command.end(), 0) << command.errors();
  expect_has(command.output(), {"recovery: kill one of 2 ranks", "seed 7", "detected (sealed)",
                                "usable again (installed)", "evictions ",  // more, where a fault met no op
                                "wrong 0, hangs 0"});
}

}  // namespace
}  // namespace rhz::test
