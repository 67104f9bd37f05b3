// Finds function bodies in C and C++ that clang-format has laid out.  A heuristic over braces, not
// a parser: it knows namespaces, types, initialisers and bodies by the text before their opening
// brace.
#pragma once

#include <string>
#include <vector>

#include "tests/lint/tree.h"

namespace rhz::lint {

struct Function {
  std::string name;  // with its class where it is defined outside; TEST(A, B) is A.B
  int first_line;    // of the signature
  int lines;         // up to the closing brace
};

std::vector<Function> functions_of(const File& file);

}  // namespace rhz::lint
