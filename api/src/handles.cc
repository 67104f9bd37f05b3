#include "api/src/handles.h"

#include <mutex>
#include <shared_mutex>
#include <unordered_map>

namespace rhz::api {
namespace {
std::shared_mutex mutex;
std::unordered_map<const rhz_comm*, std::shared_ptr<PeerDriver>> comms;
uintptr_t next_handle = 0x1000;  // never reused, never dereferenced
}  // namespace

rhz_comm* add_comm(std::shared_ptr<PeerDriver> driver) {
  std::unique_lock lock(mutex);
  next_handle += 16;
  auto* handle = reinterpret_cast<rhz_comm*>(next_handle);
  comms[handle] = std::move(driver);
  return handle;
}

Result<std::shared_ptr<PeerDriver>> find_comm(const rhz_comm* comm) {
  if (!comm) return Status(Code::kArgument, "the communicator is NULL");
  std::shared_lock lock(mutex);
  const auto at = comms.find(comm);
  if (at == comms.end())
    return Status(Code::kState, "this communicator was closed; create and join another one");
  return at->second;
}

std::shared_ptr<PeerDriver> remove_comm(rhz_comm* comm) {
  std::unique_lock lock(mutex);
  const auto at = comms.find(comm);
  if (at == comms.end()) return nullptr;
  auto driver = std::move(at->second);
  comms.erase(at);
  return driver;
}

}  // namespace rhz::api
