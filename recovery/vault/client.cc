#include "recovery/vault/client.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "recovery/vault/piece.h"

namespace rhz::recovery {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kBetweenTriesMs = 5;
constexpr size_t kMostHolders = 65536;  // B1: that a vault tells of

VaultMessage request(VaultKind kind, Slot slot) {
  VaultMessage message;
  message.kind = kind;
  message.slot = slot;
  return message;
}

// False: nothing that belongs into a list.
bool add_to(std::vector<Holding>& all, const VaultMessage& said) {
  if (said.kind == VaultKind::kSnapshot && !all.empty()) {
    all.back().snapshots.push_back(said.snapshot);
    return true;
  }
  if (said.kind != VaultKind::kHolder) return false;
  Holding holding;
  holding.slot = said.slot;
  holding.pid = said.pid;
  holding.alive = (said.flags & kHolderAlive) != 0;
  holding.kept = (said.flags & kHolderKept) != 0;
  holding.verdict = static_cast<StateHeader::Verdict>(said.flags >> kHolderVerdictShift);
  holding.revision = said.snapshot.revision;
  holding.kept_bytes = said.snapshot.data_bytes;
  holding.buffer_bytes = said.snapshot.table_bytes;
  all.push_back(std::move(holding));
  return true;
}

// Between two tries; a connection that says something, or ends, ends the wait.
void pause(const Fd& socket) {
  pollfd look{socket.get(), POLLIN, 0};
  (void)::poll(&look, 1, kBetweenTriesMs);
}

}  // namespace

VaultClient::VaultClient(std::string name, uint64_t run, Duration patience)
    : name_(std::move(name)), run_(run), patience_(patience) {}

uint64_t VaultClient::incarnation() const {
  std::lock_guard lock(mutex_);
  return connections_;
}

Status VaultClient::connect() {
  if (socket_.valid()) return Status::ok();
  const auto deadline = Clock::now() + patience_;
  auto socket = connect_to_vault(name_, patience_);
  // It is started together with its trainers, and may come up behind them: waited for once.
  while (!socket && socket.status().code() == Code::kUnreachable && !waited_ &&
         Clock::now() < deadline) {
    pause(Fd());
    socket = connect_to_vault(name_, patience_);
  }
  waited_ = true;
  if (!socket) return socket.status();
  socket_ = std::move(socket).value();
  holds_ = false;
  ++connections_;
  return Status::ok();
}

// What came in between, or did not, leaves the connection of no use.
Status VaultClient::lost(const Status& why) {
  if (holds_ && why.code() == Code::kPending) retired_ = std::move(socket_);
  socket_ = Fd();
  if (why.code() == Code::kPending) {
    return {Code::kTimeout,
            "the vault " + name_ + " does not answer within " +
                std::to_string(std::chrono::duration_cast<milliseconds>(patience_).count()) +
                " ms"};
  }
  if (why.code() == Code::kClosed) return {Code::kUnreachable, "the vault " + name_ + " is gone"};
  return why;
}

Status VaultClient::send(VaultMessage message, std::span<const Fd> fds) {
  message.run = run_;
  const Status sent = send_packet(socket_, message.encode(), fds);
  return sent ? sent : lost(sent);
}

Result<VaultClient::Answer> VaultClient::receive() {
  auto packet = receive_packet(socket_);
  if (!packet) return lost(packet.status());
  auto message = VaultMessage::decode(packet.value().bytes);
  if (!message) return lost(message.status());
  return Answer{std::move(message).value(), std::move(packet.value().fds)};
}

Result<VaultClient::Answer> VaultClient::ask(VaultMessage message, std::span<const Fd> fds) {
  if (Status up = connect(); !up) return up;
  if (Status sent = send(std::move(message), fds); !sent) return sent;
  auto answer = receive();
  if (!answer) return answer;
  const VaultMessage& said = answer.value().message;
  if (said.kind == VaultKind::kDone && said.status != Code::kOk)
    return Status(said.status, said.text);
  return answer;
}

Status VaultClient::keep(Slot slot, std::vector<Fd> pieces) {
  std::lock_guard lock(mutex_);
  if (Status up = connect(); !up) return up;
  VaultMessage message = request(VaultKind::kKeep, slot);
  message.pieces = static_cast<uint32_t>(pieces.size());
  std::span<const Fd> left = pieces;
  while (left.size() > kMaxDescriptors) {
    if (Status sent = send(message, left.first(kMaxDescriptors)); !sent) return sent;
    left = left.subspan(kMaxDescriptors);
    message = request(VaultKind::kMore, slot);
  }
  if (Status kept = ask(message, left).status(); !kept) return kept;
  holds_ = true;
  retired_ = Fd();
  return Status::ok();
}

