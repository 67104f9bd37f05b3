#include "runtime/transport/libfabric/ofi_fabric.h"

#include <rdma/fi_cm.h>
#include <rdma/fi_errno.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "runtime/transport/libfabric/provider.h"

namespace rhz::ofi {
namespace {

// Receives that stand ready, for all peers together.
constexpr size_t kPosted = 64;
constexpr size_t kCompletionsAtATime = 32;

}  // namespace

struct OfiFabric::Peer {
  fi_addr_t address = FI_ADDR_UNSPEC;
  uint64_t next_number = 0;
  bool broken = false;
  std::deque<Operation*> waiting;  // not taken yet
};

struct OfiFabric::Operation {
  fi_context2 context{};  // first: the library hands its address back
  bool receive = false;
  // Of a send.
  Peer* peer = nullptr;  // null: its link is gone
  fabric::Request* request = nullptr;
  Prefix prefix;
  std::array<iovec, 1 + kMaxParts> parts;
  size_t part_count = 0;
  // Of a receive.
  std::unique_ptr<std::byte[]> buffer;
};

OfiFabric::OfiFabric() = default;

OfiFabric::~OfiFabric() {
  for (fid* each :
       {endpoint_ ? &endpoint_->fid : nullptr, completions_ ? &completions_->fid : nullptr,
        addresses_ ? &addresses_->fid : nullptr, domain_ ? &domain_->fid : nullptr,
        fabric_ ? &fabric_->fid : nullptr})
    if (each) (void)fi_close(each);
  if (info_) fi_freeinfo(info_);
  // Whatever had not ended has, with the endpoint.
  for (const auto& operation : operations_)
    if (operation->request) operation->request->ended(false);
  for (const auto& [request, ok] : ended_) request->ended(ok);
  for (Peer* peer : peers_) delete peer;
}

std::string OfiFabric::open(const std::string& host) {
  info_ = choose_provider(host, kBufferBytes);
  if (!info_)
    return "no provider of libfabric here sends messages between endpoints of the kind FI_EP_RDM "
           "(fi_info shows them; FI_PROVIDER chooses one)";
  // Of RxM, the inject size is what it sends eagerly.
  message_bytes_ = std::clamp(info_->tx_attr->inject_size, kLeastBytes, kBufferBytes);
  const std::string provider = info_->fabric_attr->prov_name;
  if (fi_fabric(info_->fabric_attr, &fabric_, nullptr) != 0) return provider + ": no fabric";
  if (fi_domain(fabric_, info_, &domain_, nullptr) != 0) return provider + ": no domain";
  return open_endpoint();
}

std::string OfiFabric::open_endpoint() {
  fi_av_attr av{};
  av.type = FI_AV_UNSPEC;
  fi_cq_attr cq{};
  cq.format = FI_CQ_FORMAT_MSG;
  cq.wait_obj = FI_WAIT_FD;
  const auto failed = [&](const char* call, int error) {
    return std::string(info_->fabric_attr->prov_name) + ": " + call + ": " + fi_strerror(-error);
  };
  if (int e = fi_av_open(domain_, &av, &addresses_, nullptr)) return failed("fi_av_open", e);
  if (int e = fi_cq_open(domain_, &cq, &completions_, nullptr)) return failed("fi_cq_open", e);
  if (int e = fi_endpoint(domain_, info_, &endpoint_, nullptr)) return failed("fi_endpoint", e);
  if (int e = fi_ep_bind(endpoint_, &addresses_->fid, 0)) return failed("fi_ep_bind", e);
  if (int e = fi_ep_bind(endpoint_, &completions_->fid, FI_TRANSMIT | FI_RECV))
    return failed("fi_ep_bind", e);
  if (int e = fi_enable(endpoint_)) return failed("fi_enable", e);
  // Peers with another provider have addresses that mean nothing here.
  const std::string provider = info_->fabric_attr->prov_name;
  std::array<std::byte, 1024> name;
  size_t size = name.size();
  if (int e = fi_getname(&endpoint_->fid, name.data(), &size)) return failed("fi_getname", e);
  const auto* const begin = reinterpret_cast<const std::byte*>(provider.c_str());
  address_.assign(begin, begin + provider.size() + 1);
  address_.insert(address_.end(), name.begin(), name.begin() + size);
  while (posted_ < kPosted && post_receive()) {
  }
  return posted_ > 0 ? "" : provider + ": it takes no receives";
}

fabric::Link* OfiFabric::connect(std::span<const std::byte> address) {
  const size_t prefix = std::strlen(info_->fabric_attr->prov_name) + 1;
  if (address.size() <= prefix ||
      std::memcmp(address.data(), info_->fabric_attr->prov_name, prefix) != 0)
    return nullptr;
  auto peer = std::make_unique<Peer>();
  if (fi_av_insert(addresses_, address.data() + prefix, 1, &peer->address, 0, nullptr) != 1)
    return nullptr;
  peers_.insert(peer.get());
  return reinterpret_cast<fabric::Link*>(peer.release());
}

void OfiFabric::disconnect(fabric::Link* link) {
  const std::unique_ptr<Peer> peer(reinterpret_cast<Peer*>(link));
  waiting_.erase(peer.get());
  peers_.erase(peer.get());
  for (Operation* waiting : peer->waiting) ended(*waiting, false, 0);
  for (const auto& operation : operations_)
    if (operation->peer == peer.get()) operation->peer = nullptr;
}

OfiFabric::Operation& OfiFabric::idle_operation(bool receive) {
  auto& idle = receive ? idle_receives_ : idle_sends_;
  if (idle.empty()) {
    operations_.push_back(std::make_unique<Operation>());
    operations_.back()->receive = receive;
    if (receive) operations_.back()->buffer.reset(new std::byte[kBufferBytes]);
    idle.push_back(operations_.back().get());
  }
  Operation& operation = *idle.back();
  idle.pop_back();
  return operation;
}

void OfiFabric::send(fabric::Link* link, uint64_t tag, std::span<const Part> parts,
                     fabric::Request* request) {
  auto& peer = *reinterpret_cast<Peer*>(link);
  Operation& sending = idle_operation(false);
  sending.peer = &peer;
  sending.request = request;
  sending.prefix = {tag, peer.next_number++};
  sending.parts[0] = {&sending.prefix, sizeof sending.prefix};
  for (size_t i = 0; i < parts.size(); ++i)
    sending.parts[i + 1] = {const_cast<std::byte*>(parts[i].data), parts[i].size};
  sending.part_count = parts.size() + 1;
  if (peer.broken) return ended(sending, false, 0);
  if (peer.waiting.empty() && start(sending)) return;
  peer.waiting.push_back(&sending);
  waiting_.insert(&peer);
}

// False: not now.
bool OfiFabric::start(Operation& sending) {
  const ssize_t error = fi_sendv(endpoint_, sending.parts.data(), nullptr, sending.part_count,
                                 sending.peer->address, &sending.context);
  if (error == -FI_EAGAIN) return false;
  if (error != 0) ended(sending, false, 0);
  return true;
}

bool OfiFabric::start_waiting() {
  bool moved = false;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    Peer& peer = **at;
    while (!peer.waiting.empty() && start(*peer.waiting.front())) {
      peer.waiting.pop_front();
      moved = true;
    }
    at = peer.waiting.empty() ? waiting_.erase(at) : std::next(at);
  }
  return moved;
}

