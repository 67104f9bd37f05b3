// Runs a ShardKeeper for real: what the run says comes in from the loop's owner, a thread of its
// own codes, sends and asks, and lets collectives go first.  The thread begins when there is
// anything for it to do: a program without shards has none.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "api/src/closed.h"
#include "api/src/node.h"
#include "api/src/shard_links.h"
#include "api/src/state_keeper.h"
#include "recovery/shards/shard_keeper.h"
#include "runtime/observe/recorder.h"

namespace rhz {

class ShardDriver {
 public:
  struct Surroundings {
    std::string next_source;     // for the text of a loss
    std::function<bool()> busy;  // whether collectives are open now; from any thread
    // Through the member; from the driver's thread.
    std::function<void(Epoch, GenerationRecord)> propose;
    std::function<void(LogLevel, const std::string&)> note;
  };
  ShardDriver(PeerId self, std::string run_id, Surroundings around);
  ~ShardDriver() { stop(); }

  // Any thread; never blocks for longer than a mutex.
  void news(ShardNews news);

  // What is protected: called on the driver's thread until it is not kPending.  It calls `next`
  // between pieces, and ends when that is false.
  using Source = StateKeeper::Source;
  using Read = std::function<Result<Source>(const std::function<bool()>& next)>;
  struct Request {
    uint32_t stage = 0;
    StageSlots slots;
    uint32_t data_shards = 0, parity_shards = 0;
    Read read;
  };
  // kState: one is under way, or no view is known yet.  kClosed: after stop().
  Status protect(Request request);
  // Waits until none is under way; the outcome of the newest one.  kPending: the time was over.
  Status wait(Duration timeout);

  // What is known of a stage's newest generation, and of the revision before; nothing: there is
  // none.
  struct Known {
    GenerationRecord record;
    recovery::Standing standing;
    uint64_t before = 0;  // 0: none
    recovery::Standing standing_before;
  };
  std::optional<Known> known(uint32_t stage);
  // Of all stages, the newest behind the one before it; and the vaults that live.
  std::pair<std::vector<GenerationRecord>, std::vector<PeerId>> seen();

  void stop();

 private:
  struct Inbox {  // only what is newest, so that it cannot grow
    std::optional<View> view;
    std::optional<VaultsMessage> vaults;
    std::map<uint32_t, GenerationRecord> generations;
    std::map<uint32_t, ProposalRefusedMessage> refusals;
    bool empty() const { return !view && !vaults && generations.empty() && refusals.empty(); }
  };
  void start_thread();
  void run();
  void serve();
  void take_news();
  Time begin();
  bool carry_out();
  bool step();
  void protected_now(const Status& status);
  bool pace();

  const PeerId self_;
  const Surroundings around_;
  AsioLoop loop_;
  ShardLinks links_;              // the thread's
  recovery::ShardKeeper keeper_;  // the thread's
  Time piece_began_{};            // the thread's

  std::mutex mutex_;
  std::condition_variable changed_;
  Inbox inbox_;                                       // under mutex_
  std::optional<Request> request_;                    // under mutex_: not begun
  bool working_ = false;                              // under mutex_: a revision is under way
  Status over_ = closed_status();  // under mutex_: why it was stopped
  Status outcome_;                                    // under mutex_
  bool in_run_ = false;                               // under mutex_: a view is known
  std::map<uint32_t, GenerationRecord> generations_;  // under mutex_: the newest ones …
  std::map<uint32_t, GenerationRecord> before_;       // … and of the revisions before
  std::vector<PeerId> living_;                        // under mutex_
  std::atomic<int> waiting_{0};
  std::atomic<bool> stop_{false};
  std::jthread thread_;  // under mutex_
};

}  // namespace rhz
