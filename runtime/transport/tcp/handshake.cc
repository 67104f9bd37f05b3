#include "runtime/transport/tcp/handshake.h"

#include <algorithm>

namespace rhz::tcp {
namespace {

constexpr size_t kSenderAt = 0, kReceiverAt = 16, kGenerationAt = 32, kLaneAt = 40;
static_assert(kLaneAt + 4 == kLinkHelloBytes);

void store_id(std::byte* to, PeerId id) {
  store(to, id.high);
  store(to + 8, id.low);
}
PeerId load_id(const std::byte* from) { return {load<uint64_t>(from), load<uint64_t>(from + 8)}; }

std::string encode_answer(const wire::FrameHeader& header, std::string_view text) {
  std::string bytes(wire::kHeaderBytes, '\0');
  wire::encode_header(header, reinterpret_cast<std::byte*>(bytes.data()));
  return bytes.append(text);
}

}  // namespace

HelloFrame encode_hello(const LinkHello& hello, uint64_t run_hash) {
  HelloFrame bytes{};
  wire::FrameHeader header;
  header.kind = wire::Kind::kHello;
  header.length = kLinkHelloBytes;
  header.run = run_hash;
  wire::encode_header(header, bytes.data());
  std::byte* payload = bytes.data() + wire::kHeaderBytes;
  store_id(payload + kSenderAt, hello.sender);
  store_id(payload + kReceiverAt, hello.receiver);
  store(payload + kGenerationAt, hello.generation);
  store(payload + kLaneAt, hello.lane);
  return bytes;
}

LinkHello decode_hello(const std::byte* payload) {
  LinkHello hello;
  hello.sender = load_id(payload + kSenderAt);
  hello.receiver = load_id(payload + kReceiverAt);
  hello.generation = load<uint64_t>(payload + kGenerationAt);
  hello.lane = load<uint32_t>(payload + kLaneAt);
  return hello;
}

std::string encode_welcome(uint64_t consumed, uint64_t run_hash) {
  wire::FrameHeader header;
  header.kind = wire::Kind::kHelloAck;
  header.run = run_hash;
  header.lane_seq = consumed;
  return encode_answer(header, {});
}

std::string encode_refusal(Refusal refusal, std::string_view why, uint64_t run_hash) {
  why = why.substr(0, std::min(why.size(), kMaxRefusalText));
  wire::FrameHeader header;
  header.kind = wire::Kind::kHelloAck;
  header.flags = static_cast<uint16_t>(refusal);
  header.length = static_cast<uint32_t>(why.size());
  header.run = run_hash;
  return encode_answer(header, why);
}

}  // namespace rhz::tcp
