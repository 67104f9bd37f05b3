// How the writers of a checkpoint find out that it is complete, without a word to each other but by
// the folder that all of them see: whoever has written its file leaves a note of it, and whoever
// finds the notes of all publishes the manifest.  So writers may end in any order, and the last one
// that lives completes it.
//
//   at-00f1e2d3c4b5a697.part-2-of-8.safetensors   a writer's file (file_writer.h)
//   at-00f1e2d3c4b5a697.part-2-of-8.json          its note: the manifest of that file alone
//
// An attempt that somebody's death has cut short leaves notes too, and its revision may be written
// again, with other bytes, once the run has gone back, or was started anew: `point` keeps the two apart.  Functions on
// files, blocking; any number of processes at once.
#pragma once

#include <cstdint>
#include <string>

#include "recovery/disk/checkpoint_manifest.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

struct CheckpointAttempt {
  std::string root, run_id;
  uint64_t revision = 0;
  uint64_t point = 0;  // equal on all writers of an attempt, and on no other attempt
  uint32_t writers = 1;

  // Of the file of a writer.
  std::string file_name(uint32_t writer) const;
};

// `part` has the run's id, the revision, and the file of this writer, which is there.
[[nodiscard]] Status note_part(const CheckpointAttempt& attempt, uint32_t writer,
                               const CheckpointManifest& part);

// True when the checkpoint is complete, by this call or somebody else's; false: notes are missing.
// kArgument: the parts do not make tensors whole; kDiverged: their tensors differ in dtype or
// shape, or their roots do; kCorrupt, kIo.
[[nodiscard]] Result<bool> publish_parts(const CheckpointAttempt& attempt);

}  // namespace rhz::recovery
