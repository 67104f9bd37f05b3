#include "runtime/transport/ucx/ucx_fabric.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "runtime/transport/ucx/ucx_settings.h"

namespace rhz::ucx {
namespace {

constexpr unsigned kMessage = 1;  // the only kind of active message
// What force-closing an endpoint may take.  It has ended everything at once wherever it was tried;
// behind that the sending worker is given up with all its endpoints.
constexpr int kClosingTurns = 1000;

}  // namespace

struct UcxFabric::Endpoint {
  ucp_worker_h sender = nullptr;  // null: given up
  ucp_ep_h ep = nullptr;
  bool broken = false;
  size_t under_way = 0;
};

struct UcxFabric::Sending {
  UcxFabric* fabric = nullptr;
  Endpoint* endpoint = nullptr;
  fabric::Request* request = nullptr;
  uint64_t tag = 0;
  std::array<ucp_dt_iov_t, kMaxParts> parts;
  bool ok = false;
  bool under_way = false;
};

UcxFabric::UcxFabric() = default;

UcxFabric::~UcxFabric() {
  while (!endpoints_.empty()) disconnect(reinterpret_cast<fabric::Link*>(*endpoints_.begin()));
  for (const fabric::Piece& piece : arrived_) release(piece);
  for (const ucp_worker_h sender : senders_)
    if (sender) ucp_worker_destroy(sender);
  if (receiver_) ucp_worker_destroy(receiver_);
  if (context_) ucp_cleanup(context_);
}

std::string UcxFabric::open() {
  if (const ucs_status_t status = make_context(&context_); status != UCS_OK)
    return std::string("ucp_init: ") + ucs_status_string(status);
  if (!next_sender() || !listen()) return "UCX has no transport here that can wake its user";
  return {};
}

ucp_worker_h UcxFabric::make_worker() {
  ++workers_made_;
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;  // the owner of the loop changes
  ucp_worker_h worker = nullptr;
  return ucp_worker_create(context_, &params, &worker) == UCS_OK ? worker : nullptr;
}

// Null: the system refuses another worker.
ucp_worker_h UcxFabric::next_sender() {
  if (std::exchange(closed_by_force_, false)) turn_ = (turn_ + 1) % kSenders;
  if (!senders_[turn_]) senders_[turn_] = make_worker();
  return senders_[turn_];
}

bool UcxFabric::listen() {
  receiver_ = make_worker();
  if (!receiver_) return false;
  ucp_am_handler_param_t handler{};
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_FLAGS |
                       UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
  handler.id = kMessage;
  handler.flags = UCP_AM_FLAG_WHOLE_MSG | UCP_AM_FLAG_PERSISTENT_DATA;
  handler.cb = arrived;
  handler.arg = this;
  return ucp_worker_set_am_recv_handler(receiver_, &handler) == UCS_OK;
}

std::vector<std::byte> UcxFabric::address() {
  ucp_address_t* address = nullptr;
  size_t size = 0;
  if (!receiver_) return {};
  if (ucp_worker_get_address(receiver_, &address, &size) != UCS_OK) return {};
  const auto* const bytes = reinterpret_cast<const std::byte*>(address);
  std::vector<std::byte> copy(bytes, bytes + size);
  ucp_worker_release_address(receiver_, address);
  return copy;
}

fabric::Link* UcxFabric::connect(std::span<const std::byte> address) {
  auto endpoint = std::make_unique<Endpoint>();
  endpoint->sender = next_sender();
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler = {failed, endpoint.get()};
  if (!endpoint->sender || ucp_ep_create(endpoint->sender, &params, &endpoint->ep) != UCS_OK)
    return nullptr;
  endpoints_.insert(endpoint.get());
  return reinterpret_cast<fabric::Link*>(endpoint.release());
}

// Up to UCX 1.13 only its description of an endpoint, meant for people, names the transports.
bool UcxFabric::shares_receiver(fabric::Link* link) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* const description = open_memstream(&text, &size);
  if (!description) return true;
  ucp_ep_print_info(reinterpret_cast<Endpoint*>(link)->ep, description);
  std::fclose(description);
  const std::string_view all(text, size);
  const bool shares = all.find("posix/") != all.npos || all.find("sysv/") != all.npos;
  std::free(text);
  return shares;
}

void UcxFabric::failed(void* endpoint, ucp_ep_h, ucs_status_t) {
  static_cast<Endpoint*>(endpoint)->broken = true;
}

void UcxFabric::disconnect(fabric::Link* link) {
  const std::unique_ptr<Endpoint> endpoint(reinterpret_cast<Endpoint*>(link));
  if (endpoint->sender) {
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    param.flags = UCP_EP_CLOSE_FLAG_FORCE;
    const ucs_status_ptr_t closing = ucp_ep_close_nbx(endpoint->ep, &param);
    if (UCS_PTR_IS_PTR(closing)) ucp_request_free(closing);
    closed_by_force_ = true;
    for (int i = 0; i < kClosingTurns && endpoint->under_way > 0; ++i)
      ucp_worker_progress(endpoint->sender);
    if (endpoint->under_way > 0) give_up(endpoint->sender);
  }
  endpoints_.erase(endpoint.get());
  tell_ended();
}

