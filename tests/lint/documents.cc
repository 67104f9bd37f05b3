// What readers see first: no unfinished work in sources, a README that is read to its end.
#include "tests/lint/rules.h"

namespace rhz::lint {
namespace {

constexpr std::size_t kReadmeLines = 150;
// Spelled in two parts, so that this file passes its own rule.
const std::string kUnfinished[] = {std::string("TO") + "DO", std::string("FIX") + "ME"};

}  // namespace

void check_documents(const Tree& tree, Violations& found) {
  for (const File& file : tree) {
    if (file.path == "README.md" && file.text.size() > kReadmeLines) {
      found.push_back({file.path, static_cast<int>(kReadmeLines) + 1, "readme-length",
                       "at most 150 lines: move the rest to docs/"});
    }
    if (ends_with(file.path, ".md")) continue;
    for (std::size_t i = 0; i < file.text.size(); i++) {
      for (const std::string& word : kUnfinished) {
        if (find_word(file.text[i], word) == std::string::npos) continue;
        found.push_back({file.path, static_cast<int>(i) + 1, "unfinished",
                         "finish it, or open an issue: sources hold no " + word});
      }
    }
  }
}

}  // namespace rhz::lint
