// Who may include whom: docs/architecture.md, "Layers".
#include <algorithm>
#include <array>
#include <optional>

#include "tests/lint/rules.h"

namespace rhz::lint {
namespace {

// From the bottom to the top.  A folder may include itself and those before it.
constexpr std::array<std::string_view, 31> kFolders = {
    "runtime/base",
    "runtime/digest",
    "runtime/observe",
    "runtime/memory",
    "runtime/device",
    "runtime/wire",
    "runtime/security",
    "runtime/loop",
    "runtime/transport",
    "runtime/agreement",
    "runtime/membership",
    "collectives/schedule",
    "collectives/reduce",
    "collectives/rebuild",
    "collectives",
    "collectives/p2p",
    "recovery/state",
    "recovery/sync",
    "recovery/snapshot",
    "recovery/parity",
    "recovery/shards",
    "recovery/disk",
    "recovery/vault",
    "recovery/average",
    "recovery/optimizer",
    "recovery/planner",
    "recovery",
    "api",
    "bench",
    "tests",
    "",  // the root of the repository
};
// From here on a folder sees everything; those below do not see it.
constexpr std::string_view kFirstAboveAll = "bench";
constexpr std::string_view kRoots[] = {"runtime/", "collectives/", "recovery/",
                                       "api/",     "bench/",       "tests/"};

// `from` may include the headers of `to` although `to` is above it.  The opposite direction is then
// closed, so that the folders stay free of cycles.
struct Upward {
  std::string_view from;
  std::string_view to;
  std::string_view reason;
};
constexpr Upward kUpward[] = {
    {"runtime/wire", "runtime/agreement",
     "control messages carry reports and decisions, which agreement defines as plain data"},
    {"runtime/transport", "runtime/agreement",
     "the control connection carries those messages; it looks into none of them"},
};

int row_of(std::string_view folder) {
  return static_cast<int>(std::find(kFolders.begin(), kFolders.end(), folder) - kFolders.begin());
}

// The row of kFolders that a path belongs to: by its first component, or two where a table lists
// the second.  Files directly in collectives/ and recovery/ have a row of their own.
std::optional<int> folder_of(std::string_view path) {
  const std::size_t first = path.find('/');
  std::string_view folder = path.substr(0, first == std::string_view::npos ? 0 : first);
  const bool split = folder == "runtime" || folder == "collectives" || folder == "recovery";
  const std::size_t second = split ? path.find('/', first + 1) : std::string_view::npos;
  if (second != std::string_view::npos) folder = path.substr(0, second);
  const int row = row_of(folder);
  if (row == static_cast<int>(kFolders.size())) return std::nullopt;
  return row;
}

bool is_upward(std::string_view from, std::string_view to) {
  return std::any_of(std::begin(kUpward), std::end(kUpward),
                     [&](const Upward& row) { return row.from == from && row.to == to; });
}

bool is_allowed(int from, int to) {
  const std::string_view lower = kFolders[static_cast<std::size_t>(from)];
  const std::string_view upper = kFolders[static_cast<std::size_t>(to)];
  if (is_upward(lower, upper)) return true;
  if (is_upward(upper, lower)) return false;
  return to <= from || from >= row_of(kFirstAboveAll);
}

// The public header is spelled as its users spell it; a generated header lies in the build tree.
bool is_rooted(std::string_view path) {
  return std::any_of(std::begin(kRoots), std::end(kRoots),
                     [&](std::string_view root) { return starts_with(path, root); });
}

void check_include(const File& file, int from, const Include& include, Violations& found) {
  const bool is_public = starts_with(include.path, "rhizome/");
  if (starts_with(file.path, "api/examples/") || starts_with(file.path, "tests/c99/")) {
    if (is_rooted(include.path)) {
      found.push_back({file.path, include.line, "layer",
                       "use installed headers only: <rhizome/...> and the system's"});
    }
    return;
  }
  if (include.quoted && !is_public && !is_rooted(include.path)) {
    if (!ends_with(include.path, ".capnp.h")) {
      found.push_back({file.path, include.line, "include-path",
                       "write \"" + include.path + "\" relative to the root of the repository"});
    }
    return;
  }
  if (!is_public && !is_rooted(include.path)) return;  // the system's, or a third party's
  const std::string target = is_public ? "api/include/" + include.path : include.path;
  const std::optional<int> to = folder_of(target);
  if (!to) {
    found.push_back({file.path, include.line, "layer",
                     target + " is in no folder that kFolders in tests/lint/layers.cc lists"});
  } else if (!is_allowed(from, *to)) {
    found.push_back({file.path, include.line, "layer",
                     target + " is above this folder: move what both need below, or pass it in"});
  }
}

}  // namespace

void check_layers(const Tree& tree, Violations& found) {
  for (const File& file : tree) {
    if (file.language != Language::kCpp) continue;
    const std::optional<int> from = folder_of(file.path);
    if (!from) {
      found.push_back({file.path, 1, "layer",
                       "list this folder in kFolders of tests/lint/layers.cc and in "
                       "docs/architecture.md, or move the file"});
      continue;
    }
    for (const Include& include : includes_of(file)) check_include(file, *from, include, found);
  }
}

}  // namespace rhz::lint
