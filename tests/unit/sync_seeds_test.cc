// A sync under random faults: loss, duplicates, reordering, damage, deaths, closing, donors that change their tensors, time.
#include "tests/sanitizer.h"
#include "tests/unit/sync_world.h"

namespace rhz::recovery::test {
namespace {

// A sanitizer looks at how a way is gone, and the ways repeat.
constexpr uint64_t kSeeds = rhz::test::kSanitized ? 50 : 1000;

const Sizes kSizes{4 * kBlock + 77, 100, 1, 2 * kBlock, 5000, kBlock + 1, 64, 300};

struct Faults {  // each kind is on with p = 1/2, so that no kind hides another
  double lose, twice, damage, die, close, lie;
  explicit Faults(Prng& prng) {
    for (double* p : {&lose, &twice, &damage, &die, &close, &lie})
      *p = prng.chance(0.5) ? 0.002 + 0.1 * prng.unit() : 0;
  }
};

// Which donors have done nothing wrong, and nothing was done to their messages.
struct Chaos {
  explicit Chaos(uint64_t seed) : prng(seed), faults(prng) {}

  void one_step(World& world) {
    auto& nodes = world.nodes;
    const size_t one = prng.below(nodes.size());
    if (prng.chance(faults.die)) {
      honest[one] = false;
      world.lose(one);
    }
    if (prng.chance(faults.close)) {
      honest[one] = false;
      world.close_and_train(one);
    }
    if (prng.chance(faults.lie)) {
      honest[one] = false;
      auto& tensor = nodes[one]->held.contents[prng.below(kSizes.size())];
      tensor[prng.below(tensor.size())] ^= std::byte{4};
    }
    if (prng.chance(0.05)) world.now += milliseconds(prng.below(300));
    if (world.puller.next_tick() <= world.now) world.apply(world.puller.tick(world.now));
    if (world.messages.empty() || world.finished()) return;
    Message message = world.take(prng.below(world.messages.size()));
    if (prng.chance(faults.lose)) {
      honest[message.donor] = false;
      return;
    }
    if (prng.chance(faults.twice)) world.messages.push_back(world.copy(message));
    if (!message.to_donor() && prng.chance(faults.damage)) {
      honest[message.donor] = false;
      const size_t header = prng.chance(0.3) ? kDataHeaderBytes : message.data.length;
      world.damage(message, prng.below(header));
    }
    world.deliver(message);
  }

  Prng prng;
  Faults faults;
  std::vector<bool> honest = std::vector<bool>(8, true);
};

TEST(SyncSeeds, R2NoInterleavingOfFaultsYieldsAMixtureOrHangs) {
  const Contents logged = random_contents(kSizes, 1), stale = random_contents(kSizes, 2);
  size_t synced = 0, failed = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Chaos run(seed);
    Contents old = logged;
    for (size_t t = 0; t < old.size(); ++t)
      if (run.prng.chance(0.7)) old[t] = stale[t];
    Puller::Options options;
    if (run.prng.chance(0.5)) options.donor_window_bytes = 1 + run.prng.below(2 * kBlock);
    if (run.prng.chance(0.5)) options.window_bytes = 1 + run.prng.below(4 * kBlock);
    if (run.prng.chance(0.3)) options.step_bytes = kBlock;
    const size_t donors = 1 + run.prng.below(4);
    World world(donors, logged, old, options);
    world.start();
    const uint64_t steps = run.prng.below(150);
    for (uint64_t i = 0; i < steps && !world.finished(); ++i) run.one_step(world);
    world.run(5000);  // liveness: no further faults

    ASSERT_TRUE(world.finished()) << "seed " << seed << " hangs";
    ASSERT_TRUE(world.blocks_are_old_or_logged(old)) << "seed " << seed;
    ASSERT_TRUE(!world.synced || world.joiner_has_the_logged_bytes()) << "seed " << seed;
    ASSERT_TRUE(!world.synced || world.joiner.state.revision() == world.admit.revision);
    bool some_honest = false;
    for (size_t i = 0; i < donors; ++i) some_honest |= run.honest[i];
    ASSERT_TRUE(world.synced || !some_honest)
        << "seed " << seed << " failed beside an honest donor: " << world.failed->text();
    ++(world.synced ? synced : failed);
  }
  EXPECT_GT(synced, 3 * kSeeds / 10);
  EXPECT_GT(failed, kSeeds / 10);
}

}  // namespace
}  // namespace rhz::recovery::test
