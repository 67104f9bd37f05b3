#include "runtime/agreement/resolve.h"

#include <algorithm>
#include <map>
#include <set>

#include "runtime/base/canary.h"

namespace rhz {
namespace {

using Outcome = OpDecision::Outcome;

// One op, seen from all reports.
struct OpView {
  bool admit = false, freed = false, asked = false;
  bool full = false;  // somewhere
  RebuildMode mode = RebuildMode::kStrict;
  Blocks blocks;
  uint32_t chunks = 0;
  bool signatures_differ = false;
  uint64_t signature = 0;
  Status reason;
  Status carried;  // the first FAIL that must reach every program
  std::vector<Rank> begun;
  std::vector<std::pair<Rank, const OpReport*>> holders;   // of final values
  std::vector<std::pair<Rank, const OpReport*>> resumable;  // of partials
};

using Fate = ChunkRun::Fate;

// A FAIL of these kinds must reach the program on every rank: refused here, it ends a later op
// (rule 4).  The others speak of one op only: that it completed after all is the best answer.
bool carried_on(Code code) { return !canary(Rule::kAbort4) && (code == Code::kCancelled || code == Code::kMismatch); }

// Of several FAILs of one op the one that does most counts: results that differ end it in any case, and what must reach every program
// is not lost behind what need not.
int weight(Code code) { return code == Code::kDiverged ? 2 : carried_on(code) ? 1 : 0; }

class GroupResolver {
 public:
  GroupResolver(const ResolveInput& in, ResolveOutput& out) : in_(in), out_(out) {
    result_.group = in.group;
    result_.ring = in.ring;
    result_.relayed = in.relayed;
    result_.first_op = in.first_op;
    result_.admit_ended = in.admit_ended;
  }

  void run() {
    collect();
    for (auto& [seq, op] : ops_) decide(seq, op);
    answer_fails();
    for (auto& [seq, decision] : decisions_) result_.ops.push_back(std::move(decision));
    out_.group = std::move(result_);
  }

 private:
  bool takes_part(Rank rank, OpSeq seq) const { return in_.first_op[rank.value] <= seq; }

  const GroupReport* report_of(Rank rank) const {
    for (const GroupReport& g : in_.reports[rank.value]->groups)
      if (g.group == in_.group) return &g;
    return nullptr;
  }

  // Ops below are over at this member (W5).  Of a group that it does not report: all of them where the group is closed, for
  // then it has forgotten it; otherwise it does not know of it yet (G6).
  OpSeq ended_upto(Rank rank) const {
    const GroupReport* group = report_of(rank);
    return group ? group->ended_upto : closed_ ? kNoOp : OpSeq(0);
  }

  // Rule 5: an ABORT is repeated until the op has ended at every participant.
  bool over_everywhere(OpSeq seq) const {
    for (uint32_t r = 0; r < in_.view->size(); ++r)
      if (takes_part(Rank(r), seq) && ended_upto(Rank(r)) <= seq) return false;
    return true;
  }

  void collect() {
    for (uint32_t r = 0; r < in_.view->size(); ++r)
      if (const GroupReport* group = report_of(Rank(r))) closed_ |= group->closed;
    for (const OpDecision& abort : in_.aborts)
      if (!over_everywhere(abort.seq)) decisions_[abort.seq] = abort;
    for (uint32_t r = 0; r < in_.view->size(); ++r) {
      const GroupReport* group = report_of(Rank(r));
      if (!group) continue;
      for (const OpReport& op : group->open)
        if (takes_part(Rank(r), op.seq)) add(Rank(r), op);
    }
    // A watermark says FREED of everything below it (W5).
    for (auto& [seq, op] : ops_) {
      for (uint32_t r = 0; r < in_.view->size(); ++r)
        if (takes_part(Rank(r), seq) && seq < ended_upto(Rank(r))) op.freed = true;
    }
  }