bool OfiFabric::post_receive() {
  Operation& receive = idle_operation(true);
  if (fi_recv(endpoint_, receive.buffer.get(), kBufferBytes, nullptr, FI_ADDR_UNSPEC,
              &receive.context) == 0) {
    ++posted_;
    return true;
  }
  idle_receives_.push_back(&receive);
  return false;
}

void OfiFabric::ended(Operation& operation, bool ok, size_t bytes) {
  if (operation.receive) {
    --posted_;
    if (ok) return received(operation, bytes);
    idle_receives_.push_back(&operation);
    return;
  }
  if (!ok && operation.peer) operation.peer->broken = true;
  ended_.emplace_back(std::exchange(operation.request, nullptr), ok);
  operation.peer = nullptr;
  idle_sends_.push_back(&operation);
}

void OfiFabric::received(Operation& receive, size_t bytes) {
  Prefix prefix;
  if (bytes > sizeof prefix) std::memcpy(&prefix, receive.buffer.get(), sizeof prefix);
  const auto order = orders_.find(prefix.tag);
  if (bytes <= sizeof prefix || order == orders_.end() || prefix.number < order->second.next) {
    idle_receives_.push_back(&receive);
    return;
  }
  auto& [next, early] = order->second;
  early[prefix.number] = {prefix.tag, receive.buffer.get() + sizeof prefix, bytes - sizeof prefix,
                          &receive};
  for (auto at = early.begin(); at != early.end() && at->first == next; at = early.erase(at)) {
    arrived_.push_back(at->second);
    ++next;
  }
}

void OfiFabric::expect(uint64_t tag) { orders_[tag]; }

void OfiFabric::forget(uint64_t tag) {
  const auto order = orders_.find(tag);
  if (order == orders_.end()) return;
  for (const auto& [number, piece] : order->second.early) release(piece);
  orders_.erase(order);
}

bool OfiFabric::read_completions() {
  std::array<fi_cq_msg_entry, kCompletionsAtATime> entries;
  const ssize_t count = fi_cq_read(completions_, entries.data(), entries.size());
  for (ssize_t i = 0; i < count; ++i)
    ended(*static_cast<Operation*>(entries[i].op_context), true, entries[i].len);
  if (count != -FI_EAVAIL) return count > 0;
  fi_cq_err_entry error{};
  if (fi_cq_readerr(completions_, &error, 0) != 1) return false;
  if (error.op_context) ended(*static_cast<Operation*>(error.op_context), false, 0);
  return true;
}

bool OfiFabric::progress(fabric::Sink& sink) {
  bool moved = read_completions();
  moved |= start_waiting();
  while (posted_ < kPosted && post_receive()) {
  }
  moved |= !ended_.empty() || !arrived_.empty();
  // Who hears of one may send the next.
  while (!ended_.empty()) {
    const auto [request, ok] = ended_.back();
    ended_.pop_back();
    request->ended(ok);
  }
  for (const fabric::Piece& piece : arrived_) sink.arrived(piece);
  arrived_.clear();
  return moved;
}

void OfiFabric::release(const fabric::Piece& piece) {
  idle_receives_.push_back(static_cast<Operation*>(piece.owner));
}

std::vector<int> OfiFabric::event_fds() {
  int fd = -1;
  if (fi_control(&completions_->fid, FI_GETWAIT, &fd) != 0) return {};
  return {fd};
}

bool OfiFabric::arm() {
  if (!ended_.empty() || !arrived_.empty()) return false;
  fid* waits[] = {&completions_->fid};
  return fi_trywait(fabric_, waits, 1) == 0;
}

}  // namespace rhz::ofi
