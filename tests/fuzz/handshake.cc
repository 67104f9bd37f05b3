// What callers put on the data port, from the first byte: hellos, frames, damage and ends in any order, on several connections.  Nobody is
// heard who has not introduced itself rightly, and of a lane every frame once and in order.
#include <sys/un.h>

#include <array>
#include <map>
#include <memory>
#include <set>

#include "runtime/transport/tcp/handshake.h"
#include "runtime/transport/tcp/in_lane.h"
#include "runtime/transport/tcp/lane_transport.h"
#include "runtime/transport/tcp/out_lane.h"
#include "tests/fuzz/streams.h"

namespace rhz::fuzz {
namespace {

using wire::Kind;

constexpr PeerId kSelf{1, 1};
constexpr uint32_t kCallers = 3;  // the last one is named later, or never
constexpr uint32_t kLargest = 4096;
PeerId caller(uint32_t n) { return {2, n + 1}; }

class Lanes final : public tcp::LaneKinds {
 public:
  std::shared_ptr<tcp::PeerAddresses> addresses(tcp::Shared& shared, const std::vector<std::string>& endpoints) override {
    return tcp::PeerAddresses::make(shared, endpoints);
  }
  std::unique_ptr<tcp::Outgoing> outgoing(tcp::Shared& shared, tcp::Edge& edge, std::shared_ptr<tcp::PeerAddresses> addresses, uint32_t number) override {
    return std::make_unique<tcp::OutLane>(shared, edge, std::move(addresses), number);
  }
  std::shared_ptr<tcp::Incoming> incoming(tcp::Shared& shared, tcp::Edge& edge, uint32_t number, uint64_t generation, std::function<void()> lost) override {
    return std::make_shared<tcp::InLane>(shared, edge, number, generation, std::move(lost));
  }
};

// One that was made; what is written on it carries its number in op_seq.
struct Call {
  uint32_t who = 0;
  int fd = -1;
  Bytes first;  // that was written, as much as a hello has; in pieces, one of which may be noise
  bool introduced = false;
  uint32_t as = 0;  // whom the hello names
  tcp::LinkHello hello;
  uint64_t written = 0, heard = 0;  // newest numbers
  std::string answer;
};

// What was heard of one, on any connection: its newest frame, and whether all of that has come.  Of one too large to be taken nobody says so,
// nor of those that are void.
struct Lane {
  uint64_t newest = 0;
  bool whole = false;
  std::set<uint64_t> voids;  // that were written

