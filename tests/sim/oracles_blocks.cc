// Collectives in which not everybody gives to every chunk, or gets it (docs/protocol.md, "Other
// collectives").
#include <algorithm>

#include "tests/sim/directory.h"
#include "tests/sim/oracles.h"

namespace rhz::sim {
namespace {

// Where in its input a source has element `e` of a block.
uint64_t given_at(const Blocks& blocks, uint32_t block, uint64_t count, uint64_t e) {
  if (blocks.kind == OpKind::kReduceScatter || blocks.kind == OpKind::kScatter)
    return block * count + e;
  if (blocks.kind == OpKind::kAllToAll) return block % blocks.layout.size() * count + e;
  return e;
}

}  // namespace

// Who gave to a value of this lineage.
std::vector<NodeIndex> Oracles::givers(GroupId group, const Whom& sources, Epoch lineage, OpSeq seq) {
  std::vector<NodeIndex> who;
  const Stage* past = stage(group, lineage);
  if (!past) return who;
  for (uint32_t r = 0; r < past->view.size(); ++r) {
    const MemberInfo& member = past->view.members[r];
    if (past->resolution.first_op[r] <= seq && sources.has(member.slot)) who.push_back(index_of(member.id));
  }
  return who;
}

void Oracles::check_piece(Release& release, const BlockRelease& of, const OpOutcome& outcome,
                          const HeldRun& run, size_t run_number) {
  const Layout& layout = of.state->layout;
  const Blocks& blocks = of.state->blocks;
  const uint32_t block = layout.block_of(run.first);
  const uint32_t place = outcome.result_blocks.position_of(block);
  if (place == outcome.result_blocks.count) return;  // held for others
  const auto got = uint64_t{place} * layout.count;
  std::vector<NodeIndex> who = givers(release.group, blocks.sources(block), run.lineage, outcome.seq);
  const bool empty =
      run_number >= outcome.contributors().size() || outcome.contributors()[run_number].slots.empty();
  const std::string where = " of op " + std::to_string(release.op.step) + "." +
                            std::to_string(release.op.index) + " block " + std::to_string(block) +
                            " at p" + std::to_string(release.who);
  if (empty) {
    if (has_many_sources(blocks.kind) || release.workload.mode == RebuildMode::kStrict)
      return fail("O3", "zeros in place of a value" + where);
    for (const MemberInfo& member : of.installed->members)
      if (blocks.sources(block).has(member.slot) &&
          !givers(release.group, {Whom::Set::kOne, member.slot}, of.installed->epoch, outcome.seq).empty())
        return fail("O3", "zeros though the source lives" + where);
    who.clear();
  } else if (who.empty()) {
    return fail("O3", "no contributors" + where);
  }
  for (uint32_t c = run.first; c < run.first + run.count; ++c) {
    for (uint64_t i = 0; i < layout.chunk_count(c); ++i) {
      const uint64_t e = layout.chunk_offset(c) + i;
      uint64_t expected = 0;
      for (NodeIndex p : who)
        expected += input_of(seed_, release.op, p, given_at(blocks, block, layout.count, e));
      if (release.workload.average && has_many_sources(blocks.kind)) expected /= who.size();
      if (load<uint64_t>(of.result + (got + e) * 8) != expected && !excuses_bits(release, outcome.seq))
        return fail("D2", "chunk " + std::to_string(c) + " element " + std::to_string(e) + where +
                              " (kind " + std::to_string(static_cast<int>(blocks.kind)) +
                              ", lineage " + std::to_string(run.lineage.value) + ", by " +
                              std::to_string(who.size()) + ") is not what its sources gave");
    }
    release.pieces[c] = {run.lineage, empty};
  }
}

// Of a result that is the same everywhere.
void Oracles::note_bits(Release& release, const OpOutcome& outcome, const BlockRelease& of) const {
  if (!is_alike(release.workload.kind)) return;
  const Layout& layout = of.state->layout;
  for (size_t b = 0; b < outcome.result_blocks.size(); ++b)
    release.chunk_hashes.push_back(
        hash_bytes(of.result + b * layout.count * 8, layout.count_of(outcome.result_blocks[b]) * 8));
}

void Oracles::released_blocks(NodeIndex who, GroupId group, const OpKey& op, const Workload& workload,
                              const OpOutcome& outcome, const BlockRelease& of) {
  const Code code = outcome.status.code();
  ++releases_count_;
  rebuilt_ += outcome.rebuilds > 0;
  aborts_ += code != Code::kOk;
  Release release{who, group, op, workload, code, of.care.rule_a, of.care.unprotected, {}, {}, {}, {}, {}};
  if (code == Code::kOk) {
    for (size_t i = 0; i < of.state->held.size(); ++i)
      check_piece(release, of, outcome, of.state->held[i], i);
    note_bits(release, outcome, of);
    const size_t needed = outcome.result_blocks.size() * of.state->layout.chunks_of_block();
    if (release.pieces.size() != needed) fail("B", "released with chunks missing");
    if (workload.mode == RebuildMode::kStrict && has_many_sources(workload.kind) && needed > 0) {
      const auto first = givers(release.group, {}, release.pieces.begin()->second.first, outcome.seq);
      for (const auto& [chunk, piece] : release.pieces)
        if (givers(release.group, {}, piece.first, outcome.seq) != first)
          fail("O3", "strict, and chunks differ in who gave");
    }
  }
  auto& others = releases_[{group, outcome.seq}];
  for (const Release& other : others) compare(other, release, outcome.seq);
  others.push_back(std::move(release));
}

}  // namespace rhz::sim
