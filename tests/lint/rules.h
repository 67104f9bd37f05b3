// The rules of docs that a program can check.  Each appends what it finds.
#pragma once

#include <string>
#include <vector>

#include "tests/lint/exceptions.h"
#include "tests/lint/tree.h"

namespace rhz::lint {

struct Violation {
  std::string path;
  int line;
  std::string rule;
  std::string advice;  // what to do
};
using Violations = std::vector<Violation>;

// layers.cc: layer, include-path
void check_layers(const Tree& tree, Violations& found);
// cages.cc: cage
void check_cages(const Tree& tree, Violations& found);
// lengths.cc: file-length, function-length, exception
void check_lengths(const Tree& tree, const Exceptions& exceptions, Violations& found);
// calls.cc: environment, throw, catch, exit, sleep
void check_calls(const Tree& tree, Violations& found);
// documents.cc: unfinished, readme-length
void check_documents(const Tree& tree, Violations& found);

// All of them, sorted by place.
Violations check(const Tree& tree, const Exceptions& exceptions);

}  // namespace rhz::lint
