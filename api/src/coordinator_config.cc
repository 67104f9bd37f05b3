#include "api/src/coordinator_config.h"

#include "runtime/base/options.h"

namespace rhz::api {
namespace {
constexpr uint32_t kMaxWorld = 4096;
}

Status coordinator_options(const rhz_coordinator_params& p, CoordinatorOptions& out) {
  if (p.world == 0) return Status(Code::kArgument, "world is 0: say how many peers the run begins with");
  if (p.world > kMaxWorld)
    return Status(Code::kArgument, "world is " + std::to_string(p.world) + ": a run has at most " +
                                       std::to_string(kMaxWorld) + " peers");
  RunConfig& config = out.config;
  config.run_id = p.run_id && *p.run_id ? p.run_id : environment("RHZ_RUN_ID").value_or("default");
  if (config.run_id.size() > 255) return Status(Code::kArgument, "a run id has at most 255 bytes");
  config.world = p.world;
  config.max_world = p.max_world ? p.max_world : p.world;
  config.min_world = p.min_world ? p.min_world : 1;
  if (config.max_world < config.world || config.max_world > kMaxWorld)
    return Status(Code::kArgument, "max_world must be from world (" + std::to_string(p.world) +
                                       ") to " + std::to_string(kMaxWorld));
  if (config.min_world > config.world)
    return Status(Code::kArgument, "min_world must not be over world");
  if (p.suspicion_ms) config.suspicion_ms = p.suspicion_ms;
  if (config.suspicion_ms < 50 || config.suspicion_ms > 600'000)
    return Status(Code::kArgument, "suspicion_ms must be from 50 to 600 000");
  config.heartbeat_ms = std::max<uint32_t>(5, std::min<uint32_t>(500, config.suspicion_ms / 10));
  const struct {
    const char* variable;
    uint32_t& field;
    uint64_t low;
  } sizes[] = {{"RHZ_CHUNK_BYTES", config.chunk_bytes, 64},
               {"RHZ_SEGMENT_BYTES", config.segment_bytes, 64},
               {"RHZ_RETAIN_BYTES", config.retain_bytes, 0}};
  for (const auto& size : sizes) {
    auto value = environment_number(size.variable, size.field, size.low, 16u << 20);
    if (!value) return value.status();
    size.field = static_cast<uint32_t>(value.value());
  }
  if (p.listen && *p.listen) out.listen = p.listen;
  if (p.log) out.log_path = p.log;
  return Status::ok();
}

}  // namespace rhz::api
