# All control messages and all records of the decision log: the specification of what runtime/agreement/message.h and
# record.h look like on the wire and on disk.  runtime/wire/codec is the only reader and writer.
#
# One message is one unpacked Cap'n Proto stream (segment table, then segments), at most 16 MiB.  It is the payload of a
# frame of kind CONTROL; a LogEntry by itself is the payload of one record of the log file.
# Lengths are bounded beyond that: see codec.h.  A union member or enumerant that the reader does not know is refused.
#
# Units are the last word of a name: Ms, Us, Bytes.  Numbers: epochs count from 1 (0: before the first view), log
# indices from 1, ops from 0.  `noOp` = 2^64 - 1, `anySlot` = 2^32 - 1.
#
# To change it: append fields with the next number, never renumber or reuse; raise wire::kProtocolVersion (frame.h)
# when an old reader would misunderstand.

@0x8efd7cfcc422cf22;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("rhz::wire::schema");

# ---- parts

struct PeerId {  # 128 random bits, new for every incarnation of a peer; all zero: nobody
  high @0 :UInt64;
  low @1 :UInt64;
}

struct Status {
  code @0 :Int32;     # rhz_status; 0: fine, and then the rest is empty
  text @1 :Text;      # one line for people, at most 4 KiB (cut there by the writer)
  culprit @2 :PeerId; # nobody: not known
  epoch @3 :UInt64;   # since when; 0: not known
}

struct MemberInfo {
  id @0 :PeerId;
  slot @1 :UInt32;             # stable place in the job; anySlot: not assigned yet
  host @2 :UInt64;             # equal on peers of one host
  endpoints @3 :List(Text);    # of the data port, "HOST:PORT" or "[V6]:PORT", best first
}

struct RunConfig {  # the same for the whole run
  runId @0 :Text;
  world @1 :UInt32;         # peers that the first view waits for
  maxWorld @2 :UInt32;      # slots
  minWorld @3 :UInt32;      # below it every op fails
  chunkBytes @4 :UInt32;    # largest chunk
  segmentBytes @5 :UInt32;  # largest frame
  retainBytes @6 :UInt32;   # results up to this size are released by rule (b)
  heartbeatMs @7 :UInt32;
  suspicionMs @8 :UInt32;
  verify @9 :UInt8 = 1;     # digests of results: 0 off, 1 sampled, 2 all
  protection @10 :Bool = true;  # false: ops do not survive a change of the view
}

struct View {
  epoch @0 :UInt64;
  members @1 :List(MemberInfo);  # by rising slot; the index is the rank
  cause @2 :Text;                # one line for people (cut at 4 KiB)
}

# ---- decisions about the ops in flight

struct ChunkRun {  # chunks [first, first + count)
  first @0 :UInt32;
  count @1 :UInt32;
  lineage @2 :UInt64;         # keep: epoch of the attempt
  holders @3 :List(UInt32);   # keep: ranks of the new view, rising, never empty; resume: the one who goes on
  fate @4 :UInt8;             # rhz::ChunkRun::Fate (runtime/agreement/resolution.h)
  inputs @5 :List(UInt32);    # slots, rising; keep: that are in the value and were gone in that epoch; resume: in the partial
}

struct OpDecision {
  enum Outcome {
    none @0;    # never sent
    final @1;   # somebody FREED it: all hold it
    abort @2;   # ends with `reason` everywhere
    chunks @3;  # per chunk, in `runs`
  }
  seq @0 :UInt64;
  outcome @1 :Outcome;
  reason @2 :Status;          # abort only
  runs @3 :List(ChunkRun);    # chunks only: rising, complete; empty: REDO everything
}

struct AnsweredFail {  # this peer's FAIL for this op was among the reports
  peer @0 :PeerId;
  seq @1 :UInt64;
}

