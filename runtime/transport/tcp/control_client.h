// A peer's (or a tool's) connection to the coordinator: connects, and connects again whenever it
// was lost.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/transport/tcp/address.h"
#include "runtime/transport/tcp/control_stream.h"
#include "runtime/transport/tcp/tcp_options.h"

namespace rhz::tcp {

// Address of this host from which `to` is reached, without port; empty when there is no way.
std::string local_host_towards(const SocketAddress& to);

class ControlClient {
 public:
  struct Events {
    std::function<void()> up;
    std::function<void(ControlMessage&&)> message;
    std::function<void()> down;
    std::function<void(ConstBytes)> vault = {};  // as in ControlStream
  };
  // `addresses`: what the coordinator's name resolves to, not empty.
  ControlClient(AsioLoop& loop, std::vector<SocketAddress> addresses, uint64_t run, Events events);
  ~ControlClient();

  void start(Time now);
  void stop();
  void send(const ControlMessage& message);
  void send_vault(ConstBytes head, ConstBytes body);
  bool is_up() const { return stream_ != nullptr; }
  // Gives the connection up, as if the far side had closed it, and dials again.
  void drop(Status why);
  // All addresses have refused the newest attempts: nobody listens there.
  bool refused() const { return refusals_ >= addresses_.size(); }
  // Why it is down; ok while it was never tried.
  const Status& last_error() const { return last_error_; }
  // Returns when it wants to be called next.
  Time tick(Time now);

 private:
  void dial(Time now);
  void dialled();
  void failed(Status why);

  AsioLoop& loop_;
  const std::vector<SocketAddress> addresses_;
  const uint64_t run_;
  Events events_;
  size_t next_address_ = 0;
  size_t refusals_ = 0;  // in a row
  Connection dialling_;
  std::shared_ptr<ControlStream> stream_;
  bool running_ = false;
  Time retry_at_ = kNever, dial_until_ = kNever;
  Duration pause_{};
  Status last_error_;
};

}  // namespace rhz::tcp
