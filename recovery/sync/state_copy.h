// A copy of the registered tensors as they are at an admit op, for newcomers who pull it while the members go on.
//
// The member gets the memory (make_room) while it goes on, copies while it stands at the op (begin, then copy until it is complete),
// goes on, and serves the copy (open) until nobody has asked for a while.  So a newcomer is served one revision, however often the tensors change meanwhile, and what it
// pulls is checked against that revision's manifest like anything else.  The copy costs the state's size once more.
//
// A step function, as Donor: progress thread only.  It lets collectives go first: see handle().
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "recovery/state/state.h"
#include "recovery/sync/donor.h"
#include "recovery/sync/page_maker.h"
#include "recovery/sync/update_log.h"
#include "runtime/base/status.h"

namespace rhz::recovery {

class StateCopy {
 public:
  // Nobody asked for so long: the copy goes.
  static constexpr Duration kIdle = std::chrono::seconds(10);
  // While collectives are open, one pull is answered every so often: a megabyte, so that a newcomer gets on even where they
  // never pause, and takes no more than a third of a link of 1 Gbit/s from them.
  static constexpr Duration kYield = milliseconds(30);
  static constexpr size_t kMaxHeld = 1024;  // pulls that wait for that; more are dropped, the puller's deadline covers them

  // `pages` outlives it; null: pages are made as the copy is.
  explicit StateCopy(BufferPool& pool, PageMaker* pages = nullptr) : donor_(pool), pages_(pages) {}
  ~StateCopy() { close(); }
  StateCopy(const StateCopy&) = delete;
  StateCopy& operator=(const StateCopy&) = delete;

  // For a copy of this state (tensors that are frozen), in the place of an older one.  kMemory.
  [[nodiscard]] Status make_room(const State& state);
  bool has_room() const { return memory_ && !from_; }
  // Nothing has to be waited for before begin().
  bool room_ready() const { return has_room() && (!pages_ || pages_->ready()); }
  // Into the room that was made, or with a new one.  kMemory.  `state` does not change until copy() says true, or close().
  [[nodiscard]] Status begin(const State& state);
  // About so many bytes more; true when all of it is here.
  bool copy(uint64_t budget_bytes);
  bool copying() const { return from_ && copied_ < bytes_; }
  // Goes on where `live` stops, which served the state that was copied.  `most_recorded`: bytes of updates that are kept.
  void open(Donor& live, Time now, uint64_t most_recorded);
  void close();
  bool is_open() const { return donor_.is_open(); }
  OpSeq sync() const { return donor_.sync(); }

  // Takes a STATE_PULL; the answers come from answer().
  void handle(PeerId from, ConstBytes payload, Time now);
  // The next answer that may go now; empty: none.  `busy`: collectives are open here, or the copy is being made: then `live` gives
  // the answers, which still has the same bytes.
  [[nodiscard]] std::optional<SendData> answer(Time now, bool busy, Donor* live = nullptr);
  // What made the revision that is committed next out of the one before: of the revision behind the copied one first, and without a
  // gap.  Newcomers get it for as long as the copy is here.  The first call says how long it is, and gives memory for it, whose pages
  // are there already where the one before was no shorter; none where nobody would be given the update.
  [[nodiscard]] std::optional<Update> update_memory(uint64_t bytes);
  void record(Update update);

  // Closes when it is time; when to call this, or answer(), next.
  Time tick(Time now);

  const Donor::Counters& counters() const { return donor_.counters(); }

 private:
  struct Held {
    PeerId from;
    std::vector<std::byte> payload;
  };

  Status map(uint64_t bytes);
  void make_spare();
  void end_pages();
  std::optional<SendData> give(const Held& held, Donor* live);

  Donor donor_;
  PageMaker* const pages_;
  std::optional<State> copy_;
  UpdateLog updates_;  // since it was taken
  Update spare_;       // for the next one: a trainer waits for that copy, and should not for pages as well
  uint64_t usual_ = 0;         // bytes of the newest one
  bool making_spare_ = false;  // its pages
  const State* from_ = nullptr;  // null: there is no copy, but perhaps the room for one
  std::byte* memory_ = nullptr;
  uint64_t bytes_ = 0, copied_ = 0;  // of the mapping, and of the tensors one behind the other
  size_t tensor_ = 0;
  uint64_t offset_ = 0;  // in that tensor: what comes next
  Time asked_{}, answered_ = -kYield;
  std::deque<Held> held_;
};

}  // namespace rhz::recovery