  void add(Rank rank, const OpReport& report) {
    OpView& op = ops_[report.seq];
    op.admit |= report.admit;
    op.freed |= report.freed;
    op.full |= report.full;
    if (report.begun) {
      op.begun.push_back(rank);
      if (op.chunks == 0) {
        op.blocks = report.blocks;
        op.chunks = report.chunks;
        op.mode = report.mode;
        op.signature = report.signature;
      }
      op.signatures_differ |= op.signature != report.signature;
      if (!report.held.empty()) op.holders.emplace_back(rank, &report);
      if (!report.partials.empty()) op.resumable.emplace_back(rank, &report);
    }
    if (!report.fail.is_ok()) {
      if (!op.asked || weight(report.fail.code()) > weight(op.reason.code())) op.reason = report.fail;
      if (carried_on(report.fail.code()) && op.carried.is_ok()) op.carried = report.fail;
      op.asked = true;
      result_.answered.push_back({in_.view->members[rank.value].id, report.seq});
    }
  }

  void decide(OpSeq seq, const OpView& op) {
    if (op.admit || decisions_.contains(seq)) return;
    OpDecision decision{seq, Outcome::kChunks, {}, {}};
    if (op.freed)
      decision.outcome = Outcome::kFinal;
    else if (!is_uniform(op.blocks.kind))
      end_for_the_dead(seq, op, decision);
    if (decision.outcome == Outcome::kChunks && !op.signatures_differ)
      decide_chunks(seq, op, decision);
    decisions_[seq] = std::move(decision);
  }

  // A member that takes part in this op.  A slot that was taken over by a joiner since is not it.
  bool alive(Slot slot, OpSeq seq) const {
    for (uint32_t r = 0; r < in_.view->size(); ++r)
      if (in_.view->members[r].slot == slot) return takes_part(Rank(r), seq);
    return false;
  }
  bool any_alive(const Whom& whom, OpSeq seq) const {
    for (uint32_t r = 0; r < in_.view->size(); ++r)
      if (takes_part(Rank(r), seq) && whom.has(in_.view->members[r].slot)) return true;
    return false;
  }
  // A FAIL that was raised for the same reason knows more: who submitted what, or that the root
  // never was a member.
  static void abort_for(const OpView& op, OpDecision& decision, Code code, const std::string& why) {
    decision.outcome = Outcome::kAbort;
    decision.reason = op.asked && op.reason.code() == code ? op.reason : Status(code, why);
    decision.runs.clear();
  }
  static std::string died(Slot slot) { return "slot " + std::to_string(slot.value) + " died, "; }

  // What ends an op with roots or blocks before a look at its chunks ("Other collectives",
  // decisions 3 and 4; Q5).
  void end_for_the_dead(OpSeq seq, const OpView& op, OpDecision& decision) const {
    const Blocks& blocks = op.blocks;
    if (op.signatures_differ)
      return abort_for(op, decision, Code::kMismatch,
                       "ranks submitted different ops under one number");
    const bool to_root = blocks.kind == OpKind::kReduce || blocks.kind == OpKind::kGather;
    if (to_root && !alive(blocks.root, seq)) {
      if (op.full)
        decision.outcome = Outcome::kFinal;  // who is full knows that the root had it all
      else
        abort_for(op, decision, Code::kPeerLost, died(blocks.root) + "which was to get the result");
      return;
    }
    uint32_t taking_part = 0;
    for (uint32_t r = 0; r < in_.view->size(); ++r) taking_part += takes_part(Rank(r), seq);
    if (op.begun.size() == taking_part) return;
    for (Slot slot : blocks.layout)
      if (!alive(slot, seq))
        return abort_for(op, decision, Code::kPeerLost,
                         died(slot) + "before every rank had begun the op with it");
  }

