#include "recovery/sync/state_copy.h"

#include "tests/unit/sync_world.h"

namespace rhz::recovery::test {
namespace {

struct StateCopyTest : testing::Test {
  Contents contents = random_contents({3 * kBlock + 10, 100}, 1);
  BufferPool pool;
  Holder held{contents};
  Donor live{pool};
  StateCopy copy{pool};
  Time now{1000};
  static constexpr uint64_t kRecorded = 3 * (kBlock + kUpdateHeaderBytes);

  void copy_all() {
    live.open(OpSeq(5), 7, held.state.root(), held.state);
    ASSERT_TRUE(copy.begin(held.state));
    while (!copy.copy(kBlock)) {
    }
    copy.open(live, now, kRecorded);
  }
  void train() {
    for (auto& tensor : held.contents)
      for (std::byte& byte : tensor) byte ^= std::byte{0x5a};
  }
  void ask(uint32_t tensor, uint64_t offset, uint32_t length) {
    const auto payload = encode_pull({PullKind::kRange, tensor, OpSeq(5), offset, length});
    copy.handle(PeerId{2, 2}, payload, now);
  }
};

TEST_F(StateCopyTest, R2ServesTheRevisionThatWasCopiedHoweverTheTensorsChange) {
  copy_all();
  EXPECT_FALSE(live.is_open()) << "the tensors are the program's again";
  train();
  ask(0, kBlock, 2 * kBlock + 10);
  const auto answer = copy.answer(now, false);
  ASSERT_TRUE(answer);
  const auto data = decode_data({answer->payload.data(), answer->length});
  ASSERT_TRUE(data && data->status == DataStatus::kOk);
  EXPECT_EQ(std::memcmp(data->bytes.data(), contents[0].data() + kBlock, data->bytes.size()), 0);
}

TEST_F(StateCopyTest, R2AWholeSyncFromCopiesEndsWithTheLoggedRoot) {
  copy_all();
  Contents stale = random_contents({3 * kBlock + 10, 100}, 2);
  Holder joiner(stale);
  Puller puller(joiner.state);
  const AdmitRecord admit{OpSeq(5), {}, 7, held.state.root(), {}};
  train();
  const PeerId donor{1, 1};
  SyncActions todo = puller.start(admit, std::span(&donor, 1), now);
  bool synced = false;
  while (!todo.empty()) {
    SyncActions next;
    for (SyncAction& action : todo) {
      synced |= std::holds_alternative<Synced>(action);
      const auto* pull = std::get_if<SendPull>(&action);
      if (!pull) continue;
      copy.handle(PeerId{2, 2}, pull->payload, now);
      const auto answer = copy.answer(now, false);
      ASSERT_TRUE(answer);
      auto more = puller.handle(donor, {answer->payload.data(), answer->length}, now);
      std::move(more.begin(), more.end(), std::back_inserter(next));
    }
    todo = std::move(next);
  }
  EXPECT_TRUE(synced);
  EXPECT_EQ(joiner.contents, contents);
  EXPECT_EQ(joiner.state.revision(), 7u);
}

TEST_F(StateCopyTest, LetsOpenCollectivesGoFirstButNotForEver) {
  copy_all();
  for (int i = 0; i < 3; ++i) ask(1, 0, 100);
  EXPECT_TRUE(copy.answer(now, true));
  EXPECT_FALSE(copy.answer(now, true));
  EXPECT_EQ(copy.tick(now), now + StateCopy::kYield);
  now += StateCopy::kYield;
  EXPECT_TRUE(copy.answer(now, true));
  EXPECT_FALSE(copy.answer(now, true));
  EXPECT_TRUE(copy.answer(now, false)) << "they are over";
}

TEST_F(StateCopyTest, LeavesOutWhatIsThePeersOwn) {
  std::vector<std::byte> own(1000);
  Holder mixed(contents);
  ASSERT_TRUE(mixed.state.add({.name = "mine", .dtype = 2, .count_elems = 1000, .data = own.data(), .bytes = 1000, .own = true}));
  ASSERT_TRUE(copy.begin(mixed.state));
  for (int i = 0; i < 20 && !copy.copy(kBlock); ++i) {
  }
  EXPECT_FALSE(copy.copying());
}

TEST_F(StateCopyTest, GivesLittleWhileItIsStillBeingCopied) {
  live.open(OpSeq(5), 7, held.state.root(), held.state);
  ASSERT_TRUE(copy.begin(held.state));
  for (int i = 0; i < 3; ++i) ask(1, 0, 100);
  const auto first = copy.answer(now, true, &live);
  ASSERT_TRUE(first);
  EXPECT_EQ(decode_data({first->payload.data(), first->length})->status, DataStatus::kOk);
  EXPECT_FALSE(copy.answer(now, true, &live)) << "the members wait for the copy";
  while (!copy.copy(kBlock)) {
  }
  copy.open(live, now, kRecorded);
  EXPECT_TRUE(copy.answer(now, false, &live));
  EXPECT_TRUE(copy.answer(now, false, &live));
}

// Says when its pages are there, and when somebody relied on them too early.
struct Pages final : PageMaker {
  void begin(std::byte* memory, uint64_t bytes) override {
    at = memory;
    length = bytes;
    making = true;
  }
  bool ready() const override { return made; }
  void end() override { making = false; }
  std::byte* at = nullptr;
  uint64_t length = 0;
  bool making = false, made = false;
};

TEST_F(StateCopyTest, HasItsRoomMadeBeforeItBegins) {
  Pages pages;
  StateCopy ahead(pool, &pages);
  EXPECT_FALSE(ahead.has_room());
  ASSERT_TRUE(ahead.make_room(held.state));
  EXPECT_EQ(pages.length, held.state.shared_bytes());
  EXPECT_TRUE(ahead.has_room());
  EXPECT_FALSE(ahead.room_ready());
  EXPECT_FALSE(ahead.copying()) << "that is nobody's copy yet";
  pages.made = true;
  EXPECT_TRUE(ahead.room_ready());
  live.open(OpSeq(5), 7, held.state.root(), held.state);
  ASSERT_TRUE(ahead.begin(held.state));
  EXPECT_FALSE(pages.making);
  EXPECT_FALSE(ahead.has_room()) << "it is in use";
  while (!ahead.copy(kBlock)) {
  }
  EXPECT_EQ(std::memcmp(pages.at, contents[0].data(), contents[0].size()), 0) << "into that room";
  ahead.open(live, now, kRecorded);
  EXPECT_TRUE(ahead.is_open());
}

TEST_F(StateCopyTest, BeginsInARoomThatIsNotReadyAndEndsItsMaking) {
  Pages pages;
  StateCopy early(pool, &pages);
  ASSERT_TRUE(early.make_room(held.state));
  ASSERT_TRUE(early.begin(held.state));
  EXPECT_FALSE(pages.making);
}

struct RecordingTest : StateCopyTest {
  RecordingTest() {
    EXPECT_FALSE(ahead.update_memory(kUpdate)) << "nobody would be given it";
    live.open(OpSeq(5), 7, held.state.root(), held.state);
    EXPECT_TRUE(ahead.begin(held.state));
    while (!ahead.copy(kBlock)) {
    }
    ahead.open(live, now, kRecorded);
  }
  // False: not into memory whose pages were made.
  bool record(uint64_t revision, uint64_t bytes) {
    std::byte* const made = pages.making ? pages.at : nullptr;
    auto memory = ahead.update_memory(bytes);
    EXPECT_TRUE(memory);
    if (!memory) return false;
    EXPECT_FALSE(pages.making) << "they are written to now";
    EXPECT_TRUE(memory->fill(revision, std::vector<std::byte>(bytes, std::byte{1})));
    const bool there = made && memory->data() == made;
    ahead.record(std::move(*memory));
    return there;
  }

