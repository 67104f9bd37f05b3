// A process that writes checkpoints one after the other is killed, again and again.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "runtime/base/fd.h"
#include "tests/sanitizer.h"
#include "tests/unit/checkpoint_kit.h"

namespace rhz::recovery {
namespace {

constexpr int kKills = test::kSanitized ? 10 : 50;
constexpr uint64_t kParts = 2;

void say(int to, char what) {
  while (write(to, &what, 1) != 1) continue;
}

// Writes revisions from `revision` on until it is killed; says 's' after each step, 'c' when one is
// complete.
[[noreturn]] void write_for_ever(const std::string& root, uint64_t revision, int to) {
  for (;; ++revision) {
    const auto tensors = state_of_revision(revision);
    const auto folder = prepare_checkpoint(root, "run", revision);
    if (!folder) _exit(1);
    CheckpointManifest manifest{"run", revision, {}, {}, {}};
    for (uint64_t part = 0; part < kParts; ++part) {
      auto writer =
          FileWriter::make(folder.value(), part_name(part), slices_of(tensors, part, kParts), {});
      if (!writer) _exit(1);
      while (!writer.value().step(1)) say(to, 's');
      if (!writer.value().status() || !writer.value().add_to(manifest)) _exit(1);
      say(to, 's');
    }
    if (!publish_checkpoint(root, manifest)) _exit(1);
    say(to, 'c');
    if (!prune_checkpoints(root, "run", 2)) _exit(1);
    say(to, 's');
  }
}

// Kills the writer behind its `after`-th word; how many checkpoints it said were complete, or -1
// where it ended by itself.
int write_and_kill(const std::string& root, uint64_t revision, uint64_t after) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) write_for_ever(root, revision, ends[1]);
  const Fd from(ends[0]);
  close(ends[1]);
  int complete = 0;
  char word = 0;
  for (uint64_t i = 0; i < after && read(from.get(), &word, 1) == 1; ++i) complete += word == 'c';
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  while (read(from.get(), &word, 1) == 1)
    complete += word == 'c';  // what it had said before it died
  return WIFSIGNALED(status) ? complete : -1;
}

TEST(CheckpointKill, LeavesTheLastCompleteOneReadable) {
  const TemporaryFolder root;
  Prng prng(20);
  uint64_t revision = 1;  // the next one to be completed
  for (int i = 0; i < kKills; ++i) {
    const int complete = write_and_kill(root.path(), revision, 1 + prng.below(40));
    ASSERT_GE(complete, 0) << "the writer failed";
    revision += static_cast<uint64_t>(complete);
    if (revision == 1) continue;
    auto checkpoint = Checkpoint::open_newest(root.path(), "run");
    ASSERT_TRUE(checkpoint) << checkpoint.status().text();
    // It may have been killed between the rename and its word.
    const uint64_t found = checkpoint.value().manifest().revision;
    ASSERT_TRUE(found == revision - 1 || found == revision) << found << " of " << revision;
    EXPECT_TRUE(checkpoint.value().skipped().empty());
    expect_holds(checkpoint.value(), state_of_revision(found));
    revision = found + 1;
  }
  EXPECT_GT(revision, uint64_t{kKills} / 5);
}

}  // namespace
}  // namespace rhz::recovery
