#include "runtime/transport/tcp/control_client.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/transport/tcp/socket.h"

namespace rhz::tcp {
namespace {
constexpr Duration kFirstPause = milliseconds(2);
constexpr Duration kLongestPause = milliseconds(200);  // well below any suspicion time
constexpr Duration kDialTimeout = milliseconds(2000);
}  // namespace

std::string local_host_towards(const SocketAddress& to) {
  const int fd =
      ::socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);  // connecting one sends nothing
  if (fd < 0) return {};
  SocketAddress local;
  local.length = sizeof local.storage;
  const bool known =
      ::connect(fd, to.get(), to.length) == 0 && ::getsockname(fd, local.get(), &local.length) == 0;
  ::close(fd);
  if (!known) return {};
  const std::string text = local.text();
  return text.substr(0, text.rfind(':'));
}

ControlClient::ControlClient(AsioLoop& loop, std::vector<SocketAddress> addresses, uint64_t run,
                             Events events)
    : loop_(loop), addresses_(std::move(addresses)), run_(run), events_(std::move(events)) {}

ControlClient::~ControlClient() { stop(); }

void ControlClient::start(Time now) {
  running_ = true;
  pause_ = kFirstPause;
  dial(now);
}

void ControlClient::stop() {
  running_ = false;
  dialling_.close();
  if (stream_) stream_->finish();
  stream_.reset();
  retry_at_ = dial_until_ = kNever;
}

void ControlClient::send(const ControlMessage& message) {
  if (stream_) stream_->send(message);
}

void ControlClient::send_vault(ConstBytes head, ConstBytes body) {
  if (stream_) stream_->send_vault(head, body);
}

void ControlClient::dial(Time now) {
  retry_at_ = kNever;
  const SocketAddress& to = addresses_[next_address_];
  next_address_ = (next_address_ + 1) % addresses_.size();
  TcpOptions options;
  options.socket_buffer_bytes = 0;
  const int fd = start_connect(to, options);
  if (fd < 0) return failed(Status(Code::kUnreachable, std::strerror(errno)));
  dialling_ = Connection(loop_, fd);
  if (!dialling_) return failed(Status(Code::kIo, "the system refuses to watch a socket"));
  dial_until_ = now + kDialTimeout;
  dialling_.on_ready([] {}, [this] { dialled(); });
  dialling_.want_write();
}

void ControlClient::dialled() {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(dialling_.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error == 0 && connected_to_itself(dialling_.fd())) error = ECONNREFUSED;
  if (error != 0) {
    dialling_.close();
    refusals_ = error == ECONNREFUSED ? refusals_ + 1 : 0;
    return failed(Status(Code::kUnreachable, std::strerror(error)));
  }
  refusals_ = 0;
  dial_until_ = kNever;
  pause_ = kFirstPause;
  TcpOptions options;
  options.socket_buffer_bytes = 0;
  tune_connected(dialling_.fd(), options);
  ControlStream::Events events;
  events.message = [this](ControlMessage&& message) { events_.message(std::move(message)); };
  if (events_.vault) events.vault = [this](ConstBytes bytes) { events_.vault(bytes); };
  events.closed = [this](const Status& why) {
    stream_.reset();
    failed(why);
    if (events_.down) events_.down();
  };
  stream_ = std::make_shared<ControlStream>(std::move(dialling_), run_, wire::kMaxControlBytes,
                                            std::move(events));
  stream_->start();
  if (events_.up) events_.up();
}

void ControlClient::drop(Status why) {
  if (!stream_) return;
  stream_->close();
  stream_.reset();
  failed(std::move(why));
  if (events_.down) events_.down();
}

void ControlClient::failed(Status why) {
  last_error_ = std::move(why);
  dial_until_ = kNever;
  if (!running_) return;
  retry_at_ = loop_.now() + pause_;
  pause_ = std::min(2 * pause_, kLongestPause);
}

Time ControlClient::tick(Time now) {
  if (!running_) return kNever;
  if (now >= dial_until_) {
    dialling_.close();
    failed(Status(Code::kUnreachable, "no answer to the connection request"));
  }
  if (now >= retry_at_) dial(now);
  return std::min(retry_at_, dial_until_);
}

}  // namespace rhz::tcp
