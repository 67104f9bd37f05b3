// rhizome.h, section "communicator".
#include <algorithm>
#include <charconv>

#include "api/src/abi.h"
#include "api/src/handles.h"
#include "recovery/parity/erasure_code.h"
#include "runtime/base/options.h"

namespace {

using rhz::Code;
using rhz::Result;
using rhz::Status;
using rhz::api::guard;

std::string text_or_environment(const char* text, const char* variable, const char* otherwise) {
  if (text && *text) return text;
  return rhz::environment(variable).value_or(otherwise);
}

Status number(const char* variable, uint64_t otherwise, uint64_t low, uint64_t high,
              uint64_t& out) {
  const Result<uint64_t> value = rhz::environment_number(variable, otherwise, low, high);
  if (value) out = value.value();
  return value.status();
}

Status shards_option(rhz::PeerOptions& options) {
  const std::string text = rhz::environment("RHZ_SHARDS").value_or("4+2");
  const char* const end = text.data() + text.size();
  const auto data = std::from_chars(text.data(), end, options.data_shards);
  const bool plus = data.ec == std::errc() && data.ptr != end && *data.ptr == '+';
  const auto parity = plus ? std::from_chars(data.ptr + 1, end, options.parity_shards) : data;
  const bool whole = plus && parity.ec == std::errc() && parity.ptr == end;
  const auto code =
      whole ? rhz::recovery::ErasureCode::make(options.data_shards, options.parity_shards)
            : Status(Code::kArgument, "it is no k+m, such as 4+2");
  if (code) return Status::ok();
  return {Code::kArgument, "RHZ_SHARDS=" + text + ": " + code.status().text()};
}

// Parameters first, then the environment, then the defaults.
Status peer_options(const rhz_comm_params& params, rhz::PeerOptions& options) {
  options.coordinator = text_or_environment(params.coordinator, "RHZ_COORDINATOR", "");
  if (options.coordinator.empty())
    return Status(Code::kArgument,
                  "no coordinator given: set rhz_comm_params.coordinator or "
                  "RHZ_COORDINATOR to HOST:PORT");
  options.run_id = text_or_environment(params.run_id, "RHZ_RUN_ID", "default");
  if (options.run_id.size() > 255) return Status(Code::kArgument, "a run id has at most 255 bytes");
  options.listen = text_or_environment(params.listen, "RHZ_LISTEN", "");
  options.advertise = text_or_environment(params.advertise, "RHZ_ADVERTISE", "");
  options.congestion = text_or_environment(nullptr, "RHZ_TCP_CONGESTION", "");
  if (auto transport =
          rhz::parse_transport(text_or_environment(nullptr, "RHZ_TRANSPORT", "auto"))) {
    options.transport = transport.value();
  } else {
    return Status(transport.status().code(), "RHZ_TRANSPORT: " + transport.status().text());
  }
  options.modules = text_or_environment(nullptr, "RHZ_MODULE_DIR", "");
  options.vault = text_or_environment(nullptr, "RHZ_VAULT", "");
  if (options.vault.size() > 100) return Status(Code::kArgument, "RHZ_VAULT is no name of a vault: it has more than 100 bytes");
  if (Status s = shards_option(options); !s) return s;
  if (params.reserved != 0) return Status(Code::kArgument, "rhz_comm_params.reserved must be 0");
  uint64_t value = 0;
  if (params.slot_plus_one != RHZ_ANY_SLOT) {
    options.slot = rhz::Slot(params.slot_plus_one - 1);
  } else if (rhz::environment("RHZ_SLOT")) {
    if (Status s = number("RHZ_SLOT", 0, 0, 1u << 20, value); !s) return s;
    options.slot = rhz::Slot(static_cast<uint32_t>(value));
  }
  const std::string algorithm = text_or_environment(nullptr, "RHZ_ALGORITHM", "auto");
  const auto known = rhz::algorithm_named(algorithm);
  if (!known)
    return Status(Code::kArgument, "RHZ_ALGORITHM=" + algorithm +
                                       " is none of auto, ring, direct, doubling, halving, "
                                       "tree, hierarchical");
  options.algorithm = *known;
  if (Status s = number("RHZ_CONNECT_TIMEOUT_MS", 5000, 1, 3'600'000, value); !s) return s;
  options.connect_timeout = rhz::milliseconds(value);
  if (Status s = number("RHZ_SYNC_BULK_BYTES", 64u << 20, 0, uint64_t{1} << 63, value); !s) return s;
  options.sync_bulk_bytes = value;
  if (Status s = number("RHZ_BULK_LANES", 1, 1, 15, value); !s) return s;
  options.bulk_lanes = static_cast<uint32_t>(value);
  if (Status s = number("RHZ_SOCKET_BUFFER_BYTES", 4u << 20, 0, 1u << 30, value); !s) return s;
  options.socket_buffer_bytes = static_cast<uint32_t>(value);
  if (Status s = number("RHZ_SHM_DIRECT", 0, 0, 1, value); !s) return s;
  options.shm_direct = value == 1;
  if (Status s = number("RHZ_SPIN_US", 50, 0, 1'000'000, value); !s) return s;
  options.spin = rhz::microseconds(value);
  if (params.op_timeout_ms) options.op_timeout = rhz::milliseconds(params.op_timeout_ms);
  if (params.isolation_ms) options.isolation = rhz::milliseconds(params.isolation_ms);
  return Status::ok();
}

}  // namespace

