#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "recovery/parity/coding_run.h"
#include "recovery/parity/erasure_code.h"
#include "recovery/parity/stripe_layout.h"
#include "recovery/parity/stripe_rebuild.h"
#include "runtime/base/prng.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {
namespace {

using Bytes = std::vector<std::byte>;

Bytes random_bytes(size_t size, uint64_t seed) {
  Bytes bytes(size);
  Prng prng(seed);
  for (auto& b : bytes) b = static_cast<std::byte>(prng.next());
  return bytes;
}

ErasureCode code(uint32_t k, uint32_t m) { return ErasureCode::make(k, m).value(); }

// A state in stripes, coded, with what its holders would have.
struct Coded {
  Coded(const ErasureCode& with, size_t state_bytes, uint64_t most_shard_bytes, uint64_t budget)
      : erasure(with),
        state(random_bytes(state_bytes, 7)),
        layout(make_stripes(state_bytes, with, most_shard_bytes).value()) {
    for (uint32_t s = 0; s < layout.stripes; ++s) encode(s, budget);
  }

  ConstBytes data(uint32_t stripe, uint32_t shard) const {
    return ConstBytes(state).subspan(layout.offset(stripe, shard), layout.length(stripe, shard));
  }

  void encode(uint32_t stripe, uint64_t budget) {
    std::vector<ConstBytes> sources;
    std::vector<MutableBytes> outputs;
    shards.emplace_back();
    for (uint32_t i = 0; i < erasure.shards(); ++i) {
      shards.back().emplace_back(layout.length(stripe, i));
      if (i < erasure.data_shards()) {
        std::ranges::copy(data(stripe, i), shards.back()[i].begin());
        sources.push_back(data(stripe, i));
      }
    }
    for (uint32_t i = erasure.data_shards(); i < erasure.shards(); ++i)
      outputs.emplace_back(shards.back()[i]);
    CodingRun run(erasure.encoding(), layout.shard_bytes, sources, outputs,
                  Digested::sources_and_outputs);
    while (!run.step(budget)) ++steps;
    digests.push_back(run.take_digests());
  }

  StripeRebuild rebuild(uint32_t stripe, const std::set<uint32_t>& missing) const {
    std::vector<HeldShard> held;
    for (uint32_t i = 0; i < erasure.shards(); ++i) {
      held.push_back({std::nullopt, digests[stripe][i]});
      if (!missing.contains(i)) held.back().bytes = shards[stripe][i];
    }
    return {erasure, layout, stripe, held, {"stage 2", "the shadow optimizer"}};
  }

  // The bytes of the lost shards of `stripe`, by index.
  std::vector<Bytes> restored(uint32_t stripe, const std::set<uint32_t>& missing,
                              uint64_t budget) const {
    StripeRebuild rebuilding = rebuild(stripe, missing);
    while (!rebuilding.verify(budget)) continue;
    const auto lost = rebuilding.lost();
    EXPECT_TRUE(lost) << lost.status().text();
    std::vector<Bytes> bytes;
    for (uint32_t shard : lost.value()) bytes.emplace_back(layout.length(stripe, shard));
    const Status begun = rebuilding.begin(lost.value(), {bytes.begin(), bytes.end()});
    EXPECT_TRUE(begun) << begun.text();
    while (!rebuilding.rebuild(budget)) continue;
    EXPECT_TRUE(rebuilding.status()) << rebuilding.status().text();
    return bytes;
  }

