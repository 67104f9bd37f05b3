#include "recovery/state/state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "recovery/state/manifest.h"
#include "runtime/base/prng.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

std::vector<std::byte> random_bytes(size_t size, uint64_t seed) {
  std::vector<std::byte> bytes(size);
  Prng prng(seed);
  for (auto& b : bytes) b = static_cast<std::byte>(prng.next());
  return bytes;
}

Tensor tensor(std::string name, std::vector<std::byte>& bytes, uint32_t dtype = 2) {
  return {std::move(name), dtype, bytes.size(), bytes.data(), bytes.size()};
}

struct Pair : testing::Test {
  std::vector<std::byte> a = random_bytes(3 * kDigestBlockBytes + 100, 1), b = random_bytes(10, 2);
  State state;
  void SetUp() override {
    ASSERT_TRUE(state.add(tensor("weight", a)));
    ASSERT_TRUE(state.add(tensor("bias", b)));
  }
  Manifest manifest(uint64_t budget = UINT64_MAX) {
    ManifestBuilder builder(state, 7);
    while (!builder.advance(budget)) {
    }
    return builder.take();
  }
};
using StateTest = Pair;
using ManifestTest = Pair;

void expect_refused(State& state, Tensor bad, const char* part) {
  const Status status = state.add(std::move(bad));
  EXPECT_EQ(status.code(), Code::kArgument);
  EXPECT_NE(status.text().find(part), std::string::npos) << status.text();
}

TEST_F(StateTest, KeepsTensorsInTheOrderOfTheirNames) {
  ASSERT_EQ(state.tensors().size(), 2u);
  EXPECT_EQ(state.tensors()[0].name, "bias");
  EXPECT_EQ(state.tensors()[1].name, "weight");
  EXPECT_EQ(state.bytes(), a.size() + b.size());
}

TEST_F(StateTest, RefusesWhatIsNoTensorAndSaysWhy) {
  expect_refused(state, tensor("bias", a), "the name is taken");
  expect_refused(state, tensor("", a), "empty");
  expect_refused(state, tensor(std::string(128, 'x'), a), "127");
  expect_refused(state, {"x", 2, 0, a.data(), 8}, "count_elems is 0");
  expect_refused(state, {"x", 2, 8, nullptr, 8}, "NULL");
  expect_refused(state, {"x", 2, 8, a.data(), 0}, "no multiple");
  expect_refused(state, {"x", 2, 8, a.data(), 12}, "no multiple");
  expect_refused(state, {"x", 2, 8, a.data(), kMaxStateBytes}, "4 TiB");
  EXPECT_EQ(state.tensors().size(), 2u);
  EXPECT_TRUE(state.add(tensor(std::string(127, 'x'), a)));
}

TEST_F(StateTest, TakesNoTensorsOnceFrozen) {
  state.freeze();
  EXPECT_EQ(state.add(tensor("late", a)).code(), Code::kState);
}

TEST_F(StateTest, RootIsTheDigestOfTheTensorDigestsInTheOrderOfNames) {
  const std::vector<Digest> digests{tensor_digest(b), tensor_digest(a)};
  EXPECT_EQ(state.root(), digest_of(digests));
  a[5] ^= std::byte{1};
  EXPECT_NE(state.root(), digest_of(digests));
}

TEST(StateFormat, ShapeAndRootAreTheKnownOnes) {
  std::vector<std::byte> w(6, std::byte{1}), s(8, std::byte{2});
  State state;
  EXPECT_EQ(to_hex(state.root()), "99aa06d3014798d86001c324468d497f") << "of no tensors";
  ASSERT_TRUE(state.add({"w", 9, 3, w.data(), 6}));
  ASSERT_TRUE(state.add({"step", 8, 1, s.data(), 8}));
  EXPECT_EQ(to_hex(state.shape()), "52a2047e846229da73b133a8a24e308f");
  EXPECT_EQ(to_hex(state.root()), "5849455d3510f5743f2c502f366d6b45");
}

