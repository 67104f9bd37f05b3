// What a library for fast networks (UCX, libfabric) has to do for lanes: carry messages between
// processes, in order, and end what it was asked to do.  Implemented by a module that is loaded
// only when it is used; this header is all that it shares with the library, and needs nothing of
// it.
//
// Nothing here blocks, and all calls come from one thread at a time.  Callbacks come from inside
// progress() and disconnect() only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rhz::fabric {

// One send under way.  Owned by who asked for it, until ended() was called.
class Request {
 public:
  // The library is through with the memory.  `ok` does not say that the message has arrived.
  virtual void ended(bool ok) = 0;

 protected:
  ~Request() = default;
};

// A message that has arrived, in memory of the module: given back with release().
struct Piece {
  uint64_t tag = 0;
  const std::byte* data = nullptr;
  size_t size = 0;
  void* owner = nullptr;
};

class Sink {
 public:
  virtual void arrived(const Piece& piece) = 0;

 protected:
  ~Sink() = default;
};

struct Link;  // a way to one receiver, the module's own

class Fabric {
 public:
  // Longest message, of this library.
  virtual size_t max_message_bytes() const = 0;
  static constexpr size_t kMaxParts = 2;
  static constexpr size_t kMaxAddressBytes = size_t{16} << 10;

  virtual ~Fabric() = default;

  // Where others reach this one.  Changes with renew().
  virtual std::vector<std::byte> address() = 0;
  // A way to who has this address; null: it cannot be reached by this module.
  virtual Link* connect(std::span<const std::byte> address) = 0;
  // False: all requests of a link have ended when disconnect() returns.  True: they end some time
  // later, so that only memory may be sent that nobody else needs.
  virtual bool needs_copies() const = 0;
  virtual void disconnect(Link* link) = 0;
  // All senders to that receiver share what receives: one that is killed may stop the others, until
  // the receiver has renewed itself.
  virtual bool shares_receiver(Link* link) = 0;
  // Messages of one link carry one tag, and arrive in the order in which they were sent, or the
  // link fails.  The parts are read until the request has ended.
  struct Part {
    const std::byte* data = nullptr;
    size_t size = 0;
  };
  virtual void send(Link* link, uint64_t tag, std::span<const Part> parts, Request* request) = 0;

  // Messages with other tags are dropped.
  virtual void expect(uint64_t tag) = 0;
  virtual void forget(uint64_t tag) = 0;

  // Moves what can be moved; true when there was something.
  virtual bool progress(Sink& sink) = 0;
  virtual void release(const Piece& piece) = 0;

  // What becomes readable when there is something to do, after arm() has returned true.
  // The first one tells of what arrives.
  virtual std::vector<int> event_fds() = 0;
  virtual unsigned generation() const = 0;  // of these descriptors
  virtual bool arm() = 0;
  // Something was not taken and has to be tried again, of which no event tells; all descriptors but
  // the first say nothing meanwhile.
  virtual bool needs_turns() const = 0;

  // Receives anew, under another address: a peer that died in the middle of a message may have left
  // the place where messages arrive in a state in which nobody else's come through.  All pieces
  // have been released before.  False: it cannot be done; nothing is received any more.
  virtual bool renew() = 0;
};

// The module's only function.  `version` is kInterface of who calls, `host` the address to be
// reached at, or empty.  Null: `why` says it, ended by a zero.
inline constexpr uint32_t kInterface = 1;
inline constexpr char kOpenFunction[] = "rhz_fabric_open";
using OpenFunction = Fabric*(uint32_t version, const char* host, char* why, size_t why_bytes);

}  // namespace rhz::fabric
