#include "recovery/vault/server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "recovery/vault/holder_messages.h"

namespace rhz::recovery {
namespace {

constexpr size_t kHoldersPerList =
    64;  // so that an answer always fits what a socket takes before it is read

bool readable(const Fd& fd) {
  pollfd look{fd.get(), POLLIN, 0};
  return fd.valid() && ::poll(&look, 1, 0) > 0;
}

}  // namespace

VaultServer::VaultServer(VaultServerOptions options, Fd listening)
    : options_(std::move(options)), listening_(std::move(listening)), store_(options_.limits) {}

Result<VaultServer> VaultServer::open(VaultServerOptions options) {
  auto listening = listen_as_vault(options.name);
  if (!listening) return listening.status();
  return VaultServer(std::move(options), std::move(listening).value());
}

Status VaultServer::run(int stop) {
  std::vector<pollfd> looks;
  for (;;) {
    looks.assign({{stop, POLLIN, 0}, {listening_.get(), POLLIN, 0}, {holder_.get(), POLLIN, 0}});
    if (clients_.size() >= options_.clients) looks[1].fd = -1;  // others wait in the backlog
    for (const Client& client : clients_) looks.push_back({client.socket.get(), POLLIN, 0});
    if (::poll(looks.data(), looks.size(), -1) < 0 && errno != EINTR)
      return {Code::kIo, "the vault cannot wait for its sockets"};
    if (looks[0].revents != 0) return Status::ok();
    if (looks[2].revents != 0) lose_holder();  // it says nothing: this is its end
    size_t at = 3;
    for (Client& client : clients_) {
      if (looks[at++].revents != 0) read(client);
      // At once: what others ask for next may depend on it.
      if (client.over) store_.gone(client.id);
    }
    clients_.remove_if([](const Client& client) { return client.over; });
    if (looks[1].revents != 0) accept();
  }
}

void VaultServer::accept() {
  Fd socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket.valid()) return;
  const Other other = other_end(socket);
  if (!other.same_user) return;
  Client client;
  client.socket = std::move(socket);
  client.id = next_id_++;
  client.pid = other.pid;
  if (other.pid != 0)
    client.process =
        Fd(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(other.pid), 0)));
  clients_.push_back(std::move(client));
}

// A process that was killed may have left its socket to a child.
void VaultServer::notice_ends() {
  for (Client& client : clients_) {
    if (client.over || !readable(client.process)) continue;
    client.over = true;
    store_.gone(client.id);
  }
}

void VaultServer::read(Client& client) {
  if (client.over) return;
  auto packet = receive_packet(client.socket);
  if (!packet) {
    if (packet.status().code() == Code::kMemory) done(client, packet.status());
    client.over = packet.status().code() != Code::kPending;
    return;
  }
  auto message = VaultMessage::decode(packet.value().bytes);
  if (message) return heed(client, message.value(), std::move(packet.value().fds));
  done(client, message.status());
  client.over = true;
}

void VaultServer::heed(Client& client, const VaultMessage& message, std::vector<Fd> fds) {
  if (message.run != options_.run)
    return done(client, {Code::kRunId, "the vault serves another run"});
  const bool more = message.kind == VaultKind::kMore;
  if (more != client.keeping.has_value()) {
    client.keeping.reset();
    client.pieces.clear();
    return done(client, {Code::kArgument,
                         "pieces of a state come behind each other, and nothing between them"});
  }
  const size_t expected = message.kind == VaultKind::kBuffer ? 1 : 0;
  if (message.kind != VaultKind::kKeep && !more && fds.size() != expected)
    return done(client, {Code::kArgument, "a message has too many descriptors, or too few"});
  switch (message.kind) {
    case VaultKind::kKeep: client.keeping = message; return collect(client, std::move(fds));
    case VaultKind::kMore: return collect(client, std::move(fds));
    case VaultKind::kAttach: return attach(client, message.slot);
    case VaultKind::kDrop: store_.drop(client.id, message.slot); return done(client, Status::ok());
    case VaultKind::kBegin: return begin(client, message);
    case VaultKind::kBuffer:
      return done(client, store_.give(client.id, message.slot, std::move(fds.front())));
    case VaultKind::kSeal:
      return done(client, store_.seal(client.id, message.slot, message.snapshot.revision));
    case VaultKind::kRead: return send_snapshot(client, message);
    case VaultKind::kList: return list(client, message.slot);
    case VaultKind::kHold: return hold_device(client);
    default: return done(client, {Code::kArgument, "a trainer does not say this"});
  }
}

