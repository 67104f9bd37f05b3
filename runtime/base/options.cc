#include "runtime/base/options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "runtime/base/assert.h"

namespace rhz {
namespace {
constexpr EnvironmentVariable kVariables[] = {
    {"RHZ_COORDINATOR", "HOST:PORT", "none", "", "where the coordinator listens"},
    {"RHZ_RUN_ID", "text", "default", "", "peers of another run are refused"},
    {"RHZ_LISTEN", "ADDR[:PORT]", "the coordinator's side", "", "where this peer listens for data"},
    {"RHZ_ADVERTISE", "ADDR", "as RHZ_LISTEN", "", "address that other peers connect to"},
    {"RHZ_SLOT", "slot", "any", "0 …", "the slot this peer asks for"},
    {"RHZ_CONNECT_TIMEOUT_MS", "ms", "5000", "1 … 3600000",
     "a coordinator that was never reached is an error after this"},
    {"RHZ_TRANSPORT", "name", "auto", "auto, tcp, shm, ucx, ofi",
     "auto: shared memory to peers of this host, RDMA or else TCP to others; a forced one is never "
     "replaced"},
    {"RHZ_MODULE_DIR", "folder", "rhizome/ beside the library", "",
     "where the modules of ucx and ofi are"},
    {"RHZ_VAULT", "socket", "none", "",
     "name of this host's vault, as `rhizome vault` prints it; without one nothing survives a trainer"},
    {"RHZ_HOST", "text", "the host's name", "",
     "vault: the failure domain that it counts as"},
    {"RHZ_RACK", "text", "none", "", "vault: the larger failure domain that its host is part of"},
    {"RHZ_SHARDS", "k+m", "4+2", "2 … 256 together",
     "data and parity shards of a stripe, where rhz_protect names none"},
    {"RHZ_SYNC_BULK_BYTES", "bytes", "67108864", "0 … 2^63",
     "a joiner with so much state or more first pulls it from copies while the members train"},
    {"RHZ_BULK_LANES", "connections", "1", "1 … 15",
     "TCP connections for large frames to a neighbour"},
    {"RHZ_SOCKET_BUFFER_BYTES", "bytes", "4194304", "0 … 1073741824", "SO_SNDBUF and SO_RCVBUF"},
    {"RHZ_SHM_DIRECT", "flag", "0", "0, 1",
     "large payloads in shared memory: read by the receiver alone, not passed through a ring"},
    {"RHZ_TCP_CONGESTION", "name", "the system's; reno instead of bbr on loopback", "",
     "TCP_CONGESTION"},
    {"RHZ_SPIN_US", "µs", "50", "0 … 1000000",
     "how long a waiting call polls before it sleeps; never when a host has more ranks than cores"},
    {"RHZ_ALGORITHM", "name", "auto", "auto, ring, direct, doubling, halving, tree, hierarchical",
     "how ops are carried out; the same on every rank"},
    {"RHZ_CHUNK_BYTES", "bytes", "262144", "64 … 16777216",
     "coordinator: largest chunk of the run"},
    {"RHZ_SEGMENT_BYTES", "bytes", "262144", "64 … 16777216",
     "coordinator: largest frame of the run"},
    {"RHZ_RETAIN_BYTES", "bytes", "262144", "0 … 16777216",
     "coordinator: results up to this size are released before the done-wave"},
    {"RHZ_VERIFY", "name", "sampled", "off, sampled, all",
     "coordinator: which part of equal results the ranks compare"},
    {"RHZ_PROTECTION", "name", "on", "on, off",
     "coordinator: off keeps nothing for the death of a rank, to show what protection costs"},
    {"CUDA_LAUNCH_BLOCKING", "flag", "0", "0, 1",
     "CUDA's: with 1, large results go to a device as a whole, for no kernel may stand behind a gate"},
    {"RHZ_LOG", "level", "warn", "none, warn, info", "what the library prints on standard error"},
};
}  // namespace

std::span<const EnvironmentVariable> environment_variables() { return kVariables; }

std::optional<std::string> environment(const char* name) {
  RHZ_ASSERT("a variable in the table",
             std::any_of(std::begin(kVariables), std::end(kVariables),
                         [&](const auto& v) { return std::strcmp(v.name, name) == 0; }));
  const char* value = std::getenv(name);
  if (!value || !*value) return std::nullopt;
  return value;
}

Result<uint64_t> environment_number(const char* name, uint64_t otherwise, uint64_t low,
                                    uint64_t high) {
  const auto text = environment(name);
  if (!text) return otherwise;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < low || value > high) {
    return Status(Code::kArgument, std::string(name) + "=" + *text + " is not a number from " +
                                       std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

}  // namespace rhz
