#include "recovery/vault/device_pieces.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <algorithm>
#include <utility>

#include "recovery/vault/holder_messages.h"
#include "recovery/vault/socket.h"

namespace rhz::recovery {
namespace {

// The first one makes a context on the device.
constexpr time_t kPatienceSeconds = 30;

Status ask(const Fd& piece, HolderKind kind, const PlainBlock& block) {
  const timeval limit{kPatienceSeconds, 0};
  (void)setsockopt(piece.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  HolderMessage message;
  message.kind = kind;
  message.bytes = block.bytes;
  message.allocation = block.shared;
  if (Status sent = send_packet(piece, message.encode()); !sent) return sent;
  auto packet = receive_packet(piece);
  if (!packet) {
    if (packet.status().code() != Code::kPending) return packet.status();
    return {Code::kTimeout, "who holds memory of devices does not answer within " +
                                std::to_string(kPatienceSeconds) + " s"};
  }
  const auto answer = HolderMessage::decode(packet.value().bytes);
  if (!answer) return answer.status();
  return {answer.value().status, answer.value().text};
}

bool lies_in(const Tensor& tensor, const DeviceBlock& block) {
  return tensor.data >= block.begin && tensor.data < block.begin + block.bytes;
}

Result<DeviceBlock> hold(const Tensor& tensor, Vault& vault) {
  auto block = tensor.device->plain().share(tensor.data);
  if (!block) return block.status();
  const PlainBlock& shared = block.value();
  if (tensor.bytes > shared.bytes - static_cast<uint64_t>(tensor.data - shared.begin))
    return Status(Code::kArgument, "it reaches beyond its allocation");
  auto piece = vault.hold_device();
  if (!piece) return piece.status();
  if (Status held = ask(piece.value(), HolderKind::kHold, shared); !held) return held;
  return DeviceBlock{shared.begin, shared.bytes, shared.shared.device, std::move(piece).value()};
}

}  // namespace

Result<std::vector<DeviceBlock>> hold_plain_blocks(std::span<const Tensor> tensors,
                                                   const DeviceBlocks& devices, Vault& vault) {
  std::vector<DeviceBlock> all;
  for (const Tensor& tensor : tensors) {
    if (!tensor.device) continue;
    const DeviceBlock* const own = devices.find(tensor.data, tensor.bytes);
    if (own && own->fd.valid()) continue;
    if (std::any_of(all.begin(), all.end(), [&](const auto& b) { return lies_in(tensor, b); }))
      continue;
    auto block = hold(tensor, vault);
    if (!block)
      return Status(Code::kArgument, "tensor \"" + tensor.name +
                                         "\" lies in memory of a device that cannot be kept (" +
                                         block.status().text() + "); that of rhz_cuda_alloc can");
    all.push_back(std::move(block).value());
  }
  return all;
}

bool is_held_elsewhere(const Fd& piece) {
  struct stat what{};
  return fstat(piece.get(), &what) == 0 && S_ISSOCK(what.st_mode);
}

Result<std::byte*> copy_held(const Fd& piece, uint64_t bytes, const DeviceId& device,
                             DeviceBlocks& devices) {
  auto begin = devices.allocate_plain(bytes, device);
  if (!begin) return begin;
  auto block = devices.memory()->plain().share(begin.value());
  Status filled = block.status();
  if (block) {
    block.value().bytes = bytes;  // an allocation may be larger than what was asked for
    filled = ask(piece, HolderKind::kFill, block.value());
  }
  if (filled) return begin;
  (void)devices.free(begin.value());
  if (filled.code() == Code::kClosed)
    return Status(Code::kStateLost, "the process that held its memory on the device is gone");
  return filled;
}

}  // namespace rhz::recovery
