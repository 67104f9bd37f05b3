#include "api/src/coordinator_config.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "runtime/base/options.h"

namespace rhz::api {
namespace {
constexpr uint32_t kMaxWorld = 4096;

// One of a few: what the program says (1 and up, in the order of the names), else the variable, else `otherwise`.
Result<uint32_t> choice(const char* what, const char* variable, uint32_t asked, std::span<const std::string_view> names,
                        uint32_t otherwise) {
  if (asked > names.size())
    return Status(Code::kArgument, std::string(what) + " is " + std::to_string(asked) + ", and there are " +
                                       std::to_string(names.size()) + " choices, from 1");
  if (asked > 0) return asked - 1;
  const auto text = environment(variable);
  if (!text) return otherwise;
  const auto at = std::find(names.begin(), names.end(), *text);
  if (at != names.end()) return static_cast<uint32_t>(at - names.begin());
  std::string all;
  for (std::string_view name : names) all += (all.empty() ? "" : ", ") + std::string(name);
  return Status(Code::kArgument, std::string(variable) + "=" + *text + " is none of " + all);
}
}  // namespace

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
  static constexpr std::string_view kVerify[] = {"off", "sampled", "all"}, kProtection[] = {"on", "off"};
  const auto verify =
      choice("verify", "RHZ_VERIFY", p.verify, kVerify, static_cast<uint32_t>(config.verify));
  if (!verify) return verify.status();
  config.verify = static_cast<Verify>(verify.value());
  const auto protection = choice("protection", "RHZ_PROTECTION", p.protection, kProtection, 0);
  if (!protection) return protection.status();
  config.protection = protection.value() == 0;
  if (p.listen && *p.listen) out.listen = p.listen;
  if (p.log) out.log_path = p.log;
  return Status::ok();
}

}  // namespace rhz::api
