// The vault of a trainer that has no vault process: snapshots in its own memory.  They serve to go
// back to a revision, and end with the communicator: they do not survive the process.
#pragma once

#include <mutex>

#include "recovery/vault/store.h"
#include "recovery/vault/vault.h"

namespace rhz::recovery {

class LocalVault final : public Vault {
 public:
  explicit LocalVault(StoreLimits limits = {}) : store_(limits) {}

  std::string name() const override { return "this process (no vault: it survives no death)"; }
  bool outlives_process() const override { return false; }
  uint64_t incarnation() const override { return 1; }
  Status keep(Slot slot, std::vector<Fd> pieces) override;
  Result<std::vector<Fd>> attach(Slot slot) override;
  Result<Fd> hold_device() override;
  Status drop(Slot slot) override;
  Result<Fd> begin(Slot slot, const SnapshotInfo& info) override;
  Status seal(Slot slot, uint64_t revision) override;
  Result<Snapshot> read(Slot slot, uint64_t revision) override;
  Result<std::vector<Holding>> list() override;

 private:
  std::mutex mutex_;
  VaultStore store_;  // under mutex_
};

}  // namespace rhz::recovery
