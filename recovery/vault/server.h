// A vault as a process serves it: a VaultStore behind the socket, one thread, driven by poll.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "recovery/vault/messages.h"
#include "recovery/vault/socket.h"
#include "recovery/vault/store.h"

namespace rhz::recovery {

struct VaultServerOptions {
  std::string name;  // of the socket
  uint64_t run = 0;  // messages of another run are refused
  StoreLimits limits;
  size_t clients = 1024;  // B1: trainers of this host, and who asks for the list
  // Starts who holds memory of devices, when it is first asked for, and gives the connection to it
  // (start_device_holder).  Null: nobody does.
  std::function<Result<Fd>()> start_holder;
};

class VaultServer {
 public:
  // kAddressInUse: there is a vault of this name.
  [[nodiscard]] static Result<VaultServer> open(VaultServerOptions options);
  // Serves until `stop` is readable.
  Status run(int stop);

 private:
  struct Client {
    Fd socket;
    Fd process;  // a pidfd, which tells its end before its sockets do; invalid: not known
    OwnerId id = kNoOwner;
    uint32_t pid = 0;
    std::optional<VaultMessage> keeping;  // a kKeep whose pieces are on their way
    std::vector<Fd> pieces;
    bool over = false;
  };

  VaultServer(VaultServerOptions options, Fd listening);
  void accept();
  void notice_ends();
  void read(Client& client);
  void heed(Client& client, const VaultMessage& message, std::vector<Fd> fds);
  void collect(Client& client, std::vector<Fd> fds);
  void attach(Client& client, Slot slot);
  void begin(Client& client, const VaultMessage& message);
  void send_snapshot(Client& client, const VaultMessage& message);
  void list(Client& client, Slot first);
  void hold_device(Client& client);
  [[nodiscard]] Result<Fd> device_piece();
  void lose_holder();
  void say(Client& client, VaultMessage message, std::span<const Fd> fds = {});
  void done(Client& client, const Status& status);

  VaultServerOptions options_;
  Fd listening_;
  VaultStore store_;
  Fd holder_;
  std::list<Client> clients_;
  OwnerId next_id_ = 1;
};

}  // namespace rhz::recovery
