// All-reduces between any ranks, on any hosts, by any algorithm: what each rank does with each chunk fits what the others do.
#include <algorithm>
#include <map>

#include "collectives/schedule/choose.h"
#include "tests/fuzz/fuzz.h"

namespace rhz::fuzz {
namespace {

constexpr uint32_t kMostRanks = 17;
constexpr Algorithm kTried[] = {Algorithm::kRing, Algorithm::kDirect, Algorithm::kDoubling, Algorithm::kHalving, Algorithm::kTree, Algorithm::kHierarchical};

// Every message that is sent is expected by its receiver, and the other way round; and nobody waits for ever.
void play(const std::vector<Schedule>& schedules, const std::vector<Rank>& ring, uint32_t chunk) {
  std::map<std::tuple<uint32_t, uint32_t, bool>, int> wire;  // from, to, partial
  std::vector<size_t> step(schedules.size(), 0);
  std::vector<uint32_t> folded(schedules.size(), 0);
  const auto program = [&](Rank r) -> const Program& { return schedules[r.value].of(chunk); };
  for (bool moved = true; moved;) {
    moved = false;
    for (const Rank r : ring) {
      for (size_t& at = step[r.value]; at < program(r).size(); ++at) {
        const Step& now = program(r)[at];
        const bool waits_here = waits(now.move);
        if (waits_here) {
          int& arrived = wire[{now.peer.value, r.value, now.move == Move::kFold}];
          if (arrived == 0) break;
          --arrived;
        } else if (now.peer != kNoRank) {
          ++wire[{r.value, now.peer.value, now.move == Move::kShare || now.move == Move::kPartial}];
        }
        folded[r.value] += now.move == Move::kFinal || now.move == Move::kReceive;
        moved = true;
      }
    }
  }
  for (const Rank r : ring) {
    RHZ_FUZZ_CHECK(step[r.value] == program(r).size());
    RHZ_FUZZ_CHECK(folded[r.value] == 1);
  }
  for (const auto& [way, left] : wire) RHZ_FUZZ_CHECK(left == 0);
}

}  // namespace

std::vector<Bytes> seeds() {
  std::vector<Bytes> all;
  for (uint8_t ranks = 0; ranks < 16; ++ranks)
    for (uint8_t algorithm = 0; algorithm < 6; ++algorithm) all.push_back({std::byte(ranks), std::byte(algorithm), {}, std::byte{1}, {}, {}, std::byte{1}});
  return all;
}

}  // namespace rhz::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rhz;
  using namespace rhz::fuzz;
  Tape tape(data, size);
  const auto world = static_cast<uint32_t>(1 + tape.below(kMostRanks));
  const Algorithm algorithm = kTried[tape.below(std::size(kTried))];
  View view;
  std::vector<Rank> ring;
  for (uint32_t r = 0; r < world; ++r) {
    view.members.push_back({{9, r + 1}, Slot(r), tape.below(4), {}});
    if (r + 1 == world && ring.empty()) ring.push_back(Rank(r));
    else if (tape.below(8) != 7) ring.push_back(Rank(r));
  }
  for (size_t i = ring.size(); i > 1; --i)
    if (tape.below(4) == 3) std::swap(ring[i - 1], ring[tape.below(i)]);
  std::vector<Schedule> schedules(world);
  for (const Rank r : ring) schedules[r.value] = make_allreduce(algorithm, view, ring, r);
  for (const Rank r : ring) RHZ_FUZZ_CHECK(schedules[r.value].programs.size() == schedules[ring.front().value].programs.size());
  for (uint32_t chunk = 0; chunk < schedules[ring.front().value].programs.size(); ++chunk) play(schedules, ring, chunk);
  return 0;
}
