#include "runtime/transport/tcp/credited_incoming.h"

#include <sys/socket.h>

#include <cerrno>

namespace rhz::tcp {
namespace {

constexpr uint32_t kCreditFrames = 64;
constexpr uint64_t kCreditBytes = uint64_t{1} << 20;
constexpr Duration kCreditAfter = milliseconds(5);

}  // namespace

void CreditedIncoming::drop_connection() {
  Incoming::drop_connection();
  back_.clear();
  credited_ = consumed_;  // the welcome of the next connection says so
  uncredited_frames_ = 0;
  uncredited_bytes_ = 0;
}

void CreditedIncoming::count_consumed(const wire::FrameHeader& header) {
  if (uncredited_frames_++ == 0) uncredited_since_ = shared_.loop.now();
  uncredited_bytes_ += wire::kHeaderBytes + header.length;
  if (uncredited_frames_ >= kCreditFrames || uncredited_bytes_ >= kCreditBytes) send_credit();
}

void CreditedIncoming::send_credit() {
  // While the way back is full, later consumption goes into one credit.
  if (!connection_ || !back_.empty() || credited_ == consumed_) return;
  wire::FrameHeader credit;
  credit.kind = wire::Kind::kCredit;
  credit.run = shared_.options.run_hash;
  credit.lane_seq = credited_ = consumed_;
  uncredited_frames_ = 0;
  uncredited_bytes_ = 0;
  wire::HeaderBytes bytes;
  wire::encode_header(credit, bytes.data());
  say({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void CreditedIncoming::say_goodbye() {
  wire::FrameHeader goodbye;
  goodbye.kind = wire::Kind::kGoodbye;
  goodbye.run = shared_.options.run_hash;
  wire::HeaderBytes bytes;
  wire::encode_header(goodbye, bytes.data());
  say({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void CreditedIncoming::say(std::string_view bytes) {
  back_.append(bytes);
  write_back();
}

void CreditedIncoming::write_back() {
  if (back_.empty()) return;
  const ssize_t written =
      ::send(connection_.fd(), back_.data(), back_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  // An error shows when reading, which also finds what came before it.
  if (written > 0) back_.erase(0, static_cast<size_t>(written));
  if (!back_.empty() && (written > 0 || errno == EAGAIN || errno == EINTR))
    connection_.want_write();
  if (back_.empty() && uncredited_frames_ >= kCreditFrames) send_credit();
}

Time CreditedIncoming::tick(Time now) {
  if (!connection_ || uncredited_frames_ == 0) return kNever;
  if (now < uncredited_since_ + kCreditAfter) return uncredited_since_ + kCreditAfter;
  send_credit();
  return kNever;
}

}  // namespace rhz::tcp
