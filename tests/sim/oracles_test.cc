// What a state of a joiner is excused by, and that nothing else is: one release by rule b, in which p2 saw other bits than the
// members made anew behind its eviction.
#include <gtest/gtest.h>

#include <string>

#include "tests/sim/config.h"
#include "tests/sim/oracles.h"

namespace rhz::sim {
namespace {

constexpr uint64_t kRight = 0xA, kOther = 0xB, kWrong = 0xC;

PeerId peer(NodeIndex who) { return {7, static_cast<uint64_t>(who) + 1}; }

class Astray : public testing::Test {
 protected:
  Astray() : config_(make_config(1)), world_(1), oracles_(world_, config_) {
    view(1, {0, 1, 2});
    members_finish(4);
  }

  void members_finish(uint64_t step) {
    for (NodeIndex who : {0, 1}) oracles_.finished_step(who, step, kRight);
  }

  // p2 has gone on from other bits, and is out before it could tell.
  void evict_p2() {
    view(2, {0, 1});
    oracles_.finished_step(2, 4, kOther);
  }

  void view(uint64_t epoch, std::initializer_list<NodeIndex> who) {
    View view{Epoch(epoch), {}, "test"};
    for (NodeIndex p : who) view.members.push_back({peer(p), Slot(static_cast<uint32_t>(p)), 0, {}});
    oracles_.appended({Term(1), LogIndex(epoch), ViewRecord{view}});
  }

  std::string found() const { return oracles_.violation().substr(0, oracles_.violation().find(':')); }

  const Config config_;
  World world_;
  Oracles oracles_;
};

TEST_F(Astray, FollowsAFormerMemberUntilItIsToEnter) {
  evict_p2();
  oracles_.pulled(3, 4, kOther);
  members_finish(5);
  oracles_.followed(3, 5, kOther);
  EXPECT_EQ(found(), "");
  oracles_.entered(3, 5, kOther);
  EXPECT_EQ(found(), "R2");
}

TEST_F(Astray, IsNobodyWhoseStateNobodyHad) {
  evict_p2();
  oracles_.pulled(3, 4, kWrong);
  EXPECT_EQ(found(), "R2");
}

TEST_F(Astray, IsNobodyWhoPulledWhatTheMembersHaveAndMadeSomethingElseOfIt) {
  evict_p2();
  oracles_.pulled(3, 4, kRight);
  members_finish(5);
  oracles_.followed(3, 5, kWrong);
  EXPECT_EQ(found(), "R2");
}

TEST_F(Astray, IsNobodyAnyMoreWhoPullsAnew) {
  evict_p2();
  oracles_.pulled(3, 4, kOther);
  oracles_.pulled(3, 4, kRight);
  members_finish(5);
  oracles_.followed(3, 5, kWrong);
  EXPECT_EQ(found(), "R2");
}

// Members that differ are no former ones: the steps of both are compared before any joiner comes.
TEST_F(Astray, ExcusesNoMember) {
  oracles_.finished_step(2, 4, kOther);
  EXPECT_EQ(found(), "O1");
}

}  // namespace
}  // namespace rhz::sim
