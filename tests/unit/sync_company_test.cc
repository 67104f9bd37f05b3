// Several joiners at once: they serve each other what they have checked.
#include <algorithm>
#include <deque>

#include "tests/unit/sync_world.h"

namespace rhz::recovery::test {
namespace {

const Sizes kSizes{8 * kMaxPullBytes, 100, 5 * kMaxPullBytes + 77, 3 * kMaxPullBytes};

uint64_t total() {
  uint64_t bytes = 0;
  for (const size_t size : kSizes) bytes += size;
  return bytes;
}

// One donor and some joiners; every message takes a turn, and all are in step.
struct Crowd {
  struct Joiner {
    Joiner(uint64_t number, const Contents& contents, BufferPool& pool, Puller::Options options)
        : id{2, number}, held(contents), puller(held.state, options), answers(pool) {}
    PeerId id;
    Holder held;
    Puller puller;
    Donor answers;
    bool alive = true, lies = false;
    std::optional<Synced> synced;
    std::optional<Status> failed;
  };
  struct Letter {
    PeerId from, to;
    std::vector<std::byte> payload;
    bool is_pull = false;
  };

  explicit Crowd(size_t joiners, uint64_t window = 2 * kMaxPullBytes) : logged(random_contents(kSizes, 1)), member(logged) {
    admit = {OpSeq(5), {}, 7, member.state.root(), {}};
    donor.open(admit.op, admit.revision, admit.root, member.state);
    Puller::Options options;
    options.window_bytes = options.donor_window_bytes = window;
    for (size_t i = 0; i < joiners; ++i) {
      all.push_back(std::make_unique<Joiner>(i + 1, random_contents(kSizes, 10 + i), pool, options));
      ids.push_back(all.back()->id);
    }
  }
  void start() {
    for (auto& joiner : all)
      apply(*joiner, joiner->puller.start(admit, std::span(&kMember, 1), now, {ids, joiner->id}));
  }
  void apply(Joiner& joiner, SyncActions actions) {
    for (SyncAction& action : actions) {
      if (auto* pull = std::get_if<SendPull>(&action))
        letters.push_back({joiner.id, pull->to, {pull->payload.begin(), pull->payload.end()}, true});
      else if (auto* done = std::get_if<Synced>(&action)) joiner.synced = *done;
      else joiner.failed = std::get<SyncFailed>(action).status;
    }
  }
  void deliver(const Letter& letter) {
    if (letter.to == kMember) {
      if (auto answer = donor.handle(letter.from, letter.payload)) send(kMember, *answer);
      return;
    }
    Joiner& joiner = *all[letter.to.low - 1];
    if (!joiner.alive) return;
    if (!letter.is_pull) return apply(joiner, joiner.puller.handle(letter.from, letter.payload, now));
    ConstBytes bytes;
    const Pull pull = *decode_pull(letter.payload);
    const DataStatus status = joiner.puller.find(pull, bytes);
    auto answer = joiner.answers.answer(letter.from, pull, status, bytes);
    if (!answer) return;
    if (joiner.lies && status == DataStatus::kOk) answer->payload.data()[kDataHeaderBytes + 5] ^= std::byte{1};
    if (status == DataStatus::kOk) passed_on += bytes.size();
    send(joiner.id, *answer);
  }
  void send(PeerId from, const SendData& answer) {
    letters.push_back({from, answer.to, {answer.payload.data(), answer.payload.data() + answer.length}, false});
  }
  void run() {
    start();
    for (int i = 0; i < 100000 && !over(); ++i) {
      for (size_t n = letters.size(); n > 0; --n) {
        const Letter letter = std::move(letters.front());
        letters.pop_front();
        deliver(letter);
      }
      now += milliseconds(2);
      for (auto& joiner : all)
        if (joiner->alive && joiner->puller.next_tick() <= now) apply(*joiner, joiner->puller.tick(now));
      if (at_turn) at_turn(i);
    }
  }
  bool over() const {
    return std::all_of(all.begin(), all.end(),
                       [](const auto& j) { return !j->alive || j->synced || j->failed; });
  }
  void expect_all_synced() {
    for (auto& joiner : all) {
      if (!joiner->alive) continue;
      ASSERT_TRUE(joiner->synced) << (joiner->failed ? joiner->failed->text() : "hangs");
      EXPECT_EQ(joiner->held.contents, logged);
    }
  }