  ErasureCode erasure;
  Bytes state;
  StripeLayout layout;
  std::vector<std::vector<Bytes>> shards;
  std::vector<std::vector<BlockDigests>> digests;
  int steps = 0;
};

// Multiplication in GF(2⁸) by the schoolbook, to be independent of the library.
uint8_t times(uint8_t a, uint8_t b) {
  unsigned product = 0;
  for (unsigned bit = 0; bit < 8; ++bit)
    if (b >> bit & 1) product ^= unsigned{a} << bit;
  for (unsigned bit = 15; bit >= 8; --bit)
    if (product >> bit & 1) product ^= 0x11du << (bit - 8);
  return static_cast<uint8_t>(product);
}

uint8_t inverse(uint8_t a) {
  for (unsigned b = 1; b < 256; ++b)
    if (times(a, static_cast<uint8_t>(b)) == 1) return static_cast<uint8_t>(b);
  return 0;
}

TEST(ErasureCode, RefusesShapesThatTheFieldHasNoRoomFor) {
  EXPECT_EQ(ErasureCode::make(0, 1).status().code(), Code::kArgument);
  EXPECT_EQ(ErasureCode::make(1, 0).status().code(), Code::kArgument);
  EXPECT_EQ(ErasureCode::make(200, 57).status().text(),
            "200 + 57 shards a stripe are more than 256");
  EXPECT_EQ(ErasureCode::make(2, UINT32_MAX).status().code(), Code::kArgument);
  EXPECT_TRUE(ErasureCode::make(200, 56));
}

// A byte of a data shard, or of the zeros behind it.
uint8_t byte_at(const Bytes& shard, size_t at) {
  return at < shard.size() ? static_cast<uint8_t>(shard[at]) : 0;
}

TEST(ErasureCode, IsTheCauchyMatrixThatVaultsRelyOn) {
  const Coded coded(code(4, 2), 4 * 64 - 70, 64, UINT64_MAX);  // 64, 64, 58 and no bytes
  for (uint8_t i = 0; i < 2; ++i) {
    for (size_t at = 0; at < 64; ++at) {
      uint8_t sum = 0;
      for (uint8_t j = 0; j < 4; ++j)
        sum ^= times(inverse(static_cast<uint8_t>((4 + i) ^ j)), byte_at(coded.shards[0][j], at));
      ASSERT_EQ(byte_at(coded.shards[0][size_t{4} + i], at), sum);
    }
  }
}

TEST(ErasureCode, IsTheExclusiveOrWhereThereIsOneParityShard) {
  const Coded coded(code(3, 1), 3 * 20000, 20032, UINT64_MAX);
  const auto& shards = coded.shards[0];
  for (size_t at = 0; at < shards[3].size(); ++at)
    ASSERT_EQ(byte_at(shards[3], at),
              byte_at(shards[0], at) ^ byte_at(shards[1], at) ^ byte_at(shards[2], at));
}

TEST(CodingRun, TakesShardsThatEndAnywhereForPaddedWithZeros) {
  const Bytes whole = random_bytes(400000, 1), half = random_bytes(200001, 2);
  const std::vector<ConstBytes> sources = {whole, half, ConstBytes()};
  Bytes parity(whole.size()), front(1000);
  CodingRun run(code(3, 1).encoding(), whole.size(), sources, {MutableBytes(parity)},
                Digested::outputs);
  while (!run.step(1)) continue;
  for (size_t at = 0; at < whole.size(); ++at)
    ASSERT_EQ(byte_at(parity, at), byte_at(whole, at) ^ byte_at(half, at)) << at;
  CodingRun short_output(code(3, 1).encoding(), whole.size(), sources, {MutableBytes(front)},
                         Digested::outputs);
  while (!short_output.step(1)) continue;
  EXPECT_EQ(front, Bytes(parity.begin(), parity.begin() + 1000));
}

TEST(StripeLayout, CutsEveryByteIntoExactlyOneShardAndPadsTheRest) {
  for (const uint64_t bytes : {1ull, 63ull, 64ull, 65ull, 1000ull, 4096ull, 100001ull}) {
    const StripeLayout layout = make_stripes(bytes, code(3, 2), 1000).value();
    EXPECT_EQ(layout.shard_bytes % kShardAlignment, 0u);
    EXPECT_LE(layout.shard_bytes, 1024u);
    uint64_t next = 0;
    for (uint32_t s = 0; s < layout.stripes; ++s) {
      for (uint32_t j = 0; j < 3; ++j) {
        EXPECT_EQ(layout.offset(s, j), next);
        next += layout.length(s, j);
      }
      EXPECT_EQ(layout.length(s, 3), layout.shard_bytes);
    }
    EXPECT_EQ(next, bytes);
    EXPECT_LE(layout.padding_bytes(), uint64_t{layout.stripes} * 3 * (kShardAlignment));
  }
}

TEST(StripeLayout, RefusesWhatCannotBeCut) {
  EXPECT_EQ(make_stripes(0, code(2, 1)).status().code(), Code::kArgument);
  EXPECT_EQ(make_stripes(10, code(2, 1), 0).status().code(), Code::kArgument);
  EXPECT_EQ(make_stripes(10, code(2, 1), uint64_t{2} << 30).status().code(), Code::kArgument);
  EXPECT_EQ(make_stripes(uint64_t{1} << 43, code(2, 1)).status().code(), Code::kArgument);
}

TEST(Parity, GivesAnyMLostShardsBack) {
  for (const auto& [k, m] : {std::pair<uint32_t, uint32_t>{4, 2}, {3, 1}, {1, 1}, {2, 3}, {5, 3}}) {
    const Coded coded(code(k, m), k * 3000 - 100, 5000, UINT64_MAX);
    for (uint32_t mask = 0; mask < 1u << (k + m); ++mask) {
      std::set<uint32_t> missing;
      for (uint32_t i = 0; i < k + m; ++i)
        if (mask >> i & 1) missing.insert(i);
      if (missing.size() > m) continue;
      const auto bytes = coded.restored(0, missing, UINT64_MAX);
      ASSERT_EQ(bytes.size(), missing.size());
      size_t i = 0;
      for (uint32_t shard : missing)
        ASSERT_EQ(bytes[i++], coded.shards[0][shard]) << k << "+" << m << " mask " << mask;
    }
  }
}

TEST(Parity, IsTheSameHoweverSmallTheSteps) {
  const size_t bytes = 2 * 4 * kDigestBlockBytes + 12345;
  const Coded whole(code(4, 2), bytes, 3 * kDigestBlockBytes, UINT64_MAX);
  const Coded steps(code(4, 2), bytes, 3 * kDigestBlockBytes, 1);
  EXPECT_EQ(whole.shards, steps.shards);
  EXPECT_EQ(whole.digests, steps.digests);
  EXPECT_EQ(whole.steps, 0);
  EXPECT_GT(steps.steps, 6 * 3);  // more than the digests alone
  EXPECT_EQ(steps.restored(0, {0, 3}, 1), whole.restored(0, {0, 3}, UINT64_MAX));
}

TEST(Parity, DigestsTheStoredBytesOfEveryShard) {
  const Coded coded(code(4, 2), 4 * 700000 - 999, 1 << 20, 1);
  for (uint32_t i = 0; i < 6; ++i) {
    const Bytes& shard = coded.shards[0][i];
    ASSERT_EQ(coded.digests[0][i].size(), digest_blocks(shard.size()));
    EXPECT_EQ(digest_of(coded.digests[0][i]), tensor_digest(shard));
  }
}

TEST(Parity, PadsTheLastStripeWithZerosThatNobodyStores) {
  // The last stripe holds 1 byte, two shards of it nothing at all.
  const Coded coded(code(3, 2), 3 * 64 + 1, 64, UINT64_MAX);
  ASSERT_EQ(coded.layout.stripes, 2u);
  EXPECT_EQ(coded.shards[1][0].size() + coded.shards[1][1].size() + coded.shards[1][2].size(), 1u);
  const auto bytes = coded.restored(1, {0, 3}, UINT64_MAX);
  EXPECT_EQ(bytes[0], coded.shards[1][0]);
  EXPECT_EQ(bytes[1], coded.shards[1][3]);
  // That nobody has a shard of padding is no loss.
  EXPECT_EQ(coded.restored(1, {0, 1, 2, 3}, UINT64_MAX).size(), 2u);
}

TEST(Parity, CountsACorruptShardAsLost) {
  Coded coded(code(4, 2), 4 * 600000, 600000, UINT64_MAX);
  const Bytes right = coded.shards[0][1];
  coded.shards[0][1].back() ^= std::byte{1};
  const auto bytes = coded.restored(0, {5}, kDigestBlockBytes);
  ASSERT_EQ(bytes.size(), 2u);
  EXPECT_EQ(bytes[0], right);
  EXPECT_EQ(bytes[1], coded.shards[0][5]);
}

TEST(Parity, CountsAShardOfAnotherLengthAsLost) {
  Coded coded(code(2, 1), 2 * 640, 640, UINT64_MAX);
  coded.shards[0][0].pop_back();
  EXPECT_EQ(coded.restored(0, {}, UINT64_MAX).size(), 1u);
}

TEST(Parity, SaysWhichStageIsLostAndWhereToTurnNext) {
  Coded coded(code(4, 2), 4 * 640, 640, UINT64_MAX);
  coded.shards[0][2][10] ^= std::byte{4};
  StripeRebuild rebuild = coded.rebuild(0, {0, 5});
  while (!rebuild.verify(1)) continue;
  const Status status = rebuild.lost().status();
  EXPECT_EQ(status.code(), Code::kStateLost);
  EXPECT_EQ(status.text(),
            "stage 2: 3 of 6 shards of stripe 0 are lost (2 missing, 1 corrupt), and parity makes "
            "up for 2; "
            "next source: the shadow optimizer");
  EXPECT_EQ(rebuild.begin({}, {}).code(), Code::kStateLost);
}

TEST(Parity, DoesNotHandOutWhatDiffersFromTheRecord) {
  Coded coded(code(4, 2), 4 * 640, 640, UINT64_MAX);
  coded.digests[0][1][0][0] ^= 1;  // the record of a shard that nobody has
  StripeRebuild rebuild = coded.rebuild(0, {1});
  while (!rebuild.verify(UINT64_MAX)) continue;
  Bytes out(640);
  const uint32_t wanted[] = {1};
  ASSERT_TRUE(rebuild.begin(wanted, {MutableBytes(out)}));
  while (!rebuild.rebuild(UINT64_MAX)) continue;
  EXPECT_EQ(rebuild.status().code(), Code::kCorrupt);
  EXPECT_NE(rebuild.status().text().find("shard 1 of stripe 0"), std::string::npos);
}

TEST(Parity, RefusesToRebuildWhatIsNotLostOrDoesNotFit) {
  const Coded coded(code(4, 2), 4 * 640, 640, UINT64_MAX);
  StripeRebuild rebuild = coded.rebuild(0, {1});
  while (!rebuild.verify(UINT64_MAX)) continue;
  Bytes out(640);
  const uint32_t intact[] = {0}, lost[] = {1};
  EXPECT_EQ(rebuild.begin(intact, {MutableBytes(out)}).text(), "shard 0 is not lost");
  EXPECT_EQ(rebuild.begin(lost, {}).code(), Code::kArgument);
  EXPECT_EQ(rebuild.begin(lost, {MutableBytes(out).first(100)}).code(), Code::kArgument);
}

}  // namespace
}  // namespace rhz::recovery
