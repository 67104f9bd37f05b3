// Checkpoints by the C API: written behind training, by several writers, loaded by other ones.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <random>

#include "tests/integration/checkpoints.h"
#include "tests/integration/expect.h"

namespace rhz::test {
namespace {

namespace fs = std::filesystem;

TEST_F(CheckpointTest, GivesTheRegisteredTensorsBack) {
  LocalRun run(1);
  Matrix w("w", 300, 500);
  rhz_comm* const comm = member(run, w, 7);
  auto info = sized<rhz_checkpoint_info>();
  EXPECT_EQ(rhz_checkpoint_poll(comm, &info), RHZ_OK) << "there is none";
  EXPECT_EQ(info.revision, 0u);
  ASSERT_EQ(begin(comm), RHZ_OK) << rhz_last_error();
  ASSERT_EQ(rhz_checkpoint_fence(comm, 0), RHZ_OK) << rhz_last_error();
  commit(comm, w, 8);  // while it is written
  ASSERT_EQ(rhz_checkpoint_wait(comm, kPatienceMs, &info), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(info.revision, 7u);
  EXPECT_EQ(info.bytes, 4u * 300 * 500);
  EXPECT_TRUE(info.written && info.complete);
  EXPECT_EQ(rhz_checkpoint_poll(comm, nullptr), RHZ_OK);

  auto loaded = sized<rhz_checkpoint_load_info>();
  ASSERT_EQ(load(comm, {}, 0, &loaded), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(loaded.revision, 7u);
  EXPECT_EQ(loaded.bytes, info.bytes);
  EXPECT_EQ(loaded.skipped, 0u);
  EXPECT_TRUE(w.holds(7));
  commit(comm, w, 8);  // goes on from there
  EXPECT_EQ(begin(comm), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(rhz_checkpoint_wait(comm, kPatienceMs, nullptr), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(folders().size(), 2u);
}

TEST_F(CheckpointTest, IsReadBeforeTheJoinByThePeersOfANewRun) {
  {
    LocalRun run(1);
    Matrix w("w", 30, 50);
    ASSERT_EQ(write(member(run, w, 41)), RHZ_OK) << rhz_last_error();
  }
  LocalRun run(1);
  Matrix w("w", 30, 50);
  rhz_comm* const comm = run.create(1);
  const auto tensor = w.tensor();
  ASSERT_EQ(rhz_state_register(comm, &tensor), RHZ_OK);
  ASSERT_EQ(load(comm), RHZ_OK) << rhz_last_error();
  ASSERT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK) << rhz_last_error();
  EXPECT_TRUE(w.holds(41));
  EXPECT_EQ(rhz_state_begin_update(comm), RHZ_OK) << rhz_last_error();
  w.fill(42);
  EXPECT_EQ(rhz_state_end_update(comm), RHZ_OK);
  EXPECT_EQ(rhz_state_commit(comm, 42), RHZ_OK) << rhz_last_error();
}

TEST_F(CheckpointTest, IsCompleteWhenTheLastWriterIs) {
  LocalRun run(2);
  const auto comms = run.found();
  Matrix halves[2] = {{"w", 10, 10}, {"w", 10, 10}};
  auto slice = [&](int rank) {
    auto p = params();
    const auto whole = halves[rank].slice();
    p.slices = &whole;
    p.slice_count = 1;
    p.part = static_cast<uint32_t>(rank);
    p.parts = 2;
    return rhz_checkpoint(comms[static_cast<size_t>(rank)], &p);
  };
  for (int rank : {0, 1}) commit(comms[static_cast<size_t>(rank)], halves[rank], 1);
  ASSERT_EQ(slice(1), RHZ_OK) << rhz_last_error();
  auto info = sized<rhz_checkpoint_info>();
  while (info.written == 0) ASSERT_EQ(rhz_checkpoint_poll(comms[1], &info), RHZ_PENDING);
  EXPECT_EQ(rhz_checkpoint_wait(comms[1], 30, &info), RHZ_PENDING) << "the other one lacks";
  EXPECT_EQ(info.complete, 0u);
  expect_refused(load(comms[0], {halves[0].slice()}), RHZ_ERR_STATE_LOST,
                 {"no complete checkpoint"});
  ASSERT_EQ(slice(0), RHZ_OK) << rhz_last_error();
  for (rhz_comm* comm : comms)
    EXPECT_EQ(rhz_checkpoint_wait(comm, kPatienceMs, &info), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(info.complete, 1u);
  Matrix all("w", 10, 10);
  ASSERT_EQ(load(comms[0], {all.slice()}), RHZ_OK) << rhz_last_error();
  EXPECT_TRUE(all.holds(1));
  for (const auto& file : fs::directory_iterator(of_revision(1)))
    EXPECT_TRUE(file.path().filename() == "manifest.json" ||
                file.path().extension() == ".safetensors")
        << file.path();
}

// Two stages of two replicas each write what three stages without replicas read.
TEST_F(CheckpointTest, IsLoadedByAnotherNumberOfStagesAndReplicas) {
  {
    LocalRun run(4);
    const auto comms = run.found();
    std::vector<Matrix> layers;
    for (uint32_t slot = 0; slot < 4; ++slot)
      for (uint32_t layer = slot / 2 * 3; layer < slot / 2 * 3 + 3; ++layer) {
        layers.emplace_back("layer-" + std::to_string(layer), 16 + layer, 8);
        layers.back().fill(layer);
      }
    for (uint32_t slot = 0; slot < 4; ++slot) {
      std::vector<rhz_tensor_slice> slices;
      for (size_t i = 0; i < 3; ++i) slices.push_back(layers[slot * 3 + i].slice());
      auto p = params();
      p.slices = slices.data();
      p.slice_count = 3;
      p.part = slot % 2;
      p.parts = 2;
      p.writer = slot;
      p.writers = 4;
      ASSERT_EQ(rhz_state_commit(comms[slot], 5), RHZ_OK);
      ASSERT_EQ(rhz_checkpoint(comms[slot], &p), RHZ_OK) << rhz_last_error();
    }
    for (rhz_comm* comm : comms)
      EXPECT_EQ(rhz_checkpoint_wait(comm, kPatienceMs, nullptr), RHZ_OK) << rhz_last_error();
  }
  LocalRun run(3);
  for (uint32_t stage = 0; stage < 3; ++stage) {
    rhz_comm* const comm = run.create(stage + 1);
    Matrix two[] = {{"layer-" + std::to_string(2 * stage), 16 + 2 * stage, 8},
                    {"layer-" + std::to_string(2 * stage + 1), 17 + 2 * stage, 8}};
    auto info = sized<rhz_checkpoint_load_info>();
    ASSERT_EQ(load(comm, {two[0].slice(), two[1].slice()}, 0, &info), RHZ_OK) << rhz_last_error();
    EXPECT_EQ(info.revision, 5u);
    EXPECT_TRUE(two[0].holds(2 * stage) && two[1].holds(2 * stage + 1)) << stage;
    Matrix rows("layer-4", 20, 8, 3, 11);  // some rows of one
    ASSERT_EQ(load(comm, {rows.slice()}), RHZ_OK) << rhz_last_error();
    EXPECT_TRUE(rows.holds(4));
    EXPECT_EQ(rhz_state_commit(comm, info.revision), RHZ_OK) << rhz_last_error();
  }
}

TEST_F(CheckpointTest, KeepsAsManyAsItIsTold) {
  LocalRun run(1);
  Matrix w("w", 10, 10);
  rhz_comm* const comm = member(run, w, 1);
  for (uint64_t revision = 1; revision <= 5; ++revision) {
    if (revision > 1) commit(comm, w, revision);
    auto p = params();
    p.keep = 2;
    ASSERT_EQ(rhz_checkpoint(comm, &p), RHZ_OK) << rhz_last_error();
    ASSERT_EQ(rhz_checkpoint_wait(comm, kPatienceMs, nullptr), RHZ_OK) << rhz_last_error();
  }
  ASSERT_EQ(folders().size(), 2u);
  EXPECT_TRUE(fs::exists(of_revision(4)) && fs::exists(of_revision(5)));
  ASSERT_EQ(load(comm, {}, 4), RHZ_OK) << rhz_last_error();
  EXPECT_TRUE(w.holds(4));
}

// One writer's half of an attempt is there when the run goes back and comes by again with other
// bytes: it is no half of the new one.
TEST_F(CheckpointTest, DoesNotMixTwoAttemptsAtARevision) {
  LocalRun run(2);
  const auto comms = run.found();
  std::array<Matrix, 2> both = {Matrix("w", 10, 10), Matrix("w", 10, 10)};
  auto half = [&](size_t rank) {
    auto p = params();
    const auto whole = both[rank].slice();
    p.slices = &whole;
    p.slice_count = 1;
    p.part = static_cast<uint32_t>(rank);
    p.parts = 2;
    return rhz_checkpoint(comms[rank], &p);
  };
  for (size_t rank : {0, 1}) commit(comms[rank], both[rank], 1);
  ASSERT_EQ(half(0), RHZ_OK) << rhz_last_error();  // slot 1 "dies" here
  auto info = sized<rhz_checkpoint_info>();
  while (info.written == 0) ASSERT_EQ(rhz_checkpoint_poll(comms[0], &info), RHZ_PENDING);
  expect_sum(comms);  // the run goes on
  for (auto& matrix : both) matrix.fill(1000);
  ASSERT_EQ(half(1), RHZ_OK) << rhz_last_error();
  info = sized<rhz_checkpoint_info>();
  while (info.written == 0) ASSERT_EQ(rhz_checkpoint_poll(comms[1], &info), RHZ_PENDING);
  EXPECT_EQ(rhz_checkpoint_wait(comms[1], 100, &info), RHZ_PENDING);
  EXPECT_EQ(info.written, 1u);
  ASSERT_EQ(half(0), RHZ_OK) << rhz_last_error();
  for (rhz_comm* comm : comms)
    EXPECT_EQ(rhz_checkpoint_wait(comm, kPatienceMs, nullptr), RHZ_OK) << rhz_last_error();
  Matrix all("w", 10, 10);
  ASSERT_EQ(load(comms[0], {all.slice()}), RHZ_OK) << rhz_last_error();
  EXPECT_TRUE(all.holds(1000));
}

// As above, where the run was started anew, and counts its ops from the beginning again.
TEST_F(CheckpointTest, DoesNotMixTwoStartsOfARun) {
  for (const uint64_t start : {1, 2}) {
    LocalRun run(2);
    const auto comms = run.found();
    std::array<Matrix, 2> both = {Matrix("w", 10, 10), Matrix("w", 10, 10)};
    // What the first start leaves is the half that the second one writes last.
    for (uint32_t rank : start == 1 ? std::array{0u, 1u} : std::array{1u, 0u}) {
      both[rank].fill(start);
      ASSERT_EQ(rhz_state_commit(comms[rank], 1), RHZ_OK);
      const auto whole = both[rank].slice();
      auto p = params();
      p.slices = &whole;
      p.slice_count = 1;
      p.part = rank;
      p.parts = 2;
      ASSERT_EQ(rhz_checkpoint(comms[rank], &p), RHZ_OK) << rhz_last_error();
      auto info = sized<rhz_checkpoint_info>();
      while (info.written == 0) ASSERT_LE(rhz_checkpoint_poll(comms[rank], &info), RHZ_PENDING);
      EXPECT_EQ(info.complete, start == 2 && rank == 0 ? info.complete : 0u);
      if (start == 1) break;  // the whole run "dies" here
    }
    if (start == 1) continue;
    for (rhz_comm* comm : comms)
      EXPECT_EQ(rhz_checkpoint_wait(comm, kPatienceMs, nullptr), RHZ_OK) << rhz_last_error();
    Matrix all("w", 10, 10);
    ASSERT_EQ(load(comms[0], {all.slice()}), RHZ_OK) << rhz_last_error();
    EXPECT_TRUE(all.holds(2));
  }
}

TEST_F(CheckpointTest, GivesOneUpThatLacksAWriterForTheNext) {
  LocalRun run(1);
  Matrix w("w", 10, 10);
  rhz_comm* const comm = member(run, w, 1);
  ASSERT_EQ(begin(comm, 0, 2), RHZ_OK);  // nobody is the other half
  auto info = sized<rhz_checkpoint_info>();
  while (info.written == 0) ASSERT_EQ(rhz_checkpoint_poll(comm, &info), RHZ_PENDING);
  commit(comm, w, 2);
  ASSERT_EQ(write(comm), RHZ_OK) << rhz_last_error();
  ASSERT_EQ(load(comm), RHZ_OK) << rhz_last_error();
  EXPECT_TRUE(w.holds(2));
}

// Until it is killed; says a byte for each that is complete.
[[noreturn]] void write_for_ever(const CheckpointTest& test, uint64_t revision, int to) {
  LocalRun run(1);
  Matrix w("w", 200, 500);
  rhz_comm* const comm = run.create(1);
  const auto tensor = w.tensor();
  if (rhz_state_register(comm, &tensor) != RHZ_OK) _exit(1);
  if (rhz_comm_join(comm, kPatienceMs) != RHZ_OK) _exit(2);
  for (;; ++revision) {
    w.fill(revision);
    auto p = test.params();
    p.keep = 2;
    if (rhz_state_commit(comm, revision) != RHZ_OK) _exit(3);
    if (rhz_checkpoint(comm, &p) != RHZ_OK) _exit(4);
    if (rhz_checkpoint_wait(comm, 0, nullptr) != RHZ_OK) _exit(5);
    if (::write(to, "c", 1) != 1) _exit(6);
  }
}

TEST_F(CheckpointTest, LeavesTheLastCompleteOneReadableWhereverItsWriterIsKilled) {
  constexpr int kKills = 50;
  std::mt19937_64 random(seed());
  uint64_t complete = 0;
  for (int i = 0; i < kKills; ++i) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) write_for_ever(*this, complete + 1, ends[1]);
    ::close(ends[1]);
    char word = 0;
    for (uint64_t words = i == 0 ? 1 : random() % 3; words > 0; --words)
      if (::read(ends[0], &word, 1) == 1) ++complete;
    // Then anywhere.
    const auto until = Clock::now() + std::chrono::milliseconds(random() % 30);
    for (auto now = Clock::now(); now < until; now = Clock::now()) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - now);
      pollfd from{ends[0], POLLIN, 0};
      if (poll(&from, 1, static_cast<int>(left.count()) + 1) > 0 && ::read(ends[0], &word, 1) == 1)
        ++complete;
    }
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself: " << WEXITSTATUS(status);
    while (::read(ends[0], &word, 1) == 1) ++complete;
    ::close(ends[0]);
    // The next one may have been complete before it could say so.
    Matrix w("w", 200, 500);
    if (fs::exists(of_revision(complete + 1) + "/manifest.json")) ++complete;
    LocalRun run(1);
    auto info = sized<rhz_checkpoint_load_info>();
    ASSERT_EQ(load(run.create(1), {w.slice()}, 0, &info), RHZ_OK) << rhz_last_error();
    ASSERT_EQ(info.revision, complete);
    ASSERT_EQ(info.skipped, 0u) << info.text;
    ASSERT_TRUE(w.holds(complete));
  }
  EXPECT_GT(complete, 20u);
}

}  // namespace
}  // namespace rhz::test
