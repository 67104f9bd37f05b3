// What a vault keeps, for whom, and what it lets go.
#include <gtest/gtest.h>

#include "tests/unit/vault_kit.h"

namespace rhz::test {
namespace {

constexpr Slot kSlot{3};
constexpr OwnerId kFirst = 1, kSecond = 2;

SnapshotInfo info(uint64_t revision, uint64_t data = 4000, uint64_t table = 96) {
  return {revision, data, table, 0, 1};
}

// Begins, gives a buffer where one is asked for, and seals.
Status snapshot(VaultStore& store, Slot slot, const SnapshotInfo& info, OwnerId owner = kFirst) {
  auto buffer = store.begin(owner, slot, info);
  if (!buffer) return buffer.status();
  if (!buffer.value())
    if (Status given = store.give(owner, slot, make_piece(info.bytes()).value()); !given)
      return given;
  return store.seal(owner, slot, info.revision);
}

TEST(VaultStore, GivesAStateToNobodyWhileItsTrainerLives) {
  VaultStore store({});
  Trainer trainer;
  expect_status(store.attach(kFirst, 10, kSlot).status(), Code::kStateLost,
                "nothing is kept for slot 3");
  ASSERT_TRUE(store.keep(kFirst, 10, kSlot, trainer.pieces()));
  expect_status(store.attach(kSecond, 11, kSlot).status(), Code::kState, "process 10) still lives");
  store.gone(kFirst);
  auto pieces = store.attach(kSecond, 11, kSlot);
  ASSERT_TRUE(pieces);
  EXPECT_EQ(pieces.value().size(), 3u);
  expect_status(store.attach(3, 12, kSlot).status(), Code::kState, "process 11) still lives");
}

TEST(VaultStore, DropsAStateForItsTrainerOnly) {
  VaultStore store({});
  Trainer trainer;
  ASSERT_TRUE(store.keep(kFirst, 10, kSlot, trainer.pieces()));
  store.drop(kSecond, kSlot);
  EXPECT_TRUE(store.attach(kFirst, 10, kSlot));
  store.drop(kFirst, kSlot);
  EXPECT_EQ(store.attach(kFirst, 10, kSlot).status().code(), Code::kStateLost);
}

TEST(VaultStore, RefusesPiecesThatAreNoneAndKeepsWhatItHas) {
  VaultStore store({});
  Trainer trainer;
  ASSERT_TRUE(store.keep(kFirst, 10, kSlot, trainer.pieces()));
  auto pieces = [](auto... fds) {
    std::vector<Fd> all;
    (all.push_back(std::move(fds)), ...);
    return all;
  };
  expect_status(store.keep(kFirst, 10, kSlot, {}), Code::kArgument, "2 to 1025 pieces");
  expect_status(store.keep(kFirst, 10, kSlot,
                           pieces(std::move(trainer.pieces().front()), Fd(eventfd(0, EFD_CLOEXEC)))),
                Code::kArgument, "no memory of a sealed size");
  expect_status(
      store.keep(kFirst, 10, kSlot, pieces(make_piece(4096).value(), make_piece(4096).value())),
      Code::kArgument, "header of a state");
  expect_status(
      store.keep(kFirst, 10, kSlot, pieces(make_piece(8).value(), make_piece(4096).value())),
      Code::kArgument, "header of a state");
  EXPECT_TRUE(store.attach(kFirst, 10, kSlot));
}

TEST(VaultStore, HoldsTwoSnapshotsAndDropsTheOlderOneWhenTheNextBegins) {
  VaultStore store({});
  expect_status(store.read(kSlot, 0).status(), Code::kStateLost, "no snapshot of slot 3");
  for (uint64_t revision : {5, 6}) ASSERT_TRUE(snapshot(store, kSlot, info(revision)));
  EXPECT_EQ(store.read(kSlot, 0).value().info.revision, 6u);
  EXPECT_EQ(store.read(kSlot, 5).value().info.revision, 5u);
  ASSERT_TRUE(store.begin(kFirst, kSlot, info(7)).value()) << "a buffer of that size is there";
  expect_status(store.read(kSlot, 5).status(), Code::kStateLost, "of revision 5, only of 6");
  EXPECT_EQ(store.read(kSlot, 0).value().info.revision, 6u);
  ASSERT_TRUE(store.seal(kFirst, kSlot, 7));
  EXPECT_EQ(store.read(kSlot, 0).value().info.revision, 7u);
}

TEST(VaultStore, ForgetsASnapshotThatWasNeverSealed) {
  VaultStore store({});
  ASSERT_TRUE(snapshot(store, kSlot, info(5)));
  ASSERT_TRUE(snapshot(store, kSlot, info(6)));
  ASSERT_TRUE(store.begin(kFirst, kSlot, info(7)));
  store.gone(kFirst);  // its trainer dies
  ASSERT_TRUE(snapshot(store, kSlot, info(8), kSecond));
  EXPECT_EQ(store.read(kSlot, 6).value().info.revision, 6u)
      << "the newest sealed one was written over";
  EXPECT_EQ(store.read(kSlot, 0).value().info.revision, 8u);
}

TEST(VaultStore, SealsNothingButWhatIsOpen) {
  VaultStore store({});
  EXPECT_EQ(store.seal(kFirst, kSlot, 5).code(), Code::kArgument);
  EXPECT_EQ(store.give(kFirst, kSlot, make_piece(4096).value()).code(), Code::kArgument);
  ASSERT_FALSE(store.begin(kFirst, kSlot, info(5)).value());
  EXPECT_EQ(store.seal(kFirst, kSlot, 5).code(), Code::kArgument) << "without a buffer";
  expect_status(store.give(kFirst, kSlot, make_piece(4097).value()), Code::kArgument,
                "another size");
  expect_status(store.begin(kSecond, kSlot, info(6)).status(), Code::kState, "another trainer");
  ASSERT_TRUE(store.give(kFirst, kSlot, make_piece(4096).value()));
  EXPECT_EQ(store.seal(kFirst, kSlot, 6).code(), Code::kArgument);
  EXPECT_EQ(store.seal(kSecond, kSlot, 5).code(), Code::kArgument);
  EXPECT_TRUE(store.seal(kFirst, kSlot, 5));
  EXPECT_TRUE(store.seal(kFirst, kSlot, 5)) << "it is the newest already";
}

// Else the next snapshot would be written over the one that the run has gone back to, and a revision
// that comes again could be taken from a past that did not happen.
TEST(VaultStore, ForgetsWhatIsNewerThanTheSnapshotThatARunHasGoneBackTo) {
  VaultStore store({});
  ASSERT_TRUE(snapshot(store, kSlot, info(5)));
  ASSERT_TRUE(snapshot(store, kSlot, info(6)));
  EXPECT_TRUE(store.seal(kSecond, kSlot, 5)) << "by whoever comes after the one who took it";
  EXPECT_EQ(store.read(kSlot, 0).value().info.revision, 5u);
  EXPECT_EQ(store.read(kSlot, 6).status().code(), Code::kStateLost);
  ASSERT_TRUE(store.begin(kFirst, kSlot, info(6)));
  EXPECT_EQ(store.read(kSlot, 5).value().info.revision, 5u);
}

TEST(VaultStore, SaysHowMuchItMayHoldAndHoldsWhenItIsFull) {
  VaultStore store({.snapshot_bytes = 10000});
  ASSERT_TRUE(snapshot(store, kSlot, info(5)));
  ASSERT_TRUE(snapshot(store, kSlot, info(6)));
  expect_status(
      snapshot(store, Slot(4), info(6)), Code::kMemory,
      "may hold 10000 bytes of snapshots and holds 8192; 4096 more for slot 4 do not fit");
  EXPECT_TRUE(snapshot(store, kSlot, info(7))) << "the buffers that are there serve on";
  EXPECT_TRUE(snapshot(store, Slot(4), info(6, 1000), kSecond)) << "a smaller one fits";
  EXPECT_EQ(store.snapshot_bytes(), 2u * 4096 + 1096);
}

TEST(VaultStore, BoundsItsHoldersAndDescriptors) {
  VaultStore holders({.holders = 1});
  ASSERT_TRUE(snapshot(holders, kSlot, info(5)));
  expect_status(snapshot(holders, Slot(4), info(5)), Code::kMemory, "1 slots already");
  VaultStore descriptors({.descriptors = 4});
  Trainer trainer;
  expect_status(descriptors.keep(kFirst, 10, kSlot, trainer.pieces()), Code::kMemory, "ulimit -n");
}

TEST(VaultStore, RefusesSnapshotsThatCannotBe) {
  VaultStore store({});
  for (SnapshotInfo bad : {SnapshotInfo{0, 10, 10, 0, 1},
                           {5, UINT64_MAX, 10, 0, 1},
                           {5, 10, 0, 0, 1},
                           {5, 10, UINT64_MAX, 0, 1},
                           {5, 10, 10, 1, 1},
                           {5, 10, 10, 0, 0}})
    EXPECT_EQ(store.begin(kFirst, kSlot, bad).status().code(), Code::kArgument);
}

TEST(VaultStore, ListsWhatTheHeaderSaysNow) {
  VaultStore store({});
  Trainer trainer;
  ASSERT_TRUE(store.keep(kFirst, 10, kSlot, trainer.pieces()));
  ASSERT_TRUE(snapshot(store, kSlot, info(7)));
  auto only = [&] { return store.list().at(0); };
  EXPECT_TRUE(only().alive && only().kept);
  EXPECT_EQ(only().revision, 7u);
  EXPECT_EQ(only().verdict, StateHeader::Verdict::kWhole);
  EXPECT_GE(only().kept_bytes, Trainer::kWeight);
  EXPECT_EQ(only().snapshots.at(0).revision, 7u);
  trainer.state.header().begin_update();
  EXPECT_EQ(only().verdict, StateHeader::Verdict::kOpen);
  trainer.state.header().end_update();
  EXPECT_EQ(only().verdict, StateHeader::Verdict::kUncommitted);
  ASSERT_TRUE(trainer.state.commit(8));
  EXPECT_EQ(only().revision, 8u);
  store.gone(kFirst);
  EXPECT_FALSE(only().alive);
}

}  // namespace
}  // namespace rhz::test
