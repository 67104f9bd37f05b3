// What the kernel tells of the end of a process.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <deque>
#include <functional>
#include <span>

#include "runtime/memory/shared_region.h"
#include "runtime/transport/shm/life.h"
#include "tests/sanitizer.h"

namespace rhz::shm {
namespace {

constexpr Duration kPatience = milliseconds(20000);

// A process of its own that vouches for marks and then does what it is told.
class Other {
 public:
  // `act`: in the other process, with its marks.
  explicit Other(size_t marks, const std::function<void(Life&, std::span<LifeMark>)>& act)
      : region_(SharedRegion::create(4096 * marks).value()), count_(marks) {
    int ready[2], go[2];
    EXPECT_EQ(::pipe(ready), 0);
    EXPECT_EQ(::pipe(go), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      AsioLoop loop;
      Life life(loop);
      for (LifeMark& mark : this->marks()) life.vouch(mark);
      char byte = 0;
      if (::write(ready[1], &byte, 1) != 1 || ::read(go[0], &byte, 1) != 1) ::_exit(1);
      act(life, this->marks());
      if (::write(ready[1], &byte, 1) != 1) ::_exit(1);
      while (true) ::pause();
    }
    ready_ = ready[0];
    go_ = go[1];
    ::close(ready[1]);
    ::close(go[0]);
    hear();
  }
  ~Other() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(ready_);
    ::close(go_);
  }

  std::span<LifeMark> marks() const {
    return {reinterpret_cast<LifeMark*>(region_.data()), count_};
  }
  void go() { EXPECT_EQ(::write(go_, "", 1), 1); }
  void hear() {
    char byte = 0;
    EXPECT_EQ(::read(ready_, &byte, 1), 1);
  }
  pid_t pid() const { return pid_; }

 private:
  SharedRegion region_;
  size_t count_;
  pid_t pid_ = -1;
  int ready_ = -1, go_ = -1;
};

class LifeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LifeMark mark;
    Life life(loop_);
    life.vouch(mark);
    const bool works = mark.word.load() != 0;
    life.withdraw(mark);
    if (!works) GTEST_SKIP() << "this kernel has no futex_waitv";
  }
  bool until(const std::function<bool()>& condition, Duration at_most = kPatience) {
    const Time deadline = loop_.now() + at_most;
    while (!condition() && loop_.now() < deadline) loop_.run_until(deadline);
    return condition();
  }
  AsioLoop loop_;
};

const auto kNothing = [](Life&, std::span<LifeMark>) {};

TEST_F(LifeTest, TellsOfAKill) {
  Other other(1, kNothing);
  Life life(loop_);
  int told = 0;
  life.watch(other.marks()[0], [&] { ++told; });
  ::kill(other.pid(), SIGKILL);
  EXPECT_TRUE(until([&] { return told > 0; }));
  EXPECT_EQ(told, 1);
}

TEST_F(LifeTest, TellsOfAnEndWithoutACall) {
  Other other(1, [](Life&, std::span<LifeMark>) { ::_exit(0); });
  Life life(loop_);
  bool told = false;
  life.watch(other.marks()[0], [&] { told = true; });
  other.go();
  EXPECT_TRUE(until([&] { return told; }));
}

TEST_F(LifeTest, TellsOfADeathBeforeItWatched) {
  Other other(1, kNothing);
  Life life(loop_);
  ::kill(other.pid(), SIGKILL);
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(other.pid()), &info, WEXITED | WNOWAIT), 0);
  bool told = false;
  life.watch(other.marks()[0], [&] { told = true; });
  EXPECT_TRUE(until([&] { return told; }));
}

// Its thread may be anywhere between two looks.  One lost wake-up, and this does not end.
TEST_F(LifeTest, EndsWhereverItsThreadIs) {
  constexpr int kTimes = test::kSanitized ? 2'000 : 20'000;
  LifeMark mark;
  for (int i = 0; i < kTimes; ++i) {
    Life life(loop_);
    life.watch(mark, [] {});
    life.unwatch(mark);
  }
}

TEST_F(LifeTest, TellsEveryWatcher) {
  constexpr size_t kWatchers = 40;
  Other other(kWatchers, kNothing);
  std::deque<Life> lives;  // stays where it is
  size_t told = 0;
  for (size_t i = 0; i < kWatchers; ++i) {
    lives.emplace_back(loop_);
    lives.back().watch(other.marks()[i], [&] { ++told; });
  }
  ::kill(other.pid(), SIGKILL);
  EXPECT_TRUE(until([&] { return told == kWatchers; })) << told;
}

TEST_F(LifeTest, IsNotTakenInByAWithdrawalAStopOrAnotherEnd) {
  Other other(3, [](Life& its, std::span<LifeMark> marks) { its.withdraw(marks[1]); });
  Other gone(1, kNothing);
  Life life(loop_);
  std::vector<int> told(4, 0);
  for (size_t i = 0; i < 3; ++i) life.watch(other.marks()[i], [&told, i] { ++told[i]; });
  life.watch(gone.marks()[0], [&] { ++told[3]; });
  other.go();
  other.hear();
  ::kill(other.pid(), SIGSTOP);
  ::kill(gone.pid(), SIGKILL);
  EXPECT_TRUE(until([&] { return told[3] == 1; }));
  life.unwatch(other.marks()[2]);
  EXPECT_EQ(told, (std::vector<int>{0, 0, 0, 1}));
  ::kill(other.pid(), SIGKILL);
  EXPECT_TRUE(until([&] { return told[0] == 1; }));
  EXPECT_EQ(told, (std::vector<int>{1, 0, 0, 1}));
}

TEST_F(LifeTest, OfALifeThatEndsNoDeathIsTold) {
  Other other(2, [](Life& its, std::span<LifeMark> marks) {
    its.withdraw(marks[0]);
    its.~Life();  // with a mark left
  });
  Life life(loop_);
  int told = 0;
  for (LifeMark& mark : other.marks()) life.watch(mark, [&] { ++told; });
  other.go();
  other.hear();
  EXPECT_EQ(other.marks()[0].word.load(), 0u);
  EXPECT_EQ(other.marks()[1].word.load() & FUTEX_OWNER_DIED, 0u);
  EXPECT_EQ(told, 0);
}

}  // namespace
}  // namespace rhz::shm