TEST_F(StateTest, ShapeDependsOnNamesDtypesAndCountsAndNotOnBytesOrOrder) {
  const Digest shape = state.shape();
  a[0] ^= std::byte{1};
  EXPECT_EQ(state.shape(), shape);
  State other, renamed, retyped, recounted;
  ASSERT_TRUE(other.add(tensor("bias", b)));
  ASSERT_TRUE(other.add(tensor("weight", a)));
  EXPECT_EQ(other.shape(), shape);
  ASSERT_TRUE(renamed.add(tensor("biaz", b)));
  ASSERT_TRUE(renamed.add(tensor("weight", a)));
  EXPECT_NE(renamed.shape(), shape);
  ASSERT_TRUE(retyped.add(tensor("bias", b, 1)));
  ASSERT_TRUE(retyped.add(tensor("weight", a)));
  EXPECT_NE(retyped.shape(), shape);
  ASSERT_TRUE(recounted.add({"bias", 2, 5, b.data(), b.size()}));
  ASSERT_TRUE(recounted.add(tensor("weight", a)));
  EXPECT_NE(recounted.shape(), shape);
}

TEST_F(StateTest, R1RevisionsGrowByOneAndBeginAnywhere) {
  EXPECT_FALSE(state.revision());
  EXPECT_TRUE(state.commit(41));
  EXPECT_TRUE(state.commit(42));
  EXPECT_EQ(state.commit(42).code(), Code::kArgument);
  EXPECT_EQ(state.commit(44).code(), Code::kArgument);
  EXPECT_EQ(state.commit(41).code(), Code::kArgument);
  EXPECT_EQ(state.revision(), 42u);
  EXPECT_TRUE(state.commit(43));
}

TEST_F(StateTest, R1TheLastRevisionHasNoNext) {
  EXPECT_TRUE(state.commit(UINT64_MAX));
  EXPECT_EQ(state.commit(0).code(), Code::kArgument);
}

TEST_F(StateTest, AnAdoptedRevisionIsFollowedLikeACommittedOne) {
  state.adopt_revision(9);
  EXPECT_EQ(state.commit(9).code(), Code::kArgument);
  EXPECT_TRUE(state.commit(10));
  state.forget_revision();
  EXPECT_TRUE(state.commit(3));
  state.adopt_revision(0);
  EXPECT_FALSE(state.revision());
}

// A pipeline's stages differ: the shape and what a joiner is synced to are those of the others alone.
TEST_F(StateTest, APeersOwnTensorsAreDigestedAndKeptButNotSynced) {
  const Digest shape = state.shape(), root = state.root();
  std::vector<std::byte> stage(64);
  Tensor own{"stage", 2, 64, stage.data(), stage.size(), true};
  ASSERT_TRUE(state.add(own));
  EXPECT_EQ(state.add(own).code(), Code::kArgument);
  EXPECT_EQ(state.shape(), shape);
  EXPECT_NE(state.root(), root);
  EXPECT_EQ(state.all_tensors().size(), state.tensors().size() + 1);
  state.adopt_synced(9);
  EXPECT_EQ(state.revision(), 9u) << "of the shared ones";
  EXPECT_TRUE(state.header().open()) << "the stage is not there yet";
  EXPECT_TRUE(state.commit(9));
  EXPECT_FALSE(state.header().open());
  EXPECT_EQ(state.commit(9).code(), Code::kArgument);
  state.begin_replacement();
  EXPECT_TRUE(state.header().open());
  EXPECT_TRUE(state.commit(7)) << "the run has gone back";
  EXPECT_TRUE(state.commit(8));
}

TEST_F(ManifestTest, IsTheSameInOneStepOrInMany) {
  const Manifest whole = manifest();
  EXPECT_EQ(manifest(1), whole);
  EXPECT_EQ(whole.root, state.root());
  EXPECT_EQ(whole.revision, 7u);
  EXPECT_EQ(whole.tensors[1].blocks.size(), 4u);
  EXPECT_TRUE(whole.matches(state));
}

