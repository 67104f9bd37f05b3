#include "tests/sim/config.h"

#include <cstdio>

#include "tests/sim/world.h"

namespace rhz::sim {
namespace {

struct Kind {
  const char* name;
  double low, high;  // per second of virtual time
};
// Rates reach from "once in a while" to "again before the last one is healed".
constexpr Kind kKinds[kFaults] = {
    {"crash", 0.5, 40},         {"pause", 0.5, 40},       {"long-pause", 0.5, 20},
    {"partition", 0.3, 10},     {"one-way", 0.3, 10},     {"edge", 0.3, 10},
    {"break", 0.3, 3},          {"isolate", 0.3, 10},     {"join", 1, 40},
    {"leave", 0.5, 20},         {"coordinator", 0.5, 40}, {"coordinator-pause", 0.3, 10},
    {"zombie", 0.3, 5},         {"accuse", 0.5, 20},      {"slow", 0.3, 10},
    {"control-reset", 0.5, 20}, {"reset", 0.5, 40},       {"cancel", 0.5, 40},
    {"cut-log", 0.5, 20},       {"flip", 1, 20},          {"replay", 1, 40},
    {"domain", 0.2, 4},         {"mark", 0.5, 20},        {"clog", 0.3, 10},
    {"collapse", 0.3, 10},      {"zero-window", 0.5, 20}, {"failed-sync", 0.3, 10},
    {"full-disk", 0.2, 3},      {"log-flip", 0.3, 10},
};

template <class T, size_t N>
T pick(Prng& random, const T (&values)[N]) {
  return values[random.below(N)];
}

// In some seeds nothing is protected; in others bits flip, of which all must be found: where the ops have returned before, by the end of all who took part.
void set_protection(Config& c, Prng random) {
  c.include = Prng(mix64(c.seed) ^ 0x16c1).chance(0.5) ? 0.6 : 0;
  c.run.verify = pick(random, {Verify::kOff, Verify::kSampled, Verify::kAll});
  if (random.chance(0.06)) {
    c.run.protection = false;
    return;
  }
  if (c.letters > 0 || !random.chance(0.12)) return;
  const auto flip = static_cast<size_t>(Fault::kFlip);
  c.run.verify = Verify::kAll;
  if (random.chance(0.6)) c.run.retain_bytes = 0;
  c.per_second[flip] = World::log_uniform(random, kKinds[flip].low, kKinds[flip].high);
}

// Numbers of their own, that leave what was drawn before as it was.
void set_pieces(Config& c, uint64_t seed) {
  if (Prng late(mix64(seed) ^ 0x1a7e); late.chance(0.4)) c.late = late.unit();
  if (Prng early(mix64(seed) ^ 0xea51); early.chance(0.4)) c.early = early.unit();
}

Config with_later_faults(uint64_t seed) {
  Config c;
  c.seed = seed;
  for (auto k = static_cast<size_t>(kFirstOfLater); k < kFaults; ++k) {
    Prng random(mix64(c.seed) ^ mix64(k + 0x1a7e));
    if (random.chance(0.5)) c.per_second[k] = World::log_uniform(random, kKinds[k].low, kKinds[k].high);
  }
  if (Prng random(mix64(c.seed) ^ 0xc9c0); random.chance(0.5)) c.cpu_us = World::log_uniform(random, 1, 50);
  return c;
}

}  // namespace

const char* fault_name(Fault fault) { return kKinds[static_cast<size_t>(fault)].name; }

Config make_config(uint64_t seed) {
  Prng random(mix64(seed) ^ 0xc0f1);
  Config c = with_later_faults(seed);
  c.run.run_id = "sim";
  c.run.world = 2 + static_cast<uint32_t>(random.below(7));
  c.run.max_world = std::max(c.run.world + static_cast<uint32_t>(random.below(3)), 4u);
  c.run.min_world = random.chance(0.15) ? 2 : 1;
  c.processes = c.run.max_world;
  // 4 KiB chunks divide bulk ops (> 16 KiB), small ones the others.
  c.run.chunk_bytes = pick(random, {64u, 64u, 128u, 4096u});
  c.run.segment_bytes = pick(random, {32u, 64u, 64u, 2048u});
  c.run.retain_bytes = pick(random, {0u, 0u, 64u, 256u, 65536u});
  c.run.suspicion_ms = pick(random, {100u, 200u});
  c.run.heartbeat_ms = c.run.suspicion_ms / 4;
  c.coordinator.sync_timeout = milliseconds(2000);
  c.coordinator.full_grace = milliseconds(300);
  c.member.isolation = milliseconds(2000);
  c.member.repeat = milliseconds(50);
  c.limits.open_ops = pick(random, {4u, 16u, 256u});
  c.limits.window_bytes = pick(random, {uint64_t{1}, uint64_t{512}, uint64_t{1} << 20});
  c.limits.retained_ops = pick(random, {1u, 4u, 32u});
  c.limits.done_delay = pick(random, {microseconds(0), microseconds(100), microseconds(1000)});
  c.base_latency = Duration(static_cast<int64_t>(World::log_uniform(random, 2e5, 5e6)));
  c.spike = random.chance(0.5) ? 0.02 : 0;
  c.calm = milliseconds(5);
  c.chaos = milliseconds(2500);
  c.patience = milliseconds(20000) + 20000 * c.base_latency;  // a window of one byte: chunk after chunk, hop by hop
  c.codec = random.chance(0.5);
  c.drift = random.chance(0.5) ? 0.02 : 1e-5;
  c.bulk = random.chance(0.4) ? 0.3 : 0;
  c.in_place = random.unit();
  c.ops_per_step = 1 + static_cast<uint32_t>(random.below(5));
  c.core_only = random.chance(0.5);
  c.late_break = random.chance(0.4);
  c.floats = random.chance(0.25);
  c.odd = random.chance(0.2) ? 0.002 : 0;
  c.hasty = random.chance(0.2) ? 0.05 : 0;
  c.admit_every = 1 + static_cast<uint32_t>(random.below(4));
  c.big_state = random.chance(0.1);
  for (size_t k = 0; k < static_cast<size_t>(Fault::kFlip); ++k) {
    const double rate = World::log_uniform(random, kKinds[k].low, kKinds[k].high);
    if (random.chance(k == static_cast<size_t>(Fault::kJoin) ? 0.9 : 0.5)) c.per_second[k] = rate;
  }
  c.groups = Prng(mix64(seed) ^ 0x6709).chance(0.5);
  if (random.chance(0.25)) c.append_crash = World::log_uniform(random, 0.0005, 0.01);
  if (seed % 3 == 2) {
    // Seeds that found a bug once keep what they mean: the others have no letters.
    c.letters = 1 + static_cast<uint32_t>(random.below(8));
    const auto strikes = [&](Fault fault) { return c.per_second[static_cast<size_t>(fault)] > 0; };
    // Two members whose edge is broken for good wait for each other until their time is over.
    const bool may_break = strikes(Fault::kBreak) || c.late_break || c.core_only;
    c.hurried_letters = may_break || (strikes(Fault::kCancel) && random.chance(0.5));
    c.message_limits.kept_bytes = pick(random, {uint64_t{0}, uint64_t{512}, uint64_t{1} << 20});
    c.varying = 0.5;
    c.message_limits.window = pick(random, {1u, 3u, 16u});
  }
  if (Prng sync(mix64(seed) ^ 0xb01a); sync.chance(0.4)) {  // likewise
    c.bulk_sync = true;
    c.big_state |= sync.chance(0.5);
    c.short_of_memory = sync.chance(0.2);
    c.copy_steps = pick(sync, {1u, 40u, 1000u});
    c.coordinator.bulk_timeout = pick(sync, {milliseconds(100), milliseconds(2000)});
    c.follows = sync.chance(0.7);
    c.astray = sync.chance(0.5) ? 0.05 : 0;
    c.page_time = pick(sync, {Duration{}, Duration(milliseconds(20)), Duration(milliseconds(500))});
  }
  set_pieces(c, seed);
  set_protection(c, Prng(mix64(seed) ^ 0x0ee7));  // a number that leaves tests/scenarios as they were
  return c;
}

bool only_faults(Config& config, const std::string& names) {
  const std::string list = "," + names + ",";
  for (size_t k = 0; k < kFaults; ++k)
    if (list.find("," + std::string(kKinds[k].name) + ",") == std::string::npos)
      config.per_second[k] = 0;
  if (list.find(",append-crash,") == std::string::npos) config.append_crash = 0;
  if (list.find(",cpu,") == std::string::npos) config.cpu_us = 0;
  return true;
}

std::string Config::text() const {
  char line[512];
  std::snprintf(
      line, sizeof line,
      "world=%u max_world=%u min_world=%u chunk=%u segment=%u retain=%u suspicion_ms=%u "
      "%sopen_ops=%u window=%llu latency_us=%.0f codec=%d append_crash=%.4f bulk=%.1f ops=%u "
      "verify=%d groups=%d admit_every=%u core_only=%d late_break=%d floats=%d odd=%g hasty=%g letters=%u cpu_us=%.1f%s%s",
      run.world, run.max_world, run.min_world, run.chunk_bytes, run.segment_bytes, run.retain_bytes,
      run.suspicion_ms, run.protection ? "" : "UNPROTECTED ", limits.open_ops, static_cast<unsigned long long>(limits.window_bytes),
      static_cast<double>(base_latency.count()) / 1e3, codec, append_crash, bulk, ops_per_step,
      static_cast<int>(run.verify), groups, admit_every, core_only, late_break, floats, odd, hasty, letters, cpu_us,
      hurried_letters ? " hurried" : "", bulk_sync ? " bulk_sync" : "");
  std::string text = line;
  for (size_t k = 0; k < kFaults; ++k) {
    if (per_second[k] == 0) continue;
    std::snprintf(line, sizeof line, " %s=%.1f/s", kKinds[k].name, per_second[k]);
    text += line;
  }
  return text;
}

}  // namespace rhz::sim
