// A joiner catches up (docs/recovery.md, "Joiners (sync)"; R2).
#include "tests/unit/sync_world.h"

namespace rhz::recovery::test {
namespace {

const Sizes kSizes{6 * kBlock + 77, 100, 2 * kBlock};
const Contents& logged() {
  static const Contents contents = random_contents(kSizes, 1);
  return contents;
}
const Contents& stale() {
  static const Contents contents = random_contents(kSizes, 2);
  return contents;
}
uint64_t total() { return kSizes[0] + kSizes[1] + kSizes[2]; }

// One range at a time per donor.
constexpr Puller::Options narrow() {
  Puller::Options options;
  options.donor_window_bytes = 1;
  return options;
}

void expect_synced(const World& world) {
  ASSERT_TRUE(world.synced) << (world.failed ? world.failed->text() : "no result");
  EXPECT_TRUE(world.joiner_has_the_logged_bytes());
  EXPECT_EQ(world.synced->op, world.admit.op);
  EXPECT_EQ(world.synced->root, world.admit.root);
  EXPECT_EQ(world.synced->revision, world.admit.revision);
  EXPECT_EQ(world.joiner.state.revision(), world.admit.revision);
  EXPECT_FALSE(world.puller.running());
  EXPECT_EQ(world.puller.next_tick(), kNever);
}

// Delivers until the next message is an answer to a pull of a range.
void run_to_first_range(World& world) {
  while (world.messages[0].to_donor() || world.puller.counters().manifest_bytes == 0)
    world.deliver(world.take(0));
}

TEST(Sync, FetchesEverythingFromOneDonor) {
  World world(1, logged(), stale());
  world.start();
  world.run();
  expect_synced(world);
  EXPECT_EQ(world.puller.counters().fetched_bytes, total());
}

TEST(Sync, EqualStateNeedsNoRange) {
  World world(2, logged(), logged());
  world.start();
  world.run();
  expect_synced(world);
  EXPECT_EQ(world.puller.counters().fetched_bytes, 0u);
  EXPECT_EQ(world.puller.counters().equal_bytes, total());
  EXPECT_EQ(world.nodes[0]->donor.counters().served, 1u) << "the manifest";
}

TEST(Sync, FetchesOnlyTheBlocksThatDiffer) {
  Contents nearly = logged();
  nearly[0][3 * kBlock + 5] ^= std::byte{1};
  nearly[0].back() ^= std::byte{1};
  World world(1, logged(), nearly);
  world.start();
  world.run();
  expect_synced(world);
  EXPECT_EQ(world.puller.counters().fetched_bytes, kBlock + 77);
  EXPECT_EQ(world.puller.counters().equal_bytes, total() - kBlock - 77);
}

TEST(Sync, SharesTheLoadAmongDonors) {
  World world(3, logged(), stale(), narrow());
  world.start();
  world.run();
  expect_synced(world);
  for (const auto& node : world.nodes) EXPECT_GT(node->donor.counters().served, 0u);
}

TEST(Sync, KeepsToItsWindows) {
  Puller::Options options;
  options.window_bytes = 3 * kBlock;
  options.donor_window_bytes = 2 * kBlock;
  World world(4, random_contents(Sizes(40, kBlock), 1), random_contents(Sizes(40, kBlock), 2),
              options);
  world.start();
  size_t most = 0;
  while (!world.messages.empty() && !world.finished()) {
    most = std::max(most, world.messages.size());
    world.deliver(world.take(0));
  }
  expect_synced(world);
  EXPECT_EQ(most, 3u);
}

TEST(Sync, ADonorThatDiesMidwayIsReplaced) {
  World world(2, logged(), stale(), narrow());
  world.start();
  run_to_first_range(world);
  world.lose(0);
  world.run();
  expect_synced(world);
  EXPECT_EQ(world.puller.counters().donors_lost, 1u);
}

TEST(Sync, ADonorThatDiesWhileItSendsTheManifestIsReplaced) {
  World world(2, logged(), stale());
  world.start();
  world.deliver(world.take(0));
  world.lose(0);
  world.run();
  expect_synced(world);
}

TEST(Sync, FailsWhenTheLastDonorIsLost) {
  World world(2, logged(), stale());
  world.start();
  run_to_first_range(world);
  world.lose(0);
  EXPECT_FALSE(world.finished());
  world.lose(1);
  ASSERT_TRUE(world.failed);
  EXPECT_EQ(world.failed->code(), Code::kPeerLost);
  EXPECT_EQ(world.failed->culprit, world.nodes[1]->id);
}

TEST(Sync, FailsWithoutDonors) {
  World world(1, logged(), stale());
  world.donor_ids.clear();
  world.start();
  ASSERT_TRUE(world.failed);
  EXPECT_EQ(world.failed->code(), Code::kPeerLost);
}

TEST(Sync, OfNoTensorsSucceeds) {
  World world(1, {}, {});
  world.start();
  world.run();
  expect_synced(world);
}

TEST(Sync, ACorruptRangeIsRefusedAndPulledFromAnother) {
  World world(2, logged(), stale(), narrow());
  world.start();
  run_to_first_range(world);
  const size_t liar = world.messages[0].donor;
  world.damage(world.messages[0], kDataHeaderBytes + kBlock);
  world.deliver(world.take(0));
  EXPECT_EQ(world.puller.counters().corrupt_ranges, 1u);
  EXPECT_EQ(world.puller.counters().fetched_bytes, 0u) << "not even its good blocks are written";
  EXPECT_TRUE(world.joiner.contents == stale());
  for (const Message& message : world.messages)
    EXPECT_FALSE(message.to_donor() && message.donor == liar) << "asked the liar again";
  const uint64_t served = world.nodes[1 - liar]->donor.counters().served_bytes;
  world.run();
  expect_synced(world);
  EXPECT_GT(world.nodes[1 - liar]->donor.counters().served_bytes, served);
  EXPECT_EQ(world.puller.counters().donors_lost, 0u);
}

TEST(Sync, ADonorThatKeepsSendingOtherBytesIsGivenUpAndNoneOfThemIsWritten) {
  World world(1, logged(), stale(), narrow());
  world.start();
  run_to_first_range(world);
  for (auto& bytes : world.nodes[0]->held.contents)  // a donor that breaks its promise
    for (size_t at = 0; at < bytes.size(); at += 64) bytes[at] ^= std::byte{9};
  world.run();
  ASSERT_TRUE(world.failed);
  EXPECT_EQ(world.failed->code(), Code::kCorrupt);
  EXPECT_TRUE(world.blocks_are_old_or_logged(stale()));
}

TEST(Sync, R2ADonorThatClosesAndTrainsOnNeverYieldsAMixture) {
  World world(1, logged(), stale(), narrow());
  ASSERT_TRUE(world.joiner.state.commit(3));
  world.start();
  run_to_first_range(world);
  world.deliver(world.take(0));
  world.close_and_train(0);
  world.run();
  ASSERT_TRUE(world.failed);
  EXPECT_EQ(world.failed->code(), Code::kPeerLost);
  EXPECT_FALSE(world.joiner.state.revision()) << "half a state has no revision";
  EXPECT_TRUE(world.blocks_are_old_or_logged(stale()));
}

TEST(Sync, R2ADonorThatClosesIsReplacedByOneThatStillStands) {
  World world(2, logged(), stale(), narrow());
  world.start();
  run_to_first_range(world);
  world.close_and_train(0);
  world.run();
  expect_synced(world);
}

TEST(Sync, R2AManifestWithAnotherRootIsRefused) {
  World world(1, stale(), logged());
  world.admit.root[3] ^= 1;
  world.start();
  world.run();
  ASSERT_TRUE(world.failed);
  EXPECT_EQ(world.failed->code(), Code::kDiverged);
  EXPECT_TRUE(world.joiner.contents == logged());
}

TEST(Sync, R2AManifestOfAnotherRevisionIsRefusedAndAnotherDonorAsked) {
  World world(2, logged(), stale());
  world.nodes[0]->donor.close();
  world.nodes[0]->donor.open(world.admit.op, 8, world.admit.root, world.nodes[0]->held.state);
  world.start();
  world.run();
  expect_synced(world);
  EXPECT_EQ(world.puller.counters().donors_lost, 1u);
}

TEST(Sync, TensorsOfAnotherShapeFail) {
  World world(1, random_contents({500, 300}, 1), random_contents({500, 301}, 1));
  world.start();
  world.run();
  ASSERT_TRUE(world.failed);
  EXPECT_EQ(world.failed->code(), Code::kDiverged);
  World swapped(1, random_contents({500, 300}, 1), random_contents({300, 500}, 1));
  swapped.start();
  swapped.run();
  ASSERT_TRUE(swapped.failed);
  EXPECT_NE(swapped.failed->text().find("is 300 × u8 here, and 500 × u8 there"), std::string::npos);
  World fewer(1, random_contents({500, 300}, 1), random_contents({500}, 1));
  fewer.start();
  fewer.run();
  ASSERT_TRUE(fewer.failed);
  EXPECT_EQ(fewer.failed->code(), Code::kDiverged);
}

TEST(Sync, R2TensorsThatChangeHereMeanwhileFail) {
  Puller::Options slow;
  slow.step_bytes = 1;
  World world(1, logged(), logged(), slow);
  world.start();
  while (world.puller.counters().equal_bytes < total()) {
    if (world.messages.empty()) {
      world.apply(world.puller.tick(world.now));
    } else {
      world.deliver(world.take(0));
    }
  }
  world.joiner.contents[0][0] ^= std::byte{1};
  world.joiner.contents[2][0] ^= std::byte{1};
  world.run();
  ASSERT_TRUE(world.failed);
  EXPECT_EQ(world.failed->code(), Code::kDiverged);
}

TEST(Sync, DuplicatesAreIgnored) {
  World world(2, logged(), stale(), narrow());
  world.start();
  while (!world.finished()) {
    const Message message = world.take(0);
    const Message twin = world.copy(message);
    world.deliver(message);
    world.deliver(twin);
    if (world.messages.empty()) world.run();
  }
  expect_synced(world);
  EXPECT_GT(world.puller.counters().ignored, 0u);
  EXPECT_EQ(world.puller.counters().fetched_bytes, total());
}

TEST(Sync, DataOfAnEarlierSyncIsIgnored) {
  World world(1, logged(), stale());
  world.start();
  world.deliver(world.take(0));
  const Message old = world.take(0);
  world.nodes[0]->donor.close();
  world.admit.op = OpSeq(6);
  world.nodes[0]->donor.open(OpSeq(6), 7, world.admit.root, world.nodes[0]->held.state);
  world.start();
  world.deliver(old);
  EXPECT_EQ(world.puller.counters().ignored, 1u);
  EXPECT_EQ(world.puller.counters().manifest_bytes, 0u);
  world.run();
  expect_synced(world);
  world.deliver(old);
  EXPECT_FALSE(world.puller.expects(world.nodes[0]->id));
}

TEST(Sync, StrangersAreIgnoredAndGarbageCostsADonorItsPlace) {
  World world(2, logged(), stale());
  world.start();
  const std::vector<std::byte> garbage(100, std::byte{0xee});
  world.apply(world.puller.handle(PeerId{9, 9}, garbage, world.now));
  EXPECT_EQ(world.puller.counters().ignored, 1u);
  EXPECT_FALSE(world.puller.expects(PeerId{9, 9}));
  EXPECT_TRUE(world.puller.expects(world.nodes[0]->id));
  world.apply(world.puller.handle(world.nodes[0]->id, garbage, world.now));
  EXPECT_EQ(world.puller.counters().donors_lost, 1u);
  EXPECT_FALSE(world.puller.expects(world.nodes[0]->id));
  world.run();
  expect_synced(world);
}

TEST(Sync, WhatAFrozenDonorOwesIsAskedOfAnotherAfterAQuarterOfASecond) {
  World world(2, logged(), stale(), narrow());
  world.start();
  run_to_first_range(world);
  std::vector<Message> frozen;  // what donor 1 was asked and has not answered
  auto freeze = [&] {
    for (size_t i = world.messages.size(); i-- > 0;)
      if (world.messages[i].donor == 1) frozen.push_back(world.take(i));
  };
  for (freeze(); !world.messages.empty() && !world.finished(); freeze())
    world.deliver(world.take(0));
  ASSERT_FALSE(world.finished());
  ASSERT_FALSE(frozen.empty());
  EXPECT_EQ(world.puller.next_tick(), Time{1000} + milliseconds(250));
  world.now = world.puller.next_tick();
  world.apply(world.puller.tick(world.now));
  for (freeze(); !world.messages.empty() && !world.finished(); freeze())
    world.deliver(world.take(0));
  expect_synced(world);
  EXPECT_EQ(world.puller.counters().asked_twice, frozen.size());
  EXPECT_EQ(world.puller.counters().donors_lost, 0u);
}

TEST(Sync, ADonorThatThawsMayAnswerWhatAnotherOneHasGivenMeanwhile) {
  World world(2, logged(), stale(), narrow());
  world.start();
  run_to_first_range(world);
  std::vector<Message> frozen;
  for (size_t i = world.messages.size(); i-- > 0;)
    if (world.messages[i].donor == 1) frozen.push_back(world.take(i));
  ASSERT_FALSE(frozen.empty());
  while (world.now < Time{1000} + milliseconds(250)) {  // the other one goes on answering, in its time
    world.now += milliseconds(50);
    world.apply(world.puller.tick(world.now));
    if (!world.messages.empty() && world.messages[0].donor == 0) world.deliver(world.take(0));
  }
  for (const Message& message : frozen) world.deliver(message);
  world.run();
  expect_synced(world);
  EXPECT_EQ(world.puller.counters().donors_lost, 0u);
}

TEST(Sync, AManifestThatStallsIsAskedOfTheNextDonor) {
  World world(2, logged(), stale());
  world.start();
  const Message stuck = world.take(0);
  EXPECT_EQ(stuck.donor, 0u);
  world.now = world.puller.next_tick();
  EXPECT_EQ(world.now, Time{1000} + milliseconds(250));
  world.apply(world.puller.tick(world.now));
  ASSERT_EQ(world.messages.size(), 1u);
  EXPECT_EQ(world.messages[0].donor, 1u);
  world.run();
  expect_synced(world);
}

TEST(Sync, ADonorSilentForFiveSecondsIsLost) {
  World world(1, logged(), stale(), narrow());
  world.start();
  run_to_first_range(world);
  world.messages.clear();
  world.now = Time{1000} + std::chrono::seconds(5) - nanoseconds(1);
  world.apply(world.puller.tick(world.now));
  EXPECT_EQ(world.puller.counters().donors_lost, 0u);
  EXPECT_FALSE(world.finished());
  world.now += nanoseconds(1);
  world.apply(world.puller.tick(world.now));
  ASSERT_TRUE(world.failed);
  EXPECT_EQ(world.failed->code(), Code::kTimeout);
}

TEST(Sync, ASleepOfTheJoinerIsNotHeldAgainstTheDonors) {
  World world(1, logged(), stale());
  world.start();
  world.now += std::chrono::seconds(60);
  world.apply(world.puller.tick(world.now));
  EXPECT_EQ(world.puller.counters().donors_lost, 0u);
  world.run();
  expect_synced(world);
}

TEST(Sync, ABusyDonorIsAskedAgainButNotForEver) {
  World world(1, logged(), stale());
  world.start();
  run_to_first_range(world);
  Message busy = world.take(0);
  const auto data = decode_data({busy.data.payload.data(), busy.data.length});
  ASSERT_TRUE(data);
  const Pull pull = data->pull;
  std::vector<std::byte> answer(kDataHeaderBytes);
  encode_data_header(pull, DataStatus::kBusy, answer.data());
  world.messages.clear();
  world.apply(world.puller.handle(world.nodes[0]->id, answer, world.now));
  EXPECT_TRUE(world.messages.empty()) << "not before a pause";
  EXPECT_EQ(world.puller.next_tick(), world.now + milliseconds(20));
  for (int i = 0; i < 1000 && !world.finished(); ++i) {
    world.now = world.puller.next_tick();
    world.apply(world.puller.tick(world.now));
    world.messages.clear();
    world.apply(world.puller.handle(world.nodes[0]->id, answer, world.now));
  }
  ASSERT_TRUE(world.failed);
  EXPECT_EQ(world.failed->code(), Code::kTimeout);
  EXPECT_LE(world.now, Time{1000} + std::chrono::seconds(6));
}

TEST(Sync, TheWorkOfOneCallIsBounded) {
  Puller::Options options;
  options.step_bytes = kBlock;
  World world(1, random_contents(Sizes(20, kBlock), 1), random_contents(Sizes(20, kBlock), 1),
              options);
  world.start();
  world.deliver(world.take(0));
  world.deliver(world.take(0));
  EXPECT_EQ(world.puller.counters().equal_bytes, kBlock);
  EXPECT_EQ(world.puller.next_tick(), world.now);
  int ticks = 0;
  for (; !world.finished() && ticks < 1000; ++ticks) world.apply(world.puller.tick(world.now));
  expect_synced(world);
  EXPECT_GE(ticks, 38) << "19 to compare, 20 to verify, less one";
}

TEST(Sync, AManifestOfManyTensorsComesInPiecesAndSmallRangesInBulk) {
  const Sizes sizes(30000, 1);
  World world(2, random_contents(sizes, 1), Contents(30000, std::vector<std::byte>(1)));
  world.start();
  world.run(1000000);
  expect_synced(world);
  EXPECT_GT(world.puller.counters().manifest_bytes, uint64_t{kMaxPullBytes});
}

TEST(Sync, TheManifestComesFromOneDonorAndIsBegunAgainWithTheNext) {
  World world(2, random_contents(Sizes(30000, 1), 1), random_contents(Sizes(30000, 1), 1));
  world.start();
  world.deliver(world.take(0));
  world.damage(world.messages[0], kDataHeaderBytes + 500);
  world.deliver(world.take(0));
  ASSERT_EQ(world.puller.counters().manifest_bytes, uint64_t{kMaxPullBytes});
  world.lose(0);
  world.run();
  expect_synced(world);
}

TEST(Sync, AnAnswerCountsOnlyWhenItComesFromTheDonorThatWasAsked) {
  World world(2, logged(), stale());
  world.start();
  world.deliver(world.take(0));
  Message message = world.take(0);
  ASSERT_EQ(message.donor, 0u);
  message.donor = 1;
  world.deliver(message);
  EXPECT_EQ(world.puller.counters().ignored, 1u);
  EXPECT_EQ(world.puller.counters().manifest_bytes, 0u);
  message.donor = 0;
  world.deliver(message);
  world.run();
  expect_synced(world);
}

TEST(Sync, CancelEndsItWithoutAResult) {
  World world(1, logged(), stale());
  world.start();
  run_to_first_range(world);
  world.puller.cancel();
  world.run();
  EXPECT_FALSE(world.finished());
  EXPECT_FALSE(world.puller.running());
}

TEST(Sync, MayBeStartedAgainAfterAFailure) {
  World world(2, logged(), stale(), narrow());
  world.start();
  run_to_first_range(world);
  world.deliver(world.take(0));
  world.lose(0);
  world.lose(1);
  ASSERT_TRUE(world.failed);
  world.failed.reset();
  world.messages.clear();
  world.nodes[1]->alive = true;
  world.start();
  world.run();
  expect_synced(world);
  EXPECT_GT(world.puller.counters().equal_bytes, 0u) << "what came the first time is kept";
}

}  // namespace
}  // namespace rhz::recovery::test
