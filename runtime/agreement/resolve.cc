#include "runtime/agreement/resolve.h"

#include <algorithm>
#include <map>
#include <set>

namespace rhz {
namespace {

using Outcome = OpDecision::Outcome;

// One op, seen from all reports.
struct OpView {
  bool admit = false, freed = false, asked = false;
  RebuildMode mode = RebuildMode::kStrict;
  uint32_t chunks = 0;
  bool signatures_differ = false;
  uint64_t signature = 0;
  Status reason;
  std::vector<std::pair<Rank, const OpReport*>> holders;
};

// A FAIL of these kinds must reach the program on every rank: refused here, it ends a later op (rule 4).  The others speak of
// one op only: that it completed after all is the best answer.
bool carried_on(Code code) { return code == Code::kCancelled || code == Code::kMismatch; }

class GroupResolver {
 public:
  GroupResolver(const ResolveInput& in, ResolveOutput& out) : in_(in), out_(out) {
    result_.group = kRootGroup;
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
    keep_aborts();
    out_.resolution.groups.push_back(std::move(result_));
  }

 private:
  bool takes_part(Rank rank, OpSeq seq) const { return in_.first_op[rank.value] <= seq; }

  const GroupReport* report_of(Rank rank) const {
    for (const GroupReport& g : in_.reports[rank.value]->groups)
      if (g.group == kRootGroup) return &g;
    return nullptr;
  }

  void collect() {
    for (const OpDecision& abort : in_.aborts) decisions_[abort.seq] = abort;
    for (uint32_t r = 0; r < in_.view->size(); ++r) {
      const GroupReport* group = report_of(Rank(r));
      if (!group) continue;
      for (const OpReport& op : group->open)
        if (takes_part(Rank(r), op.seq)) add(Rank(r), op);
    }
    // A watermark says FREED of everything below it (W5).
    for (auto& [seq, op] : ops_) {
      for (uint32_t r = 0; r < in_.view->size(); ++r) {
        const GroupReport* group = report_of(Rank(r));
        if (group && takes_part(Rank(r), seq) && seq < group->ended_upto) op.freed = true;
      }
    }
  }

  void add(Rank rank, const OpReport& report) {
    OpView& op = ops_[report.seq];
    op.admit |= report.admit;
    op.freed |= report.freed;
    if (report.begun) {
      if (op.chunks == 0) {
        op.chunks = report.chunks;
        op.mode = report.mode;
        op.signature = report.signature;
      }
      op.signatures_differ |= op.signature != report.signature;
      if (!report.held.empty()) op.holders.emplace_back(rank, &report);
    }
    if (!report.fail.is_ok()) {
      if (!op.asked) op.reason = report.fail;
      op.asked = true;
      result_.answered.push_back({in_.view->members[rank.value].id, report.seq});
    }
  }

  void decide(OpSeq seq, const OpView& op) {
    if (op.admit || decisions_.contains(seq)) return;
    OpDecision decision{seq, op.freed ? Outcome::kFinal : Outcome::kChunks, {}, {}};
    if (!op.freed && !op.signatures_differ) decision.runs = keep_or_redo(op);
    if (op.mode == RebuildMode::kStrict && !keeps_all(seq, decision)) decision.runs.clear();
    decisions_[seq] = std::move(decision);
  }

  // Splits the chunks where any report changes, so that each run has one set of holders.
  std::vector<ChunkRun> keep_or_redo(const OpView& op) {
    std::set<uint32_t> cuts{0, op.chunks};
    for (const auto& [rank, report] : op.holders) {
      for (const HeldRun& run : report->held) {
        cuts.insert(std::min(run.first, op.chunks));
        cuts.insert(std::min(run.first + run.count, op.chunks));
      }
    }
    std::vector<ChunkRun> runs;
    for (auto at = cuts.begin(); std::next(at) != cuts.end(); ++at) {
      ChunkRun run{*at, *std::next(at) - *at, {}, {}};
      for (const auto& [rank, report] : op.holders) add_holder(run, rank, *report);
      if (!runs.empty() && runs.back().lineage == run.lineage && runs.back().holders == run.holders)
        runs.back().count += run.count;
      else
        runs.push_back(std::move(run));
    }
    if (runs.size() == 1 && runs[0].lineage == Epoch(0)) runs.clear();
    return runs;
  }

  void add_holder(ChunkRun& run, Rank rank, const OpReport& report) {
    for (const HeldRun& held : report.held) {
      if (run.first < held.first || run.first >= held.first + held.count) continue;
      if (run.lineage != Epoch(0) && run.lineage != held.lineage) out_.lineages_disagree = true;
      if (held.lineage > run.lineage) {
        run.lineage = held.lineage;
        run.holders.clear();
      }
      if (held.lineage == run.lineage) run.holders.push_back(rank);
    }
  }

