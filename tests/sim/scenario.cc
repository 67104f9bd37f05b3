#include "tests/sim/scenario.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <vector>

namespace rhz::sim {
namespace {

using Json = nlohmann::ordered_json;

// Everything in a Config but its faults; both directions go through here.
template <class Field>
void each_field(Config& c, Field field) {
  field("processes", c.processes);
  field("world", c.run.world);
  field("max_world", c.run.max_world);
  field("min_world", c.run.min_world);
  field("chunk_bytes", c.run.chunk_bytes);
  field("segment_bytes", c.run.segment_bytes);
  field("retain_bytes", c.run.retain_bytes);
  field("heartbeat_ms", c.run.heartbeat_ms);
  field("suspicion_ms", c.run.suspicion_ms);
  field("verify", c.run.verify);
  field("protection", c.run.protection);
  field("sync_timeout_ns", c.coordinator.sync_timeout);
  field("bulk_timeout_ns", c.coordinator.bulk_timeout);
  field("full_grace_ns", c.coordinator.full_grace);
  field("isolation_ns", c.member.isolation);
  field("repeat_ns", c.member.repeat);
  field("open_ops", c.limits.open_ops);
  field("window_bytes", c.limits.window_bytes);
  field("retained_ops", c.limits.retained_ops);
  field("done_delay_ns", c.limits.done_delay);
  field("base_latency_ns", c.base_latency);
  field("spike", c.spike);
  field("calm_ns", c.calm);
  field("chaos_ns", c.chaos);
  field("patience_ns", c.patience);
  field("codec", c.codec);
  field("append_crash", c.append_crash);
  field("drift", c.drift);
  field("cpu_us", c.cpu_us);
  field("core_only", c.core_only);
  field("late_break", c.late_break);
  field("bulk", c.bulk);
  field("in_place", c.in_place);
  field("odd", c.odd);
  field("hasty", c.hasty);
  field("late", c.late);
  field("early", c.early);
  field("floats", c.floats);
  field("ops_per_step", c.ops_per_step);
  field("groups", c.groups);
  field("letters", c.letters);
  field("hurried_letters", c.hurried_letters);
  field("kept_bytes", c.message_limits.kept_bytes);
  field("message_window", c.message_limits.window);
  field("others", c.others);
  field("include", c.include);
  field("varying", c.varying);
  field("admit_every", c.admit_every);
  field("ahead", c.ahead);
  field("big_state", c.big_state);
  field("short_of_memory", c.short_of_memory);
  field("follows", c.follows);
  field("astray", c.astray);
  field("page_time_ns", c.page_time);
  field("copy_steps", c.copy_steps);
  field("bulk_sync", c.bulk_sync);
}

template <class T>
auto plain(const T& value) {
  if constexpr (std::is_same_v<T, Duration>)
    return value.count();
  else if constexpr (std::is_enum_v<T>)
    return static_cast<uint32_t>(value);
  else
    return value;
}

// False: a value of another type.
template <class T>
bool take(const Json& from, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    if (!from.is_boolean()) return false;
    value = from.get<bool>();
  } else {
    if (!from.is_number()) return false;
    value = static_cast<T>(from.get<decltype(plain(value))>());
  }
  return true;
}

Json faults_of(const Config& config) {
  Json faults = Json::object();
  for (size_t k = 0; k < kFaults; ++k)
    if (config.per_second[k] > 0) faults[fault_name(static_cast<Fault>(k))] = config.per_second[k];
  return faults;
}

// kCount: there is none of that name.
Fault fault_of(const std::string& name) {
  size_t k = 0;
  while (k < kFaults && name != fault_name(static_cast<Fault>(k))) ++k;
  return static_cast<Fault>(k);
}

// A file that does not name them is older than they are.
void without_what_came_later(Config& config) {
  for (auto k = static_cast<size_t>(kFirstOfLater); k < kFaults; ++k) config.per_second[k] = 0;
  config.cpu_us = 0;
}

Status read_faults(const Json& faults, Config& config) {
  config.per_second.fill(0);
  for (const auto& [name, rate] : faults.items()) {
    const Fault fault = fault_of(name);
    if (fault == Fault::kCount || !rate.is_number())
      return {Code::kArgument,
              "faults_per_second: \"" + name + "\" is no fault, or its rate no number"};
    config.per_second[static_cast<size_t>(fault)] = rate.get<double>();
  }
  return Status::ok();
}

Status read_spared(const Json& spared, Config& config) {
  for (const auto& [name, numbers] : spared.items()) {
    const Fault fault = fault_of(name);
    if (fault == Fault::kCount || !numbers.is_array())
      return {Code::kArgument, "spared: \"" + name + "\" is no fault, or has no list of numbers"};
    for (const Json& number : numbers) {
      if (!number.is_number_unsigned()) return {Code::kArgument, "spared: " + name + ": no number"};
      config.spared.emplace(fault, number.get<uint32_t>());
    }
  }
  return Status::ok();
}

Status read_fields(Json& json, Config& config) {
  Status status;
  each_field(config, [&](const char* name, auto& value) {
    const auto at = json.find(name);
    if (at == json.end()) return;
    if (!take(*at, value))
      status = {Code::kArgument, std::string(name) + ": a value of another type"};
    json.erase(at);
  });
  return status;
}

}  // namespace

Status write_scenario(const std::string& path, const Scenario& scenario) {
  Config config = scenario.config;
  Json json = {{"found", scenario.found}, {"seed", config.seed}};
  each_field(config, [&](const char* name, auto& value) { json[name] = plain(value); });
  json["faults_per_second"] = faults_of(config);
  Json spared = Json::object();
  for (auto [fault, number] : config.spared) spared[fault_name(fault)].push_back(number);
  json["spared"] = spared;
  std::ofstream file(path);
  file << json.dump(1) << "\n";
  return file.good() ? Status::ok() : Status(Code::kIo, path + ": cannot be written");
}

Result<Scenario> read_scenario(const std::string& path) {
  std::ifstream file(path);
  if (!file.is_open()) return Status(Code::kIo, path + ": cannot be opened");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("seed") || !json["seed"].is_number_unsigned())
    return Status(Code::kArgument, path + ": it has to be a JSON object with a \"seed\"");
  Scenario scenario{"", make_config(json["seed"].get<uint64_t>())};
  without_what_came_later(scenario.config);
  if (json.contains("found") && json["found"].is_string()) scenario.found = json["found"];
  Status good = read_fields(json, scenario.config);
  if (good && json.contains("faults_per_second"))
    good = read_faults(json["faults_per_second"], scenario.config);
  if (good && json.contains("spared")) good = read_spared(json["spared"], scenario.config);
  for (const char* known : {"seed", "found", "faults_per_second", "spared"}) json.erase(known);
  if (good && !json.empty())
    good = {Code::kArgument, "\"" + json.begin().key() + "\" is no field of a scenario"};
  if (!good) return Status(good.code(), path + ": " + good.text());
  return scenario;
}

}  // namespace rhz::sim
