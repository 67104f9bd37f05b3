// Every environment variable the library reads, in one table (docs/operating.md prints it).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "runtime/base/status.h"

namespace rhz {

struct EnvironmentVariable {
  const char* name;
  const char* unit;
  const char* default_text;
  const char* range;
  const char* what;
};
std::span<const EnvironmentVariable> environment_variables();

// The value, or nothing when it is unset or empty.  `name` is in the table.
std::optional<std::string> environment(const char* name);
// kArgument, naming the variable and its range, when it is set and is no number within [low, high].
[[nodiscard]] Result<uint64_t> environment_number(const char* name, uint64_t otherwise, uint64_t low,
                                                  uint64_t high);

}  // namespace rhz