Result<std::vector<Fd>> VaultClient::attach(Slot slot) {
  std::lock_guard lock(mutex_);
  const auto deadline = Clock::now() + patience_;
  for (;;) {
    auto pieces = attach_once(slot);
    holds_ |= pieces.is_ok();
    if (pieces || pieces.status().code() != Code::kState || Clock::now() >= deadline) return pieces;
    pause(socket_);
  }
}

Result<std::vector<Fd>> VaultClient::attach_once(Slot slot) {
  auto answer = ask(request(VaultKind::kAttach, slot));
  if (!answer) return answer.status();
  const size_t wanted = answer.value().message.pieces;
  std::vector<Fd> pieces = std::move(answer.value().fds);
  while (pieces.size() < wanted) {
    auto more = receive();
    if (!more) return more.status();
    if (more.value().fds.empty())
      return lost({Code::kCorrupt, "the vault " + name_ + " does not send all pieces"});
    for (Fd& fd : more.value().fds) pieces.push_back(std::move(fd));
  }
  if (pieces.size() != wanted || wanted < 2)
    return lost({Code::kCorrupt, "the vault " + name_ + " sends other pieces than it says"});
  return pieces;
}

Result<Fd> VaultClient::hold_device() {
  std::lock_guard lock(mutex_);
  auto answer = ask(request(VaultKind::kHold, kAnySlot));
  if (!answer) return answer.status();
  if (answer.value().fds.size() == 1) return std::move(answer.value().fds.front());
  return lost({Code::kCorrupt, "the vault " + name_ + " sends no connection"});
}

Status VaultClient::drop(Slot slot) {
  std::lock_guard lock(mutex_);
  return ask(request(VaultKind::kDrop, slot)).status();
}

Result<Fd> VaultClient::begin(Slot slot, const SnapshotInfo& info) {
  std::lock_guard lock(mutex_);
  VaultMessage message = request(VaultKind::kBegin, slot);
  message.snapshot = info;
  auto answer = ask(message);
  if (!answer) return answer.status();
  if (!answer.value().fds.empty()) {
    Fd buffer = std::move(answer.value().fds.front());
    if (piece_bytes(buffer) >= info.bytes()) return buffer;
    return lost({Code::kCorrupt, "the vault " + name_ + " sends a buffer that is too small"});
  }
  auto made = make_piece(info.bytes());
  if (!made) return made.status();
  if (Status given = ask(request(VaultKind::kBuffer, slot), {&made.value(), 1}).status(); !given)
    return given;
  return made;
}

Status VaultClient::seal(Slot slot, uint64_t revision) {
  std::lock_guard lock(mutex_);
  VaultMessage message = request(VaultKind::kSeal, slot);
  message.snapshot.revision = revision;
  return ask(message).status();
}

Result<Snapshot> VaultClient::read(Slot slot, uint64_t revision) {
  std::lock_guard lock(mutex_);
  VaultMessage message = request(VaultKind::kRead, slot);
  message.snapshot.revision = revision;
  auto answer = ask(message);
  if (!answer) return answer.status();
  Answer& said = answer.value();
  if (said.message.kind != VaultKind::kSnapshot || said.fds.size() != 1)
    return lost({Code::kCorrupt, "the vault " + name_ + " answers something else than a snapshot"});
  return Snapshot{said.message.snapshot, std::move(said.fds.front())};
}

Result<std::vector<Holding>> VaultClient::list() {
  std::lock_guard lock(mutex_);
  std::vector<Holding> all;
  for (Slot first{}; all.size() <= kMostHolders;) {
    auto answer = ask(request(VaultKind::kList, first));
    for (; answer && answer.value().message.kind != VaultKind::kDone; answer = receive()) {
      if (!add_to(all, answer.value().message) || all.size() > kMostHolders) break;
    }
    if (!answer) return answer.status();
    if (answer.value().message.kind != VaultKind::kDone) break;
    if (answer.value().message.flags != kMoreHolders || all.empty()) return all;
    first = all.back().slot.next();
  }
  return lost({Code::kCorrupt, "the vault " + name_ + " answers something else than its list"});
}

}  // namespace rhz::recovery
