// Generations of shards: protect, lose, restore, protect again.
#include <sys/resource.h>

#include <set>

#include "tests/unit/shards_kit.h"

namespace rhz::recovery {
namespace {

Protector::Options options(uint32_t k, uint32_t m, uint64_t most_shard_bytes) {
  Protector::Options o;
  o.data_shards = k;
  o.parity_shards = m;
  o.most_shard_bytes = most_shard_bytes;
  return o;
}

VaultRequest request(VaultVerb verb, uint64_t revision, uint64_t epoch = 1, uint64_t tag = 0) {
  VaultRequest r;
  r.verb = verb;
  r.epoch = Epoch(epoch);
  r.revision = revision;
  r.tag = tag;
  return r;
}

VaultRequest put(uint64_t revision, ConstBytes shard, uint64_t offset, uint32_t length,
                 uint64_t epoch = 1) {
  VaultRequest r = request(VaultVerb::put, revision, epoch);
  r.shard_bytes = shard.size();
  r.offset = offset;
  r.length = length;
  r.bytes = shard.subspan(offset, length);
  return r;
}

// ---- the vault's side

TEST(ShardStore, TakesRangesInAnyOrderAndAnswersWithTheDigestWhenItHasAll) {
  ShardStore store(1u << 24);
  const auto shard = random_state(600000);
  EXPECT_TRUE(store.handle(request(VaultVerb::begin, 1)).status);
  EXPECT_TRUE(store.handle(put(1, shard, 524288, 75712)).bytes.empty());
  EXPECT_TRUE(store.handle(put(1, shard, 0, 262144)).bytes.empty());
  EXPECT_TRUE(store.memory(0, 1, 0, 0).empty()) << "not complete";
  const auto last = store.handle(put(1, shard, 262144, 262144));
  ASSERT_EQ(last.bytes.size(), sizeof(Digest));
  EXPECT_EQ(std::memcmp(last.bytes.data(), tensor_digest(shard).data(), sizeof(Digest)), 0);
  VaultRequest get = request(VaultVerb::get, 1);
  get.shard_bytes = shard.size();
  get.offset = 262144;
  get.length = 262144;
  const auto got = store.handle(get);
  EXPECT_TRUE(std::equal(got.bytes.begin(), got.bytes.end(), shard.begin() + 262144));
}

TEST(ShardStore, KeepsTheGenerationBeforeTheSealedOneUntilANewerOneBegins) {
  ShardStore store(1u << 20);
  const auto shard = random_state(100);
  for (uint64_t revision : {1, 2}) {
    EXPECT_TRUE(store.handle(request(VaultVerb::begin, revision, 1, revision - 1)).status);
    EXPECT_TRUE(store.handle(put(revision, shard, 0, 100)).status);
    if (revision == 1) store.handle(request(VaultVerb::seal, 1));
  }
  EXPECT_EQ(store.generations(0).size(), 2u);
  EXPECT_EQ(store.bytes(), 200u);
  EXPECT_TRUE(store.handle(request(VaultVerb::seal, 2, 1, 1)).status);
  EXPECT_TRUE(store.handle(request(VaultVerb::seal, 1)).status) << "late, and said again";
  EXPECT_TRUE(store.handle(request(VaultVerb::begin, 2, 2, 2)).status) << "lost shards of it come";
  EXPECT_TRUE(store.handle(request(VaultVerb::seal, 2, 2, 2)).status);
  ASSERT_EQ(store.generations(0).size(), 2u);
  EXPECT_EQ(store.bytes(), 200u);
  EXPECT_TRUE(store.handle(request(VaultVerb::begin, 3, 2, 2)).status);
  ASSERT_EQ(store.generations(0).size(), 2u);
  EXPECT_EQ(store.generations(0)[0].revision, 2u);
  EXPECT_EQ(store.bytes(), 100u);
}

TEST(ShardStore, ThatIsToldNothingButTheEndsKeepsTheGenerationBeforeAndNoOlderOne) {
  ShardStore store(1u << 20);
  const auto shard = random_state(100);
  EXPECT_TRUE(store.handle(request(VaultVerb::begin, 1)).status);
  EXPECT_TRUE(store.handle(put(1, shard, 0, 100)).status);
  // Of the newer ones it holds nothing, and that 1 was sealed it hears only now.
  EXPECT_TRUE(store.handle(request(VaultVerb::seal, 2, 1, 1)).status);
  EXPECT_TRUE(store.handle(request(VaultVerb::begin, 2, 2, 2)).status);
  EXPECT_EQ(store.bytes(), 100u) << "it was";
  EXPECT_TRUE(store.handle(request(VaultVerb::seal, 3, 2, 2)).status);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST(ShardStore, ANewOwnerDiscardsWhatWasNotSealedAndSealsWhatTheLogHas) {
  ShardStore store(1u << 20);
  const auto shard = random_state(100);
  store.handle(request(VaultVerb::begin, 5));
  store.handle(put(5, shard, 0, 100));
  // The owner dies; the log has 5, and the vault was not told.
  EXPECT_TRUE(store.handle(request(VaultVerb::begin, 6, 2, 5)).status);
  EXPECT_TRUE(store.generations(0)[0].sealed);
  store.handle(put(6, shard, 0, 100, 2));
  // That one dies too, and the log does not have 6.
  EXPECT_TRUE(store.handle(request(VaultVerb::begin, 7, 3, 5)).status);
  ASSERT_EQ(store.generations(0).size(), 2u);
  EXPECT_EQ(store.generations(0)[0].revision, 5u);
  EXPECT_EQ(store.generations(0)[1].shards, 0u);
  // Late words of the dead.
  EXPECT_EQ(store.handle(put(6, shard, 0, 100, 2)).status.code(), Code::kState);
  EXPECT_EQ(store.handle(request(VaultVerb::begin, 6, 2, 5)).status.code(), Code::kState);
  EXPECT_EQ(store.handle(request(VaultVerb::discard, 7, 2)).status.code(), Code::kState);
  EXPECT_EQ(store.handle(request(VaultVerb::discard, 5, 3)).status.code(), Code::kState);
  EXPECT_TRUE(store.handle(request(VaultVerb::discard, 7, 3)).status);
}

TEST(ShardStore, RefusesWhatIsOverItsLimitAndSaysByHowMuch) {
  ShardStore store(150);
  const auto shard = random_state(100);
  store.handle(request(VaultVerb::begin, 1));
  EXPECT_TRUE(store.handle(put(1, shard, 0, 100)).status);
  VaultRequest second = put(1, shard, 0, 100);
  second.shard = 1;
  const Status refused = store.handle(second).status;
  EXPECT_EQ(refused.code(), Code::kMemory);
  EXPECT_NE(refused.text().find("100 of at most 150 bytes"), std::string::npos) << refused.text();
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they want the addresses
TEST(ShardStore, SaysWhenTheSystemHasNoMemoryAndKeepsWhatItHas) {
  ShardStore store(uint64_t{1} << 40);
  const auto shard = random_state(100);
  store.handle(request(VaultVerb::begin, 1));
  EXPECT_TRUE(store.handle(put(1, shard, 0, 100)).status);
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  const rlimit small{uint64_t{1} << 29, before.rlim_max};
  setrlimit(RLIMIT_AS, &small);
  VaultRequest large = put(1, shard, 0, 100);
  large.shard = 1;
  large.shard_bytes = kMaxShardBytes;
  const Status refused = store.handle(large).status;
  setrlimit(RLIMIT_AS, &before);
  EXPECT_EQ(refused.code(), Code::kMemory);
  EXPECT_NE(refused.text().find("no memory for a shard of 1073741824 bytes"), std::string::npos)
      << refused.text();
  EXPECT_EQ(store.bytes(), 100u);
}
#endif

TEST(ShardStore, RefusesRangesThatAreNotOfTheShard) {
  ShardStore store(1u << 20);
  const auto shard = random_state(100);
  store.handle(request(VaultVerb::begin, 1));
  VaultRequest bad = put(1, shard, 0, 100);
  bad.shard_bytes = 99;
  EXPECT_EQ(store.handle(bad).status.code(), Code::kArgument);
  bad = put(1, shard, 0, 100);
  bad.offset = UINT64_MAX - 10;
  EXPECT_EQ(store.handle(bad).status.code(), Code::kArgument);
  EXPECT_EQ(store.handle(put(2, shard, 0, 100)).status.code(), Code::kState) << "not begun";
}

TEST(ShardStore, ScrubDropsShardsThatChanged) {
  ShardStore store(1u << 24);
  const auto shard = random_state(600000);
  store.handle(request(VaultVerb::begin, 1));
  store.handle(put(1, shard, 0, 600000));
  while (!store.scrub(1)) continue;
  EXPECT_EQ(store.dropped_corrupt(), 0u);
  store.memory(0, 1, 0, 0)[599999] ^= std::byte{1};
  while (!store.scrub(1)) continue;
  EXPECT_EQ(store.dropped_corrupt(), 1u);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST(VaultMessages, RefuseBytesThatNobodyWrites) {
  const VaultHeader good = encode_header(request(VaultVerb::begin, 1));
  EXPECT_TRUE(decode_request(good));
  EXPECT_FALSE(decode_request(ConstBytes(good).first(63)));
  const auto bad = [&](size_t at, uint8_t value) {
    VaultHeader bytes = good;
    bytes[at] = std::byte{value};
    return !decode_request(bytes);
  };
  EXPECT_TRUE(bad(0, 0));
  EXPECT_TRUE(bad(0, 7));
  EXPECT_TRUE(bad(4, 1)) << "a status";
  EXPECT_TRUE(bad(16, 0)) << "revision 0";
  EXPECT_TRUE(bad(60, 1)) << "a range of something else";
  EXPECT_TRUE(bad(0, 2)) << "a put without bytes";
  VaultReply reply = decode_reply(encode_header(request(VaultVerb::seal, 1), Code::kState)).value();
  EXPECT_EQ(reply.status.code(), Code::kState);
  EXPECT_FALSE(decode_reply({}));
}

// ---- protect, and restore

TEST(Shards, ARevisionComesBackWhileAtMostMVaultsOfAStripeAreGone) {
  for (const auto& [k, m, size, shard] : {std::tuple(4u, 2u, size_t{100000}, uint64_t{4096}),
                                          {2u, 1u, size_t{3000000}, uint64_t{1} << 20},
                                          {3u, 3u, size_t{1}, uint64_t{64}},
                                          {4u, 2u, size_t{650}, uint64_t{64}}}) {
    VaultWorld world(k + m);
    const auto state = random_state(size);
    const GenerationRecord record = world.protect(1, state, options(k, m, shard));
    EXPECT_TRUE(judge_generation(nullptr, record));
    EXPECT_EQ(world.restore(record), state);
    for (uint32_t lost = 0; lost < m; ++lost) {
      world.kill(world.id(0));
      EXPECT_EQ(world.restore(record), state) << k << "+" << m << " without " << lost + 1;
    }
  }
}

TEST(Shards, MoreThanMLossesAreATypedErrorThatNamesStageAndNextSource) {
  VaultWorld world(6);
  const auto record = world.protect(1, random_state(5000), options(4, 2, 64));
  for (int i = 0; i < 3; ++i) world.kill(world.id(0));
  world.restore(record);
  EXPECT_EQ(world.failure.code(), Code::kStateLost);
  EXPECT_NE(world.failure.text().find("stage 3: 3 of 6 shards"), std::string::npos)
      << world.failure.text();
  EXPECT_NE(world.failure.text().find("next source: the disk"), std::string::npos);
}

TEST(Shards, ACorruptShardIsALostShard) {
  VaultWorld world(6);
  const auto state = random_state(50000);
  const auto record = world.protect(1, state, options(4, 2, 4096));
  const auto shape = shape_of(record).value();
  for (uint32_t stripe = 0; stripe < shape.layout.stripes; ++stripe)
    for (uint32_t shard : {0u, 2u}) {
      const PeerId holder = record.holders[record.held_by[shape.at(stripe, shard)]].vault;
      auto memory = world.vaults[holder]->memory(3, 1, stripe, shard);
      if (!memory.empty()) memory[memory.size() / 2] ^= std::byte{4};
    }
  EXPECT_EQ(world.restore(record), state);
}

TEST(Shards, AHolderThatDiesMeanwhileCostsOnlyWhatItHeld) {
  VaultWorld world(8);
  const auto state = random_state(1u << 20);
  auto made =
      Protector::make({3, 1, {1}, state, Epoch(1), 0}, world.living(), options(4, 2, 16384));
  Protector& core = *made.value();
  for (int i = 0; i < 20; ++i) world.carry_out(core, core.step(65536));
  ASSERT_TRUE(core.busy());
  const PeerId dead = world.id(2);
  world.kill(dead);
  world.carry_out(core, core.vault_lost(dead));
  const auto record = world.seal(core);
  for (const Holder& holder : record.holders) EXPECT_NE(holder.vault, dead);
  EXPECT_EQ(world.restore(record), state);
  const uint64_t once = (uint64_t{1} << 20) * 6 / 4;
  EXPECT_LT(world.bytes_sent, once + once / 3);
}

TEST(Shards, TooFewDomainsEndTheJobAndKeepTheOlderGeneration) {
  VaultWorld world(6);
  const auto state = random_state(50000, 1);
  const auto old = world.protect(1, state, options(4, 2, 4096));
  const auto next = random_state(50000, 2);
  auto made = Protector::make({3, 2, {2}, next, Epoch(1), 1}, world.living(), options(4, 2, 4096));
  Protector& core = *made.value();
  for (int i = 0; i < 2; ++i) world.carry_out(core, core.step(4096));
  std::vector<PeerId> dead;
  for (int i = 0; i < 4; ++i) dead.push_back(world.id(i));
  for (PeerId id : {dead[0], dead[1]}) world.kill(id);
  for (PeerId id : dead) world.carry_out(core, core.vault_lost(id));
  EXPECT_EQ(world.failure.code(), Code::kArgument) << world.failure.text();
  world.failure = {};
  EXPECT_EQ(world.restore(old), state);
}

TEST(Shards, AFullVaultIsPassedOver) {
  VaultWorld world(7, 1u << 20);
  world.vaults[world.id(1)] = std::make_unique<ShardStore>(1000);
  const auto state = random_state(500000);
  const auto record = world.protect(1, state, options(4, 2, 65536));
  for (const Holder& holder : record.holders) EXPECT_NE(holder.vault, world.id(1));
  EXPECT_EQ(world.restore(record), state);
  EXPECT_EQ(world.vaults[world.id(1)]->bytes(), 0u);
}

TEST(Shards, WhereAllVaultsAreFullTheErrorSaysSoAndNotThatHostsLack) {
  VaultWorld world(6, 1000);
  const auto state = random_state(500000);
  auto made =
      Protector::make({3, 1, {1}, state, Epoch(1), 0}, world.living(), options(4, 2, 65536));
  world.run(*made.value());
  EXPECT_EQ(world.failure.code(), Code::kMemory);
  for (const char* words : {"at most 1000 bytes", "--shard-memory", "vaults that refused"})
    EXPECT_NE(world.failure.text().find(words), std::string::npos) << world.failure.text();
  for (const auto& [id, vault] : world.vaults) EXPECT_EQ(vault->bytes(), 0u);
}

TEST(Shards, TheGenerationBeforeCanBeReadUntilTheOneAfterTheNewestBegins) {
  VaultWorld world(6);
  const auto first = random_state(50000, 1), second = random_state(50000, 2);
  const auto old = world.protect(1, first, options(4, 2, 4096));
  auto made =
      Protector::make({3, 2, {2}, second, Epoch(1), 1}, world.living(), options(4, 2, 4096));
  world.run(*made.value());
  ASSERT_EQ(world.proposals.size(), 1u);
  const GenerationRecord record = world.proposals[0];
  world.proposals.clear();
  EXPECT_EQ(world.restore(old), first) << "proposed, not sealed";
  world.carry_out(*made.value(), made.value()->logged(record));
  world.finished.reset();
  EXPECT_EQ(world.restore(record), second);
  EXPECT_EQ(world.restore(old), first) << "some other stage may have no newer one";
  auto third =
      Protector::make({3, 3, {3}, first, Epoch(1), 2}, world.living(), options(4, 2, 4096));
  world.run(*third.value());
  world.proposals.clear();
  EXPECT_EQ(world.restore(record), second);
  (void)world.restore(old);
  EXPECT_EQ(world.failure.code(), Code::kStateLost) << world.failure.text();
}

// ---- protect again

TEST(Shards, LostShardsAreRebuiltElsewhereAndTheRecordSaysWhere) {
  VaultWorld world(8);
  const auto state = random_state(100000);
  auto record = world.protect(1, state, options(4, 2, 4096));
  for (int round = 0; round < 6; ++round) {
    const PeerId dead = record.holders[round % record.holders.size()].vault;
    world.kill(dead);
    world.start(100 + static_cast<uint32_t>(round));
    EXPECT_EQ(standing(record, world.living().living()).hosts, 1u);
    auto core = Reprotector::make(record, world.living(), Epoch(1), {"stage 3", "the disk"});
    const auto again = world.seal(*core.value());
    EXPECT_TRUE(judge_generation(&record, again).value());
    EXPECT_EQ(standing(again, world.living().living()).hosts, 2u);
    record = again;
    EXPECT_EQ(world.restore(record), state);
  }
}

// One stripe further, no more: what is in hand is bounded.
TEST(Shards, TheNextStripeIsReadWhileTheRebuiltShardsOfOneAreOnTheirWay) {
  VaultWorld world(8);
  const auto state = random_state(100000);
  const auto record = world.protect(1, state, options(4, 2, 4096));
  world.kill(record.holders[0].vault);
  auto made = Reprotector::make(record, world.living(), Epoch(1), {"stage 3", "the disk"});
  Reprotector& core = *made.value();
  std::set<uint32_t> sent, read;
  ShardActions held_back;
  for (int i = 0; i < 200; ++i) {
    ShardActions now;
    for (ShardAction& action : core.step(1u << 20)) {
      const auto* send = std::get_if<VaultSend>(&action);
      const bool put = send && send->request.verb == VaultVerb::put;
      if (put) sent.insert(send->request.stripe);
      if (send && send->request.verb == VaultVerb::get) read.insert(send->request.stripe);
      (put ? held_back : now).push_back(std::move(action));
    }
    world.carry_out(core, std::move(now));
  }
  EXPECT_EQ(sent.size(), 1u);
  EXPECT_EQ(read.size(), 2u);
  world.carry_out(core, std::move(held_back));
  const auto again = world.seal(core);
  EXPECT_EQ(standing(again, world.living().living()).hosts, 2u);
  EXPECT_EQ(world.restore(again), state);
}

TEST(Shards, NothingIsProposedWhereNothingIsLost) {
  VaultWorld world(6);
  const auto record = world.protect(1, random_state(1000), options(4, 2, 64));
  auto core = Reprotector::make(record, world.living(), Epoch(1), {"stage 3", "the disk"});
  world.run(*core.value());
  EXPECT_TRUE(world.proposals.empty());
  EXPECT_EQ(world.finished, record);
}

TEST(Shards, CorruptShardsAreRebuiltWhetherTheVaultKnowsOrNot) {
  for (const bool known : {false, true}) {
    VaultWorld world(6);
    const auto state = random_state(5000);
    const auto record = world.protect(1, state, options(2, 2, 4096));
    const auto shape = shape_of(record).value();
    const PeerId holder = record.holders[record.held_by[shape.at(0, 0)]].vault;
    world.vaults[holder]->memory(3, 1, 0, 0)[7] ^= std::byte{1};
    if (known) world.vaults[holder]->scrub(1u << 20);
    // Somebody else is lost, so that the corrupt shard is read.
    world.kill(record.holders[record.held_by[shape.at(0, 1)]].vault);
    auto core = Reprotector::make(record, world.living(), Epoch(1), {"stage 3", "the disk"});
    const auto again = world.seal(*core.value());
    // All shards are good now: any two give the state back.
    for (uint32_t shard = 0; shard < 4; ++shard) {
      const PeerId now = again.holders[again.held_by[shape.at(0, shard)]].vault;
      EXPECT_EQ(tensor_digest(world.vaults[now]->memory(3, 1, 0, shard)),
                again.shards[shape.at(0, shard)])
          << shard;
    }
  }
}

TEST(Shards, ASecondLossDuringProtectingAgainIsMadeUpForToo) {
  VaultWorld world(8);
  const auto state = random_state(300000);
  const auto record = world.protect(1, state, options(4, 2, 4096));
  world.kill(record.holders[0].vault);
  auto made = Reprotector::make(record, world.living(), Epoch(1), {"stage 3", "the disk"});
  Reprotector& core = *made.value();
  for (int i = 0; i < 12; ++i) world.carry_out(core, core.step(4096));
  ASSERT_TRUE(core.busy());
  const PeerId second = record.holders[1].vault;
  world.kill(second);
  world.carry_out(core, core.vault_lost(second));
  const auto again = world.seal(core);
  EXPECT_EQ(standing(again, world.living().living()).hosts, 2u);
  EXPECT_EQ(world.restore(again), state);
}

}  // namespace
}  // namespace rhz::recovery
