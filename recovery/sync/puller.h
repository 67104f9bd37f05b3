// Brings a joiner's registered tensors to the state that the log demands (R2), from members that stand at their admit op.
//
// First the manifest, from one donor at a time: its root must be the logged one and follow from its block digests, its tensors
// must be the registered ones.  Then every range whose blocks differ, from all donors in turn.  A range is written only when all
// its blocks have the digests of the manifest, so bytes of another revision never land.  At the end the root of the local tensors
// is computed again; only if it is the logged one the result is Synced.  When a sync fails midway, the tensors hold neither the
// old nor the new state, and State::revision() is empty.
//
// A donor is given up when its peer is lost, it is silent for a while, closes, or sends bytes that do not fit; its ranges go to
// the others.  Long before that, one that answers nothing any more is asked for nothing more, and what it owes is asked of another
// donor as well: whichever answer comes first counts.  The sync fails when nobody is left to ask.
//
// Several joiners at once share the load: each begins with a part of its own, serves what it has checked (find), and asks the
// companion whose part it is before it asks a member.
//
// A step function: no clock, no socket, no thread; actions are plain data, and the work of a call is bounded, so the driver calls
// tick() whenever next_tick() is due.  Progress thread only; `local` outlives it and is used by nobody else while running().
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "recovery/state/manifest.h"
#include "recovery/state/state.h"
#include "recovery/sync/messages.h"
#include "runtime/agreement/record.h"
#include "runtime/base/bytes.h"
#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz::recovery {

struct SendPull {  // the payload of a STATE_PULL frame
  PeerId to;
  PullPayload payload;
};
struct Synced {  // the local tensors are the logged ones
  OpSeq op;
  uint64_t revision = 0;
  Digest root{};
};
struct SyncFailed {
  OpSeq op;
  Status status;
};
// Synced or SyncFailed comes once per start(), last.
using SyncAction = std::variant<SendPull, Synced, SyncFailed>;
using SyncActions = std::vector<SyncAction>;

class Puller {
 public:
  struct Options {
    uint64_t window_bytes = 16u << 20;       // asked for and not answered, over all donors
    uint64_t donor_window_bytes = 8u << 20;  // and of one donor
    Duration silence = std::chrono::seconds(5);  // a donor that owes answers and gives none is lost
    Duration stall = milliseconds(250);          // … and until then, from here on, others are asked too
    Duration busy_pause = milliseconds(20);      // after "busy", until it is asked again
    uint64_t step_bytes = 16u << 20;         // digested per call: about 2 ms
  };
  static constexpr size_t kMaxDonors = 64;     // of a longer list the first ones
  static constexpr size_t kMaxInFlight = 256;  // ranges, for states of many small tensors
  static constexpr uint32_t kMaxCorrupt = 3;   // ranges with wrong bytes, then a donor is given up

  explicit Puller(State& local) : Puller(local, Options{}) {}
  Puller(State& local, Options options);

  // Those who pull the same, this one among them, in one order on all of them.
  struct Company {
    std::span<const PeerId> joiners;
    PeerId self;
  };
  // Begins a sync, forgetting one that was under way.  `donors`: best first, as SYNC_START names them.
  [[nodiscard]] SyncActions start(const AdmitRecord& admit, std::span<const PeerId> donors, Time now,
                                  Company company);
  [[nodiscard]] SyncActions start(const AdmitRecord& admit, std::span<const PeerId> donors, Time now) {
    return start(admit, donors, now, {{}, {}});
  }
  // Synced leaves State::revision() empty: the caller has more to do before the tensors are of one.
  void set_leaves_revision(bool leaves) { leaves_revision_ = leaves; }
  // A sync fails at the first difference, and writes nothing.
  void set_read_only(bool read_only) { read_only_ = read_only; }
  // What a companion asks for: kBusy where it is not here yet, kClosed where it is of no sync that can be served.  Also behind
  // Synced, until start() or cancel().
  DataStatus find(const Pull& pull, ConstBytes& bytes) const;
  // The payload of a STATE_DATA frame.  Nothing in it refers to `payload` afterwards.
  [[nodiscard]] SyncActions handle(PeerId from, ConstBytes payload, Time now);
  [[nodiscard]] SyncActions donor_lost(PeerId donor, Time now);
  [[nodiscard]] SyncActions tick(Time now);
  // When tick() is due; the time of the last call when there is work that waits for nobody; kNever when idle.
  Time next_tick() const;
  // Ends a sync without a result.
  void cancel();

