#include "recovery/vault/device_pieces.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "recovery/vault/holder_messages.h"
#include "recovery/vault/socket.h"

namespace rhz::recovery {
namespace {

// For all that a trainer asks for at a time; the first one makes a context on the device.
constexpr Duration kPatience = std::chrono::seconds(30);

using Clock = std::chrono::steady_clock;

Status no_answer() {
  return {Code::kTimeout, "who holds memory of devices does not answer within " +
                              std::to_string(std::chrono::duration_cast<std::chrono::seconds>(kPatience).count()) +
                              " s"};
}

// The next message on a connection, of which a process that is gone may have left some unread.
Result<HolderMessage> receive(const Fd& piece, Clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now()).count();
    pollfd look{piece.get(), POLLIN, 0};
    if (left <= 0 || ::poll(&look, 1, static_cast<int>(left)) == 0) return no_answer();
    if (look.revents == 0) continue;  // interrupted
    auto packet = receive_packet(piece);
    if (!packet) return packet.status();
    return HolderMessage::decode(packet.value().bytes);
  }
}

Status ask(const Fd& piece, HolderKind kind, const PlainBlock& block, Clock::time_point until) {
  HolderMessage message;
  message.kind = kind;
  message.number = static_cast<uint64_t>(Clock::now().time_since_epoch().count());
  message.bytes = block.bytes;
  message.allocation = block.shared;
  if (Status sent = send_packet(piece, message.encode()); !sent) return sent;
  for (;;) {
    const auto answer = receive(piece, until);
    if (!answer) return answer.status();
    if (answer.value().kind == HolderKind::kDone && answer.value().number == message.number)
      return {answer.value().status, answer.value().text};
  }
}

bool lies_in(const Tensor& tensor, const DeviceBlock& block) {
  return tensor.data >= block.begin && tensor.data < block.begin + block.bytes;
}

Result<DeviceBlock> hold(const Tensor& tensor, Vault& vault, Clock::time_point until) {
  auto block = tensor.device->plain().share(tensor.data);
  if (!block)
    return Status(block.status().code(),
                  block.status().text() + "; that of cudaMalloc and rhz_cuda_alloc can");
  const PlainBlock& shared = block.value();
  if (tensor.bytes > shared.bytes - static_cast<uint64_t>(tensor.data - shared.begin))
    return Status(Code::kArgument, "it reaches beyond its allocation");
  auto piece = vault.hold_device();
  if (!piece) return piece.status();
  if (Status held = ask(piece.value(), HolderKind::kHold, shared, until); !held) return held;
  return DeviceBlock{shared.begin, shared.bytes, shared.shared.device, std::move(piece).value()};
}

}  // namespace

Result<std::vector<DeviceBlock>> hold_plain_blocks(std::span<const Tensor> tensors,
                                                   const DeviceBlocks& devices, Vault& vault) {
  const auto until = Clock::now() + kPatience;
  std::vector<DeviceBlock> all;
  for (const Tensor& tensor : tensors) {
    if (!tensor.device) continue;
    const DeviceBlock* const own = devices.find(tensor.data, tensor.bytes);
    if (own && own->fd.valid()) continue;
    if (std::any_of(all.begin(), all.end(), [&](const auto& b) { return lies_in(tensor, b); }))
      continue;
    Result<DeviceBlock> block = Status(
        Code::kArgument, "it is in more than " + std::to_string(kMaxPieces - 1) + " allocations");
    if (all.size() < kMaxPieces - 1) block = hold(tensor, vault, until);
    if (!block)
      return Status(block.status().code(), "tensor \"" + tensor.name +
                                               "\" lies in memory of a device that cannot be kept: " +
                                               block.status().text());
    all.push_back(std::move(block).value());
  }
  return all;
}

Result<std::byte*> copy_held(const Fd& piece, uint64_t bytes, const DeviceId& device,
                             DeviceBlocks& devices) {
  auto begin = devices.allocate_plain(bytes, device);
  if (!begin) return begin;
  auto block = devices.memory()->plain().share(begin.value());
  Status filled = block.status();
  if (block) {
    block.value().bytes = bytes;  // an allocation may be larger than what was asked for
    filled = ask(piece, HolderKind::kFill, block.value(), Clock::now() + kPatience);
  }
  if (filled) return begin;
  // Not while somebody may still write there.
  if (filled.code() != Code::kTimeout) (void)devices.free(begin.value());
  if (filled.code() == Code::kClosed)
    return Status(Code::kStateLost, "the process that held its memory on the device is gone");
  return filled;
}

}  // namespace rhz::recovery
