// Listens, and keeps connections that have not said who they are, or whom this side has not been
// told of yet.  A stranger costs a socket and less than 1 KiB, for 5 seconds, and there are at most
// 256 (B1).  Owner: TcpTransport.  Progress thread only.
#pragma once

#include <functional>
#include <list>

#include "runtime/transport/tcp/connection.h"
#include "runtime/transport/tcp/handshake.h"
#include "runtime/transport/tcp/shared.h"
#include "runtime/transport/tcp/socket.h"

namespace rhz::tcp {

class Doorstep {
 public:
  enum class Answer : uint8_t {
    kEnter,   // a peer: take it
    kWait,    // not known: may be named any moment
    kRefuse,  // known, but not wanted any more
  };
  using Ask = std::function<Answer(const LinkHello&)>;
  using Enter = std::function<void(const LinkHello&, Connection&&)>;

  Doorstep(Shared& shared, const Listener& listener, Ask ask, Enter enter);

  // The set of peers has changed: those who wait are looked at again.
  void ask_again();
  void close();
  // Turns away whom nobody named in time.  Returns when to be called next.
  Time tick(Time now);

 private:
  struct Guest {
    Connection connection;
    HelloFrame hello{};
    size_t got = 0;
    bool complete = false;  // all of the hello is here
    Time leave_at{};
  };
  using Guests = std::list<Guest>;

  void accept_some();
  void admit(int fd);
  void read(Guests::iterator guest);
  bool hello_is_fine(Guests::iterator guest);
  void decide(Guests::iterator guest);
  void turn_away(Guests::iterator guest, Refusal refusal, std::string_view why);

  Shared& shared_;
  Connection listener_;
  Ask ask_;
  Enter enter_;
  Guests guests_;  // oldest first
  bool out_of_files_ = false;
};

}  // namespace rhz::tcp
