// One state of the model: every peer, the coordinator's log and its volatile reports, the messages
// in flight.  All of it is bytes without padding: states are compared, hashed and stored as bytes.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "tests/model/config.h"

namespace rhz::model {

constexpr uint8_t to_byte(int value) { return static_cast<uint8_t>(value); }

// A set of numbers 0-7.  Tag keeps peers, ops, chunks and epochs apart.
template <class Tag>
struct Set {
  uint8_t bits;

  static constexpr Set all_below(int count) { return {to_byte((1 << count) - 1)}; }
  static constexpr Set of(int i) { return {to_byte(1 << i)}; }
  static constexpr Set from(int i) { return {to_byte(0xff << i)}; }

  constexpr bool has(int i) const { return (bits >> i & 1) != 0; }
  constexpr bool empty() const { return bits == 0; }
  constexpr int size() const { return std::popcount(bits); }
  constexpr bool contains(Set other) const { return (bits & other.bits) == other.bits; }
  constexpr void add(int i) { bits = to_byte(bits | 1 << i); }
  constexpr void remove(int i) { bits = to_byte(bits & ~(1 << i)); }
  constexpr Set with(int i) const { return {to_byte(bits | 1 << i)}; }
  constexpr Set without(int i) const { return {to_byte(bits & ~(1 << i))}; }

  friend constexpr Set operator&(Set a, Set b) { return {to_byte(a.bits & b.bits)}; }
  friend constexpr Set operator|(Set a, Set b) { return {to_byte(a.bits | b.bits)}; }
  constexpr Set& operator|=(Set other) { return *this = *this | other; }
  constexpr Set& operator&=(Set other) { return *this = *this & other; }
  friend constexpr bool operator==(Set, Set) = default;
};
using PeerSet = Set<struct PeerSetTag>;
using OpSet = Set<struct OpSetTag>;
using ChunkSet = Set<struct ChunkSetTag>;
using EpochSet = Set<struct EpochSetTag>;

struct Value {
  uint8_t lineage;       // epoch of the attempt that made it; 0: none
  PeerSet contributors;  // whose input is in it
  // What it builds on: the lineages of the previous op's chunks, four bits each; where blocks
  // belong to ranks, whose ranks.
  uint8_t basis;
  uint8_t watermark;  // leading ops that were full at all who added to it

  constexpr bool present() const { return lineage != 0; }
  constexpr bool same_result(const Value& other) const {
    return lineage == other.lineage && contributors == other.contributors && basis == other.basis;
  }
};

struct Chunk {
  Value held;  // the result
  // The last partial that this peer sent on.
  PeerSet partial;
  uint8_t partial_basis;
  uint8_t partial_watermark;
};

struct Op {
  uint8_t begun;
  uint8_t released;
  uint8_t freed;       // the wave is known; result and input are gone
  ChunkSet inputs;     // chunks whose input is still present
  EpochSet done;       // epochs for which DONE was sent
  PeerSet lost_done;   // kDropEarlyDone only: whose DONE was dropped
  uint8_t aborted;     // ended by ABORT
  uint8_t failing;     // FAIL raised and not yet answered; kFailVolatile: 2 once it was told
  PeerSet begun_with;  // kLocalParticipants only: the joiners in the view
  uint8_t known;       // needs no chunk, and knows that all who need one hold it
  PeerSet layout;      // the members when it began here: whose ranks its blocks are for
  Chunk chunk[kMaxChunks];
  Value output[kMaxChunks];  // ghost: what was released

  constexpr bool ended() const { return released != 0 || aborted != 0; }
};

struct Peer {
  uint8_t alive;
  uint8_t evicted;
  uint8_t epoch;                  // installed
  uint8_t sealed;                 // sealed for; equal to `epoch` when not frozen
  uint8_t log_cursor;             // how much of the log it has observed
  uint8_t watermark[kMaxGroups];  // largest one proven to it, of each group
  uint8_t synced;                 // of a joiner: 1 + the admit op whose logged state it has
  Op op[kMaxOps];

  constexpr bool live() const { return alive != 0 && evicted == 0; }
  constexpr bool frozen() const { return sealed != epoch; }
};

enum class Decide : uint8_t {
  kRedo,
  kKeep,
  kResume,
  kDrop,   // nobody needs it any more
  kEmpty,  // its only source is dead
};

struct Decision {
  Decide kind;
  uint8_t lineage;
  PeerSet contributors;
  uint8_t holder;
};

enum class RecordType : uint8_t {
  kEmpty,
  kView,
  kResolve,
  kAdmit,         // view: who may enter at that op, with which state
  kNobodyJoined,  // ends the admit op
};

struct LogRecord {
  RecordType type;
  uint8_t epoch;
  PeerSet view;
  OpSet final;
  OpSet aborts;
  OpSet open;                               // with a root, and somebody had begun them
  uint8_t first_op[kMaxGroups][kMaxPeers];  // first_op_seq
  uint8_t admit;              // 1 + the admit op that this record is about, or ends; 0: none
  uint8_t state;              // ADMIT: what the op before was made of, as in Value::basis
  PeerSet answered[kMaxOps];  // members whose FAIL this RESOLVE answers
  Decision decision[kMaxOps][kMaxChunks];
};

struct Report {
  uint8_t begun;
  uint8_t freed;
  uint8_t aborted;
  uint8_t failing;
  uint8_t full;
  PeerSet layout;
  Chunk chunk[kMaxChunks];
};

// Reduce-scatter carries a partial, all-gather a result.
enum class Frame : uint8_t { kNone, kReduce, kGather };

// The order of the fields is the order in which frames are sorted and explored.
struct Message {
  Frame kind;
  uint8_t epoch;
  uint8_t op;
  uint8_t chunk;
  uint8_t source;
  uint8_t destination;
  uint8_t hops_left;
  Value value;
};

// Source of a frame that no longer reads its sender's buffer.
inline constexpr uint8_t kDetached = 15;

struct State {
  Peer peer[kMaxPeers];

  LogRecord log[kMaxLog];
  uint8_t log_size;
  // Volatile state of the coordinator.
  Report report[kMaxPeers][kMaxOps];
  PeerSet reported;
  OpSet told;        // kFailVolatile only: ops whose FAIL the coordinator remembers
  PeerSet synced;    // joiners that have said that they have the logged state
  PeerSet given_up;  // joiners that are gone, late, or could not get it

  Message message[kMaxMessages];
  uint8_t message_count;

  // Faults spent.
  uint8_t crashes;
  uint8_t suspicions;
  uint8_t failovers;
  uint8_t fails;

  OpSet root_had_it;  // ghost: reduce and gather whose root was full
};
static_assert(std::has_unique_object_representations_v<State>, "states are compared as bytes");
static_assert(std::is_trivially_copyable_v<State>);

}  // namespace rhz::model
