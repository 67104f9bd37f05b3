// Control messages and records of the log as bytes.
#include "runtime/wire/codec.h"
#include "tests/fuzz/messages.h"

namespace rhz::fuzz {

std::vector<Bytes> seeds() {
  std::vector<Bytes> all;
  for (uint8_t kind = 0; kind < 9; ++kind) {
    const uint8_t choices[] = {kind, 1, 2, 3, 1, 0, 7, 1, 1, 2, 1, 1, 5, 3, 1, 1, 0, 1, 9, 4, 1};
    Tape tape(choices, sizeof choices);
    all.push_back(wire::encode(message_of_peer(tape, 1, Epoch(3))));
  }
  all.push_back(wire::encode(ControlMessage(StatusRequest{"run", true})));
  all.push_back(wire::encode(ControlMessage(StatusReply{})));
  LogEntry entry;
  entry.index = LogIndex(1);
  entry.record = ViewRecord{View{Epoch(1), {{peer_id(0), Slot(0), 0, {"127.0.0.1:1"}}}, "founded"}};
  all.push_back(wire::encode(entry));
  return all;
}

}  // namespace rhz::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rhz;
  // Bytes are compared: a number that is none is not equal to itself.
  const ConstBytes input(reinterpret_cast<const std::byte*>(data), size);
  if (const auto message = wire::decode_message(input)) {
    const auto bytes = wire::encode(message.value());
    RHZ_FUZZ_CHECK(!bytes.empty());
    const auto again = wire::decode_message(bytes);
    RHZ_FUZZ_CHECK(again && wire::encode(again.value()) == bytes);
  }
  if (const auto entry = wire::decode_entry(input)) {
    const auto bytes = wire::encode(entry.value());
    RHZ_FUZZ_CHECK(!bytes.empty());
    const auto again = wire::decode_entry(bytes);
    RHZ_FUZZ_CHECK(again && wire::encode(again.value()) == bytes);
  }
  return 0;
}
