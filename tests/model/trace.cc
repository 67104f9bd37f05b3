#include "tests/model/trace.h"

#include <cstdio>
#include <vector>

namespace rhz::model {
namespace {

const char* text(Decide kind) {
  switch (kind) {
    case Decide::kRedo: return "REDO";
    case Decide::kKeep: return "KEEP";
    case Decide::kResume: return "RESUME";
    case Decide::kDrop: return "DROP";
    case Decide::kEmpty: return "EMPTY";
  }
  return "?";
}

void print_frame(const Step& step) {
  if (step.peer == kDetached) {
    std::printf("  (sealed or dead)");
  } else {
    std::printf("  p%d", step.peer);
  }
  std::printf("->p%d %s op%d chunk%d epoch%d", step.to, step.kind == Frame::kReduce ? "RS" : "AG",
              step.op, step.chunk, step.epoch);
}

void print_resolution(const Config& config, const LogRecord& record) {
  for (int o = 0; o < config.ops; o++) {
    if (config.is_admit(o) && !record.aborts.has(o)) continue;
    if (record.aborts.has(o)) {
      std::printf(" op%d:ABORT", o);
    } else if (record.final.has(o)) {
      std::printf(" op%d:FINAL", o);
    } else {
      for (int c = 0; c < config.chunks; c++) {
        std::printf(" op%d.%d:%s", o, c, text(record.decision[o][c].kind));
      }
    }
  }
}

void print_observed(const Config& config, int peer, const LogRecord& record) {
  if (record.type == RecordType::kNobodyJoined) {
    std::printf("  p%d: nobody joined by op%d", peer, record.admit - 1);
  } else if (record.type == RecordType::kAdmit) {
    std::printf("  p%d sees ADMIT(op%d,joiners=%x)", peer, record.admit - 1, record.view.bits);
  } else if (record.type == RecordType::kView) {
    std::printf("  p%d sees VIEW(%d,members=%x)", peer, record.epoch, record.view.bits);
  } else {
    std::printf("  p%d installs RESOLVE(%d)", peer, record.epoch);
    print_resolution(config, record);
  }
}

void print_step(const Config& config, const State& state, const Step& step) {
  const int p = step.peer;
  switch (step.action) {
    case Action::kNothing: std::printf("  start"); break;
    case Action::kDeliver: print_frame(step); break;
    case Action::kObserve: print_observed(config, p, state.log[step.index]); break;
    case Action::kBegin: std::printf("  p%d begins op%d", p, step.op); break;
    case Action::kWave:
      std::printf("  p%d knows the wave of op%d: release (if not yet), free", p, step.op);
      break;
    case Action::kQuorum: std::printf("  p%d releases op%d on a DONE quorum", p, step.op); break;
    case Action::kLearn:
      std::printf("  p%d learns that all who need op%d hold it", p, step.op);
      break;
    case Action::kReport: std::printf("  coordinator has SEALED(p%d)", p); break;
    case Action::kResolve: std::printf("  coordinator logs RESOLVE(%d)", step.epoch); break;
    case Action::kDetect: std::printf("  coordinator logs VIEW without dead p%d", p); break;
    case Action::kCrash: std::printf("  CRASH p%d", p); break;
    case Action::kSuspect: std::printf("  FALSE SUSPICION: VIEW without p%d", p); break;
    case Action::kFailOver: std::printf("  COORDINATOR FAIL-OVER"); break;
    case Action::kLoseTail: std::printf("  COORDINATOR FAIL-OVER (log tail lost)"); break;
    case Action::kFail: std::printf("  p%d: FAIL(op%d)", p, step.op); break;
    case Action::kTellFail:
      std::printf("  p%d: FAIL(op%d) reaches the coordinator", p, step.op);
      break;
    case Action::kSealForFail: std::printf("  coordinator logs VIEW with unchanged members"); break;
    case Action::kEnter: std::printf("  coordinator decides who joins (state of p%d)", p); break;
    case Action::kAdmit: std::printf("  coordinator logs ADMIT(op%d)", step.op); break;
    case Action::kSync: std::printf("  p%d has the state of op%d, and says so", p, step.op); break;
    case Action::kGiveUp: std::printf("  coordinator gives p%d up", p); break;
    case Action::kNobodyJoined: std::printf("  coordinator: nobody joined"); break;
  }
  std::printf("\n");
}

const char* stage(const Op& op) {
  if (op.aborted) return "aborted";
  if (op.freed) return "freed";
  if (op.released) return "rel";
  return op.begun ? "run" : "-";
}

// Per peer: epoch (*: sealed); per op: stage (!: FAIL raised), lineage:contributors of each chunk.
void print_state(const Config& config, const State& state) {
  std::printf("      ");
  for (int p = 0; p < config.peers; p++) {
    const Peer& peer = state.peer[p];
    const char* condition = !peer.alive ? " dead" : peer.evicted ? " evicted" : "";
    std::printf(" | p%d%s e%d%s", p, condition, peer.epoch, peer.frozen() ? "*" : "");
    for (int o = 0; o < config.ops; o++) {
      const Op& op = peer.op[o];
      std::printf(" %s%s", op.failing ? "!" : "", stage(op));
      for (int c = 0; c < config.chunks; c++) {
        const Value& held = op.chunk[c].held;
        std::printf(" %d:%x", held.lineage, held.contributors.bits);
      }
    }
  }
  std::printf("\n");
}

}  // namespace

void print_trace(const Config& config, const Outcome& outcome, const Visited& visited) {
  std::vector<std::size_t> way;
  for (std::size_t i = outcome.last_expanded; i != 0; i = visited.parent(i)) way.push_back(i);
  way.push_back(0);
  for (auto i = way.rbegin(); i != way.rend(); ++i) {
    const State state = visited.load(*i);
    print_step(config, state, visited.step(*i));
    print_state(config, state);
  }
  if (outcome.violating) {
    print_step(config, outcome.violating->state, outcome.violating->step);
    print_state(config, outcome.violating->state);
  }
}

}  // namespace rhz::model
