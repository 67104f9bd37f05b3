#include "api/tools/strangers.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "runtime/wire/codec.h"
#include "runtime/wire/frame.h"

namespace rhz::tools {
namespace {

constexpr size_t kMostHere = 320;  // more than a port lets wait, and few enough for 1024 open files
constexpr int kComeAtOnce = 40;    // in a turn
constexpr size_t kNoiseBytes = 100'000, kAlmostBytes = 60'000, kQuestions = 2000;

std::string text_of(ConstBytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::optional<tcp::SocketAddress> local_socket(const std::string& name) {
  tcp::SocketAddress out;
  sockaddr_un un{};
  const std::string full = "rhizome-" + name;  // docs/wire.md, "Lanes in shared memory"
  if (full.size() + 1 > sizeof un.sun_path) return std::nullopt;
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path + 1, full.data(), full.size());
  std::memcpy(&out.storage, &un, sizeof un);
  out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + full.size());
  return out;
}

// "HOST:PORT", "shm:NAME", "MODULE:HOST:PORT".
std::optional<tcp::SocketAddress> port_of(const std::string& endpoint) {
  if (endpoint.starts_with("shm:")) return local_socket(endpoint.substr(4));
  for (const char* module : {"ucx:", "ofi:"})
    if (endpoint.starts_with(module)) return port_of(endpoint.substr(4));
  const auto where = tcp::parse_address(endpoint);
  if (!where) return std::nullopt;
  const auto found = tcp::resolve(where.value(), tcp::Lookup::kNumbersOnly);
  if (!found || found.value().empty()) return std::nullopt;
  return found.value().front();
}

}  // namespace

Strangers::Strangers(uint64_t seed, uint64_t run) : dice_(Prng(seed).split(6)), run_(run) {}

void Strangers::make_sayings() {
  const auto header = [&](wire::Kind kind, uint32_t length) {
    wire::FrameHeader h;
    h.kind = kind;
    h.length = length;
    h.run = run_;
    std::string bytes(wire::kHeaderBytes, '\0');
    wire::encode_header(h, reinterpret_cast<std::byte*>(bytes.data()));
    return bytes;
  };
  std::string noise(kNoiseBytes, '\0');
  for (char& byte : noise) byte = static_cast<char>(dice_.below(256));
  sayings_ = {{noise}, {.bytes = noise.substr(0, 1 + dice_.below(300)), .drips = true}, {""}};
  for (const auto kind :
       {wire::Kind::kControl, wire::Kind::kHello, wire::Kind::kPartial, wire::Kind::kStateData}) {
    sayings_.push_back({header(kind, 1u << 30)});  // declared, never sent
    sayings_.push_back(
        {header(kind, kAlmostBytes) + noise.substr(1, kAlmostBytes - 1)});  // all but the last byte
    sayings_.push_back({.bytes = header(kind, 44) + noise.substr(0, 44),
                        .drips = true});  // the right size, no meaning
    sayings_.push_back(
        {.bytes = header(kind, 44).substr(0, 1 + dice_.below(wire::kHeaderBytes - 1)),
         .ends = true});
    std::string damaged = header(kind, 44) + noise.substr(0, 44);
    damaged[dice_.below(wire::kHeaderBytes)] ^= static_cast<char>(1 << dice_.below(8));
    sayings_.push_back({damaged});
  }
  // Questions that a coordinator answers, to somebody who does not listen.
  const auto question = wire::encode(ControlMessage(StatusRequest{}));
  const std::string frame =
      header(wire::Kind::kControl, static_cast<uint32_t>(question.size())) + text_of(question);
  std::string questions;
  for (size_t i = 0; i < kQuestions; ++i) questions += frame;
  sayings_.push_back({.bytes = questions, .listens = false});
}

void Strangers::come(const std::vector<std::string>& endpoints) {
  make_sayings();
  ports_.clear();
  for (const std::string& endpoint : endpoints)
    if (const auto port = port_of(endpoint)) ports_.push_back(*port);
}

void Strangers::go_on() {
  if (!here()) return;
  std::erase_if(here_, [&](Stranger& stranger) {
    const bool away = !say(stranger) || is_turned_away(stranger);
    counts_.turned_away += away;
    return away;
  });
  for (int i = 0; i < kComeAtOnce && here_.size() < kMostHere; ++i) open_one();
}

void Strangers::open_one() {
  const tcp::SocketAddress& to = ports_[dice_.below(ports_.size())];
  Stranger stranger{Fd(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
                    dice_.below(sayings_.size())};
  if (!stranger.socket) return;
  // A full backlog of a local socket says EAGAIN: another time.
  if (::connect(stranger.socket.get(), to.get(), to.length) != 0 && errno != EINPROGRESS) return;
  ++counts_.came;
  here_.push_back(std::move(stranger));
}

// False: nobody is there any more.
bool Strangers::say(Stranger& stranger) const {
  const Saying& saying = sayings_[stranger.saying];
  if (stranger.said == saying.bytes.size()) return true;
  const size_t most = saying.drips ? 1 : saying.bytes.size() - stranger.said;
  const ssize_t sent = ::send(stranger.socket.get(), saying.bytes.data() + stranger.said, most,
                              MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return errno == EAGAIN || errno == ENOTCONN;  // not yet connected
  stranger.said += static_cast<size_t>(sent);
  if (saying.ends && stranger.said == saying.bytes.size())
    ::shutdown(stranger.socket.get(), SHUT_WR);
  return true;
}

bool Strangers::is_turned_away(Stranger& stranger) const {
  if (!sayings_[stranger.saying].listens) return false;
  char some[4096];
  const ssize_t got = ::recv(stranger.socket.get(), some, sizeof some, MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != ENOTCONN);
}

}  // namespace rhz::tools
