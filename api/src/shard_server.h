// A vault's side of shards: a port on which trainers of all hosts put and get them (ShardStore),
// and a connection to the coordinator, by which the whole run knows of this vault.  A thread of its
// own.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "runtime/base/status.h"
#include "runtime/base/types.h"

namespace rhz {

struct ShardServerOptions {
  std::string coordinator, run_id = "default";
  std::string host, rack;  // failure domains; rack may be empty
  std::string listen;      // ADDR[:PORT]; empty: the side towards the coordinator
  std::string advertise;   // empty: where it listens
  uint64_t limit_bytes = 0;
};

class ShardServer {
 public:
  // kArgument, kUnreachable: no such coordinator address.  kAddressInUse, kIo: of the port.
  static Result<std::unique_ptr<ShardServer>> start(const ShardServerOptions& options);
  ~ShardServer();
  // What others connect to.
  const std::string& address() const { return address_; }

 private:
  struct Engine;
  explicit ShardServer(std::unique_ptr<Engine> engine);

  std::unique_ptr<Engine> engine_;
  std::string address_;
  std::jthread thread_;
};

}  // namespace rhz
