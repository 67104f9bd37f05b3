// rhizome.h: rhz_comm_costs.
#include <algorithm>
#include <cstring>

#include "api/src/abi.h"
#include "api/src/handles.h"

namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 43;  // of an op: 2^40 elements of 8 bytes

uint64_t bytes_per_second(uint64_t ps_per_kib) {
  return ps_per_kib ? 1024 * uint64_t{1'000'000'000'000} / ps_per_kib : 0;
}

}  // namespace

RHZ_API rhz_status rhz_comm_costs(rhz_comm* comm, uint64_t bytes, rhz_costs* out_costs) {
  using rhz::Code;
  using rhz::Status;
  return rhz::api::guard([&]() -> Status {
    const auto group = rhz::api::find_group(comm);
    if (!group) return group.status();
    if (bytes > kMostBytes) return Status(Code::kArgument, "no op has more than 2^43 bytes");
    const auto found = group.value().driver->forecast(group.value().group, bytes);
    if (!found) return found.status();
    const auto& f = found.value();
    rhz_costs costs{};
    costs.measured_by_op = f.from == rhz::kNoOp ? RHZ_COSTS_UNKNOWN : f.from.value;
    costs.local_latency_ns = f.costs.local.latency_ns;
    costs.local_bytes_per_s = bytes_per_second(f.costs.local.ps_per_kib);
    costs.remote_latency_ns = f.costs.remote.latency_ns;
    costs.remote_bytes_per_s = bytes_per_second(f.costs.remote.ps_per_kib);
    costs.reduce_bytes_per_s = bytes_per_second(f.costs.reduce_ps_per_kib);
    for (uint32_t a = 1; a < rhz::kAlgorithms; ++a) costs.predicted_ns[a - 1] = f.ns[a] == rhz::kNoWay ? 0 : f.ns[a];
    std::strncpy(costs.chosen, rhz::name(f.chosen), sizeof costs.chosen - 1);
    return rhz::api::write_struct(costs, "rhz_costs", out_costs);
  });
}
