// One run of the rebuild model: sizes, faults, rules, the planted mutant.  Plain data.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace rhz::model {

// Limits of the packed state.  They are sizes of arrays; a run may use less.
inline constexpr int kMaxPeers = 4;
inline constexpr int kMaxChunks = 6;
// Of an all-reduce: lineages of the previous op's chunks fit a byte.
inline constexpr int kMaxChunksOfBasis = 2;
inline constexpr int kMaxOps = 4;
inline constexpr int kMaxGroups = 2;
inline constexpr int kMaxLog = 18;
inline constexpr int kMaxMessages = 24;
// Epochs are 1-7: a set of epochs fits a byte, a lineage four bits.
inline constexpr int kMaxEpochs = 8;

// What the ops of a run are (shape.h).
enum class Kind {
  kAllReduce,
  kBroadcast,
  kScatter,
  kReduce,
  kGather,
  kAllGather,
  kReduceScatter,
  kAllToAll,
};

// What a rebuild may mix; the modes of docs/protocol.md.
enum class Mode { kStrict, kKeep, kInclude };

// When an op may return to its caller.
enum class Rule {
  kDoneWave,  // rule=a: DONE of the installed epoch was seen from every participant of the view
  kRetain,    // rule=b: the own result is full; a private copy is retained until the wave is known
};

// When op k+1 may begin.
enum class Order {
  kAllAtOnce,   // seq=0: all ops begin at once
  kSequential,  // seq=1: after op k ended; only then does op k+1 depend on op k's result
  kOverlapped,  // seq=2: any time after op k began
};

// An ABORT is refused where an op is FREED somewhere, and ...
enum class AbortUnless {
  kAllKept,  // 0: if all its chunks would be kept (rule 3 of "Errors are uniform too")
  kOneFull,  // 1: if one participant holds all of it
  kAllFull,  // 2: if every participant still in the view does
  kFreed,    // 3: no further condition (sound for rule a with inv=S only)
  kNothing,  // 4: not even if FREED (always wrong)
};

enum class Join {
  kNobody,
  // join=1: the last peers enter by op number `admit`, an ordered op without data, which may begin
  // over older ops
  kByAdmitOp,
  // join=2: each enters a group at any moment; its first op is 1 + the last op that a report shows
  // as begun
  kAnyTime,
  // join=3: by an admit op, as the runtime does it: when all members stand there, ADMIT says which
  // joiners may enter with which state; they sync; VIEW takes in those who have it
  kByLog,
};

