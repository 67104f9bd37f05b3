// The loop on Asio's io_context.
#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>

#include "runtime/loop/loop.h"

namespace rhz {

class AsioLoop final : public Loop {
 public:
  AsioLoop();
  ~AsioLoop() override;

  Time now() const override;
  bool poll() override;
  void run_until(Time deadline) override;
  void wake() override;

  asio::io_context& context() { return context_; }

 private:
  void wait_for_wake();

  asio::io_context context_;
  asio::posix::stream_descriptor wake_event_;
};

}  // namespace rhz
