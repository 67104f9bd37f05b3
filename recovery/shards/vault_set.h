// The vaults of a run, as far as somebody knows them: who may hold shards, and who is gone.  A
// vault that was lost never comes back under its id.  Plain data, one thread.
#pragma once

#include <vector>

#include "recovery/parity/placement.h"
#include "runtime/agreement/generation.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

class VaultSet {
 public:
  VaultSet() = default;
  explicit VaultSet(std::vector<Holder> living) {
    for (Holder& holder : living) join(std::move(holder));
  }
  void join(Holder holder);
  void lose(PeerId vault);
  bool lives(PeerId vault) const;
  // Of this host, living or not; its index is what Placement names.
  const Holder& at(uint32_t index) const { return holders_[index]; }
  std::vector<PeerId> living() const;
  // As the planner of placements wants them; `full` vaults count as dead.
  std::vector<Host> hosts(const std::vector<PeerId>& full) const;
  // kNone: unknown.
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t index_of(PeerId vault) const;
  // An id that is named in a record, and unknown here, is of a vault that is gone.
  uint32_t index_of_or_lost(const Holder& holder);

 private:
  std::vector<Holder> holders_;
  std::vector<bool> lives_;
};

// Why shards have no place: what placement.h says of the vaults that are left; and, where `refused`
// ones were left out, what the newest of these said, which may be why.
Status no_place(const Status& placement, const Status& refusal, size_t refused);

// Puts the holders of a placement into a record: those that hold something, by their order here.
void write_placement(const VaultSet& vaults, const Placement& placement, GenerationRecord& record);

}  // namespace rhz::recovery
