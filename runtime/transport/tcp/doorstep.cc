#include "runtime/transport/tcp/doorstep.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace rhz::tcp {
namespace {

constexpr size_t kMaxGuests = 256;                    // B1
constexpr Duration kStayAtMost = milliseconds(5000);  // B1
constexpr int kAcceptsPerTurn = 64;
constexpr Duration kOutOfFilesPause = milliseconds(100);

}  // namespace

Doorstep::Doorstep(Shared& shared, const Listener& listener, Ask ask, Enter enter)
    : shared_(shared),
      listener_(shared.loop, listener.fd),
      ask_(std::move(ask)),
      enter_(std::move(enter)) {
  if (!listener_) return;
  listener_.on_ready([this] { accept_some(); }, [] {});
  listener_.want_read();
}

void Doorstep::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    const int fd = ::accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      admit(fd);
      continue;
    }
    if (errno == EAGAIN) break;
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) continue;
    if (guests_.empty()) {
      // tick() tries again: the waiting connection would make the loop spin.
      out_of_files_ = true;
      shared_.wake_at(shared_.loop.now() + kOutOfFilesPause);
      return;
    }
    turn_away(guests_.begin(), Refusal::kNone, {});
  }
  listener_.want_read();
}

void Doorstep::admit(int fd) {
  if (guests_.size() >= kMaxGuests) turn_away(guests_.begin(), Refusal::kNone, {});
  limit_stranger(fd);
  const auto guest = guests_.emplace(guests_.end());
  guest->leave_at = shared_.loop.now() + kStayAtMost;
  guest->connection = Connection(shared_.loop, fd);
  if (!guest->connection) {
    guests_.erase(guest);
    return;
  }
  guest->connection.on_ready([this, guest] { read(guest); }, [] {});
  read(guest);  // the hello is often here already
}

void Doorstep::read(Guests::iterator guest) {
  if (guest->complete) {
    // Whoever was not answered has nothing to say: this is the end of the connection, or nonsense.
    return turn_away(guest, Refusal::kNone, {});
  }
  while (guest->got < guest->hello.size()) {
    // The header is looked at before anything behind it is read.
    const size_t goal = guest->got < wire::kHeaderBytes ? wire::kHeaderBytes : guest->hello.size();
    const ssize_t got = ::recv(guest->connection.fd(), guest->hello.data() + guest->got,
                               goal - guest->got, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return guest->connection.want_read();
    if (got <= 0) return turn_away(guest, Refusal::kNone, {});
    guest->got += static_cast<size_t>(got);
    const bool foreign =
        guest->got >= sizeof wire::kMagic && load<uint32_t>(guest->hello.data()) != wire::kMagic;
    if ((foreign || guest->got == wire::kHeaderBytes) && !hello_is_fine(guest)) return;
  }
  guest->complete = true;
  decide(guest);
}

bool Doorstep::hello_is_fine(Guests::iterator guest) {
  const auto header = wire::decode_header(guest->hello.data());
  if (!header) {
    const bool other_version = header.status().code() == Code::kVersion;
    if (!other_version) ++shared_.counters.refused_frames;
    turn_away(guest, other_version ? Refusal::kVersion : Refusal::kNone, header.status().text());
    return false;
  }
  if (header.value().kind != wire::Kind::kHello || header.value().length != kLinkHelloBytes) {
    ++shared_.counters.refused_frames;
    turn_away(guest, Refusal::kMalformed, "a connection begins with a hello");
    return false;
  }
  if (header.value().run != shared_.options.run_hash) {
    turn_away(guest, Refusal::kWrongRun, "this peer belongs to another run");
    return false;
  }
  return true;
}

void Doorstep::decide(Guests::iterator guest) {
  const LinkHello hello = decode_hello(guest->hello.data() + wire::kHeaderBytes);
  if (hello.receiver != shared_.options.self)
    return turn_away(guest, Refusal::kWrongReceiver, "another peer listens here now");
  if (hello.lane >= kMaxLanes) return turn_away(guest, Refusal::kMalformed, "no such lane");
  switch (ask_(hello)) {
    case Answer::kWait: return guest->connection.want_read();
    case Answer::kRefuse:
      return turn_away(guest, Refusal::kUnknownPeer, "this peer is not expected here");
    case Answer::kEnter:
      Connection connection = std::move(guest->connection);
      guests_.erase(guest);
      return enter_(hello, std::move(connection));
  }
}

void Doorstep::turn_away(Guests::iterator guest, Refusal refusal, std::string_view why) {
  ++shared_.counters.refused_connections;
  if (refusal != Refusal::kNone) {
    const std::string answer = encode_refusal(refusal, why, shared_.options.run_hash);
    (void)::send(guest->connection.fd(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  guests_.erase(guest);
}

void Doorstep::ask_again() {
  for (auto guest = guests_.begin(); guest != guests_.end();) {
    const auto next = std::next(guest);
    if (guest->complete) decide(guest);
    guest = next;
  }
}

void Doorstep::close() {
  listener_.close();
  guests_.clear();
  out_of_files_ = false;
}

Time Doorstep::tick(Time now) {
  while (!guests_.empty() && now >= guests_.front().leave_at) {
    const auto guest = guests_.begin();
    turn_away(guest, guest->complete ? Refusal::kUnknownPeer : Refusal::kNone,
              "this peer is not expected here");
  }
  if (out_of_files_) {
    out_of_files_ = false;
    accept_some();
  }
  Time next = guests_.empty() ? kNever : guests_.front().leave_at;
  return out_of_files_ ? std::min(next, now + kOutOfFilesPause) : next;
}

}  // namespace rhz::tcp
