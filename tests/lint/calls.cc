// Calls and keywords that only a few places may use: docs/style.md.
#include <algorithm>
#include <cctype>
#include <initializer_list>

#include "tests/lint/rules.h"

namespace rhz::lint {
namespace {

using Places = std::initializer_list<std::string_view>;

bool lies_in(const File& file, Places places) {
  return std::any_of(places.begin(), places.end(),
                     [&](std::string_view place) { return starts_with(file.path, place); });
}

// The one place that throws, where the standard library says that there is no memory.
constexpr std::string_view kOutOfMemory = "runtime/base/out_of_memory.h";
const Places kLibrary = {"runtime/", "collectives/", "recovery/", "api/src/", "api/include/"};

char next_character(std::string_view line, std::size_t at) {
  const std::size_t next = line.find_first_not_of(' ', at);
  return next == std::string_view::npos ? '\0' : line[next];
}

// Words that are called: `word(`.
void check_word(const File& file, std::string_view word, bool called, const char* rule,
                const std::string& advice, Violations& found) {
  for (std::size_t i = 0; i < file.code.size(); i++) {
    const std::size_t at = find_word(file.code[i], word);
    if (at == std::string::npos) continue;
    if (called && next_character(file.code[i], at + word.size()) != '(') continue;
    found.push_back({file.path, static_cast<int>(i) + 1, rule, advice});
  }
}

// A call of the C library's function, and neither a declaration nor a call of a method of that
// name.
bool is_library_call(std::string_view line, std::size_t at, std::string_view word) {
  if (next_character(line, at + word.size()) != '(') return false;
  std::string_view before = line.substr(0, at);
  while (!before.empty() && before.back() == ' ') before.remove_suffix(1);
  if (before.empty()) return true;
  if (ends_with(before, "std::")) return true;
  if (ends_with(before, ".") || ends_with(before, "->")) return false;
  const bool qualified = ends_with(before, "::");
  if (qualified) before.remove_suffix(2);
  if (before.empty()) return true;
  const char last = before.back();
  const bool after_name = std::isalnum(static_cast<unsigned char>(last)) != 0 || last == '_' ||
                          last == '>' || last == '&' || last == '*';
  if (qualified) return !after_name;
  return !after_name || ends_with(before, "return") || ends_with(before, "else");
}

void check_exits(const File& file, Violations& found) {
  for (std::size_t i = 0; i < file.code.size(); i++) {
    const std::string& line = file.code[i];
    for (std::string_view word : {"exit", "_exit", "_Exit", "quick_exit", "abort"}) {
      for (std::size_t at = find_word(line, word); at != std::string::npos;
           at = find_word(line, word, at + 1)) {
        // An own function `abort(op)` takes an argument; the C library's does not.
        const bool own = word == "abort" && line.find("()", at) != at + word.size();
        if (own || !is_library_call(line, at, word)) continue;
        found.push_back({file.path, static_cast<int>(i) + 1, "exit",
                         "a library does not end its process: return a Status, or RHZ_ASSERT"});
      }
    }
  }
}

void check_sleep(const File& file, Violations& found) {
  const std::string advice = "wait for the event itself, with a deadline: a sleep is a guess";
  if (file.language == Language::kShell) {
    check_word(file, "sleep", false, "sleep", advice, found);
    return;
  }
  for (std::string_view word : {"sleep_for", "sleep_until", "usleep", "nanosleep", "sleep"}) {
    check_word(file, word, true, "sleep", advice, found);
  }
}

}  // namespace

void check_calls(const Tree& tree, Violations& found) {
  for (const File& file : tree) {
    if (file.language == Language::kCpp) {
      // UCX and libfabric have variables of their own, which a user may have set.  Programs are users.
      if (!lies_in(file, {"runtime/base/options.cc", "api/tools/", "api/examples/",
                          "runtime/transport/fabric/module",
                          "runtime/transport/ucx/", "runtime/transport/libfabric/"})) {
        for (std::string_view word : {"getenv", "secure_getenv"}) {
          check_word(file, word, true, "environment",
                     "add the variable to the table in runtime/base/options.cc and read it there",
                     found);
        }
      }
      // A test of the C API's guard() has to throw.
      if (!lies_in(file, {"tests/"})) {
        if (file.path != kOutOfMemory)
          check_word(file, "throw", false, "throw", "return a Status or a Result", found);
        // Gloo, a peer of bench/, reports by exception.
        if (!lies_in(file, {"runtime/wire/codec", "api/src/guard", "bench/perf/peer_gloo", kOutOfMemory})) {
          check_word(file, "catch", true, "catch",
                     "exceptions end in the codec, in the C API's guard() and in had_memory(): use those", found);
        }
      }
      if (lies_in(file, kLibrary) && file.path != "runtime/base/assert.cc") {
        check_exits(file, found);
      }
    }
    if (lies_in(file, {"tests/"})) check_sleep(file, found);
  }
}

}  // namespace rhz::lint
