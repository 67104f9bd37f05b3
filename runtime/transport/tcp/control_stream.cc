#include "runtime/transport/tcp/control_stream.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/wire/codec.h"

namespace rhz::tcp {
namespace {
constexpr size_t kReadBytes = 64u << 10;
constexpr size_t kFirstReadBytes = 4u << 10;  // a stranger that says little costs little
constexpr uint64_t kMaxQueuedBytes = 64u << 20;  // B1: a far side that does not read is cut off

// How large a buffer becomes that is full of `held`: grows with what comes, and a message that has begun gets exactly its own size.
size_t larger_buffer(ConstBytes held) {
  size_t begun = 0;
  if (held.size() >= wire::kHeaderBytes)
    if (const auto header = wire::decode_header(held.data())) begun = wire::kHeaderBytes + header.value().length;
  return std::max(held.size() + kFirstReadBytes, std::min(2 * held.size() + kReadBytes, begun));
}
}  // namespace

ControlStream::ControlStream(Connection&& connection, uint64_t run, uint32_t largest, Events events)
    : connection_(std::move(connection)),
      run_(run),
      largest_(largest),
      events_(std::move(events)) {}

void ControlStream::start() {
  std::weak_ptr<ControlStream> weak = weak_from_this();
  connection_.on_ready(
      [weak] {
        if (auto self = weak.lock()) self->read_some();
      },
      [weak] {
        if (auto self = weak.lock()) self->write_some();
      });
  connection_.want_read();
}

void ControlStream::read_some() {
  if (!connection_) return;
  if (in_begin_ == in_end_) in_begin_ = in_end_ = 0;
  if (in_end_ == in_.size()) {
    std::copy(in_.data() + in_begin_, in_.data() + in_end_, in_.data());
    in_end_ -= in_begin_;
    in_begin_ = 0;
  }
  if (in_end_ == in_.size()) {
    in_.reserve(larger_buffer({in_.data(), in_end_}));
    in_.resize(in_.capacity());
  }
  const ssize_t got = ::recv(connection_.fd(), in_.data() + in_end_, in_.size() - in_end_, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return connection_.want_read();
  if (got < 0)
    return over(Status(Code::kIo, std::string("connection lost: ") + std::strerror(errno)));
  if (got == 0) return over(Status(Code::kIo, "the far side closed the connection"));
  in_end_ += static_cast<size_t>(got);
  if (take_messages() && connection_) connection_.want_read();
}

// False when the connection is over.
bool ControlStream::take_messages() {
  while (connection_ && in_end_ - in_begin_ >= wire::kHeaderBytes) {
    auto header = wire::decode_header(in_.data() + in_begin_);
    if (!header) {
      // Whoever speaks another version can at least read which one we speak: the head of a frame
      // never changes.
      if (header.status().code() == Code::kVersion) send(RefusedMessage{Term(0), header.status()});
      return over(header.status()), false;
    }
    const wire::FrameHeader& h = header.value();
    const bool known = h.kind == wire::Kind::kControl || (h.kind == wire::Kind::kVault && events_.vault);
    if (!known)
      return over(Status(Code::kArgument, "not a control frame; is this a data port?")), false;
    if (h.length > largest_)
      return over(Status(Code::kArgument, "a control message of " + std::to_string(h.length) +
                                              " bytes is over the limit of " +
                                              std::to_string(largest_))),
             false;
    if (in_end_ - in_begin_ < wire::kHeaderBytes + h.length) return true;
    const ConstBytes payload{in_.data() + in_begin_ + wire::kHeaderBytes, h.length};
    in_begin_ += wire::kHeaderBytes + h.length;
    if (Status taken = take(h, payload); !taken) return over(taken), false;
  }
  return static_cast<bool>(connection_);
}

Status ControlStream::take(const wire::FrameHeader& header, ConstBytes payload) {
  if (header.kind == wire::Kind::kVault) {
    if (header.run != run_) return {Code::kRunId, "a vault message of another run"};
    events_.vault(payload);
    return Status::ok();
  }
  auto message = wire::decode_message(payload);
  if (!message) return message.status();
  events_.message(std::move(message).value());
  return Status::ok();
}

void ControlStream::send(const ControlMessage& message) {
  if (!connection_ || finishing_) return;
  const std::vector<std::byte> payload = wire::encode(message);
  if (payload.empty())
    return over(Status(Code::kInternal, "a control message is over the size limit"));
  send_frame(wire::Kind::kControl, payload, {});
}

void ControlStream::send_vault(ConstBytes head, ConstBytes body) {
  if (connection_ && !finishing_) send_frame(wire::Kind::kVault, head, body);
}

void ControlStream::send_frame(wire::Kind kind, ConstBytes head, ConstBytes body) {
  std::vector<std::byte> frame(wire::kHeaderBytes);
  frame.reserve(wire::kHeaderBytes + head.size() + body.size());
  wire::FrameHeader header;
  header.kind = kind;
  header.run = run_;
  header.length = static_cast<uint32_t>(head.size() + body.size());
  wire::encode_header(header, frame.data());
  frame.insert(frame.end(), head.begin(), head.end());
  frame.insert(frame.end(), body.begin(), body.end());
  queued_bytes_ += frame.size();
  out_.push_back(std::move(frame));
  if (queued_bytes_ > kMaxQueuedBytes)
    return over(Status(Code::kIo, "the far side does not read its control messages"));
  if (!writing_) write_some();
}

void ControlStream::write_some() {
  writing_ = false;
  while (connection_ && !out_.empty()) {
    const auto& frame = out_.front();
    const ssize_t sent =
        ::send(connection_.fd(), frame.data() + out_sent_, frame.size() - out_sent_, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      writing_ = true;
      return connection_.want_write();
    }
    // The reader finds out what happened, after it has read what the far side had to say.
    if (sent < 0) {
      out_.clear();
      out_sent_ = queued_bytes_ = 0;
      return;
    }
    out_sent_ += static_cast<size_t>(sent);
    queued_bytes_ -= static_cast<size_t>(sent);
    if (out_sent_ < frame.size()) continue;
    out_.pop_front();
    out_sent_ = 0;
  }
  if (finishing_ && connection_) ::shutdown(connection_.fd(), SHUT_WR);
}

void ControlStream::finish() {
  if (finishing_ || !connection_) return;
  finishing_ = true;
  if (!writing_) write_some();
}

void ControlStream::close() { connection_.close(); }

void ControlStream::over(const Status& why) {
  if (!connection_) return;
  const auto self = shared_from_this();  // the event may drop the last owner
  connection_.close();
  if (events_.closed) events_.closed(why);
}

}  // namespace rhz::tcp
