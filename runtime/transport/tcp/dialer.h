// One attempt to reach a peer: its addresses in turn, each with connect, hello and the wait for the
// answer. Owner: OutLane.  Progress thread only.
#pragma once

#include <functional>
#include <memory>

#include "runtime/transport/tcp/connection.h"
#include "runtime/transport/tcp/handshake.h"
#include "runtime/transport/tcp/peer_addresses.h"
#include "runtime/transport/tcp/shared.h"

namespace rhz::tcp {

class Dialer {
 public:
  enum class Outcome : uint8_t {
    kAnswered,  // take_connection() stands, consumed() is where the lane goes on
    kGone,      // every address refused the connection, or another process answered there
    kFailed,    // anything else: worth another attempt
  };
  using Done = std::function<void(Outcome)>;

  Dialer(Shared& shared, Done done) : shared_(shared), done_(std::move(done)) {}

  // Drops an attempt that is under way.  Calls `done` once, possibly from inside; that may start
  // the next attempt.
  void start(const LinkHello& hello, std::shared_ptr<PeerAddresses> addresses);
  void cancel();
  Connection take_connection() { return std::move(connection_); }
  uint64_t consumed() const { return consumed_; }
  // Gives up an address that does not answer.  Returns when to be called next.
  Time tick(Time now);

 private:
  enum class Stage : uint8_t { kIdle, kConnecting, kAwaitingAnswer };
  void try_address();
  void next_address(bool refused);
  void connected();
  void read_answer();
  void judge_answer();
  void finish(Outcome outcome);

  Shared& shared_;
  std::shared_ptr<PeerAddresses> addresses_;
  Done done_;
  Stage stage_ = Stage::kIdle;
  HelloFrame hello_{};
  Connection connection_;
  size_t index_ = 0;         // of the address being tried
  bool all_refused_ = true;  // so far
  bool odd_before_ = false;  // the answer before, too, was of another protocol or version
  Time give_up_at_ = kNever;
  std::array<std::byte, wire::kHeaderBytes> answer_{};
  size_t answered_ = 0;
  uint64_t consumed_ = 0;
};

}  // namespace rhz::tcp
