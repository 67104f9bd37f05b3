// One op of a peer under faults: its buffers, filled so that each element tells whose it is, and what came of it.
//
// Element i of what slot s gives to an op is word(id, s, i); a result is the sum, modulo 2^64, of the words of those whom the library names
// as its contributors: of one of them where nothing is reduced, of nobody, thus zero, where a block is lost.  Sums over different
// sets of slots differ.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rhizome/rhizome.h"
#include "tests/integration/blocks.h"

namespace rhz::test {

// A peer as a communicator's ranks see it.
struct Place {
  uint32_t slot = 0, rank = 0, world = 1;
};

class PeerOp {
 public:
  // Behind all-reduce in the order of Exchange.
  enum Kind : uint32_t { kAllReduce, kBroadcast, kReduce, kAllGather, kReduceScatter, kGather, kScatter, kAllToAll, kSend, kRecv };
  static constexpr uint32_t kCollectives = kSend;
  static bool has_root(Kind kind) { return kind == kBroadcast || kind == kReduce || kind == kGather || kind == kScatter; }

  // A collective of about so many words on each rank at most; `id` draws all of it, on all ranks alike.
  PeerOp(Kind kind, uint64_t id, const Place& place, uint64_t most_words);
  // A message to, or from, a slot.
  PeerOp(Kind kind, uint64_t id, uint32_t own_slot, uint32_t other_slot, uint64_t most_words);
  PeerOp(const PeerOp&) = delete;
  PeerOp& operator=(const PeerOp&) = delete;
  ~PeerOp();

  rhz_status submit(rhz_comm* comm);
  // Waits for its end, and compares every element that it wrote, or was only lent.  Its outcome.
  rhz_status finish();
  // For a line of the ledger (api/tools/chaos_ledger.h), once nobody can get another result; empty where it is another one by then.
  std::string final_text();
  // What all ranks of a collective have alike.
  uint64_t made() const { return made_; }

 private:
  bool is_root() const { return place_.slot == root_; }
  bool is_message() const { return kind_ >= kCollectives; }
  bool reduces() const { return kind_ == kAllReduce || kind_ == kReduce || kind_ == kReduceScatter; }
  bool has_all_blocks() const { return kind_ >= kAllGather && kind_ <= kAllToAll; }  // on some rank
  Exchange exchange() const { return static_cast<Exchange>(kind_ - kBroadcast); }
  uint32_t blocks_given() const;
  uint32_t blocks_got() const;
  uint64_t first_word() const;
  void fill();
  void look(std::string& contributors);
  void look_at_message(uint64_t bytes);

  const Kind kind_;
  const uint64_t id_;
  const Place place_;
  const uint32_t root_;  // or the other side of a message
  uint64_t count_ = 0;   // words of a block
  bool in_place_ = false;
  std::vector<uint64_t> send_, recv_;
  rhz_op* op_ = nullptr;
  rhz_status status_ = RHZ_PENDING;
  uint64_t wrong_ = 0, made_ = 0;
  std::string text_;
};

}  // namespace rhz::test
