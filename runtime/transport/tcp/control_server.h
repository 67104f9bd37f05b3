// The coordinator's control port: accepts sessions, numbers them, and closes strangers that say
// nothing (B1).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "runtime/transport/tcp/control_stream.h"
#include "runtime/transport/tcp/socket.h"

namespace rhz::tcp {

class ControlServer {
 public:
  using SessionId = uint64_t;
  struct Events {
    std::function<void(SessionId, ControlMessage&&)> message;
    std::function<void(SessionId)> closed;
    std::function<void(SessionId, ConstBytes)> vault = {};  // as in ControlStream; only who is known may
  };
  ControlServer(AsioLoop& loop, const Listener& listener, uint64_t run, Events events);

  void send(SessionId session, const ControlMessage& message);
  void send_vault(SessionId session, ConstBytes head, ConstBytes body);
  // After what was sent before has left.
  void close(SessionId session);
  void close_all();
  // Returns when it wants to be called next.
  Time tick(Time now);
  uint64_t refused() const { return refused_; }

 private:
  struct Session {
    std::shared_ptr<ControlStream> stream;
    bool known = false;  // has said something that makes sense
    Time deadline{};     // to say it, or to read the last words
  };
  using Sessions = std::map<SessionId, Session>;
  void accept_some();
  void drop_oldest_stranger();
  void drop_stranger(Sessions::iterator at);

  AsioLoop& loop_;
  Connection listener_;
  const uint64_t run_;
  Events events_;
  Sessions sessions_;
  SessionId next_session_ = 1;
  uint64_t refused_ = 0;
  bool accept_again_ = false;  // the process was out of file descriptors
};

}  // namespace rhz::tcp