struct GroupResolution {
  group @0 :UInt64;                 # 0: the root group
  ring @1 :List(UInt32);            # ranks, in the order in which values travel
  firstOp @2 :List(UInt64);         # by rank: the first op in which that member takes part
  admitEnded @3 :UInt64;            # the admit op that this resolution ends, or noOp
  ops @4 :List(OpDecision);         # rising
  answered @5 :List(AnsweredFail);
  relayed @6 :Bool;                 # some pair of members has no edge: DONE travels on the ring
}

struct Edge {  # between two ranks of the view
  a @0 :UInt32;
  b @1 :UInt32;
}

struct Resolution {
  epoch @0 :UInt64;
  groups @1 :List(GroupResolution); # the root group first
  broken @2 :List(Edge);            # that rings avoid
}

# ---- what a sealed peer reports

struct HeldRun {  # chunks [first, first + count) are held with this lineage
  first @0 :UInt32;
  count @1 :UInt32;
  lineage @2 :UInt64;
  departed @3 :List(UInt32);  # slots, rising, that are in the value and were gone in that epoch
}

struct PartialRun {  # chunks [first, first + count) are here half made: sums over these slots
  first @0 :UInt32;
  count @1 :UInt32;
  inputs @2 :List(UInt32);  # rising, never empty
}

enum RebuildMode {  # numbers as RHZ_REBUILD_*
  none @0;  # never sent
  strict @1;
  keep @2;
  fail @3;
  include @4;
}

struct OpReport {
  seq @0 :UInt64;
  begun @1 :Bool;
  freed @2 :Bool;           # its wave is known here: everybody holds it
  admit @3 :Bool;           # an admit op: no data
  mode @4 :RebuildMode;
  chunks @5 :UInt32;        # of the whole op; 0 while not begun
  signature @6 :UInt64;     # 0 while not begun
  held @7 :List(HeldRun);   # rising, disjoint
  fail @8 :Status;          # FAIL raised here and not yet answered
  full @9 :Bool;            # holds all that it needs
  kind @10 :UInt8;          # rhz::OpKind (runtime/agreement/blocks.h)
  root @11 :UInt32;         # slot
  layout @12 :List(UInt32); # slots, by rank
  partials @13 :List(PartialRun);  # rising, disjoint; mode include
}

struct GroupReport {
  group @0 :UInt64;
  endedUpto @1 :UInt64;     # all ops below are over here
  begunUpto @2 :UInt64;     # one more than the highest op begun here
  open @3 :List(OpReport);  # rising
  members @4 :List(PeerId); # by rank, the dead ones too; empty: the root group
  closed @5 :Bool;          # every participant has closed it
}

struct SealReport {
  epoch @0 :UInt64;         # the view that is sealed for
  groups @1 :List(GroupReport);
}

# ---- the decision log

struct AdmitRecord {
  op @0 :UInt64;                 # the admit op
  joiners @1 :List(MemberInfo);  # empty: the op is over, nobody entered
  revision @2 :UInt64;           # the state that joiners must have (R2)
  root @3 :Data;                 # its digest, 16 bytes
  bulk @4 :List(MemberInfo);     # newcomers who pull this state while the members go on
}

struct Holder {  # a vault that holds shards
  vault @0 :PeerId;
  host @1 :Text;                 # name
  rack @2 :Text;                 # empty: the host is a failure domain of its own
}

struct GenerationRecord {  # one revision of one stage, sealed as shards with parity
  stage @0 :UInt32;
  revision @1 :UInt64;
  placement @2 :UInt32;          # 0: as sealed; one more each time lost shards got new holders
  root @3 :Data;                 # digest of the state, 16 bytes
  stateBytes @4 :UInt64;
  dataShards @5 :UInt32;         # k and m, of each stripe
  parityShards @6 :UInt32;
  shardBytes @7 :UInt64;
  holders @8 :List(Holder);
  heldBy @9 :List(UInt16);       # per shard, stripe by stripe, data shards first: index of its holder
  shards @10 :Data;              # … and its tensor digest, 16 bytes each
  firstSlot @11 :UInt32;         # whose trainers hold the stage: firstSlot, firstSlot + slotStride, …
  slotCount @12 :UInt32;
  slotStride @13 :UInt32;
}

