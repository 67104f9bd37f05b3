#include "runtime/transport/tcp/dialer.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "runtime/transport/tcp/socket.h"

namespace rhz::tcp {
namespace {

// An address that does not even answer the first packet is passed over after this: two
// retransmissions on a LAN.
constexpr Duration kConnectAtMost = milliseconds(1000);
// The receiver lets a caller that it does not know yet wait for 5 s; one that is silent for longer
// is stopped.
constexpr Duration kAnswerAtMost = milliseconds(6000);

}  // namespace

void Dialer::start(const LinkHello& hello, std::shared_ptr<PeerAddresses> addresses) {
  cancel();
  addresses_ = std::move(addresses);
  hello_ = encode_hello(hello, shared_.options.run_hash);
  index_ = 0;
  all_refused_ = true;
  addresses_->refresh();
  try_address();
}

void Dialer::cancel() {
  connection_.close();
  stage_ = Stage::kIdle;
  give_up_at_ = kNever;
}

void Dialer::try_address() {
  while (index_ < addresses_->list().size()) {
    const int fd = start_connect(addresses_->list()[index_], shared_.options);
    if (fd >= 0) {
      connection_ = Connection(shared_.loop, fd);
      if (connection_) {
        stage_ = Stage::kConnecting;
        give_up_at_ = shared_.loop.now() + kConnectAtMost;
        shared_.wake_at(give_up_at_);
        connection_.on_ready([this] { read_answer(); }, [this] { connected(); });
        connection_.want_write();
        return;
      }
      all_refused_ = false;
    } else if (errno != ECONNREFUSED) {
      all_refused_ = false;
    }
    ++index_;
  }
  finish(all_refused_ && addresses_->complete() ? Outcome::kGone : Outcome::kFailed);
}

void Dialer::next_address(bool refused) {
  connection_.close();
  if (!refused) all_refused_ = false;
  ++index_;
  try_address();
}

void Dialer::connected() {
  if (stage_ != Stage::kConnecting) return;
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(connection_.fd(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  if (error != 0) return next_address(error == ECONNREFUSED);
  if (connected_to_itself(connection_.fd())) return next_address(true);
  tune_connected(connection_.fd(), shared_.options);
  // A fresh connection takes so few bytes at once.
  if (::send(connection_.fd(), hello_.data(), hello_.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
      static_cast<ssize_t>(hello_.size()))
    return next_address(false);
  stage_ = Stage::kAwaitingAnswer;
  answered_ = 0;
  give_up_at_ = shared_.loop.now() + kAnswerAtMost;
  connection_.want_read();
}

void Dialer::read_answer() {
  if (stage_ != Stage::kAwaitingAnswer) return;
  const ssize_t got = ::recv(connection_.fd(), answer_.data() + answered_,
                             answer_.size() - answered_, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return connection_.want_read();
  if (got <= 0) return next_address(false);
  answered_ += static_cast<size_t>(got);
  if (answered_ < answer_.size()) return connection_.want_read();
  judge_answer();
}

void Dialer::judge_answer() {
  const auto header = wire::decode_header(answer_.data());
  // Whoever speaks another protocol, or another version, is another process.  Both are read before the checksum, and so may be damage, which passes.
  const bool foreign = !header && (load<uint32_t>(answer_.data()) != wire::kMagic || header.status().code() == Code::kVersion);
  const bool called_foreign = header && header.value().flags == static_cast<uint16_t>(Refusal::kVersion);
  const bool odd = foreign || called_foreign, odd_before = std::exchange(odd_before_, odd);
  if (!header || odd) return next_address(odd && odd_before);
  const wire::FrameHeader& ack = header.value();
  if (ack.kind != wire::Kind::kHelloAck) return next_address(true);
  if (ack.flags != 0) return next_address(is_final(static_cast<Refusal>(ack.flags)));
  if (ack.run != shared_.options.run_hash || ack.length != 0) return next_address(true);
  consumed_ = ack.lane_seq;
  addresses_->prefer(index_);
  finish(Outcome::kAnswered);
}

void Dialer::finish(Outcome outcome) {
  stage_ = Stage::kIdle;
  give_up_at_ = kNever;
  done_(outcome);
}

Time Dialer::tick(Time now) {
  if (stage_ != Stage::kIdle && now >= give_up_at_) next_address(false);
  return give_up_at_;
}

}  // namespace rhz::tcp
