// A tape of what a coordinator, right or wrong, says to a member, and of what the layers above tell it.
#include "runtime/membership/member.h"
#include "runtime/wire/codec.h"
#include "tests/fuzz/messages.h"

namespace rhz::fuzz {
namespace {

View view_of(Tape& tape, Epoch epoch) {
  View view;
  view.epoch = epoch;
  for (uint32_t n = 0; n < kPeers; ++n)
    if (n == 0 ? tape.below(16) != 0 : tape.flip()) view.members.push_back({peer_id(n), Slot(n), 0, {}});
  return view;
}

LogEntry entry_of(Tape& tape, uint64_t& index, Epoch& epoch) {
  LogEntry entry;
  entry.term = Term(1 + tape.below(2));
  entry.index = LogIndex(tape.below(8) == 0 ? tape.below(16) : ++index);
  const auto resolution_of = [&] {
    Resolution resolution;
    resolution.epoch = tape.below(8) == 0 ? Epoch(tape.below(8)) : epoch;
    if (tape.below(16) != 15) resolution.groups.push_back({});
    return resolution;
  };
  switch (tape.below(5)) {
    case 0:
    case 1:
      epoch = tape.below(8) == 0 ? Epoch(tape.below(8)) : epoch.next();
      entry.record = ViewRecord{view_of(tape, epoch)};
      break;
    case 2: entry.record = ResolveRecord{resolution_of()}; break;
    case 3: {
      SnapshotRecord snapshot;
      snapshot.view = view_of(tape, epoch);
      snapshot.resolution = resolution_of();
      entry.record = snapshot;
      break;
    }
    default: {
      AdmitRecord admit;
      admit.op = OpSeq(tape.below(8));
      admit.joiners.push_back({peer_id(static_cast<uint32_t>(tape.below(kPeers))), Slot(0), 0, {}});
      entry.record = admit;
    }
  }
  return entry;
}

ControlMessage message_of_coordinator(Tape& tape, uint64_t& index, Epoch& epoch) {
  const Term term(tape.below(3));
  switch (tape.below(6)) {
    case 0: return WelcomeMessage{term, {}};
    case 1: return RefusedMessage{term, Status(Code::kEvicted, "fuzz")};
    case 2: return PendingMessage{term, static_cast<uint32_t>(tape.below(4)), static_cast<uint32_t>(tape.below(4))};
    case 3: {
      auto message = wire::decode_message(tape.take(256));
      if (message) return std::move(message).value();
      return CoordinatorBeatMessage{term};
    }
    default: {
      EntriesMessage entries;
      entries.term = term;
      for (uint64_t i = 1 + tape.below(3); i > 0; --i) entries.entries.push_back(entry_of(tape, index, epoch));
      return entries;
    }
  }
}

void step(Tape& tape, Member& member, Time& now, uint64_t& index, Epoch& epoch) {
  switch (tape.below(9)) {
    case 0: member.connected(now); break;
    case 1: member.disconnected(now); break;
    case 2: member.suspect(now, peer_id(static_cast<uint32_t>(tape.below(kPeers))), static_cast<uint8_t>(1 + tape.below(6)), tape.flip()); break;
    case 3:
      if (member.sealed_now()) member.sealed(now, report_of(tape, member.view().epoch));
      break;
    case 4: member.fail(now, kRootGroup, OpSeq(tape.below(8)), Status(Code::kTimeout, "fuzz")); break;
    case 5: now += milliseconds(static_cast<int64_t>(tape.below(1000))); (void)member.tick(now); break;
    default: member.receive(now, message_of_coordinator(tape, index, epoch));
  }
}

}  // namespace

std::vector<Bytes> seeds() {
  return {bytes_from(std::string_view("\0\6\0\1\6\1\4\0\0\0\0\1\1\1\3", 15)), bytes_from(std::string_view("\0\6\0\1\6\1\4\0\0\0\0\1\1\1\6\1\4\0\0\2", 20))};
}

}  // namespace rhz::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rhz;
  using namespace rhz::fuzz;
  Tape tape(data, size);
  MemberInfo self;
  self.id = peer_id(0);
  Member member("fuzz", self);
  Time now = std::chrono::seconds(1);
  uint64_t index = 0;
  Epoch epoch, installed;
  bool ended = false;
  while (!tape.over()) {
    step(tape, member, now, index, epoch);
    for (const MemberAction& action : member.take_actions()) {
      RHZ_FUZZ_CHECK(!ended || std::holds_alternative<MemberSend>(action) || std::holds_alternative<EndAction>(action));
      if (const auto* install = std::get_if<InstallAction>(&action)) {
        RHZ_FUZZ_CHECK(install->view.epoch > installed);
        RHZ_FUZZ_CHECK(install->view.epoch == install->resolution.epoch);
        installed = install->view.epoch;
      }
      ended |= std::holds_alternative<EndAction>(action);
    }
  }
  return 0;
}