// One rule of the protocol switched off, or two.  Each must be caught, except 6 (argued equivalent)
// and 7 (not caught at the sizes of the group `mutants`; runs with ABORT catch it).
enum Mutant {
  kNoMutant = 0,
  kStaleFrames = 1,      // frames of older epochs are accepted
  kNoFreeze = 2,         // data frames of e are accepted after the seal for e+1
  kDropEarlyDone = 3,    // DONE of a newer epoch is dropped instead of held
  kDropEarlyData = 4,    // data of a newer epoch is dropped instead of held
  kMissReport = 5,       // RESOLVE without one member's report
  kOldDone = 6,          // DONE of an older epoch counts
  kSkipLog = 7,          // a peer skips a RESOLVE which is already superseded
  kRevisit = 8,          // RESUME visits contributors again
  kSumIntoInput = 9,     // a hop reduces into its own input
  kPartialWave = 10,     // one DONE may be missing
  kNoDiscard = 11,       // install keeps values that RESOLVE did not keep
  kDoneAfterSeal = 12,   // DONE is acted upon between seal and install
  kNoFinal = 13,         // a freed op is reported as "holds nothing"; no FINAL decision
  kNoRetain = 14,        // rule b without the private copy
  kInputAtSend = 15,     // the input is freed once it was added to every chunk
  kDoneEarly = 16,       // DONE is sent when only the chunks this peer finalises are held
  kLostTail = 17,        // fail-over loses the last log record (talk before log)
  kDoneOnce = 18,        // DONE is not repeated after an install
  kMissAndKeep = 19,     // 5 and 11 together
  kOldDoneAndMiss = 20,  // 5 and 6 together
  kDropUnbegun = 21,     // frames of an op that the application has not begun are dropped
  kNoQuiesce = 22,       // seal and eviction leave sends running that still read the buffers
  kLandDirect = 23,      // frames land in the output buffer before the "already held" check
  kAnyDone = 24,         // DONE of any epoch counts, newer ones included
  kFreeAtNext = 25,      // the copy of op k is freed when op k+1 begins
  // ABORT
  kAbortLocal = 26,    // a failing peer ends the op by itself
  kAbortUnbegun = 27,  // an ABORT of an op that the application has not begun is forgotten
  kAbortNoSeal = 28,   // ABORT is logged without a seal and reports
  kFailVolatile = 29,  // FAIL is told once to the coordinator, and is not part of the reports
  kAbortOnce = 30,     // RESOLVE does not repeat the ABORTs of older ones
  kFailSticks = 31,    // a refused FAIL stays raised
  // JOIN
  kWaitJoiner = 32,         // the wave of an older op waits for the joiner
  kJoinerInOld = 33,        // the joiner takes part in ops older than itself
  kLocalParticipants = 34,  // participants: the members when the op started here
  kPastAdmit = 35,          // ops behind the admit op begin before it is resolved
  kNoneVolatile = 36,       // "nobody joined" is answered without a log record
  kAdmitLost = 37,          // only a RESOLVE that contains the joiner ends the admit op
  kSyncUnstable = 38,       // rule b: the joiner's state comes from a result with unknown wave
  kFirstOfOne = 39,         // join=2: first_op_seq from the report of one member
  // WATERMARK
  kWatermarkOwn = 40,      // the finaliser stamps its own watermark (no minimum over hops)
  kWatermarkHighest = 41,  // the sender states its last full op, not the full prefix
  kWatermarkKeep = 42,     // the holder of a kept chunk stamps its own watermark
  kWatermarkResume = 43,   // the holder of a resumed partial stamps its own watermark
  kWatermarkPartial = 44,  // the watermark of a passing partial counts
  kWatermarkJoiner = 45,   // a joiner states that everything is full
  // OTHER COLLECTIVES
  kFullByNothing = 46,     // who needs no chunk is full at once
  kReleaseAtSend = 47,     // the root of a broadcast or scatter releases when it has sent
  kDeadRootAborts = 48,    // a dead root aborts the op, whatever is reported
  kFullUnreported = 49,    // reduce, gather: that the dead root was full is not reported
  kMixedLayouts = 50,      // whoever begins after a death brings another layout
  kDeadNeederCounts = 51,  // a chunk that only the dead needed has to be held
  kEmptyOverHeld = 52,     // the block of a dead rank is empty even if somebody holds it
  kMissingIsRedone = 53,   // a block that died with its source is waited for
  kSourceRefuses = 54,     // FAIL is refused if every chunk is held by somebody
  kDeadRootIgnored = 55,   // an op that begins without its root does not fail
  kOneSourceProves = 56,   // a value with one source proves the wave of older ops
  // GROUPS
  kOneOrder = 57,          // an op waits for the older ops of the other group
  kOneWave = 58,           // a DONE of one group counts in the other
  kWaitForOutsiders = 59,  // the wave waits for members of the view that are not in the group
  kSealAffected = 60,      // a group that loses nobody goes on while the view is sealed
  // ADMISSION (join=3)
  kEnterUnsynced = 61,    // who is named by ADMIT enters, whether it has the state or not
  kTrustCompany = 62,     // what a fellow joiner has is taken for the logged state
  kOldSynced = 63,        // SYNCED of an older admit op counts
  kAdmitTwice = 64,       // an admit op that is over is decided again
  kLateSynced = 65,       // SYNCED counts after ADMIT(nobody)
  kWaitForDead = 66,      // the members wait for a joiner that is gone
  kEnterAgain = 67,       // who was a member is admitted again under its old id
  kFirstOpVolatile = 68,  // where joiners begin is forgotten in a fail-over
  kFirstOpOfOne = 69,     // of joiners who enter together, the last one alone is given a first op
  // JOIN and WATERMARK, with several groups
  kJoinerInGroups = 70,  // who enters the run is waited for in every group
  kAdmitStopsAll = 71,   // no group begins an op while an admit op is open
  kFirstOpOfRoot = 72,   // both=1: where joiners begin in the first group is taken for the second
  kOneWatermark = 73,    // a watermark of one group counts in the other
  kMutantCount = 74,
};

