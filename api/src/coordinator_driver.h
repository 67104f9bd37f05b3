// Runs a Coordinator for real: a control port, a decision log, a thread of its own.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "runtime/agreement/view.h"
#include "runtime/base/status.h"

namespace rhz {

struct CoordinatorOptions {
  std::string listen = "127.0.0.1:0";
  std::string log_path;  // empty: in memory
  RunConfig config;
};

class CoordinatorDriver {
 public:
  static Result<std::unique_ptr<CoordinatorDriver>> start(const CoordinatorOptions& options);
  ~CoordinatorDriver();

  const std::string& address() const { return address_; }
  // Blocks until it stopped by itself (its log failed) or stop() was called; then why.
  Status wait();
  // Asks it to stop and returns at once: for another thread than the one in wait().
  void ask_stop();
  void stop();

 private:
  struct Engine;
  explicit CoordinatorDriver(std::unique_ptr<Engine> engine);

  std::unique_ptr<Engine> engine_;
  std::string address_;
  std::jthread thread_;
};

}  // namespace rhz