struct VaultInfo {  # a vault that may hold shards
  holder @0 :Holder;
  endpoints @1 :List(Text);      # of its shard port, best first
  bytes @2 :UInt64;              # of shards: held, and at most
  limitBytes @3 :UInt64;
}

struct SnapshotRecord {  # stands for all records before it
  struct History {
    epoch @0 :UInt64;
    members @1 :List(PeerId);
  }
  config @0 :RunConfig;
  view @1 :View;
  viewIndex @2 :UInt64;          # log index of that view's record
  resolution @3 :Resolution;     # the newest; its epoch may be older than the view's
  retired @4 :List(PeerId);      # were members, never may be again (V2), and had not sealed once
  history @5 :List(History);     # views that a lineage may still name
  generations @6 :List(GenerationRecord);  # of each stage: the revision before the newest, and it
}

struct LogEntry {
  term @0 :UInt64;   # incarnation of the coordinator that wrote it
  index @1 :UInt64;  # dense, from 1
  record :union {
    none @2 :Void;   # never written
    config @3 :RunConfig;  # always the first one
    view @4 :View;
    resolve @5 :Resolution;
    admit @6 :AdmitRecord;
    snapshot @7 :SnapshotRecord;
    generation @8 :GenerationRecord;
  }
}

# ---- messages, peer → coordinator

struct Hello {  # first of a session, also after a reconnect
  runId @0 :Text;
  self @1 :MemberInfo;     # slot: the one asked for, or anySlot
  lastIndex @2 :UInt64;    # newest record seen; 0: none
  term @3 :UInt64;         # highest term seen
  stateShape @4 :Data;     # digest of the registered tensors' names, dtypes and counts, 16 bytes
  tensors @5 :List(TensorText);  # the first ones by name, at most 256
  tensorCount @6 :UInt32;  # of all
  strategy @7 :UInt8;      # rhz::SyncStrategy (runtime/agreement/state_note.h)
  bulk @8 :UInt8;          # rhz::BulkStand
}

struct TensorText {  # in words for people
  name @0 :Text;
  type @1 :Text;           # "100 × f32"
}

struct Suspect {
  epoch @0 :UInt64;
  target @1 :PeerId;
  evidence @2 :UInt8;      # rhz::Evidence (runtime/transport/transport.h); 0: its silence is over; checked by the coordinator
  selfDoubt @3 :Bool;      # the accuser was itself not running lately
}

struct Fail {  # FAIL(op)
  epoch @0 :UInt64;
  group @1 :UInt64;
  seq @2 :UInt64;
  status @3 :Status;
}

struct AdmitBegun {
  op @0 :UInt64;
  revision @1 :UInt64;
  root @2 :Data;           # 16 bytes
  stateShape @3 :Data;     # 16 bytes
}

struct Synced {
  op @0 :UInt64;
  revision @1 :UInt64;
  root @2 :Data;           # 16 bytes
  failed @3 :Status;       # code 0: the state is here and verified
}

struct Metric {  # published by the program
  name @0 :Text;
  value @1 :Float64;
}

struct PeerBeat {
  epoch @0 :UInt64;        # installed
  ops @1 :UInt64;          # ended here
  sentBytes @2 :UInt64;
  receivedBytes @3 :UInt64;
  metrics @4 :List(Metric);  # at most 8
  droppedFrames @5 :UInt64;  # of older epochs, of ops that are over, come twice
  refused @6 :UInt64;        # frames and connections that make no sense here
  reconnects @7 :UInt64;     # of lanes that stood
}

