// Asks a coordinator how its run is.  One connection, kept, and made again when it was lost; one
// thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "runtime/agreement/message.h"
#include "runtime/loop/asio_loop.h"
#include "runtime/transport/tcp/control_client.h"

namespace rhz::tools {

class StatusClient {
 public:
  // kArgument: no HOST:PORT.  kUnreachable: the name has no address.
  static Result<std::unique_ptr<StatusClient>> open(const std::string& coordinator);

  // The next answer to a question asked now, or why there was none in time (kUnreachable,
  // kVersion).
  Result<StatusReply> ask(Duration patience);

  // The same without blocking: asks whenever no question is open and `pause` has passed since the
  // last one.
  void poll(Duration pause);
  // Of each stage the newest sealed generation, as of the newest answer.
  const std::vector<GenerationRecord>& generations() const { return generations_; }
  // The newest answer, and when it came; not one from before the coordinator was lost.
  const std::optional<StatusReply>& newest() const { return newest_; }
  Time newest_at() const { return newest_at_; }
  bool is_up() const { return client_.is_up(); }

 private:
  StatusClient(std::string name, std::vector<tcp::SocketAddress> addresses);
  void ask_now();

  const std::string name_;
  AsioLoop loop_;
  std::optional<StatusReply> newest_;
  std::vector<GenerationRecord> generations_;
  Status refused_;
  bool asked_ = false;
  Time asked_at_{}, newest_at_{};
  tcp::ControlClient client_;
};

}  // namespace rhz::tools
