#include "runtime/transport/fabric/out_lane.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace rhz::fabric {
namespace {

// Frames that fit are copied, and several of them make one message.
constexpr size_t kSmallBytes = size_t{16} << 10;
constexpr size_t kSmallMessageBytes = kSmallBytes + wire::kHeaderBytes;
// A usual segment in one message, where the library takes it.
constexpr size_t kLargeMessageBytes = (size_t{256} << 10) + wire::kHeaderBytes;
// B1: what may be under way, and what may be sent and not be credited: all of that the far side
// keeps in memory while its lane is held.
constexpr size_t kMostFrames = 256;
constexpr size_t kMostBytes = size_t{4} << 20;

}  // namespace

OutLane::OutLane(tcp::Shared& shared, tcp::Edge& edge,
                 std::shared_ptr<tcp::PeerAddresses> addresses, uint32_t number, Pump& pump,
                 Flights& flights)
    : CreditedOutgoing(shared, edge, std::move(addresses), number),
      pump_(pump),
      flights_(flights),
      message_bytes_(std::min(kLargeMessageBytes, pump.fabric().max_message_bytes())),
      most_flights_(kMostBytes / message_bytes_) {}

bool OutLane::copies(const OutFrame&) const { return number_ == 0; }

void OutLane::begin() {
  forget_back();
  introduction_.clear();
  connection_.on_ready([this] { hear(); }, [] {});
  hear();
}

void OutLane::hear() {
  if (!link_ && !take_introduction()) return;
  read_back();
}

// Where the frames go.  False: not said yet, or the connection is over.
bool OutLane::take_introduction() {
  for (;;) {
    size_t goal = Introduction::kHeadBytes;
    std::optional<Introduction> head;
    if (introduction_.size() >= goal) {
      head = decode_introduction(introduction_.data());
      if (!head) {
        ++shared_.counters.refused_frames;
        lost();
        return false;
      }
      goal += head->address_bytes;
    }
    if (head && introduction_.size() == goal) {
      tag_ = head->tag;
      link_ = pump_.connect(std::span<const std::byte>(introduction_).subspan(Introduction::kHeadBytes));
      introduction_.clear();
      if (!link_) {
        lost();
        return false;
      }
      if (pump_.fabric().shares_receiver(link_)) say_beside(Beside::kSharesReceiver);
      flush();
      return up();
    }
    const size_t had = introduction_.size();
    introduction_.resize(goal);
    const ssize_t got =
        ::recv(connection_.fd(), introduction_.data() + had, goal - had, MSG_DONTWAIT);
    introduction_.resize(had + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      connection_.want_read();
      return false;
    }
    if (got <= 0) {
      lost();
      return false;
    }
  }
}

void OutLane::let_go() {
  if (!link_) return;
  for (Flight* flight : under_way_) flight->sender = nullptr;
  under_way_.clear();
  pump_.disconnect(std::exchange(link_, nullptr));
  if (connection_) say_beside(Beside::kOrderlyEnd);
}

