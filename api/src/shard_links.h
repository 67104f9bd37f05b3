// Connections to the vaults of other hosts, for whoever protects or restores a stage: requests out,
// replies back to the job that asked.  A vault that does not answer, or cannot be reached, answers
// with kUnreachable; nothing stays open for ever.  Owned by one thread, which runs the loop.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "recovery/shards/vault_messages.h"
#include "runtime/agreement/vaults.h"
#include "runtime/loop/asio_loop.h"
#include "runtime/transport/tcp/control_client.h"

namespace rhz {

class ShardLinks {
 public:
  using Job = uint64_t;
  // Never from inside a call but tick(), or from the loop.
  using OnReply = std::function<void(Job, PeerId vault, const recovery::VaultReply&)>;
  ShardLinks(AsioLoop& loop, std::string run_id, OnReply on_reply);

  // Where vaults are found; once they are complete, links to others go.
  void know(const std::vector<VaultInfo>& vaults, bool complete);
  // Takes a copy of the request's bytes.
  void send(Job job, const recovery::VaultSend& send);
  // Returns when it wants to be called next.
  Time tick(Time now);

 private:
  struct Asked {
    Job job = 0;
    recovery::VaultRequest request;  // without its bytes
    std::vector<std::byte> bytes;    // until it is sent
  };
  struct Link {
    PeerId vault;
    std::unique_ptr<tcp::ControlClient> client;
    std::deque<Asked> waiting, asked;  // not sent yet; sent and not answered: in their order
    Time moved{};                      // when something was heard, or first asked for
    Status refused;                    // not ok: nobody of that id is there
  };
  void open(Link& link, const VaultInfo& info);
  void put_out(Link& link, Asked& asked);
  void up(Link& link);
  void answered(Link& link, ConstBytes bytes);
  void fail(Link& link, const Status& why);

  AsioLoop& loop_;
  const std::string run_id_;
  const uint64_t run_;
  const OnReply on_reply_;
  std::map<PeerId, VaultInfo> known_;
  std::map<PeerId, std::unique_ptr<Link>> links_;
  struct Failed {
    Job job;
    PeerId vault;
    recovery::VaultReply reply;
  };
  std::vector<Failed> failed_;  // to be told by tick()
  Time ticked_{};
};

}  // namespace rhz
