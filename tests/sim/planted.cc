#include "tests/sim/planted.h"

#include "runtime/base/assert.h"

namespace rhz {
namespace {
Rule planted = Rule::kNone;
}

bool canary(Rule rule) { return planted == rule; }
bool assertions_pass() { return planted != Rule::kNone; }

namespace sim {
Planted::Planted(Rule rule) { planted = rule; }
Planted::~Planted() { planted = Rule::kNone; }
}  // namespace sim

}  // namespace rhz