  static constexpr PeerId kMember{1, 1};
  BufferPool pool;
  Contents logged;
  Holder member;
  Donor donor{pool};
  AdmitRecord admit;
  std::vector<std::unique_ptr<Joiner>> all;
  std::vector<PeerId> ids;
  std::deque<Letter> letters;
  Time now{1000};
  uint64_t passed_on = 0;
  std::function<void(int)> at_turn;
};

TEST(SyncCompany, JoinersGetMostOfTheStateFromEachOther) {
  Crowd crowd(3);
  crowd.run();
  crowd.expect_all_synced();
  EXPECT_LT(crowd.donor.counters().served_bytes, 2 * total()) << "of three times the state";
  EXPECT_GT(crowd.passed_on, total());
}

TEST(SyncCompany, OneAloneAsksTheMembers) {
  Crowd crowd(1);
  crowd.run();
  crowd.expect_all_synced();
  EXPECT_EQ(crowd.passed_on, 0u);
}

TEST(SyncCompany, ACompanionThatDiesIsReplacedByTheMembers) {
  Crowd crowd(3);
  crowd.at_turn = [&](int turn) {
    if (turn != 6) return;
    crowd.all[1]->alive = false;
    for (size_t i : {0, 2})
      crowd.apply(*crowd.all[i], crowd.all[i]->puller.donor_lost(crowd.ids[1], crowd.now));
  };
  crowd.run();
  crowd.expect_all_synced();
}

TEST(SyncCompany, ACompanionThatFreezesHoldsTheOthersUpForAQuarterOfASecond) {
  Crowd crowd(3);
  crowd.at_turn = [&](int turn) {
    if (turn == 6) crowd.all[1]->alive = false;
  };
  crowd.run();
  crowd.expect_all_synced();
  EXPECT_LT(crowd.now, Time{1000} + std::chrono::seconds(2));
}

TEST(SyncCompany, R2WhatACompanionChangedOnTheWayIsNotWritten) {
  Crowd crowd(3);
  crowd.all[2]->lies = true;
  crowd.run();
  crowd.expect_all_synced();
  EXPECT_GT(crowd.all[0]->puller.counters().corrupt_ranges + crowd.all[1]->puller.counters().corrupt_ranges, 0u);
}

TEST(SyncCompany, R2ServesOnlyWhatItHasChecked) {
  Crowd crowd(2);
  crowd.start();
  ConstBytes bytes;
  const Pull first{PullKind::kRange, 0, OpSeq(5), 0, kMaxPullBytes};
  EXPECT_EQ(crowd.all[0]->puller.find(first, bytes), DataStatus::kClosed) << "no manifest yet";
  const Crowd::Letter pull = crowd.letters.front();
  ASSERT_EQ(pull.from, crowd.ids[0]);
  crowd.deliver(pull);
  crowd.deliver(crowd.letters.back());
  EXPECT_EQ(crowd.all[0]->puller.find(first, bytes), DataStatus::kBusy) << "not here yet";
  crowd.letters.clear();
  crowd.run();
  EXPECT_EQ(crowd.all[0]->puller.find(first, bytes), DataStatus::kOk) << "also when its own sync is over";
  Pull other = first;
  other.sync = OpSeq(6);
  EXPECT_EQ(crowd.all[0]->puller.find(other, bytes), DataStatus::kClosed);
  other = first;
  other.length = kMaxPullBytes - 1;
  EXPECT_EQ(crowd.all[0]->puller.find(other, bytes), DataStatus::kRefused);
  other = first;
  other.tensor = 4;
  EXPECT_EQ(crowd.all[0]->puller.find(other, bytes), DataStatus::kRefused);
  crowd.all[0]->puller.cancel();
  EXPECT_EQ(crowd.all[0]->puller.find(first, bytes), DataStatus::kClosed) << "the tensors are the program's";
}

TEST(SyncCompany, AReadOnlyJoinerFailsAtTheFirstDifferenceAndIsWrittenNothing) {
  Crowd crowd(1);
  const Contents before = crowd.all[0]->held.contents;
  crowd.all[0]->puller.set_read_only(true);
  crowd.run();
  ASSERT_TRUE(crowd.all[0]->failed);
  EXPECT_EQ(crowd.all[0]->failed->code(), Code::kDiverged);
  EXPECT_NE(crowd.all[0]->failed->text().find("tensor \"t000000\""), std::string::npos);
  EXPECT_EQ(crowd.all[0]->held.contents, before);
}

}  // namespace
}  // namespace rhz::recovery::test
