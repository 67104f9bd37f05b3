// Headers of frames, first words of lanes, requests to vaults: what strangers can put on a connection.
#include "tests/fuzz/fuzz.h"

#include <cstring>

#include "recovery/shards/vault_messages.h"
#include "runtime/transport/tcp/handshake.h"
#include "runtime/wire/frame.h"

namespace rhz::fuzz {
namespace {

void decode_header_of(ConstBytes input) {
  if (input.size() < wire::kHeaderBytes) return;
  const auto header = wire::decode_header(input.data());
  if (!header) return;
  wire::HeaderBytes again{};
  wire::encode_header(header.value(), again.data());
  RHZ_FUZZ_CHECK(std::memcmp(again.data(), input.data(), wire::kHeaderBytes) == 0);
}

// Past the CRC.
void encode_header_of(Tape& tape) {
  wire::FrameHeader header;
  header.kind = static_cast<wire::Kind>(tape.byte());
  header.flags = static_cast<uint16_t>(tape.below(65536));
  header.length = static_cast<uint32_t>(tape.below(65536)) << tape.below(17);
  header.op_seq = OpSeq(tape.below(65536));
  header.lane_seq = tape.below(65536);
  wire::HeaderBytes bytes{};
  wire::encode_header(header, bytes.data());
  if (const auto decoded = wire::decode_header(bytes.data())) RHZ_FUZZ_CHECK(decoded.value() == header);
}

void decode_hello_of(ConstBytes input) {
  if (input.size() < tcp::kLinkHelloBytes) return;
  const tcp::LinkHello hello = tcp::decode_hello(input.data());
  const tcp::HelloFrame frame = tcp::encode_hello(hello, 7);
  RHZ_FUZZ_CHECK(tcp::decode_hello(frame.data() + wire::kHeaderBytes) == hello);
}

void decode_vault_of(ConstBytes input) {
  if (const auto request = recovery::decode_request(input)) {
    RHZ_FUZZ_CHECK(request->bytes.size() + recovery::kVaultHeaderBytes <= input.size());
    RHZ_FUZZ_CHECK(request->length <= recovery::kMaxRangeBytes && request->shard_bytes <= recovery::kMaxShardBytes);
  }
  if (const auto reply = recovery::decode_reply(input)) RHZ_FUZZ_CHECK(reply->bytes.size() <= input.size());
}

}  // namespace

std::vector<Bytes> seeds() {
  std::vector<Bytes> all;
  wire::FrameHeader header;
  header.kind = wire::Kind::kPartial;
  header.length = 4096;
  wire::HeaderBytes bytes{};
  wire::encode_header(header, bytes.data());
  all.emplace_back(bytes.begin(), bytes.end());
  const tcp::HelloFrame hello = tcp::encode_hello({{1, 2}, {3, 4}, 5, 1}, 7);
  all.emplace_back(hello.begin() + wire::kHeaderBytes, hello.end());
  recovery::VaultRequest request;
  for (uint32_t verb = 1; verb <= 6; ++verb) {
    request.verb = static_cast<recovery::VaultVerb>(verb);
    request.revision = 3;
    request.shard_bytes = 1 << 20;
    request.length = verb == 2 || verb == 6 ? 64 : 0;
    const recovery::VaultHeader head = recovery::encode_header(request);
    Bytes& message = all.emplace_back(head.begin(), head.end());
    if (verb == 2) message.resize(message.size() + 64);
  }
  return all;
}

}  // namespace rhz::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rhz::fuzz;
  const rhz::ConstBytes input(reinterpret_cast<const std::byte*>(data), size);
  decode_header_of(input);
  decode_hello_of(input);
  decode_vault_of(input);
  Tape tape(data, size);
  encode_header_of(tape);
  return 0;
}
