// The seven other collectives as commands to ranks, and what their ledger lines must say.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "tests/integration/expect.h"

namespace rhz::test {

constexpr uint64_t kPeerLost = 300;

struct CollectiveKind {
  const char* name;
  bool rooted, spans, reduces, in_place;  // spans: it has a block for, or from, every rank
};
constexpr CollectiveKind kCollectiveKinds[] = {
    {"broadcast", true, false, false, true}, {"reduce", true, false, true, true},
    {"allgather", false, true, false, true}, {"reduce_scatter", false, true, true, true},
    {"gather", true, true, false, false},    {"scatter", true, true, false, false},
    {"alltoall", false, true, false, false},
};
inline std::ostream& operator<<(std::ostream& out, const CollectiveKind& kind) {
  return out << kind.name;
}

struct Buffers {
  std::string dtype = "f32";
  uint64_t count = 0;  // of a block
  uint32_t root = 0, world = 4;
  bool in_place = false;
  bool vary = false;  // blocks of different sizes
};

// Behind "collective " or "submit ".
std::string command_of(const CollectiveKind& kind, const Buffers& buffers, uint64_t id,
                       const std::string& rebuild = "");

// Nobody died: everything is right, and of everybody.
void expect_steady(const std::vector<Line>& lines, const CollectiveKind& kind, uint32_t world);

struct Death {
  std::string rebuild;  // strict, keep
  uint32_t victim = 0, root = 0;
  std::set<uint32_t> survivors;
  bool vary = false;  // blocks without elements have contributors too, which nobody sees
};
// One end everywhere, and one that the decision table allows after this death.
void expect_after(const Death& death, const CollectiveKind& kind, const std::vector<Line>& lines);

}  // namespace rhz::test
