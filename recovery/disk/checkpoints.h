// The folder that a run's checkpoints lie in:
//
//   ROOT/revision-00000000000000000042/NAME.safetensors …   written by the ranks (file_writer.h)
//   ROOT/revision-00000000000000000042/manifest.json        written last: it is complete now
//
// A process that is killed at any point leaves every complete checkpoint complete.  Functions on
// files, blocking; one process at a time discards and prunes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recovery/disk/checkpoint_manifest.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

std::string checkpoint_folder(const std::string& root, uint64_t revision);

// Makes `root` and the revision's folder where they are missing; its path.  Every rank may call it.
// kRunId: there are complete checkpoints of another run.  kState: that revision is complete
// already, and a complete checkpoint is never written to; see discard_checkpoint().
[[nodiscard]] Result<std::string> prepare_checkpoint(const std::string& root,
                                                     const std::string& run_id, uint64_t revision);

// Writes the manifest behind all files: the checkpoint is complete.  Several processes may do so
// with the same manifest.  kArgument: tensors that are not whole; kState: it was complete already;
// kIo: a file is missing or has another size, or the system's reason, and only then it may be
// complete all the same.
[[nodiscard]] Status publish_checkpoint(const std::string& root, CheckpointManifest manifest);

// Whether that revision has a manifest.
bool is_complete(const std::string& root, uint64_t revision);

// Revisions with a manifest, newest first; none where `root` is missing.
[[nodiscard]] Result<std::vector<uint64_t>> complete_checkpoints(const std::string& root);

// Reads the manifest and looks whether its files are there, with their sizes.  kRunId: of another
// run, kCorrupt, kIo.
[[nodiscard]] Result<CheckpointManifest> read_checkpoint_manifest(const std::string& root,
                                                                  const std::string& run_id,
                                                                  uint64_t revision);

// Of the complete ones, those whose manifest can be read and whose files are there.  kRunId: they are
// another run's.
[[nodiscard]] Result<std::vector<uint64_t>> readable_checkpoints(const std::string& root,
                                                                 const std::string& run_id);

// Removes a complete checkpoint, so that its revision can be written anew after a run went back and
// took another way.  kState: there is no other complete one that can be read.
[[nodiscard]] Status discard_checkpoint(const std::string& root, const std::string& run_id,
                                        uint64_t revision);

// Removes complete checkpoints but the newest `keep` (at least 1), and incomplete ones older than
// the newest complete one.  Does nothing unless the newest is complete, readable and of this run:
// call it after publish_checkpoint().
[[nodiscard]] Status prune_checkpoints(const std::string& root, const std::string& run_id,
                                       uint32_t keep);

}  // namespace rhz::recovery
