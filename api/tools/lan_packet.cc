#include "api/tools/lan_packet.h"

#include <algorithm>
#include <cstddef>

namespace rhz::tools {
namespace {

constexpr size_t kIpBytes = 20, kTcpBytes = 20, kChecksumAt = 16;
// A frame: docs/wire.md.
constexpr uint8_t kMagic[] = {'R', 'H', 'Z', '1'};
constexpr size_t kBehindVersion = 5, kFrameBytes = 96;
constexpr uint8_t kTcp = 6, kSyn = 2, kRst = 4, kAck = 16;
constexpr uint8_t kNet[] = {10, 78, 0};

uint32_t number(const uint8_t* at, size_t bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8 | at[i];
  return value;
}

void store(uint8_t* at, size_t bytes, uint32_t value) {
  for (size_t i = bytes; i > 0; --i, value >>= 8) at[i - 1] = static_cast<uint8_t>(value);
}

// The ones' complement sum of RFC 1071, not yet folded.
uint32_t sum(const uint8_t* at, size_t bytes) {
  uint32_t total = 0;
  for (size_t i = 0; i + 1 < bytes; i += 2) total += number(at + i, 2);
  return bytes % 2 ? total + (uint32_t{at[bytes - 1]} << 8) : total;
}

uint32_t folded(uint32_t total) {
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return ~total & 0xffff;
}

struct Tcp {
  const uint8_t *ip, *tcp;
  uint8_t flags() const { return tcp[13]; }
  uint32_t sequence() const { return number(tcp + 4, 4); }
  uint32_t acknowledged() const { return number(tcp + 8, 4); }
};

bool is_ipv4(const std::vector<uint8_t>& packet) { return packet.size() >= kIpBytes && packet[0] >> 4 == 4; }

bool parse(const std::vector<uint8_t>& packet, Tcp& out) {
  if (!is_ipv4(packet) || packet[9] != kTcp) return false;
  const size_t header = size_t{4} * (packet[0] & 15);
  if (header < kIpBytes || packet.size() < header + kTcpBytes) return false;
  out = {packet.data(), packet.data() + header};
  return !(out.flags() & (kRst | kSyn)) && out.flags() & kAck;
}

// Of a segment whose field for it is zero.
uint32_t checksum(const uint8_t* ip, const uint8_t* tcp, size_t bytes) {
  return folded(sum(ip + 12, 8) + kTcp + static_cast<uint32_t>(bytes) + sum(tcp, bytes));
}

void flip(uint8_t* at, uint64_t bit) { at[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8); }

// From and to the ends of `tcp`, or the other way round.
std::vector<uint8_t> make_reset(const Tcp& t, bool back, uint32_t sequence) {
  std::vector<uint8_t> out(kIpBytes + kTcpBytes);
  uint8_t *ip = out.data(), *tcp = ip + kIpBytes;
  ip[0] = 0x45;
  store(ip + 2, 2, static_cast<uint32_t>(out.size()));
  ip[8] = 64;  // hops
  ip[9] = kTcp;
  std::copy_n(t.ip + (back ? 16 : 12), 4, ip + 12);
  std::copy_n(t.ip + (back ? 12 : 16), 4, ip + 16);
  store(ip + 10, 2, folded(sum(ip, kIpBytes)));
  std::copy_n(t.tcp + (back ? 2 : 0), 2, tcp);
  std::copy_n(t.tcp + (back ? 0 : 2), 2, tcp + 2);
  store(tcp + 4, 4, sequence);
  tcp[12] = kTcpBytes / 4 << 4;
  tcp[13] = kRst;
  store(tcp + kChecksumAt, 2, checksum(ip, tcp, kTcpBytes));
  return out;
}

}  // namespace

uint32_t destination_of(const std::vector<uint8_t>& packet) {
  if (!is_ipv4(packet) || !std::equal(kNet, kNet + 3, packet.data() + 16)) return 0;
  return packet[19];
}

// An end accepts it that has exactly this number next (RFC 5961); another one answers, and is met again by its answer.
std::vector<uint8_t> reset_to_sender(const std::vector<uint8_t>& packet) {
  Tcp t{};
  return parse(packet, t) ? make_reset(t, true, t.acknowledged()) : std::vector<uint8_t>();
}

std::vector<uint8_t> reset_to_receiver(const std::vector<uint8_t>& packet) {
  Tcp t{};
  return parse(packet, t) ? make_reset(t, false, t.sequence()) : std::vector<uint8_t>();
}

bool flip_a_bit(std::vector<uint8_t>& packet, uint64_t dice) {
  Tcp t{};
  if (!parse(packet, t)) return false;
  const auto from = static_cast<size_t>(t.tcp - t.ip);
  flip(packet.data() + from, dice % (8 * (packet.size() - from)));
  return true;
}

bool flip_a_bit_of_a_frame(std::vector<uint8_t>& packet, uint64_t dice) {
  Tcp t{};
  if (!parse(packet, t)) return false;
  const auto tcp_at = static_cast<size_t>(t.tcp - t.ip), frame_at = tcp_at + size_t{4} * (t.tcp[12] >> 4);
  if (packet.size() < frame_at + kFrameBytes) return false;
  uint8_t *tcp = packet.data() + tcp_at, *frame = packet.data() + frame_at;
  if (!std::equal(kMagic, std::end(kMagic), frame)) return false;
  flip(frame + kBehindVersion, dice % (8 * (kFrameBytes - kBehindVersion)));
  store(tcp + kChecksumAt, 2, 0);
  store(tcp + kChecksumAt, 2, checksum(packet.data(), tcp, packet.size() - tcp_at));
  return true;
}

}  // namespace rhz::tools