struct Config {
  int peers = 3;
  int chunks = 1;
  int ops = 1;  // consecutive ops
  Kind kind = Kind::kAllReduce;
  int root = 0;
  // groups=2: odd ops are of a second group, with all peers but peer 0, and with an order of its
  // own.
  int groups = 1;
  int absent = -1;    // this peer never begins an op of the first group
  bool late = false;  // op 0 begins at any moment (else: in epoch 1, everywhere)
  Mode mode = Mode::kKeep;
  Rule rule = Rule::kDoneWave;
  bool uniform = true;  // inv=U: all releases agree; inv=S: those of members of the newest view
  Mutant mutant = kNoMutant;
  Order order = Order::kSequential;
  // Inputs are freed when the own result is full (else: when the wave is known).
  bool input_freed_at_full = false;
  bool in_place = false;       // result chunk c overwrites input chunk c
  bool implicit_wave = false;  // the wave of op k is implied by the own full result of op k+1
  int quorum = 0;              // rule b: a release needs DONE of so many others
  bool zero_copy = true;       // frames read their sender's memory at delivery (else: at send)

  // How many of each fault may happen, anywhere.
  int max_crashes = 1;
  int max_suspicions = 1;  // of peers that are alive
  int max_failovers = 1;   // of the coordinator
  int max_fails = 0;       // FAIL(op) raised by a peer

  // odd=1: peer 0 begins op 0 with another signature; odd=2: everybody believes to be the root.
  int odd = 0;
  int min_world = 0;  // smaller views abort all they can
  AbortUnless abort_unless = AbortUnless::kAllKept;
  Join join = Join::kNobody;
  int joiners = 1;  // how many: the last peers
  int admit_op = -1;
  int second_admit_op = -1;
  bool both = false;  // joiners enter the second group, too
  // The admit round waits until all members (else: one) have begun the admit op.
  bool admit_waits_for_all = false;
  bool watermark = false;

  bool raw = false;  // no state reduction (cross-check of normalise)
  std::size_t max_states = 40'000'000;
  bool cover = false;  // print how often each interesting case was met
  bool trace = false;  // print the way to a violation
  bool outcomes = false;  // print who returned what, each way in which it may end once

  bool mutated(Mutant m) const { return mutant == m; }
  bool first_group_is_stuck(int op) const { return absent >= 0 && op % groups == 0; }
  bool odd_signature() const { return odd == 1; }
  bool all_are_roots() const { return odd == 2; }
  int founders() const { return join == Join::kNobody ? peers : peers - joiners; }
  bool joins(int peer) const { return peer >= founders(); }
  bool by_admit_op() const { return join == Join::kByAdmitOp || join == Join::kByLog; }
  bool is_admit(int op) const {
    return by_admit_op() && op >= 0 && (op == admit_op || op == second_admit_op);
  }
};

// Reads `name=value` arguments.  If one is unknown or out of range: nothing, and a line on stderr.
std::optional<Config> parse_config(int argc, char** argv);

// The configuration in one line, as the verdict begins with it.
std::string describe(const Config& config);

}  // namespace rhz::model
