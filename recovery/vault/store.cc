#include "recovery/vault/store.h"

#include <algorithm>
#include <string>
#include <utility>

#include "recovery/vault/attach.h"
#include "recovery/vault/piece.h"

namespace rhz::recovery {
namespace {

std::string slot_text(Slot slot) { return "slot " + std::to_string(slot.value); }

const StateHeader* header_in(const SharedRegion& head) {
  if (!head || head.size() < kStateHeaderBytes) return nullptr;
  const auto* header = reinterpret_cast<const StateHeader*>(head.data());
  return header->magic == StateHeader::kMagic ? header : nullptr;
}

// The page of the first piece, to be read.
Result<SharedRegion> map_head(const Fd& piece) {
  auto copy = duplicate(piece.get());
  if (!copy) return copy.status();
  auto head = SharedRegion::map_to_read(std::move(copy).value().release());
  if (!head || !header_in(head.value()))
    return Status(Code::kArgument, "what is to be kept does not begin with the header of a state");
  return head;
}

}  // namespace

Result<VaultStore::Holder*> VaultStore::holder(Slot slot) {
  const auto at = holders_.find(slot);
  if (at != holders_.end()) return &at->second;
  if (holders_.size() >= limits_.holders) {
    return Status(Code::kMemory, "the vault keeps the memory of " +
                                     std::to_string(limits_.holders) +
                                     " slots already, which is its limit");
  }
  return &holders_[slot];
}

size_t VaultStore::descriptors() const {
  size_t count = 0;
  for (const auto& [slot, held] : holders_) count += held.pieces.size() + held.buffers.size();
  return count;
}

Status VaultStore::keep(OwnerId owner, uint32_t pid, Slot slot, std::vector<Fd> pieces) {
  if (pieces.size() < 2 || pieces.size() > kMaxPieces)
    return {Code::kArgument, "a state has 2 to " + std::to_string(kMaxPieces) + " pieces"};
  auto head = map_head(pieces.front());
  if (!head) return head.status();
  // Of a device's memory only the trainers know what it is.
  const StateHeader& header = *header_in(head.value());
  const uint64_t on_device = header.device_pieces;
  uint64_t bytes = header.device_bytes;
  if (on_device >= pieces.size() || bytes > kMaxPieceBytes)
    return {Code::kArgument, "the header of a state tells of more than there is"};
  if (std::any_of(pieces.begin(), pieces.end(), is_no_longer_held))
    return {Code::kClosed, "the process that was to hold its memory on a device is gone"};
  for (const Fd& piece : std::span(pieces).first(pieces.size() - on_device)) {
    const uint64_t size = piece_bytes(piece);
    if (size == 0 || size > kMaxPieceBytes)
      return {Code::kArgument, "a piece is no memory of a sealed size"};
    bytes += size;
  }
  auto found = holder(slot);
  if (!found) return found.status();
  Holder& held = *found.value();
  if (descriptors() - held.pieces.size() + pieces.size() > limits_.descriptors) {
    return {Code::kMemory, "the vault has no descriptors left for " +
                               std::to_string(pieces.size()) +
                               " more pieces: raise its limit of open files (ulimit -n)"};
  }
  held.owner = owner;
  held.pid = pid;
  held.pieces = std::move(pieces);
  held.bytes = bytes;
  held.head = std::move(head).value();
  held.lost.clear();
  return Status::ok();
}

Result<std::span<const Fd>> VaultStore::attach(OwnerId owner, uint32_t pid, Slot slot) {
  const auto at = holders_.find(slot);
  if (at == holders_.end() || at->second.pieces.empty()) {
    const std::string why = at == holders_.end() ? "" : std::exchange(at->second.lost, {});
    return Status(Code::kStateLost, why.empty() ? "nothing is kept for " + slot_text(slot)
                                                : slot_text(slot) + ": " + why);
  }
  Holder& held = at->second;
  if (held.owner != kNoOwner && held.owner != owner) {
    return Status(Code::kState, "the trainer that holds the state of " + slot_text(slot) +
                                    " (process " + std::to_string(held.pid) + ") still lives");
  }
  held.owner = owner;
  held.pid = pid;
  return std::span<const Fd>(held.pieces);
}

void VaultStore::drop(OwnerId owner, Slot slot) {
  const auto at = holders_.find(slot);
  if (at == holders_.end() || at->second.owner != owner) return;
  let_go(at->second, {});
}

void VaultStore::let_go(Holder& held, std::string why) {
  held.pieces.clear();
  held.head.reset();
  held.bytes = 0;
  held.lost = std::move(why);
}

std::vector<OwnerId> VaultStore::lose_held() {
  std::vector<OwnerId> owners;
  for (auto& [slot, held] : holders_) {
    if (std::none_of(held.pieces.begin(), held.pieces.end(), is_held_elsewhere)) continue;
    owners.push_back(held.owner);
    let_go(held, "the process that held its memory on the device is gone");
  }
  return owners;
}

void VaultStore::gone(OwnerId owner) {
  for (auto& [slot, held] : holders_) {
    if (held.owner == owner) {
      held.owner = kNoOwner;
      const StateHeader* const header = header_in(held.head);
      const Status whole = header && header->device_pieces > 0 ? judge_kept(*header) : Status::ok();
      if (!whole) let_go(held, whole.text());
    }
    for (Buffer& buffer : held.buffers) {
      if (buffer.writer != owner) continue;
      buffer.writer = kNoOwner;
      if (!buffer.fd.valid()) buffer.bytes = 0;  // announced, and never given
    }
  }
}

uint64_t VaultStore::snapshot_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [slot, held] : holders_)
    for (const Buffer& buffer : held.buffers) bytes += buffer.bytes;
  return bytes;
}

