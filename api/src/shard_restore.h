// Brings a stage's state back from shards in the vaults of a run, for whoever asks: a trainer
// before it joins, or a tool.  Asks the coordinator what is sealed and which vaults live, then the
// vaults.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "recovery/vault/vault.h"
#include "runtime/agreement/generation.h"
#include "runtime/base/bytes.h"
#include "runtime/transport/tcp/address.h"

namespace rhz {

struct ShardRestoreOptions {
  std::vector<tcp::SocketAddress> coordinator;
  std::string run_id;
  uint32_t stage = 0;
  std::optional<Slot> slot;  // given: of whichever stage this slot is of
  uint64_t revision = 0;     // the only one wanted; 0: the sealed one
  std::string next_source;
  Duration patience = std::chrono::seconds(10);  // with a coordinator that does not answer
};

struct RestoredShards {
  GenerationRecord record;
  recovery::Snapshot snapshot;    // as a vault would have given it
  Duration asking{}, fetching{};  // until it was known what is sealed where; and until all was here
};

// Blocks; any thread.  kStateLost: none of the stage is sealed, or not this revision, or more than
// m shards of a stripe are lost.  kCorrupt: what was sealed is no snapshot.  kRunId, kUnreachable,
// kMemory.
[[nodiscard]] Result<RestoredShards> restore_shards(const ShardRestoreOptions& options);

// What is protected is a snapshot's buffer, and how much of it is data: u64 data_bytes, "rhz-shd1".
inline constexpr uint64_t kShardTrailerBytes = 16;
// The bytes of a snapshot as they are protected, read in pieces; `next` is called between them, and
// ends it (kClosed) where it is false.
[[nodiscard]] Result<std::vector<std::byte>> read_for_shards(const recovery::Snapshot& snapshot,
                                                             const std::function<bool()>& next);
// Of those bytes.
Digest root_of_shards(ConstBytes state);

}  // namespace rhz
