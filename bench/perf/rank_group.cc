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

RankGroup::RankGroup(int world, std::string socket_path)
    : world_(world), socket_path_(std::move(socket_path)), ranks_(static_cast<size_t>(world)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_path_.size() < sizeof address.sun_path) {
    std::copy(socket_path_.begin(), socket_path_.end(), address.sun_path);
  }
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_, world) != 0) {
    fail("no socket " + socket_path_ + " for the ranks: " + std::strerror(errno));
  }
}

RankGroup::~RankGroup() {
  for (Connection& rank : ranks_) {
    if (rank.fd >= 0) ::close(rank.fd);  // end of file: they leave
  }
  if (listener_ >= 0) ::close(listener_);
  ::unlink(socket_path_.c_str());
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
  hello >> word >> rank >> world >> collectives_ >> std::ws;
  collectives_ = "," + collectives_ + ",";
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

bool RankGroup::supports(perf_collective collective, int ops) const {
  const auto says = [this](const std::string& word) {
    return collectives_.find("," + word + ",") != std::string::npos;
  };
  return says(perf_collective_name(collective)) &&
         (ops == 1 || (collective == PERF_ALLREDUCE && says("many")));
}

Round RankGroup::run(const Command& command, int timeout_ms) {
  Round round;
  std::ostringstream line;
  line << "run " << perf_collective_name(command.collective) << ' ' << command.count_elems << ' '
       << command.iterations << ' ' << (command.in_place ? 1 : 0) << ' ' << command.ops << '\n';
  const std::string text = line.str();
  if (!failure_.empty()) return round;
  for (const Connection& rank : ranks_) {
    if (::send(rank.fd, text.data(), text.size(), MSG_NOSIGNAL) < 0) fail("a rank is gone");
  }
  round.times_us.assign(static_cast<size_t>(command.iterations), 0);
  for (int i = 0; i < world_ && failure_.empty(); i++) read_answer(i, timeout_ms, round);
  if (!failure_.empty()) round.times_us.clear();
  return round;
}

void RankGroup::read_answer(int rank, int timeout_ms, Round& round) {
  const std::string line = read_line(ranks_[static_cast<size_t>(rank)], timeout_ms);
  std::istringstream words(line);
  std::string outcome;
  std::string congestion;
  double cpu = 0;
  uint64_t tcp_bytes = 0;
  words >> outcome >> cpu >> tcp_bytes >> congestion;
  if (outcome != "ok") {
    fail("rank " + std::to_string(rank) + ": " + (line.empty() ? "no answer" : line));
    return;
  }
  round.cpu_seconds += cpu;
  round.tcp_bytes += tcp_bytes;
  if (rank == 0) round.congestion = congestion;
  for (double& slowest : round.times_us) {
    double own = 0;
    words >> own;
    slowest = std::max(slowest, own);
  }
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
