#include "runtime/transport/tcp/connection.h"

#include <unistd.h>

#include <asio/posix/stream_descriptor.hpp>
#include <utility>

namespace rhz::tcp {

struct Connection::State {
  explicit State(asio::io_context& context) : socket(context) {}
  asio::posix::stream_descriptor socket;
  Callback readable, writable;
  bool reading = false, writing = false, closed = false;
};

Connection::Connection(AsioLoop& loop, int fd) : state_(std::make_shared<State>(loop.context())) {
  asio::error_code error;
  state_->socket.assign(fd, error);
  if (error) {
    ::close(fd);
    state_.reset();
  }
}

Connection& Connection::operator=(Connection&& other) noexcept {
  close();
  state_ = std::move(other.state_);
  return *this;
}

int Connection::fd() const { return state_ ? state_->socket.native_handle() : -1; }

void Connection::on_ready(Callback readable, Callback writable) {
  state_->readable = std::move(readable);
  state_->writable = std::move(writable);
}

void Connection::want_read() {
  if (!state_ || std::exchange(state_->reading, true)) return;
  state_->socket.async_wait(asio::posix::stream_descriptor::wait_read,
                            [state = state_](asio::error_code) {
                              state->reading = false;
                              if (state->closed) return;
                              // A copy: the callback may be replaced while it runs.
                              const Callback readable = state->readable;
                              readable();
                            });
}

void Connection::want_write() {
  if (!state_ || std::exchange(state_->writing, true)) return;
  state_->socket.async_wait(asio::posix::stream_descriptor::wait_write,
                            [state = state_](asio::error_code) {
                              state->writing = false;
                              if (state->closed) return;
                              const Callback writable = state->writable;
                              writable();
                            });
}

void Connection::close() {
  if (!state_) return;
  state_->closed = true;
  asio::error_code ignored;
  state_->socket.close(ignored);
  state_.reset();
}

}  // namespace rhz::tcp
