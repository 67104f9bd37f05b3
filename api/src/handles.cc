#include "api/src/handles.h"

#include <mutex>
#include <shared_mutex>
#include <unordered_map>

namespace rhz::api {
namespace {
std::shared_mutex mutex;
std::unordered_map<const rhz_comm*, Comm> comms;
uintptr_t next_handle = 0x1000;  // never reused, never dereferenced
}  // namespace

rhz_comm* add_comm(Comm comm) {
  std::unique_lock lock(mutex);
  next_handle += 16;
  auto* handle = reinterpret_cast<rhz_comm*>(next_handle);
  comms[handle] = std::move(comm);
  return handle;
}

Result<Comm> find_group(const rhz_comm* comm) {
  if (!comm) return Status(Code::kArgument, "the communicator is NULL");
  std::shared_lock lock(mutex);
  const auto at = comms.find(comm);
  if (at == comms.end())
    return Status(Code::kState, "this communicator was closed; create and join another one");
  return at->second;
}

Result<std::shared_ptr<PeerDriver>> find_comm(const rhz_comm* comm) {
  auto found = find_group(comm);
  if (!found) return found.status();
  return std::move(found).value().driver;
}

Result<std::shared_ptr<PeerDriver>> find_root(const rhz_comm* comm, const char* instead) {
  auto found = find_group(comm);
  if (!found) return found.status();
  if (!found.value().is_root()) return Status(Code::kState, std::string("this is a sub-communicator: ") + instead);
  return std::move(found).value().driver;
}

Comm remove_comm(rhz_comm* comm) {
  std::unique_lock lock(mutex);
  const auto at = comms.find(comm);
  if (at == comms.end()) return {};
  Comm removed = std::move(at->second);
  comms.erase(at);
  return removed;
}

}  // namespace rhz::api