struct Propose {  # GENERATION: all shards are held and verified
  epoch @0 :UInt64;        # counts only while this is the newest view
  generation @1 :GenerationRecord;
}

struct StatusRequest {  # from a tool, or from a peer before its Hello: needs none
  runId @0 :Text;        # empty: any
  generations @1 :Bool;  # Generations is to come before the reply
}

struct VaultHere {  # from a vault: first of a session, and its heartbeat
  runId @0 :Text;
  vault @1 :VaultInfo;
}

# ---- message, peer → vault

struct VaultCall {  # first of a connection: who is meant
  runId @0 :Text;
  vault @1 :PeerId;
}

# ---- messages, coordinator → peer.  Every one carries the term; lower ones are refused by the receiver.

struct Welcome {
  term @0 :UInt64;
  config @1 :RunConfig;
}

struct Refused {  # the session is over, and so is this peer in this run
  term @0 :UInt64;
  status @1 :Status;
}

struct Entries {  # durable records, in log order, each exactly once per session
  term @0 :UInt64;
  entries @1 :List(LogEntry);
}

struct Pending {
  term @0 :UInt64;
  waiting @1 :UInt32;    # peers that wait to be admitted …
  bulk @2 :UInt32;       # … and those of them that want the state in bulk first
}

struct SyncStart {  # to a joiner
  term @0 :UInt64;
  admit @1 :AdmitRecord;
  donors @2 :List(MemberInfo);  # members that stand still meanwhile
}

struct Generations {  # the newest record of each stage, to who may not have it from the log
  term @0 :UInt64;
  generations @1 :List(GenerationRecord);
}

struct ProposalRefused {
  term @0 :UInt64;
  stage @1 :UInt32;
  revision @2 :UInt64;
  placement @3 :UInt32;
  status @4 :Status;
}

struct Vaults {  # at the beginning of a session, and whenever one comes or is lost
  term @0 :UInt64;
  complete @1 :Bool;     # whoever is not among them is lost
  vaults @2 :List(VaultInfo);
}

struct CoordinatorBeat {
  term @0 :UInt64;
}

struct FaultLine {
  epoch @0 :UInt64;
  cause @1 :Text;        # one line for people (cut at 4 KiB)
  atMs @2 :UInt64;       # since the coordinator started
  healUs @3 :UInt64;     # first evidence → RESOLVE durable
}

struct PeerStatus {
  info @0 :MemberInfo;
  member @1 :Bool;       # else: waits to be admitted
  connected @2 :Bool;
  silentMs @3 :UInt64;
  beat @4 :PeerBeat;
}

struct StatusReply {
  term @0 :UInt64;
  config @1 :RunConfig;
  view @2 :View;
  resolved @3 :Bool;
  uptimeMs @4 :UInt64;
  logBytes @5 :UInt64;
  lastIndex @6 :UInt64;
  peers @7 :List(PeerStatus);
  faults @8 :List(FaultLine);  # the last 32
  vaultsComplete @9 :Bool;     # as in Vaults
  vaults @10 :List(VaultInfo);
}

struct Message {
  union {
    none @0 :Void;  # never sent
    hello @1 :Hello;
    suspect @2 :Suspect;
    sealed @3 :SealReport;
    fail @4 :Fail;
    admitBegun @5 :AdmitBegun;
    synced @6 :Synced;
    peerBeat @7 :PeerBeat;
    leave @8 :Void;
    statusRequest @9 :StatusRequest;
    welcome @10 :Welcome;
    refused @11 :Refused;
    entries @12 :Entries;
    pending @13 :Pending;
    syncStart @14 :SyncStart;
    coordinatorBeat @15 :CoordinatorBeat;
    statusReply @16 :StatusReply;
    propose @17 :Propose;
    generations @18 :Generations;
    proposalRefused @19 :ProposalRefused;
    vaultHere @20 :VaultHere;
    vaultCall @21 :VaultCall;
    vaults @22 :Vaults;
  }
}
