#include "tests/explore/compare.h"

#include <array>
#include <cstdio>

namespace rhz::explore {
namespace {
constexpr const char* kMark = "outcome: ";

uint32_t number_of(RebuildMode mode) {
  return mode == RebuildMode::kStrict ? 0 : mode == RebuildMode::kKeep ? 1 : 2;
}

std::string arguments(const Options& options) {
  auto number = [](const char* name, uint32_t value) {
    return std::string(" ") + name + "=" + std::to_string(value);
  };
  return " outcomes=1 inputfull=1" + number("N", options.peers) + number("C", options.chunks) +
         number("ops", options.ops) + number("mode", number_of(options.mode)) +
         (options.retain ? " rule=b inv=S" : " rule=a inv=U") +
         number("late", options.together ? 0 : 1) + number("crash", options.crashes) +
         number("false", options.suspicions) + number("coord", options.restarts);
}

}  // namespace

bool model_knows(const Options& options) {
  return options.mode != RebuildMode::kFail && options.chunks <= 2;
}

Result<std::set<std::string>> outcomes_of_model(const std::string& program,
                                                const Options& options) {
  FILE* const pipe = popen((program + arguments(options)).c_str(), "r");
  if (!pipe) return Status(Code::kState, "the model cannot be started");
  std::set<std::string> outcomes;
  std::array<char, 512> line{};
  while (std::fgets(line.data(), line.size(), pipe)) {
    const std::string text(line.data(), std::string(line.data()).find_last_not_of('\n') + 1);
    if (text.starts_with(kMark)) outcomes.insert(text.substr(std::string(kMark).size()));
  }
  if (pclose(pipe) != 0)
    return Status(Code::kState, "the model refuses this configuration, or finds a violation in it");
  return outcomes;
}

}  // namespace rhz::explore
