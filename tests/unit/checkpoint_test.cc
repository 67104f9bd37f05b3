#include "recovery/disk/checkpoint.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "runtime/digest/digest.h"
#include "tests/unit/checkpoint_kit.h"

namespace rhz::recovery {
namespace {

namespace fs = std::filesystem;
using reduce::Dtype;

struct CheckpointTest : testing::Test {
  TemporaryFolder folder;
  std::string root = folder.path() + "/checkpoints";
  std::string file(uint64_t revision, const std::string& name) const {
    return checkpoint_folder(root, revision) + "/" + name;
  }
  void write(uint64_t revision, uint64_t parts = 1) {
    const auto written =
        write_checkpoint(root, "run", revision, state_of_revision(revision), parts);
    ASSERT_TRUE(written) << written.status().text();
  }
  Status newest_status() const { return Checkpoint::open_newest(root, "run").status(); }
  void flip(const std::string& path, int64_t at) const {
    std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(at, at < 0 ? std::ios::end : std::ios::beg);
    const auto place = stream.tellg();
    const char changed = static_cast<char>(stream.get() ^ 1);
    stream.seekp(place);
    stream.put(changed);
  }
};

TEST_F(CheckpointTest, HoldsWhatWasWritten) {
  write(7, 3);
  auto checkpoint = Checkpoint::open_newest(root, "run").value();
  EXPECT_EQ(checkpoint.manifest().revision, 7u);
  EXPECT_TRUE(checkpoint.skipped().empty());
  expect_holds(checkpoint, state_of_revision(7));
}

TEST_F(CheckpointTest, IsTheSameHoweverSmallTheSteps) {
  ASSERT_TRUE(write_checkpoint(root, "run", 1, state_of_revision(1), 2, 1));
  const auto small = read_checkpoint_manifest(root, "run", 1).value();
  ASSERT_TRUE(write_checkpoint(root + "2", "run", 1, state_of_revision(1), 2));
  EXPECT_EQ(read_checkpoint_manifest(root + "2", "run", 1).value(), small);
}

TEST_F(CheckpointTest, GivesAnyElementsToAnotherNumberOfRanks) {
  write(1, 3);
  auto checkpoint = Checkpoint::open(root, "run", 1).value();
  for (const uint64_t ranks : {1, 2, 5, 7}) {
    for (const NamedTensor& tensor : state_of_revision(1)) {
      Bytes all;
      for (uint64_t rank = 0; rank < ranks; ++rank) {
        const auto [first, count] = even_part(tensor.count(), rank, ranks);
        Bytes part(count * reduce::size_of(tensor.dtype));
        const Status status = checkpoint.fill(tensor.name, tensor.dtype, {}, first, part);
        ASSERT_TRUE(status) << status.text();
        all.insert(all.end(), part.begin(), part.end());
      }
      EXPECT_EQ(all, tensor.bytes) << tensor.name << " on " << ranks;
    }
  }
}

TEST_F(CheckpointTest, GivesRangesThatBeginAndEndAnywhere) {
  write(1, 4);
  auto checkpoint = Checkpoint::open(root, "run", 1).value();
  const NamedTensor big = state_of_revision(1)[0];
  Prng prng(1);
  for (int i = 0; i < 200; ++i) {
    const uint64_t first = prng.below(big.count()), count = prng.below(big.count() - first + 1);
    Bytes out(4 * count);
    ASSERT_TRUE(checkpoint.fill("big", Dtype::f32, {}, first, out));
    ASSERT_EQ(digest128(out), digest128(ConstBytes(big.bytes).subspan(4 * first, 4 * count)));
  }
}

TEST_F(CheckpointTest, RefusesTensorsThatItHasOtherwiseOrNotAtAll) {
  write(1);
  auto checkpoint = Checkpoint::open(root, "run", 1).value();
  Bytes out(154);
  const uint64_t turned[] = {11, 7}, right[] = {7, 11};
  const auto text = [&](const char* name, Dtype dtype, std::span<const uint64_t> shape,
                        uint64_t first) {
    const Status status = checkpoint.fill(name, dtype, shape, first, out);
    EXPECT_EQ(status.code(), Code::kArgument);
    return status.text();
  };
  EXPECT_EQ(text("nothing", Dtype::f32, {}, 0),
            checkpoint_folder(root, 1) + " has no tensor \"nothing\"");
  EXPECT_EQ(text("half", Dtype::f16, right, 0),
            "tensor \"half\": it is bf16 in the checkpoint, and f16 here");
  EXPECT_EQ(text("half", Dtype::bf16, turned, 0),
            "tensor \"half\": its shape is [7, 11] in the checkpoint, and [11, 7] here");
  EXPECT_EQ(text("half", Dtype::bf16, right, 1),
            "tensor \"half\": elements beyond its end: it has 77");
  EXPECT_EQ(text("half", Dtype::bf16, right, UINT64_MAX),
            "tensor \"half\": elements beyond its end: it has 77");
  EXPECT_TRUE(checkpoint.fill("half", Dtype::bf16, right, 0, out));
}

TEST_F(CheckpointTest, KeepsFilesThatAreCompleteAlready) {
  write(1, 3);
  ASSERT_TRUE(fs::remove(file(1, "manifest.json")));
  flip(file(1, part_name(1)), -1);
  EXPECT_EQ(write_checkpoint(root, "run", 1, state_of_revision(1), 3).value(), 2);
  auto checkpoint = Checkpoint::open(root, "run", 1).value();
  expect_holds(checkpoint, state_of_revision(1));
}

TEST_F(CheckpointTest, FindsDamageInEveryByteOfAFile) {
  write(1);
  const auto size = static_cast<int64_t>(fs::file_size(file(1, part_name(0))));
  for (const int64_t at : {int64_t{0}, int64_t{7}, int64_t{20}, size / 2, size - 1}) {
    flip(file(1, part_name(0)), at);
    auto checkpoint = Checkpoint::open(root, "run", 1).value();
    Status status;
    for (const NamedTensor& tensor : state_of_revision(1)) {
      Bytes out(tensor.bytes.size());
      if (status) status = checkpoint.fill(tensor.name, tensor.dtype, tensor.shape, 0, out);
    }
    EXPECT_EQ(status.code(), Code::kCorrupt) << at;
    EXPECT_NE(status.text().find("damaged at byte"), std::string::npos) << status.text();
    flip(file(1, part_name(0)), at);
  }
}

TEST_F(CheckpointTest, TurnsToTheOneBeforeWhereTheNewestIsDamaged) {
  write(1);
  write(2);
  flip(file(2, "manifest.json"), 100);
  auto checkpoint = Checkpoint::open_newest(root, "run").value();
  EXPECT_EQ(checkpoint.manifest().revision, 1u);
  ASSERT_EQ(checkpoint.skipped().size(), 1u);
  EXPECT_EQ(
      checkpoint.skipped()[0].text(),
      file(2, "manifest.json") + ": manifest: it was changed or damaged since it was written");
  fs::remove(file(1, part_name(0)));
  EXPECT_EQ(newest_status().code(), Code::kStateLost);
  EXPECT_NE(newest_status().text().find("no complete checkpoint that can be read; the newest: "),
            std::string::npos);
}

TEST_F(CheckpointTest, NoticesFilesThatAreMissingOrCutShort) {
  write(1);
  fs::resize_file(file(1, part_name(0)), 1000);
  EXPECT_NE(Checkpoint::open(root, "run", 1).status().text().find("it has 1000 bytes, and "),
            std::string::npos);
  fs::remove(file(1, part_name(0)));
  EXPECT_NE(Checkpoint::open(root, "run", 1).status().text().find("No such file"),
            std::string::npos);
  EXPECT_EQ(Checkpoint::open(root, "run", 2).status().code(), Code::kIo);
}

TEST_F(CheckpointTest, RefusesTheFolderOfAnotherRun) {
  write(1);
  EXPECT_EQ(Checkpoint::open_newest(root, "other").status().code(), Code::kRunId);
  EXPECT_EQ(prune_checkpoints(root, "other", 1).code(), Code::kRunId);
  const Status status = write_checkpoint(root, "other", 2, state_of_revision(2)).status();
  EXPECT_EQ(status.code(), Code::kRunId);
  EXPECT_EQ(
      status.text(),
      file(1, "manifest.json") +
          ": a checkpoint of the run \"run\", not \"other\"; take another folder for this run");
  EXPECT_FALSE(fs::exists(checkpoint_folder(root, 2)));
}

TEST_F(CheckpointTest, SaysThatThereIsNone) {
  EXPECT_EQ(newest_status().text(), root + ": no complete checkpoint that can be read");
  EXPECT_TRUE(prune_checkpoints(root, "run", 1));
  ASSERT_TRUE(prepare_checkpoint(root, "run", 1));
  EXPECT_EQ(newest_status().code(), Code::kStateLost);
}

TEST_F(CheckpointTest, RemovesOldOnesOnlyWhenANewOneIsComplete) {
  for (const uint64_t revision : {1, 2, 3}) write(revision);
  ASSERT_TRUE(prepare_checkpoint(root, "run", 4));  // incomplete
  fs::remove(file(1, "manifest.json"));             // and so is this one now
  ASSERT_TRUE(prune_checkpoints(root, "run", 1));
  EXPECT_EQ(complete_checkpoints(root).value(), (std::vector<uint64_t>{3}));
  EXPECT_FALSE(fs::exists(checkpoint_folder(root, 1)));
  EXPECT_TRUE(fs::exists(checkpoint_folder(root, 4)));
  write(4);
  write(5);
  ASSERT_TRUE(prune_checkpoints(root, "run", 2));
  EXPECT_EQ(complete_checkpoints(root).value(), (std::vector<uint64_t>{5, 4}));
  flip(file(5, "manifest.json"), 100);
  EXPECT_EQ(prune_checkpoints(root, "run", 1).code(), Code::kCorrupt);
  EXPECT_EQ(complete_checkpoints(root).value(), (std::vector<uint64_t>{5, 4}));
}

TEST_F(CheckpointTest, IsNeverWrittenToOnceItIsComplete) {
  write(1);
  const Status status = write_checkpoint(root, "run", 1, state_of_revision(9)).status();
  EXPECT_EQ(status.code(), Code::kState);
  EXPECT_EQ(status.text(), root + ": revision 1 is complete already");
  EXPECT_EQ(discard_checkpoint(root, "run", 1).text(),
            root + ": no other complete checkpoint than revision 1 can be read, so it stays");
  auto checkpoint = Checkpoint::open_newest(root, "run").value();
  expect_holds(checkpoint, state_of_revision(1));
  write(2);
  ASSERT_TRUE(discard_checkpoint(root, "run", 1));
  EXPECT_EQ(complete_checkpoints(root).value(), (std::vector<uint64_t>{2}));
  ASSERT_TRUE(write_checkpoint(root, "run", 1, state_of_revision(9)));
  auto again = Checkpoint::open(root, "run", 1).value();
  expect_holds(again, state_of_revision(9));
}

TEST_F(CheckpointTest, IsNotPublishedBeforeEveryTensorIsWhole) {
  const auto tensors = state_of_revision(1);
  const std::string folder = prepare_checkpoint(root, "run", 1).value();
  CheckpointManifest manifest{"run", 1, {}, {}, {}};
  std::vector<FileWriter> writers;
  for (uint64_t part = 0; part < 3; ++part) {
    writers.push_back(
        FileWriter::make(folder, part_name(part), slices_of(tensors, part, 3), {}).value());
    while (!writers.back().step(UINT64_MAX)) continue;
  }
  ASSERT_TRUE(writers[0].add_to(manifest));
  ASSERT_TRUE(writers[2].add_to(manifest));
  Status status = publish_checkpoint(root, manifest);
  EXPECT_EQ(status.code(), Code::kArgument);
  EXPECT_EQ(status.text(), "tensor \"big\" lacks its elements from 50000 on");
  ASSERT_TRUE(writers[0].add_to(manifest));
  EXPECT_EQ(publish_checkpoint(root, manifest).text(),
            "tensor \"big\" has slices that overlap at element 0");
  EXPECT_EQ(newest_status().code(), Code::kStateLost);
}

TEST_F(CheckpointTest, NoticesRanksThatDifferInShape) {
  auto tensors = state_of_revision(1);
  const std::string folder = prepare_checkpoint(root, "run", 1).value();
  CheckpointManifest manifest;
  auto one = FileWriter::make(folder, part_name(0), slices_of(tensors, 0, 2), {}).value();
  tensors[0].shape = {500, 300};
  auto two = FileWriter::make(folder, part_name(1), slices_of(tensors, 1, 2), {}).value();
  ASSERT_TRUE(one.add_to(manifest));
  const Status status = two.add_to(manifest);
  EXPECT_EQ(status.code(), Code::kDiverged);
  EXPECT_EQ(
      status.text(),
      "tensor \"big\" has another dtype or shape in part-1.safetensors than in part-0.safetensors");
}

TEST_F(CheckpointTest, RefusesSlicesThatMakeNoSense) {
  const Bytes bytes(12);
  const auto text = [&](std::string name, TensorSlice slice) {
    const Status status = FileWriter::make(root, std::move(name), {std::move(slice)}, {}).status();
    EXPECT_EQ(status.code(), Code::kArgument);
    return status.text();
  };
  const TensorSlice right{"w", Dtype::f32, {3}, 0, 3, bytes};
  TensorSlice beyond = right, short_one = right, odd = right;
  beyond.first = 1;
  short_one.count = 2;
  odd.bytes = ConstBytes(bytes).first(11);
  EXPECT_EQ(text("a.safetensors", beyond), "tensor \"w\": the slice goes beyond its end");
  EXPECT_EQ(text("a.safetensors", short_one),
            "tensor \"w\": the slice's bytes do not follow from its count");
  EXPECT_EQ(text("a.safetensors", odd),
            "tensor \"w\": the slice's bytes do not follow from its count");
  for (const char* name : {"", "a", "b/a.safetensors", "../a.safetensors", ".safetensors"})
    EXPECT_EQ(text(name, right), "\"" + std::string(name) + "\" is no name for a safetensors file");
}

// The system refuses what goes beyond, as a full disk does, with EFBIG for ENOSPC.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(CheckpointTest, KeepsTheLastOneWhereTheDiskIsFull) {
  write(1);
  for (const rlim_t room : {rlim_t{0}, rlim_t{300000}}) {
    Status status;
    {
      const FileSizeLimit limit(room);
      status = write_checkpoint(root, "run", 2, state_of_revision(2)).status();
    }
    EXPECT_EQ(status.code(), Code::kIo);
    EXPECT_NE(status.text().find(".safetensors.tmp: write at byte " +
                                 std::to_string(room ? 300000 : 0) + ": File too large"),
              std::string::npos)
        << status.text();
    EXPECT_TRUE(fs::is_empty(checkpoint_folder(root, 2)));
  }
  auto checkpoint = Checkpoint::open_newest(root, "run").value();
  EXPECT_EQ(checkpoint.manifest().revision, 1u);
  expect_holds(checkpoint, state_of_revision(1));
  write(2);
  EXPECT_EQ(Checkpoint::open_newest(root, "run").value().manifest().revision, 2u);
}

// In a child, whose mounts are its own: 0 if the error was the right one, 77 where it may not
// mount.
int write_on_a_small_disk(const std::string& root) {
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return 77;
  if (mount("tmpfs", root.c_str(), "tmpfs", 0, "size=1m") != 0) return 77;
  if (!write_checkpoint(root, "run", 1, state_of_revision(1))) return 1;
  const Status status = write_checkpoint(root, "run", 2, state_of_revision(2)).status();
  if (status.code() != Code::kIo ||
      status.text().find("No space left on device") == std::string::npos)
    return 2;
  const auto checkpoint = Checkpoint::open_newest(root, "run");
  if (!checkpoint || checkpoint.value().manifest().revision != 1) return 3;
  if (!fs::is_empty(checkpoint_folder(root, 2))) return 4;
  // An older one makes room.
  if (!write_checkpoint(root, "run", 3, {state_of_revision(3)[1]})) return 5;
  if (!prune_checkpoints(root, "run", 1)) return 6;
  return write_checkpoint(root, "run", 4, state_of_revision(4)) ? 0 : 7;
}

TEST_F(CheckpointTest, SaysThatNoSpaceIsLeft) {
  const pid_t child = fork();
  if (child == 0) _exit(write_on_a_small_disk(folder.path()));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "may not mount a small disk here";
  EXPECT_EQ(status, 0) << WEXITSTATUS(status);
}

TEST_F(CheckpointTest, IsNotCompleteWhereItsManifestDoesNotFit) {
  write(1);
  const std::string folder = prepare_checkpoint(root, "run", 2).value();
  const auto tensors = state_of_revision(2);
  auto writer = FileWriter::make(folder, part_name(0), slices_of(tensors), {}).value();
  while (!writer.step(UINT64_MAX)) continue;
  CheckpointManifest manifest{"run", 2, {}, {}, {}};
  ASSERT_TRUE(writer.add_to(manifest));
  {
    const FileSizeLimit limit(100);
    EXPECT_EQ(publish_checkpoint(root, manifest).code(), Code::kIo);
  }
  EXPECT_EQ(Checkpoint::open_newest(root, "run").value().manifest().revision, 1u);
  EXPECT_TRUE(publish_checkpoint(root, manifest));
}

TEST_F(CheckpointTest, SaysWhereItCannotBeWritten) {
  std::ofstream(root) << "a file";
  const Status status = write_checkpoint(root, "run", 1, state_of_revision(1)).status();
  EXPECT_EQ(status.code(), Code::kIo);
  EXPECT_NE(status.text().find(root), std::string::npos);
}

}  // namespace
}  // namespace rhz::recovery
