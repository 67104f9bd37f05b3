// Who holds memory of devices that trainers allocated by themselves (cudaMalloc) beyond their death.
// That takes an open mapping, and so a context on the device: a process of its own, started by the
// vault, which calls no device.
//
// Each allocation has a connection of its own, and is held until the last descriptor of the other
// end is closed.  The vault keeps that end as a piece of the trainer's state, as it keeps
// descriptors of memory that need nobody to hold it (device_block.h).  What was held cannot be
// handed on to a third process (CUDA refuses to export a mapping): it is copied into memory of the
// next trainer, on the device.
#pragma once

#include <list>
#include <optional>

#include "recovery/vault/holder_messages.h"
#include "runtime/base/fd.h"

namespace rhz::recovery {

class DeviceHolder {
 public:
  // `vault`: where connections come from.
  DeviceHolder(PlainMemory& memory, Fd vault) : memory_(memory), vault_(std::move(vault)) {}
  ~DeviceHolder();

  // One thread, driven by poll.  Ends with the vault, or when the device does not copy.
  Status run();

 private:
  struct Piece {
    Fd socket;
    std::optional<SharedAllocation> held;
    MutableBytes memory;
    bool over = false;
  };
  bool take_piece();
  void read(Piece& piece);
  [[nodiscard]] Status heed(Piece& piece, const HolderMessage& message);
  [[nodiscard]] Result<MutableBytes> open(const HolderMessage& message);
  [[nodiscard]] Status fill(const Piece& piece, const HolderMessage& into);
  void let_go(Piece& piece);

  PlainMemory& memory_;
  Fd vault_;
  std::list<Piece> pieces_;
  bool failed_ = false;  // the device, probably: another holder begins anew
};

}  // namespace rhz::recovery