TEST_F(ManifestTest, SurvivesTheWayThroughBytes) {
  const auto text = manifest().serialise();
  EXPECT_EQ(text.size(), manifest_bytes(state));
  const auto parsed = Manifest::parse(text);
  ASSERT_TRUE(parsed) << parsed.status().text();
  EXPECT_EQ(parsed.value(), manifest());
}

TEST_F(ManifestTest, OfNoTensorsIsLegal) {
  State empty;
  ManifestBuilder builder(empty, 1);
  ASSERT_TRUE(builder.advance(1));
  const Manifest none = builder.take();
  EXPECT_EQ(none.root, empty.root());
  EXPECT_TRUE(Manifest::parse(none.serialise()));
}

TEST_F(ManifestTest, EveryTruncationIsRefused) {
  const auto text = manifest().serialise();
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_FALSE(Manifest::parse(ConstBytes(text).first(size))) << size;
  // Not by push_back(): GCC 14 warns of an overflow in there that cannot be.
  std::vector<std::byte> longer(text.size() + 1);
  std::copy(text.begin(), text.end(), longer.begin());
  EXPECT_FALSE(Manifest::parse(longer));
}

// Names, dtypes and counts are covered by the shape, the revision by the log; the root covers the bytes alone.
TEST_F(ManifestTest, AFlippedBitIsRefusedOrChangesOnlyWhatTheLogAndTheShapeCover) {
  const Manifest whole = manifest();
  const auto text = whole.serialise();
  for (size_t bit = 0; bit < 8 * text.size(); ++bit) {
    auto bad = text;
    bad[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    const auto parsed = Manifest::parse(bad);
    if (!parsed) continue;
    EXPECT_EQ(parsed.value().root, whole.root);
    for (size_t i = 0; i < whole.tensors.size(); ++i)
      EXPECT_EQ(parsed.value().tensors[i].blocks, whole.tensors[i].blocks) << "bit " << bit;
    EXPECT_TRUE(parsed.value().revision != 7 || !parsed.value().matches(state)) << "bit " << bit;
  }
}

TEST_F(ManifestTest, HugeCountsAllocateNothing) {
  auto text = manifest().serialise();
  store<uint32_t>(text.data() + 32, kMaxTensors);
  EXPECT_FALSE(Manifest::parse(text));
  store<uint32_t>(text.data() + 32, 0xffffffffu);
  EXPECT_FALSE(Manifest::parse(text));
  text = manifest().serialise();
  store<uint64_t>(text.data() + 40 + 16, kMaxStateBytes);  // "bias": 4 TiB of it
  store<uint64_t>(text.data() + 40 + 8, 1);
  EXPECT_FALSE(Manifest::parse(text));
}

TEST_F(ManifestTest, ARootThatDoesNotFollowIsCorrupt) {
  Manifest lie = manifest();
  lie.tensors[1].blocks[2][0] ^= 1;
  EXPECT_EQ(Manifest::parse(lie.serialise()).status().code(), Code::kCorrupt);
}

TEST_F(ManifestTest, OfOtherTensorsDoesNotMatch) {
  State fewer;
  ASSERT_TRUE(fewer.add(tensor("bias", b)));
  EXPECT_EQ(manifest().matches(fewer).code(), Code::kDiverged);
  State renamed;
  ASSERT_TRUE(renamed.add(tensor("bias", b)));
  ASSERT_TRUE(renamed.add(tensor("weights", a)));
  const Status status = manifest().matches(renamed);
  EXPECT_EQ(status.code(), Code::kDiverged);
  EXPECT_NE(status.text().find("weights"), std::string::npos) << status.text();
}

TEST_F(ManifestTest, NamesThatDoNotRiseAreRefused) {
  Manifest swapped = manifest();
  std::swap(swapped.tensors[0], swapped.tensors[1]);
  EXPECT_EQ(Manifest::parse(swapped.serialise()).status().code(), Code::kArgument);
}

}  // namespace
}  // namespace rhz::recovery
