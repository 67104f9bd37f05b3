// Who plays: the coordinator and the trainers, as child processes, and what each has said so far.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/tools/child.h"
#include "api/tools/status_client.h"

namespace rhz::demo {

struct DemoOptions {
  std::string rhizome, trainer;  // programs
  uint32_t steps = 240, min_step_ms = 150, peers = 4, suspicion_ms = 1000;
  uint32_t limit_s = 175;
  std::vector<std::string> data;
  uint64_t seed = 0;
  bool plain = false;
};

// The line `final …` of a trainer.
struct Final {
  uint64_t step = 0, failed_ops = 0;
  double loss = 0, first_loss = 0;
  std::string digest;
};

struct Trainer {
  enum class State : uint8_t { kStarting, kTraining, kFrozen, kOut, kKilled, kEnded };
  std::string name;
  State state = State::kStarting;
  tools::Child child;
  uint32_t slot = 0, world = 0;
  uint64_t step = 0, epoch = 0;
  double loss = 0, op_ms = 0;
  uint64_t rebuilds = 0;  // of all its steps
  uint64_t line_ns = 0,
           epoch_ns = 0;  // when the last step was told; when the first one of its epoch was
  uint64_t reduces_step = 0;  // whose all-reduce it has begun
  uint64_t joined_ns = 0;
  uint32_t joins = 0, evictions = 0, retries = 0;
  std::optional<Final> final_line;
  std::optional<int> wait_status;
  std::string last_words;  // what it said that was no report

  bool lives() const { return state != State::kKilled && state != State::kEnded; }
  bool trains() const { return state == State::kTraining; }
  bool reduces() const { return trains() && reduces_step > step; }
};

class Cast {
 public:
  Cast(const DemoOptions& options, std::string folder);

  // The coordinator.  start: on the port it had before, if it had one.
  Status start_coordinator();
  void kill_coordinator();
  bool coordinator_lives() const { return coordinator_.pid > 0; }
  bool coordinator_listens() const { return coordinator_listens_; }
  const std::string& coordinator_said() const { return coordinator_said_; }

  Result<size_t> start_trainer();
  std::vector<Trainer>& trainers() { return trainers_; }
  const std::vector<Trainer>& trainers() const { return trainers_; }
  void signal(size_t trainer, int signal);

  // Waits up to `ms` for somebody to say something or to end, and takes note of it.
  void listen(int ms);
  // What the coordinator answered last; nothing while it is away.
  const std::optional<StatusReply>& status() const;
  uint64_t front_step() const;  // the furthest trainer's
  size_t training() const;      // how many

 private:
  void said(Trainer& trainer, std::string_view line);
  void report(Trainer& trainer, std::string_view line);
  void reap();

  const DemoOptions& options_;
  const std::string folder_;
  tools::Child coordinator_;
  bool coordinator_listens_ = false;
  std::string address_, coordinator_said_;
  std::unique_ptr<tools::StatusClient> status_;
  std::vector<Trainer> trainers_;
};

}  // namespace rhz::demo
