#include "tests/explore/options.h"

namespace rhz::explore {

const char* name_of(RebuildMode mode) {
  switch (mode) {
    case RebuildMode::kStrict: return "strict";
    case RebuildMode::kKeep: return "keep";
    case RebuildMode::kFail: return "fail";
    case RebuildMode::kInclude: return "include";
  }
  return "?";
}

std::string Options::text() const {
  auto number = [](const char* name, uint64_t value) {
    return std::string(" ") + name + "=" + std::to_string(value);
  };
  return "peers=" + std::to_string(peers) + number("chunks", chunks) + number("ops", ops) +
         " mode=" + name_of(mode) + " rule=" + (retain ? "b" : "a") + (bulk ? " bulk" : "") +
         (in_place ? " in-place" : "") + (late_read ? " late-read" : "") +
         (together ? " together" : "") + number("crashes", crashes) +
         number("suspicions", suspicions) + number("restarts", restarts) +
         number("faults", faults) + number("halves", halves) + (merge ? "" : " no-merge");
}

}  // namespace rhz::explore
