#include "tests/model/explore.h"

#include <algorithm>

#include "tests/model/facts.h"
#include "tests/model/guards.h"
#include "tests/model/member.h"
#include "tests/model/normalise.h"

namespace rhz::model {
namespace {

// Epoch 1 is installed everywhere, and the first ops have begun.  The joiner is not there yet.
State initial_state(const Config& config, Findings& findings) {
  State state{};
  const PeerSet members = PeerSet::all_below(config.founders());
  LogRecord& view = state.log[0];
  view.type = RecordType::kView;
  view.epoch = 1;
  view.view = members;
  LogRecord& resolve = state.log[1];
  resolve.type = RecordType::kResolve;
  resolve.epoch = 1;
  resolve.view = members;
  for (int p = config.founders(); p < config.peers; p++) {
    for (int g = 0; g < config.groups; g++) resolve.first_op[g][p] = to_byte(config.ops);
  }
  state.log_size = 2;
  int begun = config.late ? 0 : 1;
  if (config.order == Order::kAllAtOnce) {
    begun = config.by_admit_op() ? config.admit_op : config.ops;
  }
  for (int p = 0; p < config.peers; p++) {
    if (!members.has(p)) continue;
    Peer& peer = state.peer[p];
    peer.alive = 1;
    peer.epoch = peer.sealed = 1;
    peer.log_cursor = state.log_size;
  }
  for (int p = 0; p < config.peers; p++) {
    for (int o = 0; o < config.ops && members.has(p); o++) {
      const bool at_start = o < begun || (!config.late && o < config.groups);
      if (at_start && may_begin(Facts(config, state), p, o)) {
        Member(config, findings, state, p).begin(o);
      }
    }
  }
  return state;
}

// T and M: nothing but faults can happen any more; is everything finished?
void check_terminal(const Config& config, Findings& findings, const State& state) {
  const Facts facts(config, state);
  const int epoch = facts.newest_epoch();
  const PeerSet members = facts.view(epoch);
  if (!facts.quiet() && !members.empty() && facts.resolution(epoch) == nullptr) {
    findings.violate("T stuck: a view is never resolved");
  }
  for (int p = 0; p < config.peers; p++) {
    const Peer& peer = state.peer[p];
    if (!members.has(p) || !peer.live()) continue;
    for (int o = 0; o < config.ops; o++) {
      const Op& op = peer.op[o];
      if (!facts.takes_part(p, epoch, o) || config.first_group_is_stuck(o)) continue;
      if (op.aborted && op.begun) continue;
      if (!op.released) findings.violate("T stuck: a live member never finishes an op");
      if (!op.freed) findings.violate("M leak: a copy is never freed");
    }
  }
}

// Contributors per chunk; rule b: of those who are still members.
std::string returned(const Config& config, const State& state, int p, int o) {
  const bool known = config.uniform || (Facts(config, state).newest_view().has(p) && state.peer[p].alive);
  const Op& op = state.peer[p].op[o];
  if (!known || !op.ended()) return "-";
  if (op.aborted) return "abort";
  std::string text;
  for (int c = 0; c < config.chunks; c++) {
    if (c > 0) text += "|";
    for (int q = 0; q < config.peers; q++)
      if (op.output[c].contributors.has(q)) text += std::to_string(q);
  }
  return text;
}

std::string end_of(const Config& config, const State& state) {
  std::string text;
  for (int o = 0; o < config.ops; o++)
    for (int p = 0; p < config.peers; p++) text += (p > 0 ? " " : o > 0 ? " / " : "") + returned(config, state, p, o);
  return text;
}

}  // namespace

Outcome explore(const Config& config, Findings& findings, Visited& visited) {
  State first = initial_state(config, findings);
  normalise(config, first);
  visited.add(first, 0, {});
  Outcome outcome;
  std::vector<Successor> next;
  for (std::size_t n = 0; n < visited.size() && findings.violation == nullptr; n++) {
    const State state = visited.load(n);
    outcome.last_expanded = n;
    next.clear();
    successors(config, findings, state, next);
    if (findings.violation != nullptr) {
      outcome.violating = next.back();
      break;
    }
    outcome.transitions += next.size();
    if (std::all_of(next.begin(), next.end(), [](const Successor& s) { return s.fault; })) {
      outcome.terminal++;
      check_terminal(config, findings, state);
      if (config.outcomes) outcome.ends.insert(end_of(config, state));
      if (findings.violation != nullptr) break;
    }
    for (Successor& successor : next) {
      outcome.truncated = visited.size() >= config.max_states;
      if (outcome.truncated) break;
      normalise(config, successor.state);
      visited.add(successor.state, static_cast<uint32_t>(n), successor.step);
    }
    outcome.states = n + 1;
  }
  return outcome;
}

}  // namespace rhz::model
