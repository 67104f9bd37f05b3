// Calls of rhizome_checkpoint.h that make no sense, disks that are full, files that are damaged or
// another run's: what the texts say, and that nothing is lost.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>

#include "tests/integration/checkpoints.h"

namespace rhz::test {
namespace {

namespace fs = std::filesystem;

using BadCheckpoint = CheckpointTest;

rhz_status with_slice(rhz_comm* comm, const rhz_checkpoint_params& params,
                      const rhz_tensor_slice& slice) {
  auto p = params;
  p.slices = &slice;
  p.slice_count = 1;
  return rhz_checkpoint(comm, &p);
}

// Overwrites some bytes of the only file of tensors there.
void spoil(const std::string& folder, std::streamoff at, const std::string& bytes) {
  for (const auto& file : fs::directory_iterator(folder))
    if (file.path().extension() == ".safetensors")
      std::fstream(file.path(), std::ios::in | std::ios::out | std::ios::binary)
          .seekp(at)
          .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// What is written beyond is refused, as by a full disk, with EFBIG for ENOSPC.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(BadCheckpoint, ParametersSayWhatIsWrongWithThem) {
  LocalRun run(1);
  Matrix w("w", 4, 4);
  rhz_comm* const comm = member(run, w, 3);
  expect_refused(rhz_checkpoint(nullptr, nullptr), RHZ_ERR_ARGUMENT, {"communicator is NULL"});
  expect_refused(rhz_checkpoint(comm, nullptr), RHZ_ERR_ARGUMENT,
                 {"rhz_checkpoint_params is NULL"});
  auto p = params();
  p.struct_size = 0;
  expect_refused(rhz_checkpoint(comm, &p), RHZ_ERR_ABI, {"struct_size"});
  p = params();
  p.folder = nullptr;
  expect_refused(rhz_checkpoint(comm, &p), RHZ_ERR_ARGUMENT, {"folder is not set"});
  p = params();
  p.flags = 1;
  expect_refused(rhz_checkpoint(comm, &p), RHZ_ERR_ARGUMENT, {"unknown flags"});
  expect_refused(begin(comm, 2, 2), RHZ_ERR_ARGUMENT, {"part 2 of 2"});
  p = params();
  p.writers = 3;
  p.writer = 3;
  expect_refused(rhz_checkpoint(comm, &p), RHZ_ERR_ARGUMENT, {"writer 3 of 3"});
  p = params();
  p.revision = 4;
  expect_refused(rhz_checkpoint(comm, &p), RHZ_ERR_ARGUMENT, {"hold revision 3, not 4"});
  p = params();
  p.slice_count = 1;
  expect_refused(rhz_checkpoint(comm, &p), RHZ_ERR_ARGUMENT, {"slices is NULL"});
  expect_refused(load(comm, {}, 9), RHZ_ERR_IO, {of_revision(9), "No such file"});
  expect_refused(rhz_checkpoint_load(comm, nullptr, nullptr), RHZ_ERR_ARGUMENT, {"is NULL"});
  EXPECT_TRUE(folders().empty());
}

TEST_F(BadCheckpoint, SlicesSayWhatIsWrongWithThem) {
  LocalRun run(1);
  Matrix w("w", 4, 4);
  rhz_comm* const comm = member(run, w, 3);
  auto slice = w.slice();
  auto refused = [&](const std::vector<std::string>& words) {
    expect_refused(with_slice(comm, params(), slice), RHZ_ERR_ARGUMENT, words);
    slice = w.slice();
  };
  slice.first = 1;
  refused({"tensor \"w\"", "beyond the end of [4, 4]"});
  slice.dims = 0;
  slice.first = 1;
  refused({"tensor \"w\"", "no shape says of what"});
  slice.dims = 9;
  refused({"more than 8 dims"});
  slice.shape = nullptr;
  refused({"shape is NULL"});
  const uint64_t huge[] = {1ull << 40, 1ull << 40};
  slice.shape = huge;
  refused({"too many elements"});
  slice.name = nullptr;
  refused({"name is NULL"});
  slice.name = "";
  refused({"1 to 127 bytes"});
  slice.dtype = 99;
  refused({"dtype 99"});
  slice.data = nullptr;
  refused({"data is NULL"});
  slice.count_elems = 0;
  refused({"count_elems is 0"});
  rhz_tensor_slice two[] = {slice, slice};
  auto p = params();
  p.slices = two;
  p.slice_count = 2;
  expect_refused(rhz_checkpoint(comm, &p), RHZ_ERR_ARGUMENT, {"\"w\": it is named twice"});
  two[1].struct_size += 8;
  expect_refused(rhz_checkpoint(comm, &p), RHZ_ERR_ABI, {"same struct_size"});
  slice.name = "\xff";
  ASSERT_EQ(with_slice(comm, params(), slice), RHZ_OK);
  expect_refused(rhz_checkpoint_wait(comm, kPatienceMs, nullptr), RHZ_ERR_ARGUMENT, {"UTF-8"});
}

TEST_F(BadCheckpoint, NeedsAMemberWithARevision) {
  LocalRun run(1);
  rhz_comm* const early = run.create(1);
  Matrix w("w", 4, 4);
  expect_refused(with_slice(early, params(), w.slice()), RHZ_ERR_STATE, {"rhz_comm_join"});
  expect_refused(load(early), RHZ_ERR_STATE, {"no tensor is registered, and no slices"});
  ASSERT_EQ(rhz_comm_join(early, kPatienceMs), RHZ_OK);
  expect_refused(begin(early), RHZ_ERR_STATE, {"no tensor is registered, and no slices"});
  expect_refused(with_slice(early, params(), w.slice()), RHZ_ERR_STATE, {"rhz_state_commit"});
  ASSERT_EQ(rhz_state_begin_update(early), RHZ_OK);
  expect_refused(with_slice(early, params(), w.slice()), RHZ_ERR_STATE, {"an update is open"});
  ASSERT_EQ(rhz_state_end_update(early), RHZ_OK);
  ASSERT_EQ(rhz_state_commit(early, 1), RHZ_OK);
  EXPECT_EQ(with_slice(early, params(), w.slice()), RHZ_OK) << rhz_last_error();
  run.close(early);
  expect_refused(rhz_checkpoint_poll(early, nullptr), RHZ_ERR_STATE, {"was closed"});
}

TEST_F(BadCheckpoint, TheTensorsStayAsTheyAreUntilTheFence) {
  LocalRun run(1);
  Matrix w("w", 2048, 8192);
  rhz_comm* const comm = member(run, w, 1);
  ASSERT_EQ(begin(comm), RHZ_OK);
  expect_refused(rhz_state_begin_update(comm), RHZ_ERR_STATE, {"rhz_checkpoint_fence"});
  expect_refused(begin(comm), RHZ_ERR_STATE, {"rhz_checkpoint_fence"});
  expect_refused(load(comm), RHZ_ERR_STATE, {"rhz_checkpoint_fence"});
  expect_refused(rhz_restore(comm, nullptr, nullptr), RHZ_ERR_STATE, {"rhz_checkpoint_fence"});
  EXPECT_EQ(rhz_snapshot(comm, nullptr), RHZ_OK) << "both only read";
  EXPECT_EQ(rhz_snapshot_fence(comm, 0), RHZ_OK);
  EXPECT_EQ(rhz_checkpoint_fence(comm, 0), RHZ_OK) << rhz_last_error();
  expect_refused(begin(comm), RHZ_ERR_STATE, {"revision 1", "rhz_checkpoint_wait"});
  ASSERT_EQ(rhz_state_begin_update(comm), RHZ_OK);
  w.fill(2);
  ASSERT_EQ(rhz_state_end_update(comm), RHZ_OK);
  ASSERT_EQ(rhz_checkpoint_wait(comm, 0, nullptr), RHZ_OK) << rhz_last_error();
  ASSERT_EQ(load(comm), RHZ_OK) << rhz_last_error();
  EXPECT_TRUE(w.holds(1));
}

TEST_F(BadCheckpoint, AFullDiskIsSaidAndTheLastOneStays) {
  LocalRun run(1);
  Matrix w("w", 300, 500);
  rhz_comm* const comm = member(run, w, 1);
  ASSERT_EQ(write(comm), RHZ_OK) << rhz_last_error();
  for (const rlim_t room : {rlim_t{0}, rlim_t{300'000}}) {
    if (room == 0) commit(comm, w, 2);
    const FullDisk disk(room);
    expect_refused(write(comm), RHZ_ERR_IO,
                   {of_revision(2), ".safetensors.tmp: write at byte " + std::to_string(room),
                    "File too large"});
    EXPECT_TRUE(fs::is_empty(of_revision(2)));
  }
  auto info = sized<rhz_checkpoint_info>();
  EXPECT_EQ(rhz_checkpoint_poll(comm, &info), RHZ_ERR_IO);
  EXPECT_EQ(info.revision, 2u);
  EXPECT_EQ(info.written, 0u);
  EXPECT_EQ(write(comm), RHZ_OK) << rhz_last_error();  // there is room again
  ASSERT_EQ(load(comm, {}, 1), RHZ_OK) << rhz_last_error();
  EXPECT_TRUE(w.holds(1));
}

TEST_F(BadCheckpoint, AFolderThatCannotBeMadeIsSaid) {
  LocalRun run(1);
  Matrix w("w", 4, 4);
  rhz_comm* const comm = member(run, w, 1);
  auto p = params();
  const std::string nowhere = folder.file("not/there");
  p.folder = nowhere.c_str();
  ASSERT_EQ(rhz_checkpoint(comm, &p), RHZ_OK);
  expect_refused(rhz_checkpoint_wait(comm, kPatienceMs, nullptr), RHZ_ERR_IO,
                 {nowhere, "No such file"});
  EXPECT_EQ(rhz_checkpoint_fence(comm, 0), RHZ_OK) << "the tensors may change";
}

TEST_F(BadCheckpoint, AnotherRunsFolderIsRefusedAndReadByItsName) {
  {
    LocalRun run(1);
    Matrix w("w", 4, 4);
    ASSERT_EQ(write(member(run, w, 1)), RHZ_OK) << rhz_last_error();
  }
  // Its manifest as another run would have written it cannot be made by hand: it is checked.
  const std::string manifest = of_revision(1) + "/manifest.json";
  setenv("RHZ_RUN_ID", "other", 1);
  auto coordinator_params = sized<rhz_coordinator_params>();
  coordinator_params.world = 1;
  coordinator_params.run_id = "other";
  rhz_coordinator* coordinator = nullptr;
  ASSERT_EQ(rhz_coordinator_start(&coordinator_params, &coordinator), RHZ_OK);
  auto p = comm_params(rhz_coordinator_address(coordinator));
  rhz_comm* comm = nullptr;
  ASSERT_EQ(rhz_comm_create(&p, &comm), RHZ_OK);
  unsetenv("RHZ_RUN_ID");
  ASSERT_EQ(rhz_comm_join(comm, kPatienceMs), RHZ_OK) << rhz_last_error();
  Matrix w("w", 4, 4);
  commit(comm, w, 2);
  ASSERT_EQ(with_slice(comm, params(), w.slice()), RHZ_OK);
  expect_refused(rhz_checkpoint_wait(comm, kPatienceMs, nullptr), RHZ_ERR_RUN_ID,
                 {manifest, "of the run \"default\", not \"other\"", "another folder"});
  expect_refused(load(comm, {w.slice()}), RHZ_ERR_RUN_ID, {"of the run \"default\""});
  EXPECT_EQ(load(comm, {w.slice()}, 0, nullptr, "default"), RHZ_OK) << rhz_last_error();
  EXPECT_TRUE(w.holds(1));
  EXPECT_EQ(folders().size(), 1u);
  rhz_comm_close(comm);
  rhz_coordinator_stop(coordinator);
}

TEST_F(BadCheckpoint, ACompleteRevisionIsNotWrittenAgain) {
  LocalRun run(1);
  Matrix w("w", 4, 4);
  rhz_comm* const comm = member(run, w, 1);
  ASSERT_EQ(write(comm), RHZ_OK) << rhz_last_error();
  expect_refused(write(comm), RHZ_ERR_STATE, {"revision 1 is complete already"});
  fs::remove_all(of_revision(1));
  EXPECT_EQ(write(comm), RHZ_OK) << rhz_last_error();
}

TEST_F(BadCheckpoint, DamageIsFoundAndTheNextSourceNamed) {
  LocalRun run(1);
  Matrix w("w", 300, 500);
  rhz_comm* const comm = member(run, w, 1);
  ASSERT_EQ(write(comm), RHZ_OK) << rhz_last_error();
  commit(comm, w, 2);
  ASSERT_EQ(write(comm), RHZ_OK) << rhz_last_error();
  spoil(of_revision(2), 500'000, "no float");
  expect_refused(load(comm), RHZ_ERR_CORRUPT,
                 {of_revision(2), ".safetensors: damaged at byte 262144 or behind",
                  "next source: the checkpoint of an older revision (there are 1)"});
  ASSERT_EQ(load(comm, {}, 1), RHZ_OK) << rhz_last_error();
  EXPECT_TRUE(w.holds(1));
  spoil(of_revision(1), 0, std::string(8, '\x7f'));  // the length of the header
  expect_refused(load(comm, {}, 1), RHZ_ERR_CORRUPT,
                 {of_revision(1), "damaged at byte 0", "no older one is there"});
}

TEST_F(BadCheckpoint, ANewerOneThatCannotBeReadIsSkipped) {
  LocalRun run(1);
  Matrix w("w", 4, 4);
  rhz_comm* const comm = member(run, w, 1);
  for (uint64_t revision : {1, 2, 3}) {
    if (revision > 1) commit(comm, w, revision);
    ASSERT_EQ(write(comm), RHZ_OK) << rhz_last_error();
  }
  std::ofstream(of_revision(3) + "/manifest.json") << "{}";
  for (const auto& file : fs::directory_iterator(of_revision(2)))
    if (file.path().extension() == ".safetensors") fs::remove(file.path());
  auto info = sized<rhz_checkpoint_load_info>();
  ASSERT_EQ(load(comm, {}, 0, &info), RHZ_OK) << rhz_last_error();
  EXPECT_EQ(info.revision, 1u);
  EXPECT_EQ(info.skipped, 2u);
  EXPECT_NE(std::string(info.text).find(of_revision(3) + "/manifest.json: manifest: "),
            std::string::npos)
      << info.text;
  EXPECT_TRUE(w.holds(1));
}

TEST_F(BadCheckpoint, OtherTensorsAreRefusedBeforeAnythingIsWritten) {
  LocalRun run(1);
  Matrix w("w", 4, 4), v("v", 4, 4), small("w", 2, 4), turned("w", 2, 8);
  rhz_comm* const comm = member(run, w, 1);
  ASSERT_EQ(with_slice(comm, params(), w.slice()), RHZ_OK);
  ASSERT_EQ(rhz_checkpoint_wait(comm, kPatienceMs, nullptr), RHZ_OK) << rhz_last_error();
  w.fill(9);
  expect_refused(load(comm, {w.slice(), v.slice()}), RHZ_ERR_MISMATCH,
                 {"the checkpoint of revision 1 has no tensor \"v\""});
  expect_refused(load(comm, {turned.slice()}), RHZ_ERR_MISMATCH, {"[4, 4]", "[2, 8] here"});
  auto slice = small.slice();
  slice.dims = 0;
  expect_refused(load(comm, {slice}), RHZ_ERR_MISMATCH, {"16 elements", "8 here"});
  slice = w.slice();
  slice.dtype = RHZ_DTYPE_I32;
  expect_refused(load(comm, {slice}), RHZ_ERR_MISMATCH, {"f32 in the checkpoint, and i32 here"});
  EXPECT_TRUE(w.holds(9));
}

TEST_F(BadCheckpoint, PartsThatDoNotMakeTensorsWholeAreSaidToAllWriters) {
  LocalRun run(2);
  const auto comms = run.found();
  Matrix rows[] = {{"w", 10, 4, 0, 5}, {"w", 10, 4, 6, 4}};
  for (uint32_t rank : {0u, 1u}) {
    ASSERT_EQ(rhz_state_commit(comms[rank], 1), RHZ_OK);
    auto p = params();
    p.writer = rank;
    p.writers = 2;
    ASSERT_EQ(with_slice(comms[rank], p, rows[rank].slice()), RHZ_OK);
  }
  for (rhz_comm* comm : comms)
    expect_refused(rhz_checkpoint_wait(comm, kPatienceMs, nullptr), RHZ_ERR_ARGUMENT,
                   {"tensor \"w\" lacks its elements from 20 on"});
  EXPECT_FALSE(fs::exists(of_revision(1) + "/manifest.json"));
}

}  // namespace
}  // namespace rhz::test
