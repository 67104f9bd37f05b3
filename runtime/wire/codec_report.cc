// What a sealed peer reports (agreement/report.h).
#include "runtime/wire/codec_parts.h"

namespace rhz::wire {
namespace {

schema::RebuildMode to_schema(RebuildMode mode) {
  switch (mode) {
    case RebuildMode::kStrict: return schema::RebuildMode::STRICT;
    case RebuildMode::kKeep: return schema::RebuildMode::KEEP;
    case RebuildMode::kFail: return schema::RebuildMode::FAIL;
    case RebuildMode::kInclude: return schema::RebuildMode::INCLUDE;
  }
  return schema::RebuildMode::NONE;
}

RebuildMode read_mode(Reading& in, schema::RebuildMode mode) {
  switch (mode) {
    case schema::RebuildMode::STRICT: return RebuildMode::kStrict;
    case schema::RebuildMode::KEEP: return RebuildMode::kKeep;
    case schema::RebuildMode::FAIL: return RebuildMode::kFail;
    case schema::RebuildMode::INCLUDE: return RebuildMode::kInclude;
    case schema::RebuildMode::NONE: break;
  }
  in.fail("unknown rebuild mode " + std::to_string(static_cast<unsigned>(mode)));
  return RebuildMode::kStrict;
}

void write_held(Writing& out, schema::HeldRun::Builder to, const HeldRun& from) {
  to.setFirst(from.first);
  to.setCount(from.count);
  to.setLineage(from.lineage.value);
  write_numbers(to.initDeparted(out.count(from.departed.size(), kMaxPeers)), from.departed);
}

HeldRun read_held(Reading& in, schema::HeldRun::Reader from) {
  return {from.getFirst(), from.getCount(), Epoch(from.getLineage()),
          read_numbers<Slot>(in, from.getDeparted(), kMaxPeers, "departed contributors")};
}

void write_partial(Writing& out, schema::PartialRun::Builder to, const PartialRun& from) {
  to.setFirst(from.first);
  to.setCount(from.count);
  write_numbers(to.initInputs(out.count(from.inputs.size(), kMaxPeers)), from.inputs);
}

PartialRun read_partial(Reading& in, schema::PartialRun::Reader from) {
  PartialRun to{from.getFirst(), from.getCount(),
                read_numbers<Slot>(in, from.getInputs(), kMaxPeers, "inputs of a partial")};
  if (to.inputs.empty()) in.fail("a partial without inputs");
  return to;
}

void write_op(Writing& out, schema::OpReport::Builder to, const OpReport& from) {
  to.setSeq(from.seq.value);
  to.setBegun(from.begun);
  to.setFreed(from.freed);
  to.setAdmit(from.admit);
  to.setMode(to_schema(from.mode));
  to.setChunks(from.chunks);
  to.setSignature(from.signature);
  write_list(out, to.initHeld(out.count(from.held.size(), kMaxRuns)), from.held, write_held);
  write_list(out, to.initPartials(out.count(from.partials.size(), kMaxRuns)), from.partials,
             write_partial);
  write_status(out, to.initFail(), from.fail);
  to.setFull(from.full);
  to.setKind(static_cast<uint8_t>(from.blocks.kind));
  to.setRoot(from.blocks.root.value);
  write_numbers(to.initLayout(out.count(from.blocks.layout.size(), kMaxPeers)), from.blocks.layout);
}

Blocks read_blocks(Reading& in, schema::OpReport::Reader from) {
  const uint8_t kind = from.getKind();
  if (kind == 0 || kind > static_cast<uint8_t>(kLastOpKind)) {
    in.fail("unknown kind " + std::to_string(kind) + " of an op");
    return {};
  }
  Blocks blocks{static_cast<OpKind>(kind), Slot(from.getRoot()),
                read_numbers<Slot>(in, from.getLayout(), kMaxPeers, "layout")};
  if (has_layout(blocks.kind) != !blocks.layout.empty()) {
    in.fail("a layout where there is none, or none where there is one");
    return {};
  }
  return blocks;
}

OpReport read_op(Reading& in, schema::OpReport::Reader from) {
  OpReport to;
  to.seq = OpSeq(from.getSeq());
  to.begun = from.getBegun();
  to.freed = from.getFreed();
  to.admit = from.getAdmit();
  to.mode = read_mode(in, from.getMode());
  to.chunks = from.getChunks();
  to.signature = from.getSignature();
  to.held = read_list(in, from.getHeld(), kMaxRuns, "held runs", read_held);
  to.partials = read_list(in, from.getPartials(), kMaxRuns, "partials", read_partial);
  to.fail = read_status(in, from.getFail());
  to.full = from.getFull();
  to.blocks = read_blocks(in, from);
  // Chunks come in whole blocks: who needs which is computed from that.
  if (to.chunks % to.blocks.count() != 0) in.fail("chunks that are no whole blocks");
  return to;
}

void write_group(Writing& out, schema::GroupReport::Builder to, const GroupReport& from) {
  to.setGroup(from.group.value);
  to.setEndedUpto(from.ended_upto.value);
  to.setBegunUpto(from.begun_upto.value);
  write_list(out, to.initOpen(out.count(from.open.size(), kMaxOps)), from.open, write_op);
  write_list(out, to.initMembers(out.count(from.members.size(), kMaxPeers)), from.members,
             write_peer_id);
  to.setClosed(from.closed);
}

GroupReport read_group(Reading& in, schema::GroupReport::Reader from) {
  GroupReport to;
  to.group = GroupId(from.getGroup());
  to.ended_upto = OpSeq(from.getEndedUpto());
  to.begun_upto = OpSeq(from.getBegunUpto());
  to.open = read_list(in, from.getOpen(), kMaxOps, "open ops", read_op);
  to.members = read_list(in, from.getMembers(), kMaxPeers, "members of a group", read_peer_id);
  to.closed = from.getClosed();
  return to;
}

}  // namespace

void write_report(Writing& out, schema::SealReport::Builder to, const SealReport& from) {
  to.setEpoch(from.epoch.value);
  write_list(out, to.initGroups(out.count(from.groups.size(), kMaxGroups)), from.groups,
             write_group);
}

SealReport read_report(Reading& in, schema::SealReport::Reader from) {
  SealReport to;
  to.epoch = Epoch(from.getEpoch());
  to.groups = read_list(in, from.getGroups(), kMaxGroups, "groups", read_group);
  return to;
}

}  // namespace rhz::wire
