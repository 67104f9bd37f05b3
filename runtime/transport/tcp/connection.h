// One non-blocking socket in the loop: tells when it can be read or written.  Bytes go through the
// plain system calls. Owns the socket.  Its callbacks never run after close(), and may close or
// move the connection.
#pragma once

#include <functional>
#include <memory>

#include "runtime/loop/asio_loop.h"

namespace rhz::tcp {

class Connection {
 public:
  using Callback = std::function<void()>;

  Connection() = default;
  Connection(AsioLoop& loop,
             int fd);  // takes the socket; empty when the system refuses to watch it
  Connection(Connection&& other) noexcept = default;
  Connection& operator=(Connection&& other) noexcept;
  ~Connection() { close(); }

  explicit operator bool() const { return state_ != nullptr; }
  int fd() const;
  void on_ready(Callback readable, Callback writable);
  // Each calls back once.
  void want_read();
  void want_write();
  void close();

 private:
  struct State;
  std::shared_ptr<State> state_;  // also held by waits that are under way
};

}  // namespace rhz::tcp
