#include <algorithm>

#include "tests/fuzz/messages.h"

#include "runtime/wire/codec.h"

namespace rhz::fuzz {
namespace {

Epoch near(Tape& tape, Epoch epoch) {
  const uint64_t choice = tape.below(8);
  if (choice < 6) return epoch;
  return choice == 6 || epoch.value == 0 ? epoch.next() : Epoch(epoch.value - 1);
}

OpReport op_of(Tape& tape, uint64_t seq, Epoch epoch) {
  OpReport op;
  op.seq = OpSeq(seq);
  const uint8_t bits = tape.byte();
  op.begun = bits & 1, op.freed = (bits & 2) && (bits & 1), op.admit = bits & 4, op.full = (bits & 8) && (bits & 1);
  op.mode = static_cast<RebuildMode>(1 + tape.below(4));
  op.blocks.kind = static_cast<OpKind>(1 + tape.below(static_cast<uint64_t>(kLastOpKind)));
  op.blocks.root = Slot(static_cast<uint32_t>(tape.below(kPeers)));
  // Only what the codec lets through: layouts where there is one, whole blocks.
  if (has_layout(op.blocks.kind))
    for (uint64_t i = 1 + tape.below(kPeers); i > 0; --i) op.blocks.layout.push_back(Slot(static_cast<uint32_t>(tape.below(kPeers))));
  const uint32_t blocks = op.blocks.count();
  op.chunks = op.begun ? blocks * static_cast<uint32_t>(1 + tape.below(std::max(8 / blocks, 1u))) : 0;
  op.signature = op.begun ? 1 + tape.below(2) : 0;
  uint32_t at = 0;
  while (op.begun && at < op.chunks && tape.flip()) {
    HeldRun run;
    run.first = at + static_cast<uint32_t>(tape.below(2));
    run.count = static_cast<uint32_t>(1 + tape.below(4));
    run.lineage = near(tape, epoch);
    at = run.first + run.count;
    if (at <= op.chunks) op.held.push_back(run);
  }
  if (op.mode == RebuildMode::kInclude && tape.flip()) {
    PartialRun run{static_cast<uint32_t>(tape.below(8)), static_cast<uint32_t>(1 + tape.below(4)), {}};
    for (uint32_t slot = 0; slot < kPeers; ++slot)
      if (run.inputs.empty() || tape.flip()) run.inputs.push_back(Slot(slot));
    op.partials.push_back(std::move(run));
  }
  if (tape.below(8) == 0) op.fail = Status(Code::kCancelled, "fuzz");
  return op;
}

}  // namespace

SealReport report_of(Tape& tape, Epoch epoch) {
  SealReport report;
  report.epoch = near(tape, epoch);
  const uint64_t groups = 1 + tape.below(2);
  for (uint64_t g = 0; g < groups; ++g) {
    GroupReport group;
    group.group = g == 0 ? kRootGroup : GroupId(77);
    group.ended_upto = OpSeq(tape.below(4));
    group.begun_upto = OpSeq(group.ended_upto.value + tape.below(4));
    for (uint64_t seq = group.ended_upto.value; seq < group.begun_upto.value + 1 && !tape.over(); ++seq)
      if (tape.flip()) group.open.push_back(op_of(tape, seq, epoch));
    if (g > 0)
      for (uint32_t n = 0; n < kPeers; ++n)
        if (tape.flip()) group.members.push_back(peer_id(n));
    group.closed = g > 0 && tape.flip();
    report.groups.push_back(std::move(group));
  }
  return report;
}

ControlMessage message_of_peer(Tape& tape, uint32_t n, Epoch epoch) {
  switch (tape.below(10)) {
    case 0: {
      HelloMessage hello;
      hello.run_id = tape.below(8) == 0 ? "other" : "fuzz";
      hello.self.id = peer_id(tape.below(8) == 0 ? n + 1 : n);
      if (tape.flip()) hello.self.slot = Slot(static_cast<uint32_t>(tape.below(kPeers + 2)));
      hello.last_index = LogIndex(tape.below(4));
      hello.term = Term(tape.below(3));
      return hello;
    }
    case 1:
      return SuspectMessage{near(tape, epoch), peer_id(static_cast<uint32_t>(tape.below(kPeers))), static_cast<uint8_t>(tape.below(9)), tape.flip()};
    case 2:
    case 3: {
      SealedMessage sealed;
      sealed.report = report_of(tape, epoch);
      return sealed;
    }
    case 4: {
      FailMessage fail;
      fail.epoch = near(tape, epoch);
      fail.group = tape.flip() ? kRootGroup : GroupId(77);
      fail.seq = OpSeq(tape.below(8));
      fail.status = Status(Code::kTimeout, "fuzz");
      return fail;
    }
    case 5: {
      AdmitBegunMessage begun;
      begun.op = OpSeq(tape.below(8));
      begun.revision = tape.below(3);
      return begun;
    }
    case 6: {
      SyncedMessage synced;
      synced.op = OpSeq(tape.below(8));
      synced.revision = tape.below(3);
      if (tape.below(4) == 0) synced.failed = Status(Code::kIo, "fuzz");
      return synced;
    }
    case 7: return LeaveMessage{};
    case 8: {  // anything that the codec lets through
      auto message = wire::decode_message(tape.take(256));
      if (message) return std::move(message).value();
      return PeerBeatMessage{};
    }
    default: return PeerBeatMessage{};
  }
}

}  // namespace rhz::fuzz
