// The real coordinator on a tape of events, with its log.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "runtime/membership/coordinator.h"
#include "tests/explore/event.h"
#include "tests/explore/options.h"

namespace rhz::explore {

// Everything that was ever logged, by content; a log is a list of such numbers.
class Records {
 public:
  uint32_t id_of(const LogEntry& entry);
  const LogEntry& operator[](uint32_t id) const { return all_[id]; }

 private:
  std::vector<LogEntry> all_;
  std::unordered_map<std::string, uint32_t> known_;
};
using Log = std::vector<uint32_t>;

inline constexpr size_t kMaxEpochs = 16;

struct CoordinatorFacts {  // as PeerFacts
  uint8_t members = 0, resolved = 0;
  uint16_t complaint = 0;
  uint32_t epoch = 0;
  int64_t deadline = 0;
  std::array<uint8_t, kMaxEpochs> view{};  // the members of each epoch
  uint64_t log = 0;                        // hash
};

class CoordinatorRig {
 public:
  CoordinatorRig(const Options& options, Messages& messages, Records& records, Log log);
  bool feed(const Event& event, Outs& outs);  // the first one is kStart
  const CoordinatorFacts& facts() const { return facts_; }
  const Log& log() const { return log_; }

 private:
  void settle(Time now, Outs& outs);
  void note(const LogEntry& entry);
  void carry_out(CoordinatorAction&& action, Outs& outs);

  const Options& options_;
  Messages& messages_;
  Records& records_;
  Log log_;
  std::unique_ptr<Coordinator> core_;
  std::array<SessionId, kMaxPeers> session_{};  // 0: none
  SessionId sessions_ = 0;
  CoordinatorFacts facts_;
};

}  // namespace rhz::explore
