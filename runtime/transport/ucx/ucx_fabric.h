// Lanes over UCX: active messages, always eager.  An endpoint that is closed by force ends what it
// had to send at once: until then a message is copied piece by piece into UCX's own memory, never
// read by a device or another process (so no zero copy, no rendezvous).
//
// What sends and what receives are different workers.  UCX would pair an endpoint here with the one that the
// far side has made towards us, and closing the one would take the other one down.
//
// Workers that send take turns: behind an endpoint that was closed by force, the next one belongs to another worker.  UCX 1.13
// over TCP may still be answering the first one, and when both were the same worker's it now and then never answered the
// second one.  No worker is destroyed for that: the answer that then finds nobody ends the far side's process.
#pragma once

#include <ucp/api/ucp.h>

#include <array>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "runtime/transport/fabric/fabric.h"

namespace rhz::ucx {

class UcxFabric final : public fabric::Fabric {
 public:
  UcxFabric();
  ~UcxFabric() override;
  // Empty: it works; else why it does not.
  std::string open();

  std::vector<std::byte> address() override;
  fabric::Link* connect(std::span<const std::byte> address) override;
  size_t max_message_bytes() const override { return (size_t{256} << 10) + 4096; }
  bool needs_copies() const override { return false; }
  void disconnect(fabric::Link* link) override;
  bool shares_receiver(fabric::Link* link) override;
  void send(fabric::Link* link, uint64_t tag, std::span<const Part> parts,
            fabric::Request* request) override;
  void expect(uint64_t) override {}
  void forget(uint64_t) override {}
  bool progress(fabric::Sink& sink) override;
  void release(const fabric::Piece& piece) override;
  std::vector<int> event_fds() override;
  unsigned generation() const override { return workers_made_; }
  bool arm() override;
  bool needs_turns() const override { return stuck_; }
  bool renew() override;

 private:
  struct Endpoint;
  struct Sending;
  static void sent(void* request, ucs_status_t status, void* user);
  static void failed(void* endpoint, ucp_ep_h, ucs_status_t);
  static ucs_status_t arrived(void* self, const void* header, size_t header_bytes, void* data,
                              size_t size, const ucp_am_recv_param_t* param);
  ucp_worker_h make_worker();
  bool listen();
  ucp_worker_h next_sender();
  void tell_ended();
  void give_up(ucp_worker_h sender);
  Sending& idle_sending();

  ucp_context_h context_ = nullptr;
  static constexpr size_t kSenders = 4;
  ucp_worker_h receiver_ = nullptr;               // null: the system refused another one
  std::array<ucp_worker_h, kSenders> senders_{};  // null: not needed yet, or refused
  size_t turn_ = 0;                               // whose it is to send to who is reached next
  bool closed_by_force_ = false;                  // since it is that one's turn
  unsigned workers_made_ = 0;
  bool stuck_ = false;  // what was armed last will not tell when there is room
  std::unordered_set<Endpoint*> endpoints_;
  std::vector<Sending*> ended_;  // to be told of
  std::vector<std::unique_ptr<Sending>> sendings_;
  std::vector<Sending*> idle_;
  std::vector<fabric::Piece> arrived_;
};

}  // namespace rhz::ucx