  static constexpr uint64_t kUpdate = kBlock;  // there is room for three
  Pages pages;
  StateCopy ahead{pool, &pages};
};

TEST_F(RecordingTest, WritesEachUpdateToPagesThatWereMadeWhileTheProgramComputed) {
  EXPECT_EQ(pages.length, kUpdate + kUpdateHeaderBytes) << "from the copy on";
  EXPECT_TRUE(record(8, kUpdate));
  EXPECT_TRUE(pages.making) << "of the next one";
  ahead.close();
  EXPECT_FALSE(pages.making);
  EXPECT_FALSE(ahead.update_memory(kUpdate));
}

TEST_F(RecordingTest, MakesNoPagesThatTheLogHasNoRoomFor) {
  for (uint64_t revision : {8, 9, 10}) {
    EXPECT_TRUE(pages.making) << revision;
    EXPECT_TRUE(record(revision, kUpdate)) << revision;
  }
  EXPECT_FALSE(pages.making);
  EXPECT_FALSE(record(11, 1)) << "in memory of its own";
}

TEST_F(RecordingTest, TakesALongerUpdateThanTheOneBeforeInMemoryOfItsOwn) {
  EXPECT_TRUE(record(8, 100)) << "a shorter one takes what is there";
  EXPECT_FALSE(record(9, kUpdate));
  EXPECT_TRUE(record(10, kUpdate));
}

TEST_F(StateCopyTest, MakesNoMorePagesOnceTheRoomIsGivenBack) {
  Pages pages;
  {
    StateCopy gone(pool, &pages);
    ASSERT_TRUE(gone.make_room(held.state));
    gone.close();
    EXPECT_FALSE(pages.making);
    EXPECT_FALSE(gone.has_room());
    ASSERT_TRUE(gone.make_room(held.state));
    EXPECT_TRUE(pages.making);
  }
  EXPECT_FALSE(pages.making);
}

TEST_F(StateCopyTest, GoesWhenNobodyHasAskedForAWhile) {
  copy_all();
  now += StateCopy::kIdle / 2;
  ask(1, 0, 100);
  EXPECT_TRUE(copy.answer(now, false));
  EXPECT_EQ(copy.tick(now), now + StateCopy::kIdle);
  now += StateCopy::kIdle;
  EXPECT_EQ(copy.tick(now), kNever);
  EXPECT_FALSE(copy.is_open());
}

TEST_F(StateCopyTest, ANewerCopyTakesThePlaceOfAnOlderOne) {
  copy_all();
  train();
  live.open(OpSeq(6), 8, held.state.root(), held.state);
  ASSERT_TRUE(copy.begin(held.state));
  EXPECT_FALSE(copy.is_open());
  while (!copy.copy(1000)) {
  }
  copy.open(live, now, kRecorded);
  EXPECT_EQ(copy.sync(), OpSeq(6));
  ask(1, 0, 100);  // of the older one
  const auto answer = copy.answer(now, false);
  ASSERT_TRUE(answer);
  EXPECT_EQ(decode_data({answer->payload.data(), answer->length})->status, DataStatus::kClosed);
}

TEST_F(StateCopyTest, KeepsABoundedNumberOfPulls) {
  copy_all();
  (void)copy.answer(now, true);
  for (size_t i = 0; i < StateCopy::kMaxHeld + 100; ++i) ask(1, 0, 100);
  size_t answers = 0;
  while (copy.answer(now, false)) ++answers;
  EXPECT_EQ(answers, StateCopy::kMaxHeld);
}

}  // namespace
}  // namespace rhz::recovery::test
