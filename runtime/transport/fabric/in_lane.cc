#include "runtime/transport/fabric/in_lane.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/transport/tcp/handshake.h"
#include "runtime/transport/tcp/send_queue.h"
#include "runtime/transport/tcp/socket.h"

namespace rhz::fabric {
namespace {

// B1: twice what an honest sender has under way at a time, its longest frame included.
constexpr size_t kMostBytes = size_t{48} << 20;
// Elements of any type may be used where they have arrived.
constexpr size_t kAlignment = 8;

}  // namespace

InLane::InLane(tcp::Shared& shared, tcp::Edge& edge, uint32_t number, uint64_t generation,
               std::function<void()> lost, Pump& pump)
    : CreditedIncoming(shared, edge, number, generation, std::move(lost)), pump_(pump) {}

void InLane::attach(tcp::Connection&& connection) {
  orderly_ = true;  // who calls again lives
  drop_connection();
  connection_ = std::move(connection);
  tcp::tune_connected(connection_.fd(), shared_.options);
  connection_.on_ready([this] { hear(); }, [this] { write_back(); });
  connection_.want_read();
  tag_ = pump_.add(*this);
  say(tcp::encode_welcome(consumed_, shared_.options.run_hash) +
      encode_introduction(tag_, pump_.fabric().address()));
}

void InLane::drop_connection() {
  if (connection_ && shares_ && !orderly_ && !edge_.said_goodbye()) pump_.renew_soon();
  let_go();
  CreditedIncoming::drop_connection();
  header_bytes_ = beside_bytes_ = 0;
  shares_ = orderly_ = false;
}

void InLane::let_go() {
  if (tag_ != 0) pump_.remove(std::exchange(tag_, 0));
  for (const Piece& piece : pieces_) pump_.fabric().release(piece);
  pieces_.clear();
  piece_bytes_ = used_ = 0;
}

void InLane::fabric_renewed() {
  orderly_ = true;
  drop_connection();
}

// What comes beside the frames.
void InLane::hear() {
  const auto self = shared_from_this();
  const uint64_t connection = connection_count_;
  for (;;) {
    const ssize_t got = ::recv(connection_.fd(), beside_.data() + beside_bytes_,
                               beside_.size() - beside_bytes_, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return connection_.want_read();
    if (got <= 0) {
      drop_connection();
      if (!edge_.said_goodbye()) lost_();
      return;
    }
    beside_bytes_ += static_cast<size_t>(got);
    size_t at = 0;
    for (; beside_bytes_ - at >= wire::kHeaderBytes; at += wire::kHeaderBytes) {
      const auto header = wire::decode_header(beside_.data() + at);
      if (!header || !heard(header.value())) {
        if (connection == connection_count_) (void)refuse();
        return;
      }
      if (connection != connection_count_) return;
    }
    beside_bytes_ -= at;
    std::memmove(beside_.data(), beside_.data() + at, beside_bytes_);
  }
}

bool InLane::heard(const wire::FrameHeader& header) {
  switch (header.kind) {
    case wire::Kind::kGoodbye: return begin(header);
    case wire::Kind::kHeartbeat: return pass(header);
    case wire::Kind::kVoid:
      shares_ |= header.flags == static_cast<uint16_t>(Beside::kSharesReceiver);
      orderly_ |= header.flags == static_cast<uint16_t>(Beside::kOrderlyEnd);
      return header.lane_seq == 0 && header.length == 0 && header.run == shared_.options.run_hash;
    default: return false;
  }
}

void InLane::take(const Piece& piece) {
  pieces_.push_back(piece);
  piece_bytes_ += piece.size;
}

void InLane::work() {
  const auto self = shared_from_this();
  if (piece_bytes_ > kMostBytes) {
    (void)refuse();
    return;
  }
  (void)digest();
}

void InLane::go_on() { work(); }

void InLane::use(size_t bytes) {
  used_ += bytes;
  piece_bytes_ -= bytes;
  if (used_ < pieces_.front().size) return;
  pump_.fabric().release(pieces_.front());
  pieces_.pop_front();
  used_ = 0;
}

// Works off what has arrived.  False: the connection is gone.
bool InLane::digest() {
  while (!held_) {
    if (arriving_) {
      if (!land()) return false;
      if (arriving_) return true;  // the rest is not here yet
    } else {
      if (pieces_.empty()) return true;
      if (!read_header()) return false;
    }
  }
  return true;
}

bool InLane::read_header() {
  const size_t bytes = std::min(front().size(), wire::kHeaderBytes - header_bytes_);
  std::memcpy(header_.data() + header_bytes_, front().data(), bytes);
  header_bytes_ += bytes;
  shared_.counters.received_bytes += bytes;
  use(bytes);
  if (header_bytes_ < wire::kHeaderBytes) return true;
  header_bytes_ = 0;
  const auto header = wire::decode_header(header_.data());
  if (!header || !tcp::takes_number(header.value().kind)) return refuse();
  return begin(header.value());
}

bool InLane::land() {
  const bool wanted = arrival_.landing.verdict == Landing::Verdict::kInto;
  const auto rest = [&] { return size_t{arrival_.header.length} - arrival_.got; };
  size_t looked_at = 0;
  if (wanted && arrival_.landing.may_look && arrival_.got == 0 && rest() > 0 && !pieces_.empty() &&
      front().size() >= rest() && reinterpret_cast<uintptr_t>(front().data()) % kAlignment == 0) {
    arrival_.landing.into = const_cast<std::byte*>(front().data());
    looked_at = rest();
    arrival_.got = arrival_.header.length;
    shared_.counters.received_bytes += looked_at;
  }
  while (rest() > 0 && !pieces_.empty()) {
    const size_t bytes = std::min(front().size(), rest());
    if (wanted) std::memcpy(arrival_.landing.into + arrival_.got, front().data(), bytes);
    arrival_.got += static_cast<uint32_t>(bytes);
    shared_.counters.received_bytes += bytes;
    use(bytes);
  }
  if (rest() > 0) return true;
  if (!complete()) return false;
  if (looked_at > 0) use(looked_at);
  return true;
}

}  // namespace rhz::fabric
