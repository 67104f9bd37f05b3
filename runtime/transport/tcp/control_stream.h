// Control messages over one TCP connection: frames of kind CONTROL, each a Cap'n Proto message; on a
// vault's connections also frames of kind VAULT, whose bytes it does not look into.  Both ends use
// it. Owned by ControlClient or ControlServer; one thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "runtime/agreement/message.h"
#include "runtime/transport/tcp/connection.h"
#include "runtime/wire/frame.h"

namespace rhz::tcp {

class ControlStream : public std::enable_shared_from_this<ControlStream> {
 public:
  struct Events {
    std::function<void(ControlMessage&&)> message;
    // The bytes of a VAULT frame, until it returns.  Not set: such a frame ends the connection.
    std::function<void(ConstBytes)> vault;
    // The connection is over: the far side closed it, or what it sent cannot be right (the text
    // says what).
    std::function<void(const Status& why)> closed;
  };
  // `largest`: payloads above it are refused before a byte of them is read.
  ControlStream(Connection&& connection, uint64_t run, uint32_t largest, Events events);

  void start();
  void send(const ControlMessage& message);
  // `head` and `body` as one VAULT frame.
  void send_vault(ConstBytes head, ConstBytes body);
  void set_largest(uint32_t bytes) { largest_ = bytes; }
  // After what was sent has left, or the time is over.
  void finish();
  // At once; no event follows.
  void close();
  bool is_open() const { return static_cast<bool>(connection_); }
  uint64_t queued_bytes() const { return queued_bytes_; }

 private:
  void read_some();
  bool take_messages();
  Status take(const wire::FrameHeader& header, ConstBytes payload);
  void send_frame(wire::Kind kind, ConstBytes head, ConstBytes body);
  void write_some();
  void over(const Status& why);

  Connection connection_;
  const uint64_t run_;  // hash of the run id; 0: any (a tool that only looks)
  uint32_t largest_;
  Events events_;
  std::vector<std::byte> in_;
  size_t in_begin_ = 0, in_end_ = 0;
  std::deque<std::vector<std::byte>> out_;
  size_t out_sent_ = 0;  // of the first one
  uint64_t queued_bytes_ = 0;
  bool writing_ = false, finishing_ = false;
};

}  // namespace rhz::tcp