void VaultServer::collect(Client& client, std::vector<Fd> fds) {
  const size_t wanted = client.keeping->pieces;
  size_t pending = fds.size();
  for (const Client& each : clients_) pending += each.pieces.size();
  const bool fits = pending + store_.descriptors() <= options_.limits.descriptors;
  if (fds.empty() || client.pieces.size() + fds.size() > wanted || !fits) {
    client.keeping.reset();
    client.pieces.clear();
    return done(client,
                fits ? Status(Code::kArgument, "a state has other pieces than was said")
                     : Status(Code::kMemory,
                              "the vault has no descriptors left: raise its limit of open files "
                              "(ulimit -n)"));
  }
  for (Fd& fd : fds) client.pieces.push_back(std::move(fd));
  if (client.pieces.size() < wanted) return;
  const Slot slot = std::exchange(client.keeping, std::nullopt)->slot;
  done(client, store_.keep(client.id, client.pid, slot, std::exchange(client.pieces, {})));
}

void VaultServer::attach(Client& client, Slot slot) {
  notice_ends();
  auto found = store_.attach(client.id, client.pid, slot);
  if (!found) return done(client, found.status());
  std::span<const Fd> left = found.value();
  VaultMessage message;
  message.kind = VaultKind::kPieces;
  message.slot = slot;
  message.pieces = static_cast<uint32_t>(left.size());
  while (!left.empty() && !client.over) {
    const auto now = left.first(std::min(left.size(), kMaxDescriptors));
    say(client, message, now);
    left = left.subspan(now.size());
    message.kind = VaultKind::kMore;
    message.pieces = 0;
  }
}

void VaultServer::begin(Client& client, const VaultMessage& message) {
  notice_ends();
  auto found = store_.begin(client.id, message.slot, message.snapshot);
  if (!found) return done(client, found.status());
  VaultMessage answer;
  answer.slot = message.slot;
  if (!found.value()) return say(client, answer);
  answer.pieces = 1;
  say(client, answer, {found.value(), 1});
}

void VaultServer::send_snapshot(Client& client, const VaultMessage& message) {
  auto found = store_.read(message.slot, message.snapshot.revision);
  if (!found) return done(client, found.status());
  VaultMessage answer;
  answer.kind = VaultKind::kSnapshot;
  answer.slot = message.slot;
  answer.snapshot = found.value().info;
  say(client, answer, {found.value().buffer, 1});
}

void VaultServer::list(Client& client, Slot first) {
  notice_ends();
  VaultMessage answer;
  size_t told = 0;
  for (const Holding& holding : store_.list()) {
    if (holding.slot < first) continue;
    answer = {};
    if (told++ == kHoldersPerList) {
      answer.flags = kMoreHolders;
      return say(client, answer);
    }
    answer.kind = VaultKind::kHolder;
    answer.slot = holding.slot;
    answer.pid = holding.pid;
    answer.flags = (holding.alive ? kHolderAlive : 0) | (holding.kept ? kHolderKept : 0) |
                   static_cast<uint32_t>(holding.verdict) << kHolderVerdictShift;
    answer.snapshot = {holding.revision, holding.kept_bytes, holding.buffer_bytes, 0, 0};
    say(client, answer);
    for (const SnapshotInfo& snapshot : holding.snapshots) {
      answer.kind = VaultKind::kSnapshot;
      answer.snapshot = snapshot;
      say(client, answer);
    }
  }
  done(client, Status::ok());
}

void VaultServer::hold_device(Client& client) {
  auto piece = device_piece();
  if (!piece) return done(client, piece.status());
  VaultMessage answer;
  answer.pieces = 1;
  say(client, answer, {&piece.value(), 1});
}

Result<Fd> VaultServer::device_piece() {
  if (!options_.start_holder)
    return Status(Code::kState, "the vault does not hold memory of devices");
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return Status(Code::kMemory, "the vault has no descriptors left");
  Fd trainers(ends[0]), holders(ends[1]);
  HolderMessage message;
  message.kind = HolderKind::kPiece;
  if (!holder_.valid()) {
    auto started = options_.start_holder();
    if (!started) return started.status();
    holder_ = std::move(started).value();
  }
  const Status sent = send_packet(holder_, message.encode(), {&holders, 1});
  if (sent) return trainers;
  if (sent.code() == Code::kClosed) lose_holder();
  return Status(sent.code(), "who holds memory of devices: " + sent.text());
}

// What it held is gone.  Trainers that live hear of it by the end of their connections, and have
// their state kept anew with the next snapshot.
void VaultServer::lose_holder() {
  holder_ = Fd();
  for (OwnerId owner : store_.lose_held())
    for (Client& client : clients_) {
      if (client.id != owner) continue;
      client.over = true;
      store_.gone(owner);
    }
}

// Who does not read what he asked for is dropped: nobody waits for him.
void VaultServer::say(Client& client, VaultMessage message, std::span<const Fd> fds) {
  message.run = options_.run;
  if (!client.over && !send_packet(client.socket, message.encode(), fds)) client.over = true;
}

void VaultServer::done(Client& client, const Status& status) {
  VaultMessage answer;
  answer.status = status.code();
  answer.text = status.text();
  say(client, std::move(answer));
}

}  // namespace rhz::recovery
