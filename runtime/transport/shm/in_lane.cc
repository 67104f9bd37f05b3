#include "runtime/transport/shm/in_lane.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "runtime/transport/shm/sockets.h"
#include "runtime/transport/tcp/handshake.h"

namespace rhz::shm {
namespace {

// Of one lane, before others get their turn …
constexpr size_t kBytesPerTurn = size_t{512} << 10;
// … and of one system call.
constexpr size_t kBytesPerRead = size_t{256} << 10;

}  // namespace

InLane::InLane(tcp::Shared& shared, tcp::Edge& edge, uint32_t number, uint64_t generation,
               std::function<void()> lost, Watch& watch, Life& life,
               bool direct_allowed)
    : Incoming(shared, edge, number, generation, std::move(lost)),
      watch_(watch),
      life_(life),
      direct_allowed_(direct_allowed) {}

void InLane::attach(tcp::Connection&& connection) {
  drop_connection();
  if (!same_user(connection.fd())) {
    ++shared_.counters.refused_connections;
    return connection.close();
  }
  connection_ = std::move(connection);
  connection_.on_ready([this] { hear(); }, [] {});
  connection_.want_read();
  const std::string welcome = tcp::encode_welcome(consumed_, shared_.options.run_hash);
  // A fresh connection takes so few bytes at once; should it not, the end of it follows.
  (void)::send(connection_.fd(), welcome.data(), welcome.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void InLane::drop_connection() {
  let_go();
  Incoming::drop_connection();
  far_closed_ = payload_is_remote_ = false;
  blocks_.clear();
}

Time InLane::tick(Time) {
  if (!arriving_) blocks_.let_go_of_freed();
  return kNever;
}

void InLane::let_go() {
  if (!memory_) return;
  watch_.remove(*this);
  if (number_ == 0) life_.unwatch(memory_.control().sender_lives);
  memory_.reset();
}

void InLane::hear() {
  const auto self = shared_from_this();
  if (!listen()) return;
  const uint64_t connection = connection_count_;
  if (!memory_) {
    if (far_closed_)
      far_end_closed();
    else
      connection_.want_read();
    return;
  }
  if (!pump() || connection != connection_count_) return;
  if (!far_closed_) connection_.want_read();
  after_event();
}

// What has come on the socket.  False: the connection is gone.
bool InLane::listen() {
  const Heard heard = listen_to(connection_.fd(), [this](int memory) {
    return memory_ ? blocks_.add(memory) : take_memory(memory);
  });
  if (heard.nonsense || heard.goodbye) return refuse();
  far_closed_ |= heard.ended;
  return true;
}

bool InLane::take_memory(int fd) {
  auto region = SharedRegion::map(fd, LaneMemory::bytes(number_));
  if (!region) return false;
  memory_ = LaneMemory(std::move(region).value());
  Control& control = memory_.control();
  if (control.magic != kLaneMagic || control.ring_bytes != memory_.ring().size()) {
    memory_.reset();
    return false;
  }
  ring_ = RingReader(memory_);
  const auto sender = credentials_of(connection_.fd());
  remote_ = RemoteMemory(sender ? sender->pid : 0, control.token_address, control.token);
  direct_ = direct_allowed_ && remote_.works();
  control.consumed.store(consumed_, std::memory_order_relaxed);
  control.bulk.store(static_cast<uint32_t>(direct_ ? Bulk::kDirect : Bulk::kThroughRing),
                     std::memory_order_release);
  watch_.add(*this, number_ == 0 ? 0 : 2);
  set_sleeping(watch_.armed());
  if (number_ == 0)
    life_.watch(control.sender_lives, [this] { edge_.suspect(Evidence::kDied); });
  send_credit();  // with the answer
  return true;
}

// Works off what is there, for one turn.  False: the connection is gone.
bool InLane::pump() {
  size_t budget = kBytesPerTurn;
  while (!held_ && budget > 0) {
    if (arriving_) {
      if (!move_payload(budget)) return false;
      if (arrival_.got < arrival_.header.length) break;  // the rest is not there yet, or later
      if (!complete()) return false;
    } else {
      if (ring_.available() < wire::kHeaderBytes) break;
      if (!next_frame()) return false;
      budget -= std::min(budget, wire::kHeaderBytes);
    }
  }
  if (ring_.corrupt()) return refuse();
  send_credit();
  if (far_closed_ && !ready() && !held_) {
    far_end_closed();
    return false;
  }
  return true;
}

bool InLane::next_frame() {
  wire::HeaderBytes bytes;
  ring_.take(bytes.data(), bytes.size());
  const auto header = wire::decode_header(bytes.data());
  if (!header) return refuse();
  payload_is_remote_ = false;
  if (header.value().length > kInlineBytes) {
    // Header and descriptor are published together.
    if (ring_.available() < sizeof where_) return refuse();
    ring_.take(&where_, sizeof where_);
    payload_is_remote_ = where_.block != Descriptor::kInRing;
    if (payload_is_remote_ && !find_payload(header.value().length)) return false;
  }
  shared_.counters.received_bytes += bytes.size();
  return begin(header.value());
}

// Of the frame that begins, outside of the ring.  False: the connection is gone.
bool InLane::find_payload(uint32_t length) {
  mapped_ = nullptr;
  if (where_.block == Descriptor::kNoBlock) return direct_ || refuse();
  // A block is sent before it is named, but on the other way.
  if (where_.block > blocks_.count() && !listen()) return false;
  mapped_ = blocks_.find(where_.block, where_.address, length);
  return mapped_ || refuse();
}

bool InLane::move_payload(size_t& budget) {
  size_t size = std::min<size_t>(arrival_.header.length - arrival_.got, budget);
  const bool wanted = arrival_.landing.verdict == Landing::Verdict::kInto;
  if (payload_is_remote_) {
    if (!wanted) {
      arrival_.got = arrival_.header.length;
      return true;
    }
    if (mapped_ && arrival_.landing.may_look) return look();
    size = std::min(size, kBytesPerRead);
    if (!read_remote(size)) return false;
    if (arrival_.landing.verdict != Landing::Verdict::kInto) return true;
  } else {
    // Piece by piece, so that the sender fills one while another is emptied.
    size = std::min({size, ring_.available(), kPieceBytes});
    const bool whole = size == arrival_.header.length;
    if (const std::byte* const there = wanted && whole && arrival_.landing.may_look ? ring_.next(size) : nullptr) {
      arrival_.landing.into = const_cast<std::byte*>(there);  // used before this is published as taken
      ring_.skip(size);
    } else {
      if (wanted)
        ring_.take(arrival_.landing.into + arrival_.got, size, arrival_.landing.cold);
      else
        ring_.skip(size);
      if (arrival_.header.length > kInlineBytes) ring_.publish();
    }
  }
  arrival_.got += static_cast<uint32_t>(size);
  shared_.counters.received_bytes += size;
  budget -= size;
  return true;
}

// The payload is used where it lies.
bool InLane::look() {
  arrival_.landing.into = const_cast<std::byte*>(mapped_);
  arrival_.landing.number = arrival_.header.lane_seq;
  arrival_.landing.word = &memory_.word(arrival_.landing.number);
  if (!arrival_.landing.still_there()) take_back();
  arrival_.got = arrival_.header.length;
  return true;
}

// Reads a piece of the payload.
bool InLane::read_remote(size_t size) {
  using Outcome = RemoteMemory::Outcome;
  std::byte* const into = arrival_.landing.into + arrival_.got;
  auto outcome = Outcome::kRead;
  if (mapped_)
    std::memcpy(into, mapped_ + arrival_.got, size);
  else if (may_read())
    outcome = remote_.read(into, where_.address + arrival_.got, size);
  // Behind the copy and before its use: bytes that were the sender's own business by then do not
  // count.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!may_read()) {
    take_back();
    return true;
  }
  if (outcome == Outcome::kRead) return true;
  if (outcome == Outcome::kBadAddress) return refuse();
  far_end_closed();
  return false;
}

// The sender wants its memory for something else: the frame counts as a VOID.
void InLane::take_back() {
  arrival_.landing = {};
  arrival_.silent = true;
  arrival_.got = arrival_.header.length;
}

bool InLane::may_read() const {
  const uint64_t number = arrival_.header.lane_seq;
  return memory_.word(number).load(std::memory_order_acquire) == number;
}

// The connection is over, and nothing more can be had from it.
void InLane::far_end_closed() {
  drop_connection();
  if (!edge_.said_goodbye()) lost_();
}

// What was consumed, and the room that it left; wakes a sender that waits for either.
void InLane::send_credit() {
  if (!memory_) return;
  Control& control = memory_.control();
  control.consumed.store(consumed_, std::memory_order_release);
  ring_.publish();
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (control.sender_sleeps.load(std::memory_order_relaxed) == 0) return;
  control.sender_sleeps.store(0, std::memory_order_relaxed);
  say(connection_.fd(), Word::kWake);
}

void InLane::say_goodbye() { say(connection_.fd(), Word::kGoodbye); }

void InLane::go_on() {
  if (memory_ && pump()) after_event();
}

// Nobody polls: what is left of a turn, or came while it lasted, gets the next one.
void InLane::after_event() {
  if (!watch_.armed() || !memory_) return;
  set_sleeping(true);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!ready()) return;
  shared_.post(weak_from_this(), [](Incoming& lane) { static_cast<InLane&>(lane).go_on(); });
}

void InLane::set_sleeping(bool sleeping) {
  memory_.control().receiver_sleeps.store(sleeping ? 1 : 0, std::memory_order_relaxed);
}

bool InLane::ready() {
  if (held_) return false;
  if (!arriving_) return ring_.available() >= wire::kHeaderBytes || ring_.corrupt();
  return payload_is_remote_ || ring_.available() > 0 || ring_.corrupt() ||
         arrival_.got == arrival_.header.length;
}

bool InLane::poll() {
  if (!ready()) return false;
  const auto self = shared_from_this();
  (void)pump();
  return true;
}

}  // namespace rhz::shm
