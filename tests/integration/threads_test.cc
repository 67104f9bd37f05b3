// Several threads of a program at once on its communicators: what rhizome.h allows from any thread.
// Says most under the thread sanitizer.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <thread>
#include <vector>

#include "tests/integration/local_run.h"

namespace rhz::test {
namespace {

constexpr uint64_t kCount = 10'000;  // elements: several chunks

// Joined at the end of its scope.
using Threads = std::vector<std::jthread>;

enum class Way { kWait, kWaitFinal, kWaitInSlices, kEventFd };
constexpr Way kWays[] = {Way::kWait, Way::kWaitFinal, Way::kWaitInSlices, Way::kEventFd};

rhz_status wait_for(rhz_op* op, Way way) {
  switch (way) {
    case Way::kWait: return rhz_op_wait(op, kPatienceMs, RHZ_WAIT_DEFAULT);
    case Way::kWaitFinal: return rhz_op_wait(op, kPatienceMs, RHZ_WAIT_FINAL);
    case Way::kWaitInSlices: {
      rhz_status status = RHZ_PENDING;
      for (uint32_t ms = 0; status == RHZ_PENDING && ms < uint32_t{kPatienceMs}; ++ms)
        status = rhz_op_wait(op, 1, RHZ_WAIT_DEFAULT);
      return status;
    }
    case Way::kEventFd: {
      int fd = -1;
      EXPECT_EQ(rhz_op_event_fd(op, &fd), RHZ_OK) << rhz_last_error();
      pollfd ready{fd, POLLIN, 0};
      EXPECT_EQ(::poll(&ready, 1, kPatienceMs), 1);
      return rhz_op_poll(op);
    }
  }
  return RHZ_ERR_INTERNAL;
}

// All ops of these tests are alike, so that it does not matter which thread of a rank comes first.
// Returns what ended it, or why it was not taken.
rhz_status all_reduce(rhz_comm* comm, float value, Way way, float* sum = nullptr) {
  const std::vector<float> send(kCount, value);
  std::vector<float> recv(kCount);
  const auto params = floats(send.data(), recv.data(), kCount);
  rhz_op* op = nullptr;
  rhz_status status = rhz_allreduce(comm, &params, &op);
  if (status != RHZ_OK) return status;
  status = wait_for(op, way);
  auto info = sized<rhz_op_info>();
  EXPECT_EQ(rhz_op_info_get(op, &info), RHZ_OK);
  // A result that could not become final is one all the same.
  EXPECT_TRUE(info.status == status || (way == Way::kWaitFinal && info.status == RHZ_OK))
      << info.text;
  if (status == RHZ_OK) {
    EXPECT_EQ(recv.front(), recv.back());
    uint32_t slots[8], count = 8;
    EXPECT_EQ(rhz_op_contributors(op, 0, slots, &count), RHZ_OK) << rhz_last_error();
    if (sum) *sum = recv.front();
  }
  EXPECT_EQ(rhz_op_release(op), RHZ_OK) << rhz_last_error();
  return status;
}

// Asks and tells until it hears that the communicator is left or closed.
void look_around(rhz_comm* comm) {
  rhz_status status = RHZ_OK;
  for (uint32_t i = 0; status == RHZ_OK; ++i) {
    auto view = sized<rhz_view>();
    status = rhz_comm_view(comm, &view);
    if (status == RHZ_OK) status = rhz_comm_publish(comm, "looks", i);
    uint8_t digest[16];
    if (status == RHZ_OK) status = rhz_state_digest(comm, digest);
    std::this_thread::yield();
  }
  EXPECT_TRUE(status == RHZ_ERR_STATE || status == RHZ_ERR_CLOSED) << rhz_last_error();
}

void reduce_until_it_ends(rhz_comm* comm, Way way) {
  rhz_status status = RHZ_OK;
  while (status == RHZ_OK) status = all_reduce(comm, 1, way);
  EXPECT_TRUE(status == RHZ_ERR_STATE || status == RHZ_ERR_CLOSED) << rhz_last_error();
}

TEST(Threads, SubmitAndWaitInEveryWayOnTheSameCommunicator) {
  constexpr int kRounds = 30;
  LocalRun run(3);
  const auto comms = run.found();
  Threads bystanders;
  for (rhz_comm* comm : comms) bystanders.emplace_back([=] { look_around(comm); });
  {
    Threads reducers;
    for (size_t rank = 0; rank < comms.size(); ++rank)
      for (const Way way : kWays)
        reducers.emplace_back([=] {
          for (int i = 0; i < kRounds; ++i) {
            float sum = 0;
            ASSERT_EQ(all_reduce(comms[rank], static_cast<float>(rank + 1), way, &sum), RHZ_OK);
            ASSERT_EQ(sum, 1 + 2 + 3);
          }
        });
  }
  for (rhz_comm* comm : comms) run.close(comm);
}

TEST(Threads, ManyMayWaitForOneOpWhileAnotherCancelsIt) {
  constexpr int kRounds = 40;
  LocalRun run(2);
  const auto comms = run.found();
  for (int round = 0; round < kRounds && !HasFailure(); ++round) {
    rhz_op *first = nullptr, *second = nullptr;
    ASSERT_EQ(rhz_barrier(comms[0], &first), RHZ_OK) << rhz_last_error();
    {
      Threads threads;
      for (const Way way : kWays)
        threads.emplace_back([=] { EXPECT_NE(wait_for(first, way), RHZ_PENDING); });
      threads.emplace_back([=] {
        auto info = sized<rhz_op_info>();
        while (rhz_op_poll(first) == RHZ_PENDING) {
          EXPECT_EQ(rhz_op_info_get(first, &info), RHZ_OK);
          std::this_thread::yield();
        }
      });
      threads.emplace_back([=] { EXPECT_EQ(rhz_op_cancel(first), RHZ_OK); });
      threads.emplace_back([&] { EXPECT_EQ(rhz_barrier(comms[1], &second), RHZ_OK); });
    }
    // A cancel that came too late for one op ends the next one.
    const rhz_status status = outcome(first);
    EXPECT_TRUE(status == RHZ_OK || status == RHZ_ERR_CANCELLED) << status;
    EXPECT_EQ(outcome(second), status);
  }
}

// One rank leaves, one is closed without a word, the last one goes on alone: all in the middle of
// the others' calls.
TEST(Threads, MayUseACommunicatorThatIsLeftOrClosedMeanwhile) {
  LocalRun run(3);
  const auto comms = run.found();
  Threads threads;
  for (rhz_comm* comm : comms) {
    for (const Way way : kWays) threads.emplace_back([=] { reduce_until_it_ends(comm, way); });
    threads.emplace_back([=] { look_around(comm); });
  }
  for (int i = 0; i < 10; ++i) ASSERT_EQ(all_reduce(comms[2], 1, Way::kWait), RHZ_OK);
  EXPECT_EQ(rhz_comm_leave(comms[2], kPatienceMs), RHZ_OK) << rhz_last_error();
  for (int i = 0; i < 10; ++i) ASSERT_EQ(all_reduce(comms[1], 1, Way::kWait), RHZ_OK);
  for (int i = 2; i >= 0; --i) run.close(comms[i]);
}

TEST(Threads, MayCloseTheSameCommunicatorWhileOthersWaitForItsOps) {
  for (int round = 0; round < 10 && !HasFailure(); ++round) {
    LocalRun run(2);
    const auto comms = run.found();
    std::vector<rhz_op*> ops(std::size(kWays));
    for (rhz_op*& op : ops) ASSERT_EQ(rhz_barrier(comms[0], &op), RHZ_OK) << rhz_last_error();
    Threads threads;
    for (size_t i = 0; i < ops.size(); ++i)
      threads.emplace_back([=] {
        EXPECT_EQ(wait_for(ops[i], kWays[i]), RHZ_ERR_CLOSED);
        EXPECT_EQ(rhz_op_release(ops[i]), RHZ_OK) << rhz_last_error();
      });
    for (int i = 0; i < 2; ++i) threads.emplace_back([=] { rhz_comm_close(comms[0]); });
  }
}

volatile std::sig_atomic_t handled = 0;  // on whichever thread

// A handler of the program finds what its own threads make of it: not a thread in the middle of the library.
TEST(Threads, OfTheLibraryHandleNoSignalThatTheProgramGets) {
  const auto before = std::signal(SIGUSR1, [](int) { handled = handled + 1; });
  LocalRun run(2);
  const auto comms = run.found();
  sigset_t one, pending;
  ::sigemptyset(&one);
  ::sigaddset(&one, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &one, nullptr);  // of the threads that there are, those of the library could
  ASSERT_EQ(::kill(::getpid(), SIGUSR1), 0);
  for (int i = 0; i < 100; ++i) expect_sum(comms);
  ::sigpending(&pending);
  EXPECT_TRUE(::sigismember(&pending, SIGUSR1)) << "somebody else has handled it";
  EXPECT_EQ(handled, 0);
  ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  EXPECT_EQ(handled, 1);
  std::signal(SIGUSR1, before);
}

TEST(Threads, MayLeadWholeLivesSideBySide) {
  constexpr uint32_t kRuns = 2, kRanks = 3;
  std::vector<std::unique_ptr<LocalRun>> runs;
  for (uint32_t i = 0; i < kRuns; ++i) runs.push_back(std::make_unique<LocalRun>(kRanks));
  Threads threads;
  for (uint32_t i = 0; i < kRuns * kRanks; ++i)
    threads.emplace_back([&, i] {
      const auto params = comm_params(runs[i % kRuns]->address());
      rhz_comm* comm = nullptr;
      ASSERT_EQ(rhz_comm_create(&params, &comm), RHZ_OK) << rhz_last_error();
      EXPECT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK) << rhz_last_error();
      float sum = 0;
      EXPECT_EQ(all_reduce(comm, 1, Way::kWait, &sum), RHZ_OK);
      EXPECT_EQ(sum, kRanks);
      EXPECT_EQ(rhz_comm_leave(comm, 0), RHZ_OK) << rhz_last_error();
      rhz_comm_close(comm);
    });
}

}  // namespace
}  // namespace rhz::test
