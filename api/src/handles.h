// What is behind the handles of the C API.
//
// The one table of the process: a communicator's handle stays checkable after rhz_comm_close, so that a late call gets
// RHZ_ERR_STATE instead of reading freed memory.  It maps handles to owners and holds no other state.
#pragma once

#include <memory>

#include "api/src/peer_driver.h"
#include "rhizome/rhizome.h"

namespace rhz::api {

rhz_comm* add_comm(std::shared_ptr<PeerDriver> driver);
// kArgument for NULL, kState for a handle that was closed (or never was one).
[[nodiscard]] Result<std::shared_ptr<PeerDriver>> find_comm(const rhz_comm* comm);
// The owner, once; empty when the handle is not in the table.
std::shared_ptr<PeerDriver> remove_comm(rhz_comm* comm);

}  // namespace rhz::api