Result<const Fd*> VaultStore::begin(OwnerId owner, Slot slot, const SnapshotInfo& info) {
  if (info.data_bytes > kMaxPieceBytes || info.table_bytes == 0 ||
      info.table_bytes > kMaxPieceBytes || info.revision == 0 || info.parts == 0 ||
      info.part >= info.parts)
    return Status(Code::kArgument, "such a snapshot there cannot be");
  auto found = holder(slot);
  if (!found) return found.status();
  std::array<Buffer, 2>& buffers = found.value()->buffers;
  for (const Buffer& buffer : buffers) {
    if (buffer.writer != kNoOwner && buffer.writer != owner)
      return Status(Code::kState, "another trainer writes a snapshot of " + slot_text(slot));
  }
  // Whichever was sealed before the other, or never.
  Buffer& buffer = buffers[0].sealed <= buffers[1].sealed ? buffers[0] : buffers[1];
  buffer.sealed = 0;
  buffer.info = info;
  buffer.writer = owner;
  if (buffer.fd.valid() && buffer.bytes >= info.bytes() && buffer.bytes / 2 <= info.bytes())
    return &buffer.fd;
  buffer.fd = Fd();
  buffer.bytes = 0;
  const uint64_t held = snapshot_bytes();
  if (info.bytes() > limits_.snapshot_bytes || held > limits_.snapshot_bytes - info.bytes()) {
    buffer.writer = kNoOwner;
    return Status(Code::kMemory, "the vault may hold " + std::to_string(limits_.snapshot_bytes) +
                                     " bytes of snapshots and holds " + std::to_string(held) +
                                     "; " + std::to_string(info.bytes()) + " more for " +
                                     slot_text(slot) + " do not fit: give it more (--memory)");
  }
  buffer.bytes = info.bytes();
  return nullptr;
}

// That the owner has begun and not sealed.
VaultStore::Buffer* VaultStore::open_buffer(OwnerId owner, Slot slot) {
  const auto at = holders_.find(slot);
  if (at == holders_.end()) return nullptr;
  for (Buffer& buffer : at->second.buffers)
    if (buffer.writer == owner && buffer.sealed == 0 && owner != kNoOwner) return &buffer;
  return nullptr;
}

Status VaultStore::give(OwnerId owner, Slot slot, Fd fd) {
  Buffer* const buffer = open_buffer(owner, slot);
  if (!buffer || buffer->fd.valid()) return {Code::kArgument, "no buffer was asked for"};
  if (piece_bytes(fd) != buffer->bytes)
    return {Code::kArgument, "the buffer has another size than was said"};
  buffer->fd = std::move(fd);
  return Status::ok();
}

// False: there is no such snapshot.
bool VaultStore::go_back(Slot slot, uint64_t revision) {
  const auto at = holders_.find(slot);
  if (at == holders_.end()) return false;
  auto& buffers = at->second.buffers;
  const auto found = std::find_if(buffers.begin(), buffers.end(), [&](const Buffer& buffer) {
    return buffer.sealed != 0 && buffer.info.revision == revision;
  });
  if (found == buffers.end()) return false;
  for (Buffer& buffer : buffers)
    if (buffer.sealed > found->sealed) buffer.sealed = 0;
  return true;
}

Status VaultStore::seal(OwnerId owner, Slot slot, uint64_t revision) {
  Buffer* const buffer = open_buffer(owner, slot);
  if (!buffer && go_back(slot, revision)) return Status::ok();
  if (!buffer || !buffer->fd.valid() || buffer->info.revision != revision) {
    return {Code::kArgument, "no snapshot of revision " + std::to_string(revision) + " of " +
                                 slot_text(slot) + " is open"};
  }
  buffer->sealed = ++seals_;
  buffer->writer = kNoOwner;
  return Status::ok();
}

Result<VaultStore::Sealed> VaultStore::read(Slot slot, uint64_t revision) const {
  const Buffer* best = nullptr;
  std::string there;
  if (const auto at = holders_.find(slot); at != holders_.end()) {
    for (const Buffer& buffer : at->second.buffers) {
      if (buffer.sealed == 0) continue;
      there += (there.empty() ? "" : " and ") + std::to_string(buffer.info.revision);
      if (revision != 0 && buffer.info.revision != revision) continue;
      if (!best || buffer.sealed > best->sealed) best = &buffer;
    }
  }
  if (best) return Sealed{best->info, &best->fd};
  return Status(
      Code::kStateLost,
      "there is no snapshot of " + slot_text(slot) +
          (there.empty() ? "" : " of revision " + std::to_string(revision) + ", only of " + there));
}

std::vector<Holding> VaultStore::list() const {
  std::vector<Holding> all;
  for (const auto& [slot, held] : holders_) {
    Holding holding;
    holding.slot = slot;
    holding.pid = held.pid;
    holding.alive = held.owner != kNoOwner;
    holding.kept = !held.pieces.empty();
    holding.kept_bytes = held.bytes;
    if (const StateHeader* header = header_in(held.head)) {
      holding.revision = header->revision.load();
      holding.verdict = header->verdict();
    }
    std::vector<const Buffer*> sealed;
    for (const Buffer& buffer : held.buffers) {
      holding.buffer_bytes += buffer.bytes;
      if (buffer.sealed != 0) sealed.push_back(&buffer);
    }
    std::sort(sealed.begin(), sealed.end(), [](auto* a, auto* b) { return a->sealed > b->sealed; });
    for (const Buffer* buffer : sealed) holding.snapshots.push_back(buffer->info);
    all.push_back(std::move(holding));
  }
  return all;
}

}  // namespace rhz::recovery
