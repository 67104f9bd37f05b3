// Resolutions and the decisions about ops in them (agreement/resolution.h).
#include "runtime/wire/codec_parts.h"

namespace rhz::wire {
namespace {

using Outcome = OpDecision::Outcome;

schema::OpDecision::Outcome to_schema(Outcome outcome) {
  switch (outcome) {
    case Outcome::kFinal: return schema::OpDecision::Outcome::FINAL;
    case Outcome::kAbort: return schema::OpDecision::Outcome::ABORT;
    case Outcome::kChunks: return schema::OpDecision::Outcome::CHUNKS;
  }
  return schema::OpDecision::Outcome::NONE;
}

Outcome read_outcome(Reading& in, schema::OpDecision::Outcome outcome) {
  switch (outcome) {
    case schema::OpDecision::Outcome::FINAL: return Outcome::kFinal;
    case schema::OpDecision::Outcome::ABORT: return Outcome::kAbort;
    case schema::OpDecision::Outcome::CHUNKS: return Outcome::kChunks;
    case schema::OpDecision::Outcome::NONE: break;
  }
  in.fail("unknown outcome " + std::to_string(static_cast<unsigned>(outcome)) + " of an op");
  return Outcome::kChunks;
}

void write_run(Writing& out, schema::ChunkRun::Builder to, const ChunkRun& from) {
  to.setFirst(from.first);
  to.setCount(from.count);
  to.setLineage(from.lineage.value);
  write_numbers(to.initHolders(out.count(from.holders.size(), kMaxPeers)), from.holders);
  to.setFate(static_cast<uint8_t>(from.fate));
  write_numbers(to.initInputs(out.count(from.inputs.size(), kMaxPeers)), from.inputs);
}

ChunkRun read_run(Reading& in, schema::ChunkRun::Reader from) {
  ChunkRun to;
  to.first = from.getFirst();
  to.count = from.getCount();
  to.lineage = Epoch(from.getLineage());
  to.holders = read_numbers<Rank>(in, from.getHolders(), kMaxPeers, "holders");
  if (from.getFate() > static_cast<uint8_t>(ChunkRun::Fate::kResume)) in.fail("unknown fate of a chunk");
  else to.fate = static_cast<ChunkRun::Fate>(from.getFate());
  to.inputs = read_numbers<Slot>(in, from.getInputs(), kMaxPeers, "inputs of a chunk");
  if (to.fate == ChunkRun::Fate::kResume && (to.holders.size() != 1 || to.inputs.empty()))
    in.fail("a partial that goes on from one holder with its inputs");
  return to;
}

void write_answered(Writing& out, schema::AnsweredFail::Builder to, const AnsweredFail& from) {
  write_peer_id(out, to.initPeer(), from.peer);
  to.setSeq(from.seq.value);
}

AnsweredFail read_answered(Reading& in, schema::AnsweredFail::Reader from) {
  return {read_peer_id(in, from.getPeer()), OpSeq(from.getSeq())};
}

void write_group(Writing& out, schema::GroupResolution::Builder to, const GroupResolution& from) {
  to.setGroup(from.group.value);
  write_numbers(to.initRing(out.count(from.ring.size(), kMaxPeers)), from.ring);
  write_numbers(to.initFirstOp(out.count(from.first_op.size(), kMaxPeers)), from.first_op);
  to.setRelayed(from.relayed);
  to.setAdmitEnded(from.admit_ended.value);
  write_list(out, to.initOps(out.count(from.ops.size(), kMaxOps)), from.ops, write_decision);
  write_list(out, to.initAnswered(out.count(from.answered.size(), kMaxOps)), from.answered,
             write_answered);
}

GroupResolution read_group(Reading& in, schema::GroupResolution::Reader from) {
  GroupResolution to;
  to.group = GroupId(from.getGroup());
  to.ring = read_numbers<Rank>(in, from.getRing(), kMaxPeers, "ring");
  to.first_op = read_numbers<OpSeq>(in, from.getFirstOp(), kMaxPeers, "first ops");
  to.relayed = from.getRelayed();
  to.admit_ended = OpSeq(from.getAdmitEnded());
  to.ops = read_list(in, from.getOps(), kMaxOps, "ops", read_decision);
  to.answered = read_list(in, from.getAnswered(), kMaxOps, "answered fails", read_answered);
  return to;
}

}  // namespace

void write_decision(Writing& out, schema::OpDecision::Builder to, const OpDecision& from) {
  to.setSeq(from.seq.value);
  to.setOutcome(to_schema(from.outcome));
  write_status(out, to.initReason(), from.reason);
  write_list(out, to.initRuns(out.count(from.runs.size(), kMaxRuns)), from.runs, write_run);
}

OpDecision read_decision(Reading& in, schema::OpDecision::Reader from) {
  OpDecision to;
  to.seq = OpSeq(from.getSeq());
  to.outcome = read_outcome(in, from.getOutcome());
  to.reason = read_status(in, from.getReason());
  to.runs = read_list(in, from.getRuns(), kMaxRuns, "chunk runs", read_run);
  return to;
}

namespace {
void write_edge(Writing&, schema::Edge::Builder to, const std::pair<Rank, Rank>& from) {
  to.setA(from.first.value);
  to.setB(from.second.value);
}
std::pair<Rank, Rank> read_edge(Reading&, schema::Edge::Reader from) {
  return {Rank(from.getA()), Rank(from.getB())};
}
}  // namespace

void write_resolution(Writing& out, schema::Resolution::Builder to, const Resolution& from) {
  to.setEpoch(from.epoch.value);
  write_list(out, to.initGroups(out.count(from.groups.size(), kMaxGroups)), from.groups,
             write_group);
  write_list(out, to.initBroken(out.count(from.broken.size(), kMaxPeers)), from.broken, write_edge);
}

Resolution read_resolution(Reading& in, schema::Resolution::Reader from) {
  Resolution to;
  to.epoch = Epoch(from.getEpoch());
  to.groups = read_list(in, from.getGroups(), kMaxGroups, "groups", read_group);
  to.broken = read_list(in, from.getBroken(), kMaxPeers, "broken edges", read_edge);
  return to;
}

}  // namespace rhz::wire
