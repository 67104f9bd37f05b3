// Checks what docs/style.md and docs/architecture.md say and a program can see.
//
//   lint SOURCE_DIR     one line per violation, `path:line: rule: what to do`; exit status 1 if any
//   lint --self-test    plants violations and looks for them
#include <cstdio>
#include <filesystem>
#include <string>

#include "tests/lint/rules.h"
#include "tests/lint/self_test.h"

int main(int argc, char** argv) {
  using namespace rhz::lint;
  const std::string argument = argc == 2 ? argv[1] : "";
  if (argument == "--self-test") return self_test() ? 0 : 1;
  if (!std::filesystem::is_directory(argument)) {
    std::fprintf(stderr, "usage: lint SOURCE_DIR | --self-test\n");
    return 2;
  }
  const Tree tree = load_tree(argument);
  Exceptions exceptions;
  for (const File& file : tree) {
    if (file.path == kExceptionsPath) exceptions = parse_exceptions(file.text);
  }
  const Violations violations = check(tree, exceptions);
  for (const Violation& violation : violations) {
    std::printf("%s:%d: %s: %s\n", violation.path.c_str(), violation.line, violation.rule.c_str(),
                violation.advice.c_str());
  }
  std::printf("%zu files, %zu violations\n", tree.size(), violations.size());
  return violations.empty() && !tree.empty() ? 0 : 1;
}