  static bool all_kept(const OpDecision& decision) {
    return !decision.runs.empty() &&
           std::all_of(decision.runs.begin(), decision.runs.end(),
                       [](const ChunkRun& run) { return run.lineage != Epoch(0); });
  }

  // Strict keeps everything or nothing: every chunk is held by somebody, with one set of contributors.
  bool keeps_all(OpSeq seq, const OpDecision& decision) const {
    if (!all_kept(decision)) return false;
    const auto first = in_.contributors(decision.runs[0].lineage, seq);
    return std::all_of(decision.runs.begin(), decision.runs.end(), [&](const ChunkRun& run) {
      return run.lineage == decision.runs[0].lineage ||
             in_.contributors(run.lineage, seq) == first;
    });
  }

  // Rule 3.
  bool may_abort(OpSeq seq) const {
    if (auto op = ops_.find(seq); op != ops_.end() && op->second.admit) return false;
    auto at = decisions_.find(seq);
    if (at == decisions_.end()) return true;  // begun by nobody
    return at->second.outcome == Outcome::kChunks && !all_kept(at->second);
  }

  void answer_fails() {
    std::vector<std::pair<OpSeq, Status>> asked;
    for (auto& [seq, op] : ops_)
      if (op.asked) asked.emplace_back(seq, op.reason);
    for (auto& [seq, reason] : asked) {
      OpSeq at = seq;
      auto ended = [&](OpSeq s) {
        auto d = decisions_.find(s);
        return d != decisions_.end() && d->second.outcome == Outcome::kAbort;
      };
      while (!ended(at) && !may_abort(at) && carried_on(reason.code())) at = at.next();  // rule 4
      if (!ended(at) && may_abort(at)) decisions_[at] = OpDecision{at, Outcome::kAbort, reason, {}};
    }
  }

  // Rule 5: an ABORT is repeated until the op has ended at every participant.
  void keep_aborts() {
    for (const OpDecision& decision : result_.ops) {
      if (decision.outcome != Outcome::kAbort) continue;
      bool open = false;
      for (uint32_t r = 0; r < in_.view->size(); ++r) {
        const GroupReport* group = report_of(Rank(r));
        open |= takes_part(Rank(r), decision.seq) && (!group || group->ended_upto <= decision.seq);
      }
      if (open) out_.aborts.push_back(decision);
    }
  }

  const ResolveInput& in_;
  ResolveOutput& out_;
  GroupResolution result_;
  std::map<OpSeq, OpView> ops_;
  std::map<OpSeq, OpDecision> decisions_;
};

// Depth-first search for a Hamiltonian cycle in slot order; gives up after kMaxSteps.
class RingSearch {
 public:
  RingSearch(uint32_t world, const std::vector<std::pair<Rank, Rank>>& broken)
      : world_(world), used_(world, false) {
    for (auto [a, b] : broken) {
      broken_.insert({a.value, b.value});
      broken_.insert({b.value, a.value});
    }
  }
  std::vector<Rank> run() {
    ring_.push_back(Rank(0));
    used_[0] = true;
    return extend() ? ring_ : std::vector<Rank>{};
  }

 private:
  static constexpr uint32_t kMaxSteps = 100'000;
  bool joined(uint32_t a, uint32_t b) const { return !broken_.contains({a, b}); }
  bool extend() {
    if (ring_.size() == world_) return world_ == 1 || joined(ring_.back().value, 0);
    for (uint32_t next = 1; next < world_; ++next) {
      if (used_[next] || !joined(ring_.back().value, next) || ++steps_ > kMaxSteps) continue;
      used_[next] = true;
      ring_.push_back(Rank(next));
      if (extend()) return true;
      ring_.pop_back();
      used_[next] = false;
    }
    return false;
  }

  const uint32_t world_;
  std::set<std::pair<uint32_t, uint32_t>> broken_;
  std::vector<bool> used_;
  std::vector<Rank> ring_;
  uint32_t steps_ = 0;
};

}  // namespace

ResolveOutput resolve(const ResolveInput& input) {
  ResolveOutput output;
  output.resolution.epoch = input.view->epoch;
  GroupResolver(input, output).run();
  return output;
}

std::vector<Rank> make_ring(uint32_t world, const std::vector<std::pair<Rank, Rank>>& broken) {
  if (world == 0) return {};
  return RingSearch(world, broken).run();
}

}  // namespace rhz
