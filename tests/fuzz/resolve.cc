// Reports made of a tape, through resolve(): docs/protocol.md, "A peer dies, or is suspected", step 3, and "Errors are uniform too".
#include "runtime/agreement/resolve.h"

#include <algorithm>
#include <map>
#include <set>

#include "tests/fuzz/messages.h"

namespace rhz::fuzz {
namespace {

using Outcome = OpDecision::Outcome;
using Fate = ChunkRun::Fate;

constexpr Code kFails[] = {Code::kCancelled, Code::kMismatch, Code::kTimeout, Code::kPeerLost, Code::kDiverged};
bool must_reach_all(Code code) { return code == Code::kCancelled || code == Code::kMismatch; }

// A seal round of the root group, as a coordinator may meet it.
struct Round {
  explicit Round(Tape& tape) {
    view.epoch = Epoch(3);
    const auto world = static_cast<uint32_t>(1 + tape.below(kPeers));
    for (uint32_t r = 0; r < world; ++r) {
      view.members.push_back({peer_id(r), Slot(r), 0, {}});
      first_op.push_back(OpSeq(tape.below(4) == 0 ? tape.below(4) : 0));
    }
    relayed = tape.below(4) == 3;
    alike = tape.flip();
    honest = tape.below(8) != 0;
    for (uint32_t r = 0; r < world; ++r) {
      reports.push_back(report_of(tape, view.epoch));
      if (honest) agree(reports.back());
      for (OpReport& op : reports.back().groups.front().open)
        if (!op.fail.is_ok()) op.fail = Status(kFails[tape.below(std::size(kFails))], "fuzz");
    }
    for (uint64_t i = tape.below(3); i > 0; --i)
      aborts.push_back({OpSeq(tape.below(6)), Outcome::kAbort, Status(Code::kTimeout, "before"), {}});
    std::sort(aborts.begin(), aborts.end(), [](const auto& a, const auto& b) { return a.seq < b.seq; });
  }
  // All ranks submitted one and the same op under a number: what the first one says of it counts.
  void agree(SealReport& report) {
    for (OpReport& op : report.groups.front().open) {
      if (!op.begun) continue;
      const auto [at, first] = specs.try_emplace(op.seq, op);
      const OpReport& spec = at->second;
      op.admit = spec.admit, op.mode = spec.mode, op.blocks = spec.blocks, op.chunks = spec.chunks, op.signature = spec.signature;
      std::erase_if(op.held, [&](const HeldRun& run) { return run.first + run.count > op.chunks; });
      if (op.mode != RebuildMode::kInclude) op.partials.clear();
    }
  }
  ResolveOutput run() const {
    ResolveInput input;
    input.view = &view;
    for (const SealReport& report : reports) input.reports.push_back(&report);
    input.first_op = first_op;
    input.ring = make_ring(view.size(), {});
    input.relayed = relayed;
    input.aborts = aborts;
    input.contributors = [this](Epoch lineage, OpSeq) { return contributors(lineage); };
    return resolve(input);
  }
  std::vector<PeerId> contributors(Epoch lineage) const {
    std::vector<PeerId> who{peer_id(0), peer_id(1)};
    if (!alike && lineage.value % 2) who.push_back(peer_id(2));
    return who;
  }
  const GroupReport& group(uint32_t rank) const { return reports[rank].groups.front(); }
  bool takes_part(uint32_t rank, OpSeq seq) const { return first_op[rank] <= seq; }
  // The reports of an op, by rank, of those who take part in it.
  std::map<uint32_t, const OpReport*> of(OpSeq seq) const {
    std::map<uint32_t, const OpReport*> found;
    for (uint32_t r = 0; r < view.size(); ++r)
      for (const OpReport& op : group(r).open)
        if (op.seq == seq && takes_part(r, seq)) found[r] = &op;
    return found;
  }
  bool is_over(uint32_t rank, OpSeq seq) const { return takes_part(rank, seq) && seq < group(rank).ended_upto; }

