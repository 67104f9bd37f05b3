#include "recovery/parity/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "runtime/base/prng.h"

namespace rhz::recovery {
namespace {

ErasureCode code(uint32_t k, uint32_t m) { return ErasureCode::make(k, m).value(); }

std::vector<Host> hosts(uint32_t count, uint32_t per_rack = 0) {
  std::vector<Host> result;
  for (uint32_t i = 0; i < count; ++i)
    result.push_back(
        {"h" + std::to_string(i), per_rack ? "r" + std::to_string(i / per_rack) : "", true});
  return result;
}

std::string domain(const Host& host) {
  return host.rack.empty() ? "host " + host.name : "rack " + host.rack;
}

void expect_sound(const std::vector<Host>& all, const ErasureCode& code,
                  const Placement& placement) {
  for (const auto& holders : placement.holders) {
    ASSERT_EQ(holders.size(), code.shards());
    std::map<std::string, uint32_t> shards;
    for (uint32_t holder : holders) {
      ASSERT_LT(holder, all.size());
      EXPECT_TRUE(all[holder].alive);
      ++shards[domain(all[holder])];
    }
    for (const auto& [name, count] : shards) EXPECT_LE(count, code.parity_shards()) << name;
  }
}

std::vector<uint32_t> loads(size_t hosts, const Placement& placement) {
  std::vector<uint32_t> load(hosts, 0);
  for (const auto& holders : placement.holders)
    for (uint32_t holder : holders) ++load[holder];
  return load;
}

TEST(Placement, GivesEveryShardOfAStripeAHostOfItsOwnWhereThereAreEnough) {
  const auto placement = place(hosts(8), code(4, 2), 100).value();
  for (auto holders : placement.holders) {
    std::ranges::sort(holders);
    EXPECT_EQ(std::ranges::adjacent_find(holders), holders.end());
  }
}

TEST(Placement, KeepsEveryDomainBelowMPlusOneShardsAndTheLoadEven) {
  for (const auto& [count, per_rack, k, m] : {std::array<uint32_t, 4>{8, 0, 4, 2},
                                              {7, 0, 4, 2},
                                              {3, 0, 4, 2},
                                              {8, 2, 4, 2},
                                              {9, 3, 4, 2},
                                              {12, 2, 8, 3},
                                              {2, 0, 1, 1}}) {
    const auto all = hosts(count, per_rack);
    const auto placement = place(all, code(k, m), 60).value();
    expect_sound(all, code(k, m), placement);
    const auto load = loads(count, placement);
    EXPECT_LE(*std::ranges::max_element(load) - *std::ranges::min_element(load), 1u)
        << count << " hosts";
  }
}

TEST(Placement, FillsNoRackBeyondMHoweverManyHostsItHas) {
  auto all = hosts(6);
  for (Host& host : all) host.rack = "big";
  all.push_back({"h6", "small", true});
  all.push_back({"h7", "", true});
  const auto placement = place(all, code(4, 2), 10).value();
  expect_sound(all, code(4, 2), placement);
  for (const auto& holders : placement.holders)
    EXPECT_EQ(standing(all, code(4, 2), holders).racks, 1u);
}

TEST(Placement, IsTheSameEveryTime) {
  EXPECT_EQ(place(hosts(9, 3), code(4, 2), 50).value(), place(hosts(9, 3), code(4, 2), 50).value());
}

TEST(Placement, SaysHowManyDomainsAreNeeded) {
  const Status status = place(hosts(4, 2), code(4, 2), 1).status();
  EXPECT_EQ(status.code(), Code::kArgument);
  EXPECT_EQ(status.text(),
            "4 + 2 shards, at most 2 of a stripe in one failure domain, need 3 domains; there are "
            "2 (4 hosts); "
            "add hosts in other racks, or use fewer data shards");
  EXPECT_EQ(place({}, code(1, 1), 1).status().code(), Code::kArgument);
  auto one_dead = hosts(3);
  one_dead[1].alive = false;
  EXPECT_NE(place(one_dead, code(4, 2), 1).status().text().find("there are 2 (2 hosts)"),
            std::string::npos);
}

TEST(Placement, MovesOnlyWhatWasLost) {
  Prng prng(3);
  for (int trial = 0; trial < 200; ++trial) {
    auto all = hosts(static_cast<uint32_t>(6 + prng.below(6)), prng.chance(0.5) ? 2 : 0);
    const ErasureCode with = code(2, 2);
    const auto before = place(all, with, 20).value();
    for (int dead = 0; dead < 2; ++dead) all[prng.below(all.size())].alive = false;
    const auto after = place_again(all, with, before).value();
    expect_sound(all, with, after);
    for (size_t s = 0; s < before.holders.size(); ++s) {
      for (size_t i = 0; i < before.holders[s].size(); ++i) {
        const uint32_t holder = before.holders[s][i];
        if (all[holder].alive) {
          ASSERT_EQ(after.holders[s][i], holder);
        }
      }
    }
  }
}

TEST(Placement, RefusesOneThatBreaksTheRuleAlready) {
  auto all = hosts(4);
  const auto before = place(all, code(2, 1), 1).value();
  for (uint32_t holder : before.holders[0]) all[holder].rack = "relabelled";
  all[before.holders[0][0]].alive = false;
  all.push_back({"h4", "other", true});
  const auto after = place_again(all, code(2, 1), before);
  EXPECT_TRUE(after);  // two domains have room for the one that is lost
  all[3].alive = all[4].alive = false;
  EXPECT_EQ(place_again(all, code(2, 1), before).status().code(), Code::kArgument);
  EXPECT_EQ(place_again(hosts(9), code(4, 2), before).status().code(), Code::kArgument);
}

TEST(Standing, CountsTheFailuresThatAStripeStands) {
  auto all = hosts(6, 2);
  const ErasureCode with = code(4, 2);
  const auto holders = place(all, with, 1).value().holders[0];
  Standing now = standing(all, with, holders);
  EXPECT_EQ(now.hosts, 2u);
  EXPECT_EQ(now.racks, 1u);
  EXPECT_EQ(now.lost, 0u);
  all[holders[0]].alive = false;
  now = standing(all, with, holders);
  EXPECT_EQ(now.lost, 1u);
  EXPECT_TRUE(now.recoverable);
  EXPECT_EQ(now.hosts, 1u);
  EXPECT_EQ(now.racks, 0u);  // a whole rack would take two more
  const uint32_t corrupt[] = {0, 3};
  now = standing(all, with, holders, corrupt);  // 0 is lost already
  EXPECT_EQ(now.lost, 2u);
  EXPECT_EQ(now.hosts, 0u);
  EXPECT_TRUE(now.recoverable);
  all[holders[5]].alive = false;
  EXPECT_FALSE(standing(all, with, holders, corrupt).recoverable);
}

TEST(Standing, CountsTheFullestHostsFirst) {
  const auto all = hosts(3);
  const uint32_t holders[] = {0, 0, 1, 1, 2, 2};  // m = 2: the loss of one host takes both
  EXPECT_EQ(standing(all, code(4, 2), holders).hosts, 1u);
}

}  // namespace
}  // namespace rhz::recovery