// Should the connection be full, the far side does without it.
void OutLane::say_beside(Beside what) {
  wire::FrameHeader header;
  header.kind = wire::Kind::kVoid;
  header.flags = static_cast<uint16_t>(what);
  header.run = shared_.options.run_hash;
  wire::HeaderBytes bytes;
  wire::encode_header(header, bytes.data());
  (void)::send(connection_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool OutLane::room() const {
  if (under_way_.size() >= most_flights_) return false;
  if (queue_.in_a_frame()) return true;  // what was begun has to follow before anything is credited
  return queue_.written_frames() < kMostFrames && queue_.written_bytes() < kMostBytes;
}

void OutLane::flush() {
  while (link_ && queue_.has_unsent()) {
    if (!room()) {
      note_progress();
      blocked_ = true;
      return;
    }
    if (!send_next()) return;
  }
  // Behind the last credit, GOODBYE cannot overtake anything.
  if (link_ && finishing() && !queue_.owes()) end_of_output();
}

bool OutLane::send_next() {
  iovec pieces[2];
  const size_t count = queue_.gather(pieces);
  if (!tcp::takes_number(queue_.next().kind)) return send_beside(pieces[0]);
  size_t bytes = 0;
  for (size_t i = 0; i < count; ++i) bytes += pieces[i].iov_len;
  if (bytes <= std::min(kSmallMessageBytes, message_bytes_))
    send_small();
  else
    send_large(pieces, count);
  return link_ != nullptr;
}

// On the connection.  A heartbeat that finds it full is not needed: somebody has not read the ones
// before.
bool OutLane::send_beside(const iovec& header) {
  const ssize_t sent =
      ::send(connection_.fd(), header.iov_base, header.iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
  const bool full = sent < 0 && (errno == EAGAIN || errno == ENOBUFS);
  if (sent != static_cast<ssize_t>(header.iov_len) &&
      !(full && queue_.next().kind == wire::Kind::kHeartbeat)) {
    read_back();  // its last words may be here already
    if (up()) lost();
    return false;
  }
  wrote(header.iov_len);
  return true;
}

// Of what waits, all that fits into one message.
void OutLane::send_small() {
  Flight& flight = flights_.take(*this);
  flight.keep = shared_.pool.take(kSmallMessageBytes);
  if (!flight.keep) {
    flights_.put_back(flight);
    return lost();
  }
  const size_t most = std::min(kSmallMessageBytes, message_bytes_);
  size_t size = 0;
  while (queue_.has_unsent()) {
    iovec pieces[2];
    const size_t count = queue_.gather(pieces);
    size_t bytes = 0;
    for (size_t i = 0; i < count; ++i) bytes += pieces[i].iov_len;
    if (!tcp::takes_number(queue_.next().kind) || size + bytes > most) break;
    for (size_t i = 0; i < count; ++i) {
      std::memcpy(flight.keep.data() + size, pieces[i].iov_base, pieces[i].iov_len);
      size += pieces[i].iov_len;
    }
    wrote(bytes);
  }
  const Fabric::Part whole{flight.keep.data(), size};
  launch(flight, {&whole, 1});
}

void OutLane::send_large(const iovec* pieces, size_t count) {
  Flight& flight = flights_.take(*this);
  flight.keep = queue_.next_keep();
  flight.lent = !flight.keep;
  flight.group = queue_.next().group;
  flight.op = queue_.next().op_seq;
  Fabric::Part parts[2];
  size_t used = 0, bytes = 0;
  if (count == 2) {
    // The queue's own copy may move.
    std::memcpy(flight.header.data(), pieces[0].iov_base, pieces[0].iov_len);
    parts[used++] = {flight.header.data(), pieces[0].iov_len};
  }
  const iovec& payload = pieces[count - 1];
  parts[used] = {static_cast<const std::byte*>(payload.iov_base),
                 std::min(payload.iov_len, message_bytes_ - (used > 0 ? parts[0].size : 0))};
  ++used;
  for (size_t i = 0; i < used; ++i) bytes += parts[i].size;
  if (flight.lent && pump_.fabric().needs_copies()) {
    flight.lent = false;
    flight.keep = shared_.pool.take(parts[used - 1].size);
    if (!flight.keep) {
      flights_.put_back(flight);
      return lost();
    }
    std::memcpy(flight.keep.data(), parts[used - 1].data, parts[used - 1].size);
    parts[used - 1].data = flight.keep.data();
  }
  wrote(bytes);
  launch(flight, {parts, used});
}

void OutLane::launch(Flight& flight, std::span<const Fabric::Part> parts) {
  under_way_.push_back(&flight);
  pump_.fabric().send(link_, tag_, parts, &flight);
  pump_.kick();
}

Time OutLane::tick(Time now) {
  const Time next = CreditedOutgoing::tick(now);
  return link_ ? std::min(next, pump_.tick(now)) : next;
}

void OutLane::wrote(size_t bytes) {
  shared_.counters.sent_frames += queue_.wrote(bytes);
  shared_.counters.sent_bytes += bytes;
}

void OutLane::landed(Flight& flight, bool ok) {
  std::erase(under_way_, &flight);
  flight.sender = nullptr;
  if (!ok) return lost();
  go_on();
}

void OutLane::credited() { go_on(); }

void OutLane::go_on() {
  if (blocked_ && room()) {
    note_progress();
    blocked_ = false;
    flush();
  } else if (finishing() && !queue_.has_unsent()) {
    flush();
  }
}

// W8: what still reads the caller's memory ends now, with the connection; the lane is resumed, and
// the frames go out as VOIDs.
void OutLane::quiesce() {
  queue_.quiesce();
  if (std::any_of(under_way_.begin(), under_way_.end(), [](Flight* f) { return f->lent; })) lost();
}

void OutLane::release(GroupId group, OpSeq op) {
  queue_.release(group, op);
  if (std::any_of(under_way_.begin(), under_way_.end(),
                  [&](Flight* f) { return f->lent && f->group == group && f->op == op; }))
    lost();
}

}  // namespace rhz::fabric