  bool running() const { return phase_ != Phase::kIdle; }
  // Whether an answer of this peer is awaited; a STATE_DATA frame of others is not worth a buffer.
  bool expects(PeerId from) const;

  struct Counters {  // of the sync begun last
    uint64_t fetched_bytes = 0;    // written into the tensors
    uint64_t equal_bytes = 0;      // were there already
    uint64_t manifest_bytes = 0;
    uint64_t corrupt_ranges = 0;   // refused: not the logged bytes
    uint64_t asked_twice = 0;      // ranges that a stalled donor owed
    uint64_t ignored = 0;          // duplicate, late or foreign answers
    uint32_t donors_lost = 0;
  };
  const Counters& counters() const { return counters_; }

 private:
  enum class Phase { kIdle, kManifest, kRanges, kVerify };
  static constexpr size_t kNobody = SIZE_MAX;
  struct DonorState {
    PeerId id;
    size_t place = kNobody;  // of a companion, among the joiners
    bool live = true;
    uint32_t corrupt = 0;
    uint64_t asked_bytes = 0;       // in flight
    bool owes = false;              // answers that are not needed any more, since another donor gave them
    Time heard{};                   // last useful answer, or when it was first asked since
    Time busy_since = kNever;       // said "busy", and nothing useful since
    Time busy_until{};              // not asked before
  };
  struct Range {
    uint32_t tensor = 0;
    uint64_t offset = 0;
    uint32_t length = 0;
    size_t avoid = kNobody;  // donor that sent wrong bytes for it
  };
  struct Asked {
    size_t donor = 0;
    Pull pull;
    bool twice = false;  // of two donors
  };

  // Events (puller_events.cc).
  void on_data(size_t donor, const Data& data, Time now);
  void on_manifest_piece(size_t donor, ConstBytes bytes);
  void on_range(size_t donor, const Pull& pull, ConstBytes bytes);
  void on_busy(size_t donor, const Pull& pull, Time now);
  void give_up(size_t donor, Status why);
  size_t find_donor(PeerId id) const;
  bool blocks_fit(const Pull& pull, ConstBytes bytes) const;

  // Donors that keep us waiting (puller_patience.cc).
  bool waited_for(const DonorState& donor) const { return donor.asked_bytes > 0 || donor.owes; }
  bool stalled(const DonorState& donor, Time now) const;
  void give_up_silent(Time now);
  void ask_again(Time now, SyncActions& out);
  void drop_twins(const Pull& pull);
  void want_again(const Pull& pull, size_t avoid);
  bool next_manifest_donor(Time now);
  uint64_t asked_bytes(Time now) const;
  size_t asked_ranges(Time now) const;

  // Progress: what can be done now (puller.cc).
  SyncActions proceed(Time now);
  void ask_manifest(Time now, SyncActions& out);
  void ask_ranges(Time now, SyncActions& out);
  bool scan(uint64_t& budget);
  void begin_ranges();
  void finish();
  uint64_t part_bytes() const;
  size_t companion_for(const Range& range, Time now) const;
  bool has_room(size_t donor, Time now) const;
  bool some_member() const;
  void verify(SyncActions& out);
  void send(size_t donor, const Pull& pull, Time now, SyncActions& out);
  size_t pick_donor(const Range& range, Time now) const;
  size_t live_donors() const;
  void fail(Status status, SyncActions& out);

  State& local_;
  const Options options_;
  Phase phase_ = Phase::kIdle;
  AdmitRecord admit_;
  std::vector<DonorState> donors_;
  std::vector<Asked> asked_;
  std::vector<std::byte> manifest_text_;  // received so far
  size_t manifest_donor_ = 0;             // all of it comes from one donor
  Manifest manifest_;
  size_t joiners_ = 1, place_ = 0;        // how many pull the same, and which of them this is
  bool leaves_revision_ = false;
  bool read_only_ = false;
  uint32_t scan_tensor_ = 0;              // local blocks are compared from here on, round to the beginning of the own part …
  uint64_t scan_offset_ = 0;
  uint64_t scan_left_ = 0;                // … bytes
  std::deque<Range> wanted_;              // these differ, and nobody has been asked for them
  OpSeq served_ = kNoOp;                  // companions get of this sync …
  std::vector<std::vector<bool>> here_;   // … these blocks, by tensor: checked
  std::vector<uint64_t> before_;          // bytes of all tensors before this one
  size_t next_donor_ = 0;
  std::optional<ManifestBuilder> check_;  // of the local tensors, at the end
  Status why_;                            // the last donor was given up
  bool more_work_ = false;
  Time now_{};
  Counters counters_;
};

}  // namespace rhz::recovery
