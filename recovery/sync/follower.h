// Brings a joiner that has pulled a revision in bulk on to what the members have by now: reads the
// log of updates behind their copies (update_log.h) and hands them out one by one, for the program
// to apply.
//
// Nothing of it has to be right.  What the program makes of its tensors is compared with the
// members' digests at the admit op like anything else (puller.h): an update that was lost, damaged
// or applied in another way costs the pull of the blocks that differ.
//
// One donor at a time, the next one from the same place when it closes, refuses or is silent; each
// once.  A step function, as Puller.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "recovery/sync/messages.h"
#include "recovery/sync/puller.h"
#include "recovery/sync/update_log.h"
#include "runtime/base/types.h"

namespace rhz::recovery {

class Follower {
 public:
  static constexpr Duration kSilence =
      std::chrono::seconds(1);  // a donor that owes an answer so long is given up
  static constexpr Duration kLook =
      milliseconds(5);  // from the end of the log to the next look whether it has grown
  static constexpr size_t kMostAsked = 8;  // pulls without an answer

  // Of the copies of `sync`, which were of `revision`.  `limit_bytes`: a longer update is none. Not
  // while applying().
  [[nodiscard]] SyncActions start(OpSeq sync, uint64_t revision, uint64_t limit_bytes,
                                  std::span<const PeerId> donors, Time now);
  void stop();
  // Somebody is left to ask.
  bool running() const { return donor_ < donors_.size(); }
  bool expects(PeerId from) const { return running() && from == donors_[donor_]; }

  [[nodiscard]] SyncActions handle(PeerId from, ConstBytes payload, Time now);
  [[nodiscard]] SyncActions donor_lost(PeerId donor, Time now);
  [[nodiscard]] SyncActions tick(Time now);
  Time next_tick() const;

  // The update that makes the next revision is here, complete.
  bool has_update() const { return whole_ && !applying_; }
  // Whoever has it brings its memory back by applied(); nothing else comes before that.
  struct Taken {
    uint64_t revision = 0;
    ConstBytes bytes;  // into …
    std::vector<std::byte> memory;
  };
  Taken begin_applying();
  bool applying() const { return applying_; }
  [[nodiscard]] SyncActions applied(Taken&& update, bool well, Time now);

  // Of what was applied, or pulled in bulk.
  uint64_t revision() const { return revision_; }
  // The donor had nothing more when it was asked last, and all that it had is applied.
  bool at_end() const { return at_end_; }
  uint64_t pulled_bytes() const { return pulled_; }

 private:
  SyncActions ask(Time now);
  void begin_update();
  void next_donor(Time now);
  void on_data(const Data& data, Time now);
  bool read_header();
  uint64_t piece_bytes(uint64_t offset) const;

  std::vector<PeerId> donors_;
  size_t donor_ = 0;  // whom we ask
  OpSeq sync_;
  uint64_t revision_ = 0, limit_ = 0;
  uint64_t begin_ = 0;            // of the update that is being read, in the log
  std::vector<std::byte> update_;  // kept from one to the next: new memory is dear
  uint64_t update_bytes_ = 0;     // of it, as far as is known: its header first
  std::deque<uint64_t> missing_;  // pieces of it to be asked for, by where they begin …
  std::vector<uint64_t> asked_;   // … and those that were
  bool whole_ = false, applying_ = false, at_end_ = false;
  Time heard_{}, again_{};  // the donor; when to ask again what it did not have
  uint64_t pulled_ = 0;
};

}  // namespace rhz::recovery
