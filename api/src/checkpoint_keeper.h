// Checkpoints on disk, behind training: a copy of the tensors, which the fence waits for, and the
// writing of it, which nobody has to wait for.  A thread each.  Owned by the driver; any thread of
// the program.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/src/background.h"
#include "api/src/progress.h"
#include "api/src/state_keeper.h"
#include "collectives/reduce/dtype.h"
#include "recovery/disk/checkpoint.h"
#include "recovery/state/state.h"
#include "runtime/memory/pages.h"
#include "runtime/observe/recorder.h"

namespace rhz {

// Elements [first, first + count) of a tensor, in memory of the program's.
struct MemorySlice {
  std::string name;
  reduce::Dtype dtype = reduce::Dtype::f32;
  std::vector<uint64_t> shape;  // of the whole tensor; none: flat, and the slice is all of it
  uint64_t first = 0, count = 0;
  std::byte* data = nullptr;
  StateMemory* device = nullptr;  // not null: `data` is a device's

  uint64_t bytes() const { return count * reduce::size_of(dtype); }
};

class CheckpointKeeper {
 public:
  struct Surroundings {
    Progress& progress;
    recovery::State& state;
    std::string run_id;
    std::function<StateKeeper::Standing()> standing;  // as the loop's owner
    // As the loop's owner: a number that all members have at this place of the program in this view,
    // and that no other place has, nor another start of the run.
    std::function<Result<uint64_t>()> point;
    std::function<bool()> busy;                              // as in Background
    std::function<void(LogLevel, const std::string&)> note;  // as the loop's owner
  };
  explicit CheckpointKeeper(Surroundings around);

  struct Choice {
    std::string folder;
    uint64_t revision = 0;            // 0: the committed one
    std::vector<MemorySlice> slices;  // none: the registered tensors that all peers share
    uint32_t part = 0, parts = 1;     // of each slice
    uint32_t writer = 0, writers = 1;
    uint32_t keep = 0;  // 0: all
  };
  Status begin(const Choice& choice);
  // The tensors of a checkpoint are being copied.
  bool copying() const { return copier_.running(); }
  Status fence(Duration timeout) { return copier_.wait(timeout); }

  // Of the newest one.
  struct Progression {
    uint64_t revision = 0;  // 0: none was begun
    uint64_t bytes = 0;     // of the own file's tensors
    bool written = false;   // the own file is
    bool complete = false;  // all are
  };
  Status wait(Duration timeout, Progression& now);
  Status poll(Progression& now);
  // What is not written then is not written.
  void stop();

  struct Wanted {
    std::string folder, run_id;       // no run id: the own one
    uint64_t revision = 0;            // 0: the newest that can be read
    std::vector<MemorySlice> slices;  // none: the registered tensors
  };
  struct Loaded {
    uint64_t revision = 0, bytes = 0;
    std::vector<Status> skipped;  // newer ones
  };
  [[nodiscard]] Result<Loaded> load(const Wanted& wanted);
  // Revisions in that folder that can be loaded, as far as their manifests tell; the newest first.
  [[nodiscard]] Result<std::vector<uint64_t>> complete(const std::string& folder) const;

 private:
  struct Work;
  Status may_begin(const Choice& choice);
  Status make_room();
  Pages pages_for(uint64_t bytes);
  void give_back(Pages pages);
  Status copy(const std::shared_ptr<Work>& work, Background::Pace& pace);
  Status copy_sources(Work& work, Background::Pace& pace);
  Status write(Work& work, Background::Pace& pace);
  Status write_file(Work& work, Background::Pace& pace);
  Status complete(Work& work, Background::Pace& pace);
  Status fill(recovery::Checkpoint& checkpoint, const Wanted& wanted,
              const std::vector<MemorySlice>& slices, bool registered);
  std::vector<MemorySlice> registered() const;
  void note(LogLevel level, const std::string& line);
  void progressed(const std::function<void(Progression&)>& change);

  Surroundings around_;
  std::mutex beginning_;  // one begin() at a time
  std::mutex mutex_;
  Progression now_;                            // under mutex_
  Pages idle_pages_;                           // under mutex_
  std::atomic<bool> own_part_written_{false};  // it only waits for the others
  Background writer_, copier_;  // the last, in this order: the copier starts the writer
};

}  // namespace rhz
