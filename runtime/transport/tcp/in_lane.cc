#include "runtime/transport/tcp/in_lane.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/transport/tcp/handshake.h"
#include "runtime/transport/tcp/socket.h"

namespace rhz::tcp {
namespace {

// Express: many small frames per read.  Bulk: little is read ahead of a header, so that payloads go
// straight to their place.
constexpr size_t kExpressBufferBytes = size_t{64} << 10;
constexpr size_t kBulkBufferBytes = size_t{4} << 10;
// Of one lane, before others get their turn.
constexpr size_t kBytesPerTurn = size_t{2} << 20;

}  // namespace

InLane::InLane(Shared& shared, Edge& edge, uint32_t number, uint64_t generation,
               std::function<void()> lost)
    : CreditedIncoming(shared, edge, number, generation, std::move(lost)),
      buffer_(number == 0 ? kExpressBufferBytes : kBulkBufferBytes) {}

void InLane::attach(Connection&& connection) {
  drop_connection();
  connection_ = std::move(connection);
  tune_connected(connection_.fd(), shared_.options);
  connection_.on_ready([this] { read(); }, [this] { write_back(); });
  connection_.want_read();
  say(encode_welcome(consumed_, shared_.options.run_hash));
}

void InLane::drop_connection() {
  CreditedIncoming::drop_connection();
  begin_ = end_ = 0;
}

void InLane::read() {
  const auto self = shared_from_this();
  const uint64_t connection = connection_count_;
  for (size_t turn = 0; !held_ && turn < kBytesPerTurn;) {
    size_t wanted = 0;
    const ssize_t got = receive(wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0) {
      drop_connection();
      if (!edge_.said_goodbye()) lost_();
      return;
    }
    turn += static_cast<size_t>(got);
    shared_.counters.received_bytes += static_cast<size_t>(got);
    if (!digest() || connection != connection_count_) return;
    if (static_cast<size_t>(got) < wanted) break;  // that was all there is
  }
  if (!held_) connection_.want_read();
}

// One system call: the rest of a payload to its place, and a little of what follows it to the
// buffer.
ssize_t InLane::receive(size_t& wanted) {
  iovec pieces[2];
  size_t count = 0;
  wanted = 0;
  const auto add = [&](std::byte* to, size_t size) {
    pieces[count++] = {to, size};
    wanted += size;
  };
  if (arriving_) {  // all that was buffered has been landed
    const size_t rest = arrival_.header.length - arrival_.got;
    if (arrival_.landing.verdict == Landing::Verdict::kInto) {
      add(arrival_.landing.into + arrival_.got, rest);
    } else {
      add(shared_.scratch.data(), std::min(rest, shared_.scratch.size()));
    }
    if (wanted == rest) add(buffer_.data(), number_ == 0 ? buffer_.size() : wire::kHeaderBytes);
  } else {
    add(buffer_.data() + end_, buffer_.size() - end_);
  }
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  const ssize_t got = ::recvmsg(connection_.fd(), &message, MSG_DONTWAIT);
  if (got <= 0) return got;
  size_t bytes = static_cast<size_t>(got);
  if (arriving_) {
    const size_t landed = std::min(bytes, pieces[0].iov_len);
    arrival_.got += static_cast<uint32_t>(landed);
    bytes -= landed;
  }
  end_ += bytes;
  return got;
}

// Works off what has been received.  False: the connection is gone.
bool InLane::digest() {
  for (;;) {
    if (arriving_) {
      land_buffered();
      if (arrival_.got < arrival_.header.length) return true;
      if (!complete()) return false;
    }
    if (end_ - begin_ < wire::kHeaderBytes) break;
    const auto header = wire::decode_header(buffer_.data() + begin_);
    if (!header) return refuse();
    begin_ += wire::kHeaderBytes;
    if (!begin(header.value())) return false;
    if (held_) return true;
  }
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  return true;
}

void InLane::land_buffered() {
  const size_t size = std::min<size_t>(end_ - begin_, arrival_.header.length - arrival_.got);
  if (size > 0 && arrival_.landing.verdict == Landing::Verdict::kInto)
    std::memcpy(arrival_.landing.into + arrival_.got, buffer_.data() + begin_, size);
  arrival_.got += static_cast<uint32_t>(size);
  begin_ += size;
  if (begin_ == end_) begin_ = end_ = 0;
}

void InLane::go_on() {
  const auto self = shared_from_this();
  const uint64_t connection = connection_count_;
  if (digest() && connection == connection_count_ && !held_) connection_.want_read();
}

}  // namespace rhz::tcp
