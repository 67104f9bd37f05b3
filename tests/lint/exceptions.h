// tests/lint/exceptions.txt: what may be longer than the limits, and why.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rhz::lint {

struct Exception {
  std::string path;
  std::string function;  // empty: the file itself
  int limit = 0;         // lines
  int line = 0;          // of exceptions.txt
};

struct Exceptions {
  std::vector<Exception> list;
  std::vector<int> malformed;  // lines of exceptions.txt
};

inline constexpr const char* kExceptionsPath = "tests/lint/exceptions.txt";

// One per line: `PATH LIMIT REASON` or `PATH:FUNCTION LIMIT REASON`; `#` begins a comment line.
Exceptions parse_exceptions(const std::vector<std::string>& lines);

}  // namespace rhz::lint
