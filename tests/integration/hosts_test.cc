// A run over two hosts: `rhizome run` on the first, `rhizome run --join` on the second.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <set>

#include "tests/integration/two_hosts.h"

namespace rhz::test {
namespace {

class Hosts : public testing::Test {
 protected:
  static void SetUpTestSuite() { hosts_ = new TwoHosts; }
  static void TearDownTestSuite() { delete hosts_; }
  void SetUp() override {
    if (hosts_->missing().empty()) return;
    std::printf("hosts: skipped: %s\n", hosts_->missing().c_str());  // what CTest looks for
    GTEST_SKIP() << hosts_->missing();
  }
  // Half of a world of four on each: both begin once all are there.
  void start(const std::string& options, int steps) {
    const std::string here = "run -n 2 " + options + " --advertise ";
    const std::string listen = std::string(" --listen ") + TwoHosts::kFirst + ":0 --world 4 --";
    first_ = std::make_unique<Cli>(words(here + TwoHosts::kFirst + listen) + trainer(steps, 10));
    address_ = listening(*first_);
    const std::string join = " --first-slot 2 --join " + address_ + " --";
    second_ = std::make_unique<Cli>(words(here + TwoHosts::kSecond + join) + trainer(steps, 10),
                                    Words{}, hosts_->on_second());
  }
  // Every "final" line of so many peers of each host.
  void expect_one_digest(int first, int second) {
    std::set<std::string> digests;
    for (int peer = 0; peer < first; ++peer) digests.insert(final_digest(*first_));
    for (int peer = 0; peer < second; ++peer) digests.insert(final_digest(*second_));
    EXPECT_EQ(digests.size(), 1u);
    EXPECT_EQ(digests.count(""), 0u);
  }

  static TwoHosts* hosts_;
  std::unique_ptr<Cli> first_, second_;
  std::string address_;
};

TwoHosts* Hosts::hosts_ = nullptr;

TEST_F(Hosts, OfWhichEachLosesAPeerEndWithOneDigest) {
  start("", 400);
  first_->await("step=10 ");
  Cli status({"status", "--coordinator", address_}, {}, hosts_->on_second());
  EXPECT_EQ(status.end(), 0) << status.errors();
  const std::string said = status.output();
  for (const char* host : {TwoHosts::kFirst, TwoHosts::kSecond}) expect_has(said, {host});
  kill(second_->peer(3), SIGKILL);
  first_->await("world=3");
  kill(first_->peer(0), SIGKILL);
  first_->await("world=2");
  expect_one_digest(1, 1);
  EXPECT_EQ(first_->end(), 128 + SIGKILL) << first_->errors();
  EXPECT_EQ(second_->end(), 128 + SIGKILL) << second_->errors();
}

TEST_F(Hosts, BringBackAKilledPeerOfTheSecondOne) {
  start("--restart", 400);
  first_->await("step=10 ");
  kill(second_->peer(2), SIGKILL);
  expect_has(second_->await("synced=1").raw, {"[slot 2] joined slot=2 "});
  expect_one_digest(2, 2);
  EXPECT_EQ(first_->end(), 0) << first_->errors();
  EXPECT_EQ(second_->end(), 0) << second_->errors();
}

}  // namespace
}  // namespace rhz::test