  // Splits the chunks where any report changes, so that each run has one set of holders, and where
  // blocks end.
  void decide_chunks(OpSeq seq, const OpView& op, OpDecision& decision) {
    std::set<uint32_t> cuts{0, op.chunks};
    for (const auto& [rank, report] : op.holders) {
      for (const HeldRun& run : report->held) {
        cuts.insert(std::min(run.first, op.chunks));
        cuts.insert(std::min(run.first + run.count, op.chunks));
      }
    }
    for (const auto& [rank, report] : op.resumable) {
      for (const PartialRun& run : report->partials) {
        cuts.insert(std::min(run.first, op.chunks));
        cuts.insert(std::min(run.first + run.count, op.chunks));
      }
    }
    const uint32_t blocks = op.blocks.count();
    for (uint32_t b = 1; b < blocks; ++b) cuts.insert(b * (op.chunks / blocks));
    std::vector<ChunkRun>& runs = decision.runs;
    for (auto at = cuts.begin(); std::next(at) != cuts.end(); ++at) {
      ChunkRun run{*at, *std::next(at) - *at, {}, {}};
      for (const auto& [rank, report] : op.holders) add_holder(run, rank, *report);
      if (!decide_run(seq, op, decision, run)) return;
      const bool same_block = !runs.empty() && op.blocks.block_of(runs.back().first, op.chunks) ==
                                                   op.blocks.block_of(run.first, op.chunks);
      if (same_block && runs.back().fate == run.fate && runs.back().lineage == run.lineage &&
          runs.back().holders == run.holders && runs.back().inputs == run.inputs)
        runs.back().count += run.count;
      else
        runs.push_back(std::move(run));
    }
    if (op.mode == RebuildMode::kStrict && has_many_sources(op.blocks.kind) &&
        !keeps_all(seq, runs))
      for (ChunkRun& run : runs)
        if (run.fate == Fate::kKeep) run = {run.first, run.count, {}, {}};
    if (std::all_of(runs.begin(), runs.end(),
                    [](const ChunkRun& r) { return r.fate == Fate::kRedo; }))
      runs.clear();
  }

  // Decision 6.  False: the op is aborted for it.
  bool decide_run(OpSeq seq, const OpView& op, OpDecision& decision, ChunkRun& run) const {
    const bool held = run.lineage != Epoch(0);
    if (is_uniform(op.blocks.kind)) {
      run.fate = held ? Fate::kKeep : Fate::kRedo;
      if (!held && op.mode == RebuildMode::kInclude && !in_.relayed) resume(op, run);
      return true;
    }
    const uint32_t block = op.blocks.block_of(run.first, op.chunks);
    const Whom source = op.blocks.sources(block);
    if (!any_alive(op.blocks.needers(block), seq)) {
      run = {run.first, run.count, {}, {}, Fate::kDrop};
    } else if (held) {
      run.fate = Fate::kKeep;
    } else if (!any_alive(source, seq)) {
      const bool from_root =
          op.blocks.kind == OpKind::kBroadcast || op.blocks.kind == OpKind::kScatter;
      if (from_root || op.mode == RebuildMode::kStrict) {
        abort_for(op, decision, Code::kPeerLost,
                  died(source.one) + "and nobody has what it was to send");
        return false;
      }
      run.fate = Fate::kEmpty;
    }
    return true;
  }

  // The partial with most inputs; where rings go round broken edges, none: it would leave the ring.
  static void resume(const OpView& op, ChunkRun& run) {
    for (const auto& [rank, report] : op.resumable) {
      for (const PartialRun& partial : report->partials) {
        if (run.first < partial.first || run.first >= partial.first + partial.count) continue;
        if (run.fate == Fate::kResume && partial.inputs.size() <= run.inputs.size()) continue;
        run = {run.first, run.count, {}, {rank}, Fate::kResume, partial.inputs};
      }
    }
  }

  void add_holder(ChunkRun& run, Rank rank, const OpReport& report) {
    for (const HeldRun& held : report.held) {
      if (run.first < held.first || run.first >= held.first + held.count) continue;
      if (run.lineage != Epoch(0) && run.lineage != held.lineage) out_.lineages_disagree = true;
      if (held.lineage > run.lineage) {
        run.lineage = held.lineage;
        run.inputs = held.departed;
        run.holders.clear();
      }
      if (held.lineage == run.lineage) run.holders.push_back(rank);
    }
  }

