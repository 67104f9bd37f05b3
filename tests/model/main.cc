// Explicit-state model of chunk-pipelined collectives with IN-BAND RELEASE.
//
// The coordinator logs only VIEW and RESOLVE; it is not on the data path.  Peer p releases an op
//   rule=a  when p knows, from DONE messages of its installed epoch, that every member of the view
//           holds the full result (the "wave");
//   rule=b  as soon as p itself holds the full result; a private copy is retained until the wave is
//           known.
//
// Checked:
//   L1 lineage uniqueness          D2 provenance                  O3 contributors
//   I  inputs                      K  causality between ops       F  finality of freed ops
//   R  decisions can be carried out                               U, S  uniform outcome
//   Z  no frame reads or lands in a reused buffer                 T  no stuck terminal state
//   R2 a joiner enters with the logged state                      V2 no peer enters twice
//   A  no op is released by one and aborted by another            M  no leaked copy
//
// Optional parts (all off by default):
//   KIND       kind=broadcast|scatter|reduce|gather|allgather|reducescatter|alltoall: shape.h says
//              who contributes to a chunk and who needs it.  root=n; late=1: op 0 begins at any
//              moment; odd=2: everybody believes to be the root.
//   GROUPS     groups=2: odd ops are of a second group, which peer 0 is not in, nor a joiner unless
//              both=1.  absent=n: peer n never begins an op of the first group.
//   ABORT      fail=n: n times a peer reports FAIL(op) before it released the op; the coordinator
//              seals with unchanged members and RESOLVE aborts the op, or refuses (abortif=) and
//              aborts the first later op that it can.
//              odd=1: peer 0 begins op 0 with another signature.
//              minworld=n: smaller views abort all they can.
//   JOIN       The last peers (joiners=n) enter.  join=1: by op number `admit`, an ordered op
//              without data, all in one view, over older ops.
//              join=2: a group at any moment; the first op is 1 + the last op that a report shows
//              as begun.
//              join=3: as the runtime does it.  When every member stands at the admit op, its older
//              ops over, ADMIT names those who may enter and the state; each of them syncs, from a
//              member or a fellow joiner, or is given up; VIEW takes in those who have it, or ADMIT
//              says that nobody joined.  admit2=n: a second admit op.
//   WATERMARK  wm=1: contributions carry the number of leading ops that are full at their sender,
//              hops take the minimum, and a result with watermark > k is a proof of the wave of
//              op k.
//
// Abstractions.  Values are contributor sets plus a lineage (epoch of the attempt that made them).
// Messages are an unordered bag with arbitrary delay; "never arrives" is "arrives after the seal".
// Coordinator to peer traffic: each peer observes a growing prefix of the durable log.  DONE(e) is
// a bit per sender and epoch: it is sent with the last chunk, may be seen at any later moment,
// waits for a receiver that is still in an older epoch, and is lost to a receiver that has sealed
// e.
//
// Options are name=value (config.h).  Exit status: 0 no violation, 1 violation, 2 wrong arguments.
#include <cstdio>

#include "tests/model/config.h"
#include "tests/model/explore.h"
#include "tests/model/findings.h"
#include "tests/model/trace.h"
#include "tests/model/visited.h"

int main(int argc, char** argv) {
  using namespace rhz::model;
  const std::optional<Config> config = parse_config(argc, argv);
  if (!config) return 2;
  Findings findings;
  Visited visited;
  const Outcome outcome = explore(*config, findings, visited);
  std::printf("%s: states=%zu transitions=%zu terminal=%zu", describe(*config).c_str(),
              outcome.states, outcome.transitions, outcome.terminal);
  if (findings.uniform_splits > 0) std::printf(" U-splits=%zu", findings.uniform_splits);
  if (findings.violation != nullptr) {
    std::printf(" VIOLATION: %s\n", findings.violation);
  } else {
    std::printf(outcome.truncated ? " ok so far (TRUNCATED)\n" : " ok\n");
  }
  for (const std::string& end : outcome.ends) std::printf("outcome: %s\n", end.c_str());
  if (config->cover) print_coverage(findings);
  if (config->trace && findings.violation != nullptr) print_trace(*config, outcome, visited);
  return findings.violation != nullptr ? 1 : 0;
}
