// Lanes over libfabric: messages between endpoints of the kind FI_EP_RDM.  There is no way to take
// a send back that is under way, so what is sent is always a copy of the runtime's own: FI_INJECT promises
// that the provider has taken one, but RxM of libfabric 1.17 goes on reading the caller's memory.
//
// Messages are short enough to be sent eagerly everywhere.  A longer one is fetched by its
// receiver, into memory that stays lost when the sender dies meanwhile; and an endpoint with such a
// receive cannot be closed (libfabric 1.17 crashes in fi_close).  Short ones also arrive in order,
// but no provider promises that they are complete in order: each carries a number.
#pragma once

#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "runtime/transport/fabric/fabric.h"

namespace rhz::ofi {

class OfiFabric final : public fabric::Fabric {
 public:
  OfiFabric();
  ~OfiFabric() override;
  // Empty: it works; else why it does not.
  std::string open(const std::string& host);

  std::vector<std::byte> address() override { return address_; }
  fabric::Link* connect(std::span<const std::byte> address) override;
  size_t max_message_bytes() const override { return message_bytes_ - sizeof(Prefix); }
  bool needs_copies() const override { return true; }
  void disconnect(fabric::Link* link) override;
  bool shares_receiver(fabric::Link*) override { return false; }
  void send(fabric::Link* link, uint64_t tag, std::span<const Part> parts,
            fabric::Request* request) override;
  void expect(uint64_t tag) override;
  void forget(uint64_t tag) override;
  bool progress(fabric::Sink& sink) override;
  void release(const fabric::Piece& piece) override;
  std::vector<int> event_fds() override;
  unsigned generation() const override { return 1; }
  bool arm() override;
  bool needs_turns() const override { return !waiting_.empty(); }
  bool renew() override { return true; }  // nothing is shared

 private:
  // Of a message: what is wanted, and what every provider sends eagerly.
  static constexpr size_t kBufferBytes = size_t{64} << 10;
  static constexpr size_t kLeastBytes = size_t{16} << 10;
  struct Peer;
  struct Operation;
  struct Prefix {
    uint64_t tag = 0;
    uint64_t number = 0;  // of the message in its link, from 0
  };
  struct Order {
    uint64_t next = 0;
    std::map<uint64_t, fabric::Piece> early;
  };

  std::string open_endpoint();
  bool start(Operation& sending);
  bool post_receive();
  void ended(Operation& operation, bool ok, size_t bytes);
  void received(Operation& receive, size_t bytes);
  bool read_completions();
  bool start_waiting();
  Operation& idle_operation(bool receive);

  fi_info* info_ = nullptr;
  size_t message_bytes_ = kLeastBytes;
  fid_fabric* fabric_ = nullptr;
  fid_domain* domain_ = nullptr;
  fid_av* addresses_ = nullptr;
  fid_cq* completions_ = nullptr;
  fid_ep* endpoint_ = nullptr;
  std::vector<std::byte> address_;
  std::unordered_set<Peer*> peers_;
  std::unordered_set<Peer*> waiting_;  // with messages that were not taken
  std::vector<std::unique_ptr<Operation>> operations_;
  std::vector<Operation*> idle_sends_, idle_receives_;
  size_t posted_ = 0;                           // receives
  std::unordered_map<uint64_t, Order> orders_;  // by tag
  std::vector<fabric::Piece> arrived_;
  std::vector<std::pair<fabric::Request*, bool>> ended_;
};

}  // namespace rhz::ofi