  View view;
  bool relayed = false, alike = false, honest = true;
  std::vector<SealReport> reports;
  std::vector<OpSeq> first_op;
  std::vector<OpDecision> aborts;
  std::map<OpSeq, OpReport> specs;
};

const HeldRun* held_at(const OpReport& op, uint32_t chunk) {
  for (const HeldRun& run : op.held)
    if (chunk >= run.first && chunk < run.first + run.count) return &run;
  return nullptr;
}

// What is known of one chunk: its newest lineage, and who holds that.
struct Chunk {
  Epoch lineage;
  std::vector<Rank> holders;
};
Chunk newest(const std::map<uint32_t, const OpReport*>& reports, uint32_t chunk) {
  Chunk known;
  for (const auto& [rank, op] : reports) {
    const HeldRun* run = op->begun ? held_at(*op, chunk) : nullptr;
    if (!run || run->lineage < known.lineage) continue;
    if (run->lineage > known.lineage) known = {run->lineage, {}};
    if (run->lineage != Epoch(0)) known.holders.push_back(Rank(rank));
  }
  return known;
}

// Every chunk is named once, and kept only where it is held, by all who have its newest lineage.
void check_runs(const Round& round, const OpDecision& decision) {
  const auto reports = round.of(decision.seq);
  uint32_t at = 0;
  for (const ChunkRun& run : decision.runs) {
    RHZ_FUZZ_CHECK(run.first == at && run.count > 0);
    at += run.count;
    for (uint32_t c = run.first; c < at; ++c) {
      const Chunk chunk = newest(reports, c);
      if (run.fate == Fate::kKeep) RHZ_FUZZ_CHECK(!run.holders.empty() && run.lineage == chunk.lineage && run.holders == chunk.holders);
      if (run.fate == Fate::kEmpty) RHZ_FUZZ_CHECK(chunk.holders.empty());
      if (run.fate != Fate::kResume) continue;
      RHZ_FUZZ_CHECK(!round.relayed && run.holders.size() == 1 && chunk.holders.empty());
      const auto& partials = reports.at(run.holders.front().value)->partials;
      RHZ_FUZZ_CHECK(std::any_of(partials.begin(), partials.end(), [&](const PartialRun& partial) {
        return c >= partial.first && c < partial.first + partial.count && partial.inputs == run.inputs;
      }));
    }
  }
}

// Rule 3: all of it is there, with one set of contributors where that is asked for.
bool is_complete(const Round& round, OpSeq seq, const OpReport& spec) {
  std::set<std::vector<PeerId>> sets;
  for (uint32_t c = 0; c < spec.chunks; ++c) {
    const Chunk chunk = newest(round.of(seq), c);
    if (chunk.holders.empty()) return false;
    sets.insert(round.contributors(chunk.lineage));
  }
  return spec.chunks > 0 && (spec.mode != RebuildMode::kStrict || sets.size() == 1);
}

void check_decision(const Round& round, const OpDecision& decision) {
  const auto reports = round.of(decision.seq);
  const bool before = std::any_of(round.aborts.begin(), round.aborts.end(), [&](const auto& abort) { return abort.seq == decision.seq; });
  const auto any = [&](const auto& holds) {
    return std::any_of(reports.begin(), reports.end(), [&](const auto& entry) { return holds(*entry.second); });
  };
  bool over = false;
  for (uint32_t r = 0; r < round.view.size(); ++r) over |= round.is_over(r, decision.seq);
  const bool freed = over || any([](const OpReport& op) { return op.freed; });
  const bool full = any([](const OpReport& op) { return op.full; });
  RHZ_FUZZ_CHECK(before || !any([](const OpReport& op) { return op.admit; }));
  RHZ_FUZZ_CHECK((decision.outcome == Outcome::kAbort) == !decision.reason.is_ok());
  RHZ_FUZZ_CHECK(decision.outcome == Outcome::kChunks || decision.runs.empty());
  RHZ_FUZZ_CHECK(decision.outcome != Outcome::kFinal || freed || full);
  RHZ_FUZZ_CHECK(before || !freed || reports.empty() || decision.outcome == Outcome::kFinal);
  check_runs(round, decision);
  const auto spec = round.specs.find(decision.seq);
  const bool begun = any([](const OpReport& op) { return op.begun; });
  if (!round.honest || before || freed || !begun || !is_uniform(spec->second.blocks.kind)) return;
  const bool complete = is_complete(round, decision.seq, spec->second);
  // Strict: all or nothing.
  RHZ_FUZZ_CHECK(spec->second.mode != RebuildMode::kStrict || decision.runs.empty() || complete);
  if (!complete || any([](const OpReport& op) { return op.fail.code() == Code::kDiverged; })) return;
  RHZ_FUZZ_CHECK(decision.outcome == Outcome::kChunks && !decision.runs.empty());
  for (const ChunkRun& run : decision.runs) RHZ_FUZZ_CHECK(run.fate == Fate::kKeep);
}

// Rules 4 and 5: whoever failed an op is answered, a cancel ends this op or a later one, and an ABORT stands until it has reached everybody.
void check_errors(const Round& round, const GroupResolution& group) {
  const auto decided = [&](OpSeq seq) {
    return std::find_if(group.ops.begin(), group.ops.end(), [&](const OpDecision& op) { return op.seq == seq; });
  };
  std::vector<AnsweredFail> asked;
  for (uint32_t r = 0; r < round.view.size(); ++r) {
    for (const OpReport& op : round.group(r).open) {
      if (op.fail.is_ok() || !round.takes_part(r, op.seq)) continue;
      asked.push_back({round.view.members[r].id, op.seq});
      RHZ_FUZZ_CHECK(!must_reach_all(op.fail.code()) ||
                     std::any_of(group.ops.begin(), group.ops.end(), [&](const OpDecision& d) { return d.seq >= op.seq && d.outcome == Outcome::kAbort; }));
    }
  }
  RHZ_FUZZ_CHECK(group.answered == asked);
  for (const OpDecision& abort : round.aborts) {
    bool over = true;
    for (uint32_t r = 0; r < round.view.size(); ++r) over &= !round.takes_part(r, abort.seq) || round.is_over(r, abort.seq);
    const auto at = decided(abort.seq);
    RHZ_FUZZ_CHECK(over || (at != group.ops.end() && at->outcome == Outcome::kAbort));
  }
}

// Who has which rank means nothing: the same round with its ranks turned by one is decided alike.
void check_turned(const Round& round, const GroupResolution& group) {
  Round turned = round;
  const auto turn = [](auto& list) { std::rotate(list.begin(), list.begin() + 1, list.end()); };
  turn(turned.view.members), turn(turned.reports), turn(turned.first_op);
  const GroupResolution other = turned.run().group;
  RHZ_FUZZ_CHECK(other.ops.size() == group.ops.size());
  for (size_t i = 0; i < group.ops.size(); ++i) {
    const OpDecision &a = group.ops[i], &b = other.ops[i];
    RHZ_FUZZ_CHECK(a.seq == b.seq && a.outcome == b.outcome);
    std::vector<std::pair<Fate, Epoch>> fates[2];
    for (const OpDecision* op : {&a, &b})
      for (const ChunkRun& run : op->runs) fates[op == &b].insert(fates[op == &b].end(), run.count, {run.fate, run.lineage});
    RHZ_FUZZ_CHECK(fates[0] == fates[1]);
  }
}

void check(const Round& round) {
  const ResolveOutput out = round.run();
  const GroupResolution& group = out.group;
  RHZ_FUZZ_CHECK(round.run().group == group);
  for (size_t i = 0; i < group.ops.size(); ++i) {
    RHZ_FUZZ_CHECK(i == 0 || group.ops[i - 1].seq < group.ops[i].seq);
    check_decision(round, group.ops[i]);
  }
  check_errors(round, group);
  if (round.honest) check_turned(round, group);
}

}  // namespace

std::vector<Bytes> seeds() {
  // Two and three members with an op that nobody, one, and all have held chunks of.
  return {bytes_from(std::string_view("\1\1\1\0\1\1\0\0\0\0\1\1\1\1\0\0\7\1", 18)), bytes_from(std::string_view("\2\1\1\1\0\1\1\0\0\0\0\1\1\1\1\1\0\3\3\1\1", 21)),
          bytes_from(std::string_view("\1\1\1\0\1\1\0\0\0\1\1\1\0\1\4\0\1\1\0\4\3\0\0\0\0\0\1\1\1\0\1\4\0\1\1\0\4\3\0\0\0\0", 42))};
}

}  // namespace rhz::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rhz::fuzz::Tape tape(data, size);
  const rhz::fuzz::Round round(tape);
  rhz::fuzz::check(round);
  return 0;
}