// Everything that is under way ends with the worker, and every endpoint of it is broken.
void UcxFabric::give_up(ucp_worker_h sender) {
  for (const auto& sending : sendings_) {
    if (!sending->under_way || sending->endpoint->sender != sender) continue;
    sending->under_way = sending->ok = false;
    ended_.push_back(sending.get());
  }
  for (Endpoint* endpoint : endpoints_) {
    if (endpoint->sender != sender) continue;
    endpoint->sender = nullptr;
    endpoint->broken = true;
    endpoint->under_way = 0;
  }
  ucp_worker_destroy(sender);
  const auto place = std::find(senders_.begin(), senders_.end(), sender);
  *place = make_worker();
}

UcxFabric::Sending& UcxFabric::idle_sending() {
  if (idle_.empty()) {
    sendings_.push_back(std::make_unique<Sending>());
    sendings_.back()->fabric = this;
    idle_.push_back(sendings_.back().get());
  }
  Sending& sending = *idle_.back();
  idle_.pop_back();
  return sending;
}

void UcxFabric::send(fabric::Link* link, uint64_t tag, std::span<const Part> parts,
                     fabric::Request* request) {
  auto& endpoint = *reinterpret_cast<Endpoint*>(link);
  Sending& sending = idle_sending();
  sending.endpoint = &endpoint;
  sending.request = request;
  sending.tag = tag;
  sending.ok = false;
  if (endpoint.broken) {
    ended_.push_back(&sending);
    return;
  }
  for (size_t i = 0; i < parts.size(); ++i)
    sending.parts[i] = {const_cast<std::byte*>(parts[i].data), parts[i].size};
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA |
                       UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_DATATYPE;
  param.cb.send = sent;
  param.user_data = &sending;
  param.flags = UCP_AM_SEND_FLAG_EAGER;
  param.datatype = parts.size() == 1 ? ucp_dt_make_contig(1) : ucp_dt_make_iov();
  const void* const from = parts.size() == 1 ? sending.parts[0].buffer : sending.parts.data();
  const size_t count = parts.size() == 1 ? sending.parts[0].length : parts.size();
  const ucs_status_ptr_t status =
      ucp_am_send_nbx(endpoint.ep, kMessage, &sending.tag, sizeof sending.tag, from, count, &param);
  if (UCS_PTR_IS_PTR(status)) {
    sending.under_way = true;
    ++endpoint.under_way;
    return;
  }
  sending.ok = UCS_PTR_STATUS(status) == UCS_OK;
  ended_.push_back(&sending);
}

void UcxFabric::sent(void* request, ucs_status_t status, void* user) {
  auto& sending = *static_cast<Sending*>(user);
  --sending.endpoint->under_way;
  sending.under_way = false;
  sending.ok = status == UCS_OK;
  sending.fabric->ended_.push_back(&sending);
  ucp_request_free(request);
}

void UcxFabric::tell_ended() {
  // Who hears of one may send the next.
  while (!ended_.empty()) {
    Sending& sending = *ended_.back();
    ended_.pop_back();
    fabric::Request* const request = sending.request;
    const bool ok = sending.ok;
    idle_.push_back(&sending);
    request->ended(ok);
  }
}

ucs_status_t UcxFabric::arrived(void* self, const void* header, size_t header_bytes, void* data,
                                size_t size, const ucp_am_recv_param_t*) {
  fabric::Piece piece;
  if (header_bytes != sizeof piece.tag || size == 0) return UCS_OK;  // nobody's
  std::memcpy(&piece.tag, header, sizeof piece.tag);
  piece.data = static_cast<const std::byte*>(data);
  piece.size = size;
  piece.owner = data;
  static_cast<UcxFabric*>(self)->arrived_.push_back(piece);
  return UCS_INPROGRESS;  // until it is released
}

bool UcxFabric::progress(fabric::Sink& sink) {
  bool moved = false;
  for (const ucp_worker_h sender : senders_) moved |= sender && ucp_worker_progress(sender) > 0;
  moved |= receiver_ && ucp_worker_progress(receiver_) > 0;
  moved |= !ended_.empty() || !arrived_.empty();
  tell_ended();
  for (const fabric::Piece& piece : arrived_) sink.arrived(piece);
  arrived_.clear();
  return moved;
}

void UcxFabric::release(const fabric::Piece& piece) { ucp_am_data_release(receiver_, piece.owner); }

std::vector<int> UcxFabric::event_fds() {
  std::vector<int> fds;
  const auto add = [&](ucp_worker_h worker) {
    if (int fd = -1; worker && ucp_worker_get_efd(worker, &fd) == UCS_OK) fds.push_back(fd);
  };
  add(receiver_);
  for (const ucp_worker_h sender : senders_) add(sender);
  return fds;
}

// A worker with messages that shared memory has no room for refuses to be armed until it has: that
// may be as long as the receiver stands still.
bool UcxFabric::arm() {
  stuck_ = false;
  if (!ended_.empty()) return false;
  if (receiver_ && ucp_worker_arm(receiver_) != UCS_OK) return false;
  for (const ucp_worker_h sender : senders_) {
    if (!sender || ucp_worker_arm(sender) == UCS_OK) continue;
    if (ucp_worker_progress(sender) > 0 || !ended_.empty()) {
      stuck_ = false;
      return false;
    }
    stuck_ = true;
  }
  return true;
}

bool UcxFabric::renew() {
  for (const fabric::Piece& piece : arrived_) release(piece);
  arrived_.clear();
  if (receiver_) ucp_worker_destroy(std::exchange(receiver_, nullptr));
  return listen();
}

}  // namespace rhz::ucx
