// The files that are checked, as lines; for C, C++ and shell also with comments and literals
// blanked, so that a rule about code sees code only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rhz::lint {

enum class Language { kCpp, kShell, kOther };

struct File {
  std::string path;  // relative to the root, with '/'
  Language language = Language::kOther;
  std::vector<std::string> text;  // as it is
  std::vector<std::string> code;  // same lines and columns; comments and literals are blanks
};

struct Include {
  std::string path;
  int line;
  bool quoted;
};

using Tree = std::vector<File>;

File make_file(std::string path, std::string_view content);
// Every source and document below `root`, sorted by path.  Leaves out hidden folders and build
// trees.
Tree load_tree(const std::string& root);

std::vector<Include> includes_of(const File& file);

bool starts_with(std::string_view text, std::string_view prefix);
bool ends_with(std::string_view text, std::string_view suffix);
// Position of `word` in `line` at or after `from`, not as a part of a longer identifier; npos:
// none.
std::size_t find_word(std::string_view line, std::string_view word, std::size_t from = 0);

}  // namespace rhz::lint
