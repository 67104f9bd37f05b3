#include "tests/lint/rules.h"

#include <algorithm>

namespace rhz::lint {

Violations check(const Tree& tree, const Exceptions& exceptions) {
  Violations found;
  check_layers(tree, found);
  check_cages(tree, found);
  check_lengths(tree, exceptions, found);
  check_calls(tree, found);
  check_documents(tree, found);
  std::stable_sort(found.begin(), found.end(), [](const Violation& a, const Violation& b) {
    return a.path != b.path ? a.path < b.path : a.line < b.line;
  });
  return found;
}

}  // namespace rhz::lint
