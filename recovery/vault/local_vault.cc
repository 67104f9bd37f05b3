#include "recovery/vault/local_vault.h"

#include <unistd.h>

#include "recovery/vault/piece.h"

namespace rhz::recovery {
namespace {
constexpr OwnerId kSelf = 1;
}

Status LocalVault::keep(Slot slot, std::vector<Fd> pieces) {
  std::lock_guard lock(mutex_);
  return store_.keep(kSelf, static_cast<uint32_t>(getpid()), slot, std::move(pieces));
}

Result<std::vector<Fd>> LocalVault::attach(Slot slot) {
  std::lock_guard lock(mutex_);
  auto found = store_.attach(kSelf, static_cast<uint32_t>(getpid()), slot);
  if (!found) return found.status();
  std::vector<Fd> pieces;
  for (const Fd& piece : found.value()) {
    auto copy = duplicate(piece.get());
    if (!copy) return copy.status();
    pieces.push_back(std::move(copy).value());
  }
  return pieces;
}

Result<Fd> LocalVault::hold_device() {
  return Status(Code::kState, "there is no vault that outlives this process");
}

Status LocalVault::drop(Slot slot) {
  std::lock_guard lock(mutex_);
  store_.drop(kSelf, slot);
  return Status::ok();
}

Result<Fd> LocalVault::begin(Slot slot, const SnapshotInfo& info) {
  std::lock_guard lock(mutex_);
  auto found = store_.begin(kSelf, slot, info);
  if (!found) return found.status();
  if (found.value()) return duplicate(found.value()->get());
  auto made = make_piece(info.bytes());
  if (!made) return made;
  auto copy = duplicate(made.value().get());
  if (!copy) return copy;
  if (Status given = store_.give(kSelf, slot, std::move(made).value()); !given) return given;
  return copy;
}

Status LocalVault::seal(Slot slot, uint64_t revision) {
  std::lock_guard lock(mutex_);
  return store_.seal(kSelf, slot, revision);
}

Result<Snapshot> LocalVault::read(Slot slot, uint64_t revision) {
  std::lock_guard lock(mutex_);
  auto found = store_.read(slot, revision);
  if (!found) return found.status();
  auto copy = duplicate(found.value().buffer->get());
  if (!copy) return copy.status();
  return Snapshot{found.value().info, std::move(copy).value()};
}

Result<std::vector<Holding>> LocalVault::list() {
  std::lock_guard lock(mutex_);
  return store_.list();
}

}  // namespace rhz::recovery
