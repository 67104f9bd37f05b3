// A vault process, asked through its socket.  Connects when it is needed, again after the
// connection was lost.
#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "recovery/vault/messages.h"
#include "recovery/vault/socket.h"
#include "recovery/vault/vault.h"

namespace rhz::recovery {

class VaultClient final : public Vault {
 public:
  // `patience`: of a connect, and of each message.
  VaultClient(std::string name, uint64_t run, Duration patience);

  std::string name() const override { return "the vault " + name_; }
  bool outlives_process() const override { return true; }
  uint64_t incarnation() const override;
  Status keep(Slot slot, std::vector<Fd> pieces) override;
  // Waits, within the patience, for the end of a trainer that was killed just now.
  Result<std::vector<Fd>> attach(Slot slot) override;
  Result<Fd> hold_device() override;
  Status drop(Slot slot) override;
  Result<Fd> begin(Slot slot, const SnapshotInfo& info) override;
  Status seal(Slot slot, uint64_t revision) override;
  Result<Snapshot> read(Slot slot, uint64_t revision) override;
  Result<std::vector<Holding>> list() override;

 private:
  struct Answer {
    VaultMessage message;
    std::vector<Fd> fds;
  };
  // Under mutex_.
  Status connect();
  Status send(VaultMessage message, std::span<const Fd> fds = {});
  Result<Answer> receive();
  // Sends, and receives the answer; a refusal is its status.
  Result<Answer> ask(VaultMessage message, std::span<const Fd> fds = {});
  Result<std::vector<Fd>> attach_once(Slot slot);
  Status lost(const Status& why);

  const std::string name_;
  const uint64_t run_;
  const Duration patience_;
  mutable std::mutex mutex_;
  Fd socket_;
  bool holds_ = false;  // the vault keeps a state for this connection: its end would be taken for
                        // that of the trainer
  Fd retired_;  // such a one, of no further use, until the vault keeps the state for another
  uint64_t connections_ = 0;
  bool waited_ = false;  // for it to come up
};

}  // namespace rhz::recovery
