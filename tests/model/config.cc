#include "tests/model/config.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string_view>

#include "tests/model/shape.h"

namespace rhz::model {
namespace {

struct Option {
  std::string_view name;
  void (*set)(Config& config, long long value);
  long long low, high;
};

template <auto Field>
void set(Config& config, long long value) {
  auto& field = config.*Field;
  field = static_cast<std::remove_reference_t<decltype(field)>>(value);
}

constexpr Option kOptions[] = {
    {"N", set<&Config::peers>, 1, kMaxPeers},
    {"C", set<&Config::chunks>, 1, kMaxChunks},
    {"ops", set<&Config::ops>, 1, kMaxOps},
    {"root", set<&Config::root>, 0, kMaxPeers - 1},
    {"groups", set<&Config::groups>, 1, 2},
    {"absent", set<&Config::absent>, -1, kMaxPeers - 1},
    {"late", set<&Config::late>, 0, 1},
    {"mode", set<&Config::mode>, 0, 2},
    {"mut", set<&Config::mutant>, 0, kMutantCount - 1},
    {"inputfull", set<&Config::input_freed_at_full>, 0, 1},
    {"inplace", set<&Config::in_place>, 0, 1},
    {"seq", set<&Config::order>, 0, 2},
    {"implicit", set<&Config::implicit_wave>, 0, 1},
    {"quorum", set<&Config::quorum>, 0, kMaxPeers},
    {"zerocopy", set<&Config::zero_copy>, 0, 1},
    {"crash", set<&Config::max_crashes>, 0, kMaxEpochs},
    {"false", set<&Config::max_suspicions>, 0, kMaxEpochs},
    {"coord", set<&Config::max_failovers>, 0, 255},
    {"fail", set<&Config::max_fails>, 0, kMaxEpochs},
    {"odd", set<&Config::odd>, 0, 2},
    {"minworld", set<&Config::min_world>, 0, kMaxPeers},
    {"abortif", set<&Config::abort_unless>, 0, 4},
    {"join", set<&Config::join>, 0, 3},
    {"joiners", set<&Config::joiners>, 1, kMaxPeers - 1},
    {"admit", set<&Config::admit_op>, -1, kMaxOps - 1},
    {"admit2", set<&Config::second_admit_op>, -1, kMaxOps - 1},
    {"both", set<&Config::both>, 0, 1},
    {"admitall", set<&Config::admit_waits_for_all>, 0, 1},
    {"wm", set<&Config::watermark>, 0, 1},
    {"raw", set<&Config::raw>, 0, 1},
    {"max", set<&Config::max_states>, 1, 4'000'000'000},  // states are numbered by 32 bits
    {"cover", set<&Config::cover>, 0, 1},
    {"trace", set<&Config::trace>, 0, 1},
    {"outcomes", set<&Config::outcomes>, 0, 1},
};

// In the order of Kind.
constexpr std::string_view kKindNames[] = {
    "allreduce", "broadcast", "scatter",       "reduce",
    "gather",    "allgather", "reducescatter", "alltoall",
};

bool set_kind(Config& config, std::string_view value) {
  const auto* found = std::find(std::begin(kKindNames), std::end(kKindNames), value);
  config.kind = static_cast<Kind>(found - kKindNames);
  return found != std::end(kKindNames);
}

bool set_word(Config& config, std::string_view name, std::string_view value) {
  if (name == "inv" && (value == "U" || value == "S")) {
    config.uniform = value == "U";
    return true;
  }
  if (name == "rule" && (value == "a" || value == "b")) {
    config.rule = value == "a" ? Rule::kDoneWave : Rule::kRetain;
    return true;
  }
  if (name == "kind") return set_kind(config, value);
  return false;
}

bool set_number(Config& config, std::string_view name, const char* text) {
  for (const Option& option : kOptions) {
    if (option.name != name) continue;
    char* end = nullptr;
    const long long value = std::strtoll(text, &end, 10);
    if (end == text || *end != '\0' || value < option.low || value > option.high) return false;
    option.set(config, value);
    return true;
  }
  return false;
}

bool joins_in_range(const Config& c) {
  if (c.join == Join::kNobody) return true;
  if (c.founders() < 1) return false;
  const bool in_first_group =
      c.admit_op % c.groups == 0 && (c.second_admit_op < 0 || c.second_admit_op % c.groups == 0);
  if (c.by_admit_op() && !in_first_group) return false;
  if (c.second_admit_op >= 0 && (c.join != Join::kByLog || c.second_admit_op <= c.admit_op))
    return false;
  return !c.by_admit_op() || (c.admit_op >= 0 && std::max(c.admit_op, c.second_admit_op) < c.ops);
}

bool in_range(const Config& c) {
  const int joins = c.join == Join::kNobody    ? 0
                    : c.join == Join::kAnyTime ? c.joiners
                                               : 1 + (c.second_admit_op >= 0);
  const int rounds = c.max_crashes + c.max_suspicions + c.max_fails + 2 * (c.odd != 0) + joins;
  if (c.groups > 1 && (c.ops < c.groups || c.implicit_wave)) return false;
  if (c.chunks > kMaxChunks) return false;
  const int roots_lost = has_root(c.kind) ? c.ops : 0;
  if (1 + rounds + roots_lost >= kMaxEpochs) return false;
  if (c.kind == Kind::kAllReduce) {
    if (c.chunks > kMaxChunksOfBasis || c.all_are_roots()) return false;
  } else if (c.all_are_roots() && !begins_at_root(c.kind)) {
    return false;
  } else if (c.join != Join::kNobody || c.root >= c.peers) {
    return false;
  }
  return joins_in_range(c);
}

const char* text(Mode mode) {
  switch (mode) {
    case Mode::kStrict: return "strict";
    case Mode::kKeep: return "keep";
    case Mode::kInclude: return "include";
  }
  return "?";
}

const char* text(Order order) {
  switch (order) {
    case Order::kAllAtOnce: return "overlapped";
    case Order::kSequential: return "sequential";
    case Order::kOverlapped: return "begun-any-time";
  }
  return "?";
}

}  // namespace

std::optional<Config> parse_config(int argc, char** argv) {
  Config config;
  for (int i = 1; i < argc; i++) {
    const std::string_view argument = argv[i];
    const std::size_t equals = argument.find('=');
    if (equals == std::string_view::npos) {
      std::fprintf(stderr, "name=value expected: %s\n", argv[i]);
      return std::nullopt;
    }
    const std::string_view name = argument.substr(0, equals);
    const char* value = argv[i] + equals + 1;
    if (!set_word(config, name, value) && !set_number(config, name, value)) {
      std::fprintf(stderr, "unknown option, or value out of range: %s\n", argv[i]);
      return std::nullopt;
    }
  }
  if (const int blocks = chunks_of(config.kind, config.peers)) config.chunks = blocks;
  if (!in_range(config)) {
    std::fprintf(stderr, "out of range: too many rounds for %d epochs, or no such combination\n",
                 kMaxEpochs);
    return std::nullopt;
  }
  return config;
}

std::string describe(const Config& c) {
  auto number = [](const char* name, auto value) {
    return std::string(name) + std::to_string(static_cast<int>(value));
  };
  std::string line;
  if (c.kind != Kind::kAllReduce) {
    line = std::string(kKindNames[static_cast<int>(c.kind)]) + " ";
    if (has_root(c.kind)) line += number("root=", c.root) + " ";
  }
  line += number("N=", c.peers) + number(" C=", c.chunks) + number(" ops=", c.ops);
  line += c.rule == Rule::kDoneWave ? " rule=a" : " rule=b";
  line += c.uniform ? " inv=U" : " inv=S";
  line += std::string(" mode=") + text(c.mode);
  line += number(" crash<=", c.max_crashes) + number(" false<=", c.max_suspicions);
  line += number(" coord<=", c.max_failovers);
  if (c.input_freed_at_full) line += " inputfull";
  if (c.in_place) line += " inplace";
  if (c.ops > 1) line += std::string(" ") + text(c.order) + (c.implicit_wave ? " implicit" : "");
  if (c.quorum > 0) line += number(" quorum=", c.quorum);
  if (c.groups > 1) line += number(" groups=", c.groups);
  if (c.absent >= 0) line += number(" absent=", c.absent);
  if (c.late) line += " late";
  if (c.max_fails > 0 || c.odd != 0 || c.min_world > 0) {
    line += number(" fail<=", c.max_fails) + number(" abortif=", c.abort_unless);
  }
  if (c.odd != 0) line += number(" odd=", c.odd);
  if (c.min_world > 0) line += number(" minworld=", c.min_world);
  if (c.join != Join::kNobody) {
    line += number(" join=", c.join);
    if (c.joiners > 1) line += number(" joiners=", c.joiners);
    if (c.by_admit_op()) line += number(" admit=", c.admit_op);
    if (c.second_admit_op >= 0) line += number(",", c.second_admit_op);
    if (c.both) line += " both";
    if (c.admit_waits_for_all) line += " admitall";
  }
  if (c.watermark) line += " wm";
  if (c.mutant != kNoMutant) line += number(" mut=", c.mutant);
  return line;
}

}  // namespace rhz::model
