#include "bench/perf/rank_group.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <sstream>

namespace rhz::perf {
namespace {

constexpr int kGatherMs = 60'000;  // start of a launcher and of all its ranks

}  // namespace

RankGroup::RankGroup(int world) : world_(world), ranks_(static_cast<size_t>(world)) {
  // An abstract socket whose name the kernel picks: no file to clean up, no collision.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t size = sizeof address.sun_family;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener_, world) != 0) {
    fail(std::string("no socket for the ranks: ") + std::strerror(errno));
    return;
  }
  size = sizeof address;
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  socket_name_.assign(address.sun_path + 1, size - offsetof(sockaddr_un, sun_path) - 1);
}

RankGroup::~RankGroup() {
  for (Connection& rank : ranks_) {
    if (rank.fd >= 0) ::close(rank.fd);  // end of file: they leave
  }
  if (listener_ >= 0) ::close(listener_);
}

void RankGroup::start(const std::vector<std::string>& arguments,
                      const std::vector<std::string>& environment) {
  // What the ranks print is not part of the table.
  children_.push_back(std::make_unique<Child>(arguments, environment, STDERR_FILENO));
  if (!children_.back()->running()) fail("cannot start " + arguments[0]);
}

void RankGroup::gather() {
  for (int i = 0; i < world_ && failure_.empty(); i++) {
    if (!accept_one() && failure_.empty()) fail("only " + std::to_string(i) + " ranks came up");
  }
}

bool RankGroup::accept_one() {
  pollfd waiting{listener_, POLLIN, 0};
  if (::poll(&waiting, 1, kGatherMs) <= 0) return false;
  Connection connection;
  connection.fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  std::istringstream hello(read_line(connection, kGatherMs));
  std::string word;
  int rank = -1;
  int world = 0;
  hello >> word >> rank >> world >> std::ws;
  std::getline(hello, library_);
  const bool known = word == "hello" && world == world_ && rank >= 0 && rank < world_;
  if (!known || ranks_[static_cast<size_t>(rank)].fd >= 0) {
    fail("rank " + std::to_string(rank) + " of " + std::to_string(world) + " said hello");
    if (connection.fd >= 0) ::close(connection.fd);
    return false;
  }
  ranks_[static_cast<size_t>(rank)] = connection;
  return true;
}

Round RankGroup::run(size_t bytes, int iterations, bool in_place, int timeout_ms) {
  Round round;
  std::ostringstream command;
  command << "run " << bytes << ' ' << iterations << ' ' << (in_place ? 1 : 0) << '\n';
  const std::string text = command.str();
  if (!failure_.empty()) return round;
  for (const Connection& rank : ranks_) {
    if (::send(rank.fd, text.data(), text.size(), MSG_NOSIGNAL) < 0) fail("a rank is gone");
  }
  round.times_us.assign(static_cast<size_t>(iterations), 0);
  for (size_t i = 0; i < ranks_.size() && failure_.empty(); i++) {
    const std::string line = read_line(ranks_[i], timeout_ms);
    std::istringstream words(line);
    std::string outcome;
    std::string congestion;
    double cpu = 0;
    words >> outcome >> cpu >> congestion;
    if (outcome != "ok") {
      fail("rank " + std::to_string(i) + ": " + (line.empty() ? "no answer" : line));
      break;
    }
    round.cpu_seconds += cpu;
    if (i == 0) round.congestion = congestion;
    for (double& slowest : round.times_us) {
      double own = 0;
      words >> own;
      slowest = std::max(slowest, own);
    }
  }
  if (!failure_.empty()) round.times_us.clear();
  return round;
}

std::string RankGroup::read_line(Connection& from, int timeout_ms) {
  std::array<char, 4096> buffer{};
  for (;;) {
    const size_t end = from.unread.find('\n');
    if (end != std::string::npos) {
      std::string line = from.unread.substr(0, end);
      from.unread.erase(0, end + 1);
      return line;
    }
    pollfd readable{from.fd, POLLIN, 0};
    if (::poll(&readable, 1, timeout_ms) <= 0) return "";
    const ssize_t got = ::read(from.fd, buffer.data(), buffer.size());
    if (got <= 0) return "";
    from.unread.append(buffer.data(), static_cast<size_t>(got));
  }
}

void RankGroup::fail(const std::string& what) {
  if (failure_.empty()) failure_ = what;
  for (const auto& child : children_) child->kill(SIGKILL);
}

}  // namespace rhz::perf
