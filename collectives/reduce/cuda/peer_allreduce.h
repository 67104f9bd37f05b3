// Parameters of the all-reduce kernels among devices that map each other's memory, as plain data on
// both sides (docs/gpu.md, "Kernels").
#pragma once

#include <stdint.h>

#define RHZ_PEER_RANKS 8     // at most
#define RHZ_PEER_BLOCKS 128  // at most

// How a kernel's work ended, once all of its blocks have.  Each implies what is behind it.
enum PeerEnd {
  kPeerRuns = 0,
  kPeerPassed =
      1,  // all blocks have passed the last meeting: every rank's kernel has arrived there
  kPeerArrived = 2,  // all blocks have arrived there: the own result is complete
  kPeerStopped = 3
};

// What the host says to a kernel that did not pass, and holds its stream.
enum PeerOrder {
  kPeerHold = 0,
  kPeerGoOn = 1,  // the op is over
  kPeerGive = 2,  // the input to the host's memory; then it waits for another order
  kPeerTake = 3   // the result from there
};

// Of `done`: the host has said nothing for too long, and the stream went on without it.
#define RHZ_PEER_LEFT 2

// A flag: the step, of 24 bits that count on from op to op, and 40 of what the ranks have to agree
// in.
#define RHZ_PEER_TAG_BITS 40
#define RHZ_PEER_STEPS 4  // of an op: three meetings, and that it stopped

// What is pushed goes in lines of 16 bytes, 12 of data and the number of the op.  A thread has up
// to so many packs of 16 bytes, and one line more.
#define RHZ_PEER_PUSH_PACKS 3
// Lines of a slot, which ranks share among them: 512 KiB of each of two.  B1: the slot of an op is
// that of the op so many before.
#define RHZ_PEER_SLOT_LINES 90112
#define RHZ_PEER_SLOTS 4

struct PeerAllReduce {
  // By rank, as they are mapped here; the own ones are the own memory.
  const void* in[RHZ_PEER_RANKS];
  void* out[RHZ_PEER_RANKS];
  // RHZ_PEER_BLOCKS * RHZ_PEER_RANKS words each, 0 at the beginning: what others have written
  // there.
  uint64_t* flags[RHZ_PEER_RANKS];
  // Where each rank's flags are among the others': the same on all of them, whatever its rank.
  uint32_t place[RHZ_PEER_RANKS];
  // Likewise, of pushes: so many lines for each rank, by place.
  uint64_t* slots[RHZ_PEER_RANKS];
  uint32_t slot_lines;
  uint64_t count;  // elements
  uint32_t rank, ranks;
  uint32_t
      first_flag;      // RHZ_PEER_STEPS are used, and the next op on these flags uses the next ones
  float divisor;       // of the sum; 1: none
  uint64_t tag;        // RHZ_PEER_TAG_BITS of it count
  uint64_t bound_ns;   // of each wait for another rank
  uint32_t push_flag;  // another one for each op
  uint32_t slot_before;  // so many ops had the slot before
  // On the own device.
  uint64_t* ended_blocks;  // 0 before and after
  uint32_t* slot_over;     // so many of them are over; 0 at the beginning
  // In the host's memory.
  const uint32_t* abort;  // not 0: every wait ends
  const uint32_t* order;  // a PeerOrder
  uint32_t* ended;        // becomes a PeerEnd
  uint32_t* given;        // becomes 1: the input is there
  uint32_t* done;         // of a kernel that held the stream: becomes 1, or RHZ_PEER_LEFT
  // Of a kernel that holds the stream.
  uint64_t hold_ns;  // at most
  uint64_t bytes;
  const void* input;  // as it was before the op
  void* host_in;
  const void* host_out;
};