  // Behind what this lane has had.
  bool comes_next(uint64_t number) const {
    if (number <= newest) return false;
    for (uint64_t between = newest + 1; between < number; ++between)
      if (!voids.contains(between)) return false;
    return true;
  }
};

class Port final : public TransportEvents {
 public:
  Port() {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const sa_family_t any = AF_UNIX;  // the kernel chooses a name
    RHZ_FUZZ_CHECK(::bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0 && ::listen(fd, 16) == 0);
    RHZ_FUZZ_CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&name_), &name_size_) == 0);
    TcpOptions options;
    options.self = kSelf;
    options.run_hash = kRun;
    transport_ = std::make_unique<tcp::LaneTransport>(loop(), pool_, options, std::make_unique<Lanes>(), tcp::Listener{fd, {}}, std::vector<std::string>{"here"});
    transport_->set_events(this);
    name(kCallers - 1);
  }
  ~Port() override {
    for (const Call& call : calls_) end(call.fd);
    transport_.reset();
    run();
    RHZ_FUZZ_CHECK(pool_.in_use_bytes() == 0);
  }

  void step(Tape& tape) {
    const auto n = static_cast<uint32_t>(tape.below(kCallers));
    const uint64_t what = tape.below(12);
    if (what == 0 || open_[n] < 0) connect(n);
    Call& call = calls_[static_cast<size_t>(open_[n])];
    switch (what) {
      case 1:
      case 2: introduce(tape, call); break;
      case 3:
      case 4:
      case 5: frame(tape, call); break;
      case 6: write(call, tape.take(1 + tape.below(160))); break;
      case 7: ::shutdown(call.fd, SHUT_WR); break;
      case 8: end(std::exchange(call.fd, -1)), open_[n] = -1; break;
      case 9: name(kCallers); break;
      case 10: (void)transport_->tick(loop().now() + milliseconds(static_cast<int64_t>(tape.below(6000)))); break;
      default: break;
    }
    run();
    for (Call& each : calls_) listen_to(each);
  }

  Landing on_header(PeerId from, const wire::FrameHeader& header) override {
    Landing landing;
    RHZ_FUZZ_CHECK(header.run == kRun);
    if (header.lane_seq == 0) return landing;  // a heartbeat
    RHZ_FUZZ_CHECK(header.op_seq.value < calls_.size());
    Call& call = calls_[header.op_seq.value];
    RHZ_FUZZ_CHECK(call.introduced && caller(call.as) == from);
    Lane& lane = lane_of(call);
    // The next one; or the first one of a lane that was begun anew; or once more, on another connection, what the one
    // before did not bring whole.
    Lane anew;
    anew.voids = lane.voids;
    RHZ_FUZZ_CHECK(lane.comes_next(header.lane_seq) || (anew.comes_next(header.lane_seq) && call.heard == 0) ||
                   (header.lane_seq == lane.newest && !lane.whole && call.heard == 0));
    RHZ_FUZZ_CHECK(header.lane_seq > call.heard && header.lane_seq <= call.written);
    lane.newest = call.heard = header.lane_seq;
    lane.whole = false;
    if (header.length > kLargest) return landing;
    landing.verdict = Landing::Verdict::kInto;
    landing.keep = pool_.take(header.length);
    landing.into = landing.keep.data();
    return landing;
  }
  void on_frame(PeerId, const wire::FrameHeader& header, Landing&&) override {
    if (header.lane_seq > 0) lane_of(calls_[header.op_seq.value]).whole = true;
  }
  void on_edge_down(PeerId, Evidence) override {}
  void on_goodbye(PeerId from) override {
    RHZ_FUZZ_CHECK(std::any_of(calls_.begin(), calls_.end(), [&](const Call& call) { return call.introduced && caller(call.as) == from; }));
  }

 private:
  Lane& lane_of(const Call& call) { return lanes_[{call.as, call.hello.lane}]; }
  static AsioLoop& loop() {
    static AsioLoop one;
    return one;
  }
  static void run() {
    while (loop().poll()) {
    }
  }
  static void end(int fd) {
    if (fd >= 0) ::close(fd);
  }
  void name(uint32_t count) {
    std::vector<PeerAddress> peers;
    for (uint32_t n = 0; n < count; ++n) peers.push_back({caller(n), Slot(n), {}, true});
    named_ = std::max(named_, count);
    transport_->set_peers(peers, {});
  }
  void connect(uint32_t n) {
    if (open_[n] >= 0) end(std::exchange(calls_[static_cast<size_t>(open_[n])].fd, -1));
    Call call;
    call.who = n;
    call.fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    RHZ_FUZZ_CHECK(::connect(call.fd, reinterpret_cast<const sockaddr*>(&name_), name_size_) == 0);
    open_[n] = static_cast<int>(calls_.size());
    calls_.push_back(std::move(call));
  }
  static void write(Call& call, ConstBytes bytes) {
    const ConstBytes first = bytes.first(std::min(bytes.size(), tcp::kHelloFrameBytes - call.first.size()));
    call.first.insert(call.first.end(), first.begin(), first.end());
    if (!first.empty() && call.first.size() == tcp::kHelloFrameBytes) read_hello(call);
    (void)::send(call.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  static void read_hello(Call& call) {
    const auto header = wire::decode_header(reinterpret_cast<const std::byte*>(call.first.data()));
    if (!header || header.value().kind != Kind::kHello || header.value().length != tcp::kLinkHelloBytes || header.value().run != kRun) return;
    call.hello = tcp::decode_hello(reinterpret_cast<const std::byte*>(call.first.data()) + wire::kHeaderBytes);
    if (call.hello.receiver != kSelf || call.hello.lane >= tcp::kMaxLanes) return;
    for (uint32_t n = 0; n < kCallers; ++n)
      if (call.hello.sender == caller(n)) call.introduced = true, call.as = n;
  }
  void introduce(Tape& tape, Call& call) {
    tcp::LinkHello hello{caller(call.who), kSelf, tape.below(2), static_cast<uint32_t>(tape.below(2))};
    uint64_t run = kRun;
    size_t size = tcp::kHelloFrameBytes, flip = SIZE_MAX;
    switch (tape.below(16)) {
      case 10: hello.receiver = caller(0); break;
      case 11: hello.lane = static_cast<uint32_t>(tcp::kMaxLanes + tape.below(3)); break;
      case 12: ++run; break;
      case 13: size = tape.below(size); break;
      case 14: flip = tape.below(8 * wire::kHeaderBytes); break;
      default: break;
    }
    tcp::HelloFrame bytes = tcp::encode_hello(hello, run);
    if (flip != SIZE_MAX) bytes[flip / 8] ^= std::byte(1 << flip % 8);
    write(call, ConstBytes(bytes).first(size));
  }
  void frame(Tape& tape, Call& call) {
    wire::FrameHeader header;
    header.run = kRun;
    header.kind = Kind::kPartial;
    header.op_seq = OpSeq(static_cast<uint64_t>(open_[call.who]));
    header.length = static_cast<uint32_t>(tape.below(64));
    header.lane_seq = call.written + 1;
    switch (tape.below(16)) {
      case 11: header.kind = Kind::kGoodbye, header.lane_seq = header.length = 0; break;
      case 12: header.kind = static_cast<Kind>(tape.below(wire::kLastKind + 1)); break;
      case 13: header.lane_seq = tape.flip() ? call.written : tape.below(8); break;
      case 14: header.length = static_cast<uint32_t>(tape.below(256)) << tape.below(20); break;
      case 15: ++header.run; break;
      default: break;
    }
    call.written = std::max(call.written, header.lane_seq);
    if (header.kind == Kind::kVoid && call.introduced) lane_of(call).voids.insert(header.lane_seq);
    Bytes bytes;
    append(bytes, header);
    append_payload(bytes, std::min<size_t>(header.length, 2 * kLargest), call.written);
    write(call, bytes);
  }
  // An answer to a hello; behind a welcome credits and a goodbye, behind a refusal nothing.
  void listen_to(Call& call) {
    if (call.fd < 0) return;
    call.answer += read_all(call.fd);
    bool first = true, refused = false;
    for (size_t at = 0; at + wire::kHeaderBytes <= call.answer.size(); first = false) {
      const auto header = wire::decode_header(reinterpret_cast<const std::byte*>(call.answer.data()) + at);
      RHZ_FUZZ_CHECK(header && !refused);
      const wire::FrameHeader& said = header.value();
      RHZ_FUZZ_CHECK((said.kind == Kind::kHelloAck) == first);
      RHZ_FUZZ_CHECK(first || said.kind == Kind::kCredit || said.kind == Kind::kGoodbye);
      if (first && said.flags == 0) RHZ_FUZZ_CHECK(call.introduced && call.as < named_);
      if (said.kind == Kind::kCredit) RHZ_FUZZ_CHECK(said.lane_seq <= call.heard || said.lane_seq <= call.written);
      refused = first && said.flags != 0;
      at += wire::kHeaderBytes + said.length;
    }
  }

  BufferPool pool_;
  sockaddr_un name_{};
  socklen_t name_size_ = sizeof name_;
  std::unique_ptr<tcp::LaneTransport> transport_;
  std::vector<Call> calls_;
  std::array<int, kCallers> open_{-1, -1, -1};
  uint32_t named_ = 0;
  std::map<std::pair<uint32_t, uint32_t>, Lane> lanes_;  // by caller and number
};

}  // namespace

std::vector<Bytes> seeds() {
  return {bytes_from(std::string_view("\0\1\0\0\0\0\3\5\0\0\3\7\1\1\1\0\0\1\4\5\0", 21)), bytes_from(std::string_view("\2\1\0\0\0\2\3\4\0\2\11\2\3\4\0\0\0\0\1\0\0\0\0\3\1\0", 26)),
          bytes_from(std::string_view("\0\1\0\0\0\0\3\5\0\0\0\0\1\0\0\0\0\3\5\0\0\3\5\0\0\6\20aaaa", 30))};
}

}  // namespace rhz::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rhz::fuzz::Tape tape(data, size);
  rhz::fuzz::Port port;
  for (int steps = 0; !tape.over() && steps < 200; ++steps) port.step(tape);
  return 0;
}
