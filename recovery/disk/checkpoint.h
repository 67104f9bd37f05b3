// A complete checkpoint, read: any elements of any tensor, from whichever files hold them.  So a
// run may go on with another number of ranks and stages than the one that wrote it: each asks for
// what it needs.
//
// Every byte that is handed out has matched the digest of its block.  Blocking reads; one thread at
// a time.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "collectives/reduce/dtype.h"
#include "recovery/disk/checkpoint_manifest.h"
#include "recovery/disk/file.h"
#include "recovery/disk/safetensors.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

class Checkpoint {
 public:
  // That revision.  Errors as read_checkpoint_manifest().
  [[nodiscard]] static Result<Checkpoint> open(const std::string& root, const std::string& run_id,
                                               uint64_t revision);
  // The newest that can be read; skipped() says why newer ones could not.  kStateLost: there is
  // none.  kRunId: the folder is another run's.
  [[nodiscard]] static Result<Checkpoint> open_newest(const std::string& root,
                                                      const std::string& run_id);

  const CheckpointManifest& manifest() const { return manifest_; }
  const std::vector<Status>& skipped() const { return skipped_; }

  // Elements [first, first + out.size() / size of dtype) of the tensor.  `shape` is what the
  // caller's tensor has; none: any. kArgument: no such tensor, another dtype or shape, beyond its
  // end; kCorrupt: a block differs from its digest, or a header from the manifest; kIo.  After an
  // error the contents of `out` mean nothing.
  [[nodiscard]] Status fill(const std::string& name, reduce::Dtype dtype,
                            std::span<const uint64_t> shape, uint64_t first, MutableBytes out);

 private:
  struct OpenFile {
    File file;
    const FileRecord* record = nullptr;
    SafetensorsHeader header;
    uint64_t data_begin = 0;
    std::vector<std::byte> block;  // the last block that was read in part
    uint64_t block_index = UINT64_MAX;
  };

  Checkpoint(std::string folder, CheckpointManifest manifest);
  Result<OpenFile*> file(const std::string& name);
  Status open_file(const std::string& name, OpenFile& file);
  static Status read(OpenFile& file, uint64_t at, MutableBytes out);
  static Status verified(OpenFile& file, uint64_t index, MutableBytes block);
  Status fill_from(const TensorRecord& tensor, const SliceRecord& slice, uint64_t first,
                   MutableBytes out);

  std::string folder_;
  CheckpointManifest manifest_;
  std::vector<Status> skipped_;
  std::map<std::string, OpenFile> files_;  // opened when first used
};

}  // namespace rhz::recovery
