// Parameters of the all-reduce kernels among devices that map each other's memory, as plain data on
// both sides.
#pragma once

#include <stdint.h>

#define RHZ_PEER_RANKS 8     // at most
#define RHZ_PEER_BLOCKS 128  // at most

enum PeerStatus { kPeerDone = 0, kPeerAborted = 1, kPeerTimedOut = 2 };

struct PeerAllReduce {
  // By rank, as they are mapped here; the own ones are the own memory.
  const void* in[RHZ_PEER_RANKS];
  void* out[RHZ_PEER_RANKS];
  // RHZ_PEER_BLOCKS * RHZ_PEER_RANKS words each, 0 at the beginning: what others have written
  // there.
  uint32_t* flags[RHZ_PEER_RANKS];
  // Where each rank's flags are among the others': the same on all of them, whatever its rank.
  uint32_t place[RHZ_PEER_RANKS];
  uint64_t count;  // elements
  uint32_t rank, ranks;
  uint32_t first_flag;    // three are used, and the next op uses the next three
  float divisor;          // of the sum; 1: none
  uint64_t bound_ns;      // of each wait
  const uint32_t* abort;  // in the host's memory: not 0, and every wait ends
  uint32_t* status;       // likewise: raised to a PeerStatus when a wait ended without its flag
};

// A copy that is made if a word in the host's memory says so when its turn comes; either side may
// be the host's.
struct CopyIf {
  void* to;
  const void* from;
  uint64_t bytes;
  const uint32_t* word;
  uint32_t value;
  uint32_t reserved;
};