extern "C" {

RHZ_API rhz_status rhz_comm_create(const rhz_comm_params* params, rhz_comm** out_comm) {
  return guard([&]() -> Status {
    if (!out_comm) return Status(Code::kArgument, "out_comm is NULL");
    *out_comm = nullptr;
    rhz_comm_params known{};
    if (Status s = rhz::api::read_struct(params, "rhz_comm_params", known); !s) return s;
    rhz::PeerOptions options;
    if (Status s = peer_options(known, options); !s) return s;
    auto driver = rhz::PeerDriver::create(options);
    if (!driver) return driver.status();
    *out_comm = rhz::api::add_comm({std::move(driver).value()});
    return Status::ok();
  });
}

RHZ_API rhz_status rhz_comm_join(rhz_comm* comm, uint32_t timeout_ms) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_root(comm, "it is part of a run already");
    if (!driver) return driver.status();
    return driver.value()->join(rhz::milliseconds(timeout_ms));
  });
}

RHZ_API rhz_status rhz_comm_leave(rhz_comm* comm, uint32_t timeout_ms) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_root(comm, "it is closed; a run is left by the communicator that joined it");
    if (!driver) return driver.status();
    const auto membership = driver.value()->membership();
    if (!membership.ended.is_ok()) return membership.ended;
    if (!membership.joined) return Status(Code::kState, "not a member: nothing to leave");
    return driver.value()->leave(rhz::milliseconds(timeout_ms ? timeout_ms : 5000));
  });
}

RHZ_API void rhz_comm_close(rhz_comm* comm) {
  (void)guard([&]() -> Status {
    const rhz::api::Comm closed = rhz::api::remove_comm(comm);
    if (closed.driver && closed.is_root()) closed.driver->close();
    else if (closed.driver) closed.driver->close_group(closed.group);
    return Status::ok();
  });
}

RHZ_API rhz_status rhz_comm_view(rhz_comm* comm, rhz_view* out_view) {
  return guard([&]() -> Status {
    const auto group = rhz::api::find_group(comm);
    if (!group) return group.status();
    const auto m = group.value().driver->membership(group.value().group);
    if (!m.ended.is_ok()) return m.ended;
    if (!m.joined) return Status(Code::kState, "not a member yet: call rhz_comm_join");
    rhz_view view{};
    view.epoch = m.view.epoch.value;
    view.rank = m.rank.value;
    view.world_size = m.view.size();
    view.slot = m.view.members[m.rank.value].slot.value;
    view.joined = m.synced;
    view.revision = m.revision;
    return rhz::api::write_struct(view, "rhz_view", out_view);
  });
}

RHZ_API rhz_status rhz_comm_publish(rhz_comm* comm, const char* name, double value) {
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    if (!name || !*name) return Status(Code::kArgument, "a published number needs a name");
    if (std::string(name).size() > 23)
      return Status(Code::kArgument, "the name is longer than 23 bytes");
    return driver.value()->publish(name, value);
  });
}

RHZ_API rhz_status rhz_alloc(rhz_comm* comm, size_t bytes, void** out_memory) {
  return guard([&]() -> Status {
    if (!out_memory) return Status(Code::kArgument, "out_memory is NULL");
    *out_memory = nullptr;
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    auto memory = driver.value()->allocate(bytes);
    if (memory) *out_memory = memory.value();
    return memory.status();
  });
}

RHZ_API rhz_status rhz_free(rhz_comm* comm, void* memory) {
  if (!memory) return RHZ_OK;
  return guard([&]() -> Status {
    auto driver = rhz::api::find_comm(comm);
    if (!driver) return driver.status();
    return driver.value()->free(static_cast<std::byte*>(memory));
  });
}
}
