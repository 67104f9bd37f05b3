// How long files and functions may be: docs/style.md.  A hint, hence the list of exceptions.
#include <algorithm>

#include "tests/lint/functions.h"
#include "tests/lint/rules.h"

namespace rhz::lint {
namespace {

constexpr int kFileLines = 600;     // more is two things: split by event
constexpr int kFunctionLines = 70;  // fits a screen

class Lengths {
 public:
  Lengths(const Exceptions& exceptions, Violations& found)
      : exceptions_(exceptions), found_(found), used_(exceptions.list.size(), false) {}

  void check(const File& file) {
    if (file.language == Language::kOther) return;
    const int lines = static_cast<int>(file.text.size());
    const int file_limit = limit(file.path, "", lines, kFileLines);
    if (lines > file_limit) {
      add(file.path, file_limit + 1, "file-length",
          std::to_string(lines) + " lines, at most " + std::to_string(file_limit) +
              ": split it by concept, or say why not in " + kExceptionsPath);
    }
    for (const Function& function : functions_of(file)) {
      const int most = limit(file.path, function.name, function.lines, kFunctionLines);
      if (function.lines <= most) continue;
      add(file.path, function.first_line, "function-length",
          function.name + " has " + std::to_string(function.lines) + " lines, at most " +
              std::to_string(most) + ": name its parts, or say why not in " + kExceptionsPath);
    }
  }

  void check_exceptions() {
    for (int line : exceptions_.malformed) {
      add(kExceptionsPath, line, "exception", "write PATH[:FUNCTION] LIMIT REASON");
    }
    for (std::size_t i = 0; i < used_.size(); i++) {
      if (used_[i]) continue;
      add(kExceptionsPath, exceptions_.list[i].line, "exception", "no longer needed: remove it");
    }
  }

 private:
  int limit(const std::string& path, const std::string& function, int lines, int usual) {
    if (lines <= usual) return usual;
    for (std::size_t i = 0; i < used_.size(); i++) {
      const Exception& exception = exceptions_.list[i];
      if (exception.path != path || exception.function != function) continue;
      used_[i] = true;
      return std::max(usual, exception.limit);
    }
    return usual;
  }

  void add(const std::string& path, int line, const char* rule, const std::string& advice) {
    found_.push_back({path, line, rule, advice});
  }

  const Exceptions& exceptions_;
  Violations& found_;
  std::vector<bool> used_;
};

}  // namespace

void check_lengths(const Tree& tree, const Exceptions& exceptions, Violations& found) {
  Lengths lengths(exceptions, found);
  for (const File& file : tree) lengths.check(file);
  lengths.check_exceptions();
}

}  // namespace rhz::lint
