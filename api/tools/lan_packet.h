// What the wire has to know of IPv4 and TCP (RFC 791, RFC 9293): whom a packet is for, and how a reset looks.
#pragma once

#include <cstdint>
#include <vector>

namespace rhz::tools {

// The last byte of the address, in 10.78.0.0/24; 0: somewhere else.
uint32_t destination_of(const std::vector<uint8_t>& packet);

// What ends the connection that a TCP packet belongs to, at either end of it; empty: it is no TCP, or it begins a connection, or
// ends one by a reset itself.
std::vector<uint8_t> reset_to_sender(const std::vector<uint8_t>& packet);
std::vector<uint8_t> reset_to_receiver(const std::vector<uint8_t>& packet);

// What a bad line, or bad memory on the way, makes of it; `dice`: which bit.  False: there is nothing in it that could be damaged so.
// Anywhere in the segment of TCP, whose checksum then does not fit.
bool flip_a_bit(std::vector<uint8_t>& packet, uint64_t dice);
// In a frame's header (docs/wire.md) that the segment begins with, and the checksum is made to fit: the far side's TCP takes it.  Not in
// magic and version, by which it would be another program's, or another release's, before anything else of it counts.
bool flip_a_bit_of_a_frame(std::vector<uint8_t>& packet, uint64_t dice);

}  // namespace rhz::tools
