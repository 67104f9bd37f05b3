// A state that is taken up again, and snapshots of it.
#include <gtest/gtest.h>

#include "recovery/vault/local_vault.h"
#include "recovery/vault/snapshot.h"
#include "tests/unit/vault_kit.h"

namespace rhz::test {
namespace {

// The pieces as a vault would hand them to the next process.
std::vector<Fd> copies(const std::vector<Fd>& pieces) {
  std::vector<Fd> all;
  for (const Fd& piece : pieces) all.push_back(duplicate(piece.get()).value());
  return all;
}

TEST(Attach, GivesTheBytesBackWhenTheTrainerIsGone) {
  std::vector<Fd> pieces;
  Digest root{};
  {
    Trainer trainer;
    pieces = trainer.pieces();
    root = trainer.state.root();
    trainer.state.header().note_root(root);
  }
  auto kept = open_kept(std::move(pieces));
  ASSERT_TRUE(kept) << kept.status().text();
  EXPECT_TRUE(judge_kept(*kept.value().header));
  EXPECT_EQ(kept.value().header->revision, 7u);
  SharedMemory memory;
  auto tensors = Trainer::wanted();
  ASSERT_TRUE(map_kept(kept.value(), memory, nullptr, tensors));
  ASSERT_TRUE(kept.value().header->has_root());
  EXPECT_TRUE(check_root(*kept.value().header, tensors));
  std::vector<std::byte> expected(Trainer::kWeight);
  fill(expected.data(), expected.size(), 1);
  EXPECT_EQ(std::memcmp(tensors[1].data, expected.data(), expected.size()), 0);
  EXPECT_TRUE(memory.find(tensors[1].data, tensors[1].bytes)) << "it is memory of rhz_alloc again";
  tensors[1].data[5] ^= std::byte{1};
  expect_status(check_root(*kept.value().header, tensors), Code::kStateLost,
                "not those of revision 7");
}

TEST(Attach, KeepsNothingThatLiesElsewhere) {
  SharedMemory memory;
  const DeviceBlocks no_devices{{}};
  State state;
  std::vector<std::byte> bytes(100);
  ASSERT_TRUE(state.add({"momentum", kByte, bytes.size(), bytes.data(), bytes.size()}));
  expect_status(keep_state(state, memory, no_devices).status(), Code::kArgument,
                "\"momentum\" lies in no memory of rhz_alloc");
}

TEST(Attach, JudgesByTheLastWordOfTheDead) {
  State state;
  StateHeader& header = state.header();
  expect_status(judge_kept(header), Code::kStateLost, "no revision yet");
  ASSERT_TRUE(state.commit(41));
  expect_status(judge_kept(header), Code::kStateLost, "did not mark its updates");
  header.marked = 1;
  EXPECT_TRUE(judge_kept(header));
  header.begin_update();
  expect_status(judge_kept(header), Code::kStateLost, "died inside an update of revision 41");
  EXPECT_EQ(state.commit(42).code(), Code::kState);
  header.end_update();
  expect_status(judge_kept(header), Code::kStateLost,
                "between an update of revision 41 and the commit");
  ASSERT_TRUE(state.commit(42));
  EXPECT_TRUE(judge_kept(header));
  state.forget_revision();  // a sync overwrites it
  EXPECT_EQ(judge_kept(header).code(), Code::kStateLost);
  state.adopt_revision(50);
  EXPECT_TRUE(judge_kept(header));
  EXPECT_EQ(header.revision, 50u);
}

TEST(Attach, ForgetsADigestWithTheNextUpdate) {
  State state;
  StateHeader& header = state.header();
  EXPECT_FALSE(header.has_root());
  header.note_root(Digest{1});
  EXPECT_TRUE(header.has_root());
  header.begin_update();
  EXPECT_FALSE(header.has_root());
  header.end_update();
  EXPECT_FALSE(header.has_root());
}

TEST(Attach, RefusesOtherTensorsAndMapsNothing) {
  Trainer trainer;
  auto kept = open_kept(trainer.pieces());
  ASSERT_TRUE(kept);
  SharedMemory memory;
  auto tensors = Trainer::wanted();
  tensors[0].count_elems = tensors[0].bytes = 11;
  expect_status(map_kept(kept.value(), memory, nullptr, tensors), Code::kMismatch, "\"bias\"");
  EXPECT_EQ(tensors[1].data, nullptr);
}

TEST(Attach, RefusesPiecesWithATableThatLies) {
  Trainer trainer;
  const auto pieces = trainer.pieces();
  auto with = [&](uint64_t offset, std::byte value) {
    std::byte before{};
    EXPECT_TRUE(read_piece(pieces.front(), offset, {&before, 1}));
    EXPECT_TRUE(write_piece(pieces.front(), offset, {&value, 1}));
    const Status status = open_kept(copies(pieces)).status();
    EXPECT_TRUE(write_piece(pieces.front(), offset, {&before, 1}));
    return status;
  };
  expect_status(with(0, std::byte{0}), Code::kCorrupt, "header of a state");
  expect_status(with(kStateHeaderBytes + 40, std::byte{99}), Code::kCorrupt, "damaged");
  EXPECT_TRUE(open_kept(copies(pieces)));
  auto fewer = copies(pieces);
  fewer.pop_back();
  EXPECT_EQ(open_kept(std::move(fewer)).status().code(), Code::kCorrupt);
}

TEST(SharedMemory, AdoptsNothingButItsOwnBlocks) {
  SharedMemory memory;
  EXPECT_EQ(memory.adopt(eventfd(0, EFD_CLOEXEC)).status().code(), Code::kCorrupt);
  EXPECT_EQ(memory.adopt(make_piece(8192).value().release()).status().code(), Code::kCorrupt);
}

struct SnapshotTest : testing::TestWithParam<uint32_t> {};

TEST_P(SnapshotTest, GivesBackThePartThatItTook) {
  const uint32_t parts = GetParam();
  Trainer trainer, other(100);
  for (uint32_t part = 0; part < parts; ++part) {
    LocalVault vault;
    SnapshotCopy copy(trainer.state.tensors(), 7, part, parts);
    EXPECT_LE(copy.info().data_bytes, (Trainer::kWeight + Trainer::kBias) / parts + 200);
    auto buffer = vault.begin(Slot(0), copy.info());
    ASSERT_TRUE(buffer) << buffer.status().text();
    for (bool done = false; !done;) {
      auto step = copy.step(buffer.value(), 1);
      ASSERT_TRUE(step) << step.status().text();
      done = step.value();
    }
    ASSERT_TRUE(vault.seal(Slot(0), 7));
    auto found = vault.read(Slot(0), 0);
    ASSERT_TRUE(found);
    auto table = read_table(found.value());
    ASSERT_TRUE(table) << table.status().text();
    ASSERT_TRUE(restore(found.value(), table.value(), other.state.tensors(), false));
  }
  EXPECT_EQ(other.state.root(), trainer.state.root()) << "the parts together are all of it";
}

INSTANTIATE_TEST_SUITE_P(Replicas, SnapshotTest, testing::Values(1, 2, 3, 20));

TEST(Snapshot, ThatWasDamagedIsNotHandedOut) {
  Trainer trainer, other(100);
  LocalVault vault;
  SnapshotCopy copy(trainer.state.tensors(), 7, 0, 1);
  auto buffer = vault.begin(Slot(0), copy.info());
  ASSERT_TRUE(copy.step(buffer.value(), UINT64_MAX).value());
  ASSERT_TRUE(vault.seal(Slot(0), 7));
  const std::byte wrong{77};
  const uint64_t at = 64 + kDigestBlockBytes + 9;  // in the second block of "weight"
  ASSERT_TRUE(write_piece(buffer.value(), at, {&wrong, 1}));
  auto found = vault.read(Slot(0), 7);
  auto table = read_table(found.value());
  ASSERT_TRUE(table);
  expect_status(restore(found.value(), table.value(), other.state.tensors(), false), Code::kCorrupt,
                "damaged in tensor \"weight\", byte 262144");
  EXPECT_TRUE(restore(found.value(), table.value(), other.state.tensors(), true))
      << "unchecked, as asked for";
  ASSERT_TRUE(write_piece(buffer.value(), found.value().info.data_bytes + 40, {&wrong, 1}));
  EXPECT_EQ(read_table(found.value()).status().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace rhz::test
