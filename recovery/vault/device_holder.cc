#include "recovery/vault/device_holder.h"

#include <fcntl.h>
#include <poll.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "recovery/vault/socket.h"

namespace rhz::recovery {

DeviceHolder::~DeviceHolder() {
  for (Piece& piece : pieces_) let_go(piece);
}

void DeviceHolder::let_go(Piece& piece) {
  if (piece.held) memory_.close(*piece.held);
  piece.held.reset();
}

Status DeviceHolder::run() {
  std::vector<pollfd> looks;
  for (;;) {
    looks.assign({{vault_.get(), POLLIN, 0}});
    for (const Piece& piece : pieces_) looks.push_back({piece.socket.get(), POLLIN, 0});
    if (::poll(looks.data(), looks.size(), -1) < 0 && errno != EINTR)
      return {Code::kIo, "the holder of devices' memory cannot wait for its sockets"};
    size_t at = 1;
    for (Piece& piece : pieces_)
      if (looks[at++].revents != 0) read(piece);
    pieces_.remove_if([](const Piece& piece) { return piece.over; });
    if (failed_ || (looks[0].revents != 0 && !take_piece())) {
      vault_ = Fd();  // first: mappings of a broken device may take their time
      return Status::ok();
    }
  }
}

// False: the vault has ended, and with it all that was to be kept.
bool DeviceHolder::take_piece() {
  auto packet = receive_packet(vault_);
  if (!packet) return packet.status().code() != Code::kClosed && packet.status().code() != Code::kIo;
  const auto message = HolderMessage::decode(packet.value().bytes);
  if (!message || message.value().kind != HolderKind::kPiece || packet.value().fds.size() != 1)
    return true;  // whoever waits at the other end hears that it is closed
  Piece piece;
  piece.socket = std::move(packet.value().fds.front());
  (void)fcntl(piece.socket.get(), F_SETFL, O_NONBLOCK);
  pieces_.push_back(std::move(piece));
  return true;
}

void DeviceHolder::read(Piece& piece) {
  auto packet = receive_packet(piece.socket);
  const Code got = packet.status().code();
  if (got == Code::kPending) return;
  if (got == Code::kClosed || got == Code::kIo) {
    piece.over = true;
    return let_go(piece);
  }
  HolderMessage answer;
  Status done = packet.status();
  if (packet) {
    const auto message = HolderMessage::decode(packet.value().bytes);
    if (message) answer.number = message.value().number;
    done = message ? heed(piece, message.value()) : message.status();
  }
  answer.status = done.code();
  answer.text = done.text();
  (void)send_packet(piece.socket, answer.encode());
}

Status DeviceHolder::heed(Piece& piece, const HolderMessage& message) {
  if (message.kind == HolderKind::kFill) return fill(piece, message);
  if (message.kind != HolderKind::kHold) return {Code::kArgument, "a trainer does not say this"};
  if (piece.held) return {Code::kArgument, "this connection holds memory already"};
  const auto memory = open(message);
  if (!memory) return memory.status();
  piece.held = message.allocation;
  piece.memory = memory.value();
  return Status::ok();
}

// As many bytes as the message says, which somebody else wrote.
Result<MutableBytes> DeviceHolder::open(const HolderMessage& message) {
  const auto memory = memory_.open(message.allocation);
  if (!memory) return memory;
  if (message.bytes <= memory.value().size()) return memory.value().first(message.bytes);
  memory_.close(message.allocation);
  return Status(Code::kArgument, "the allocation has fewer bytes than was said");
}

Status DeviceHolder::fill(const Piece& piece, const HolderMessage& into) {
  if (!piece.held) return {Code::kArgument, "this connection holds no memory"};
  if (into.bytes != piece.memory.size() || into.allocation.device != piece.held->device)
    return {Code::kArgument, "what is held is of another size, or of another device"};
  const auto memory = open(into);
  if (!memory) return memory.status();
  Status copied = memory_.copy(into.allocation.device, memory.value().data(), piece.memory.data(),
                               into.bytes);
  memory_.close(into.allocation);
  failed_ |= !copied;
  return copied;
}

}  // namespace rhz::recovery
