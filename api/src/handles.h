// What is behind the handles of the C API.
//
// The one table of the process: a communicator's handle stays checkable after rhz_comm_close, so that a late call gets
// RHZ_ERR_STATE instead of reading freed memory.  It maps handles to owners and holds no other state.
#pragma once

#include <memory>

#include "api/src/peer_driver.h"
#include "rhizome/rhizome.h"

namespace rhz::api {

// A communicator: a peer of a run, and the group of it that the handle stands for.
struct Comm {
  std::shared_ptr<PeerDriver> driver;
  GroupId group = kRootGroup;
  bool is_root() const { return group == kRootGroup; }
};

rhz_comm* add_comm(Comm comm);
// kArgument for NULL, kState for a handle that was closed (or never was one).
[[nodiscard]] Result<Comm> find_group(const rhz_comm* comm);
// For what acts on the peer as a whole, whichever of its groups the handle stands for.
[[nodiscard]] Result<std::shared_ptr<PeerDriver>> find_comm(const rhz_comm* comm);
// As find_group; kState for a sub-communicator: `instead` says what to do.
[[nodiscard]] Result<std::shared_ptr<PeerDriver>> find_root(const rhz_comm* comm, const char* instead);
// The owner, once; empty when the handle is not in the table.
Comm remove_comm(rhz_comm* comm);

}  // namespace rhz::api