  // Strict keeps everything or nothing: every chunk is held by somebody, with one set of
  // contributors.
  bool keeps_all(OpSeq seq, const std::vector<ChunkRun>& runs) const {
    const ChunkRun* first = nullptr;
    for (const ChunkRun& run : runs) {
      if (run.fate == Fate::kDrop) continue;
      if (run.fate != Fate::kKeep) return false;
      if (!first) first = &run;
      if (run.lineage != first->lineage &&
          in_.contributors(run.lineage, seq) != in_.contributors(first->lineage, seq))
        return false;
    }
    return first != nullptr;
  }

  // Rule 3: nobody can have released it, nor can anybody before the next seal.
  bool complete(OpSeq seq, const OpView& op, const OpDecision& decision) const {
    if (decision.runs.empty()) return false;
    const Blocks& blocks = op.blocks;
    if (is_uniform(blocks.kind)) {
      return std::all_of(decision.runs.begin(), decision.runs.end(),
                         [](const ChunkRun& run) { return run.fate == Fate::kKeep; });
    }
    const bool proves =
        may_retain(blocks.kind) || blocks.kind == OpKind::kReduce || blocks.kind == OpKind::kGather;
    if (proves && op.full) return true;
    return std::all_of(decision.runs.begin(), decision.runs.end(), [&](const ChunkRun& run) {
      return run.fate == Fate::kDrop ||
             (run.fate == Fate::kKeep &&
              all_have(blocks.needers(blocks.block_of(run.first, op.chunks)), run, seq));
    });
  }
  bool all_have(const Whom& needers, const ChunkRun& run, OpSeq seq) const {
    for (uint32_t r = 0; r < in_.view->size(); ++r) {
      if (!takes_part(Rank(r), seq) || !needers.has(in_.view->members[r].slot)) continue;
      if (!std::binary_search(run.holders.begin(), run.holders.end(), Rank(r))) return false;
    }
    return true;
  }
  bool may_abort(OpSeq seq, Code why) const {
    const auto op = ops_.find(seq);
    if (op != ops_.end() && op->second.admit) return false;
    const auto at = decisions_.find(seq);
    if (at == decisions_.end()) return true;  // begun by nobody
    if (at->second.outcome != Outcome::kChunks) return false;
    // Where results differ, all being there is no reason to go on.
    return why == Code::kDiverged || canary(Rule::kAbort3) || !complete(seq, op->second, at->second);
  }

  void answer_fails() {
    std::vector<std::pair<OpSeq, Status>> asked;
    for (auto& [seq, op] : ops_) {
      if (op.asked) asked.emplace_back(seq, op.reason);
      // Where results differ and the op is final nevertheless, a cancel beside that still goes on.
      if (!op.carried.is_ok() && !carried_on(op.reason.code())) asked.emplace_back(seq, op.carried);
    }
    for (auto& [seq, reason] : asked) {
      OpSeq at = seq;
      auto ended = [&](OpSeq s) {
        auto d = decisions_.find(s);
        return d != decisions_.end() && d->second.outcome == Outcome::kAbort;
      };
      while (!ended(at) && !may_abort(at, reason.code()) && carried_on(reason.code())) at = at.next();  // rule 4
      if (!ended(at) && may_abort(at, reason.code())) decisions_[at] = OpDecision{at, Outcome::kAbort, reason, {}};
    }
  }

  const ResolveInput& in_;
  ResolveOutput& out_;
  GroupResolution result_;
  bool closed_ = false;
  std::map<OpSeq, OpView> ops_;
  std::map<OpSeq, OpDecision> decisions_;
};

}  // namespace

ResolveOutput resolve(const ResolveInput& input) {
  ResolveOutput output;
  GroupResolver(input, output).run();
  return output;
}

}  // namespace rhz
