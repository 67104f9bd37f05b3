// A stream of bytes cut into pieces at will: what a lane, or a control connection, makes of it is what it makes of the whole, and neither
// keeps more of it in memory than it says.
#include <malloc.h>

#include <new>

#include "runtime/base/prng.h"
#include "runtime/transport/tcp/control_stream.h"
#include "runtime/transport/tcp/in_lane.h"
#include "runtime/wire/codec.h"
#include "tests/fuzz/streams.h"

namespace {
int64_t live_bytes = 0, peak_bytes = 0;

void* get(std::size_t bytes) {
  void* const memory = std::malloc(bytes ? bytes : 1);
  if (!memory) throw std::bad_alloc();
  live_bytes += static_cast<int64_t>(malloc_usable_size(memory));
  peak_bytes = std::max(peak_bytes, live_bytes);
  return memory;
}
void give_back(void* memory) {
  live_bytes -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) { return get(bytes); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { give_back(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }

namespace rhz::fuzz {
namespace {

using tcp::Connection;
using wire::Kind;

constexpr uint32_t kLargest = 8u << 10;         // of a control message
constexpr int64_t kControlBytes = 48 << 10;     // beside the messages themselves: the buffer, and the one that it grows out of
constexpr uint32_t kLargestPayload = 20u << 10;

// What was handed up, as numbers.
struct Seen {
  std::vector<uint64_t> events;
  uint64_t consumed = 0, received = 0, dropped = 0, refused = 0;
  bool goodbye = false, lost = false;
  friend bool operator==(const Seen&, const Seen&) = default;
};

struct World {
  AsioLoop loop;
  BufferPool pool;
  tcp::Shared shared{loop, pool, [] {
    TcpOptions options;
    options.self = {1, 1};
    options.run_hash = kRun;
    return options;
  }()};
  void run() {
    while (loop.poll()) {
    }
  }
};

class LaneReader final : public TransportEvents {
 public:
  LaneReader(World& world, uint32_t number)
      : world_(world), edge_(std::make_shared<tcp::Edge>(world.shared, PeerId{2, 2})),
        lane_(std::make_shared<tcp::InLane>(world.shared, *edge_, number, 1, [this] { seen_.lost = true; })) {
    world.shared.events = this;
    world.shared.counters = {};
    lane_->attach(Connection(world.loop, wire_.near));
  }
  ~LaneReader() override {
    lane_->end();
    lane_.reset();
    world_.run();
    world_.shared.events = nullptr;
  }
  // False: it has ended the connection.
  bool give(ConstBytes piece) {
    const bool there = wire_.write(piece);
    run();
    return there;
  }
  Seen end() {
    ::shutdown(wire_.far, SHUT_WR);
    run();
    // Where a next connection goes on.
    const Wire again;
    lane_->attach(Connection(world_.loop, again.near));
    const std::string answer = read_all(again.far);
    RHZ_FUZZ_CHECK(answer.size() >= wire::kHeaderBytes);
    seen_.consumed = wire::decode_header(reinterpret_cast<const std::byte*>(answer.data())).value().lane_seq;
    const TransportCounters& counters = world_.shared.counters;
    seen_.received = counters.received_frames, seen_.dropped = counters.dropped_frames, seen_.refused = counters.refused_frames;
    RHZ_FUZZ_CHECK(world_.pool.in_use_bytes() == 0);
    return seen_;
  }

  // Some it does not want, some not yet.
  Landing on_header(PeerId, const wire::FrameHeader& header) override {
    Landing landing;
    const uint64_t op = header.op_seq.value;
    if (header.length > kLargestPayload || op % 5 == 4) return landing;
    if (op % 7 == 6 && !std::exchange(waited_, true)) {
      landing.verdict = Landing::Verdict::kHold;
      return landing;
    }
    waited_ = false;
    place_.assign(header.length, std::byte{0});
    landing.verdict = Landing::Verdict::kInto;
    landing.into = place_.data();
    return landing;
  }
  void on_frame(PeerId, const wire::FrameHeader& header, Landing&& landing) override {
    RHZ_FUZZ_CHECK(landing.into == place_.data() && place_.size() == header.length);
    seen_.events.insert(seen_.events.end(), {static_cast<uint64_t>(header.kind), header.op_seq.value, header.lane_seq, header.length});
    uint64_t sum = 0;
    for (const std::byte byte : place_) sum = sum * 31 + static_cast<uint64_t>(byte);
    seen_.events.push_back(sum);
  }
  void on_edge_down(PeerId, Evidence) override {}
  void on_goodbye(PeerId) override { seen_.goodbye = true; }

 private:
  void run() {
    for (world_.run(); waited_ && !lane_->finished(); world_.run()) lane_->resume();
  }
  World& world_;
  const Wire wire_;
  const std::shared_ptr<tcp::Edge> edge_;
  std::shared_ptr<tcp::InLane> lane_;
  std::vector<std::byte> place_;
  bool waited_ = false;
  Seen seen_;
};

class ControlReader {
 public:
  explicit ControlReader(World& world) : world_(world) {
    tcp::ControlStream::Events events;
    events.message = [this](ControlMessage&& message) { note(message.index(), wire::encode(message)); };
    events.vault = [this](ConstBytes bytes) { note(99, bytes); };
    events.closed = [this](const Status& why) { seen_.lost = true, seen_.refused = static_cast<uint64_t>(why.code()); };
    stream_ = std::make_shared<tcp::ControlStream>(Connection(world.loop, wire_.near), kRun, kLargest, std::move(events));
    stream_->start();
    seen_.events.reserve(2 * kMostStreamBytes / wire::kHeaderBytes + 2);
  }
  ~ControlReader() {
    stream_->close();
    stream_.reset();
    world_.run();
  }
  bool give(ConstBytes piece) {
    const int64_t before = live_bytes;
    const bool there = wire_.write(piece);
    peak_bytes = live_bytes;
    world_.run();
    RHZ_FUZZ_CHECK(peak_bytes - before <= kControlBytes + most_of_a_message_);
    most_ = std::max(most_, live_bytes - start_);
    RHZ_FUZZ_CHECK(most_ <= kControlBytes);
    return there;
  }
  Seen end() {
    ::shutdown(wire_.far, SHUT_WR);
    world_.run();
    return seen_;
  }

 private:
  void note(uint64_t what, ConstBytes bytes) {
    uint64_t sum = what;
    for (const std::byte byte : bytes) sum = sum * 31 + static_cast<uint64_t>(byte);
    seen_.events.insert(seen_.events.end(), {what, sum});
  }
  static constexpr int64_t most_of_a_message_ = 32 * int64_t{kLargest};  // decoded, and encoded again by note()
  World& world_;
  const Wire wire_;
  std::shared_ptr<tcp::ControlStream> stream_;
  Seen seen_;
  const int64_t start_ = live_bytes;
  int64_t most_ = 0;
};

void damage(Bytes& stream, Tape& tape) {
  if (stream.empty()) return;
  const size_t back = 1 + tape.below(300);
  stream[stream.size() - std::min(back, stream.size())] ^= std::byte(1 << tape.below(8));
}

Bytes lane_stream(Tape& tape) {
  constexpr Kind kNumbered[] = {Kind::kPartial, Kind::kResult, Kind::kDone, Kind::kStateData, Kind::kMessage, Kind::kVoid};
  Bytes stream;
  uint64_t last = 0;
  while (!tape.over() && stream.size() < kMostStreamBytes) {
    wire::FrameHeader header;
    header.run = kRun;
    header.op_seq = OpSeq(stream.size() / 7 % 35);
    const uint64_t what = tape.below(16);
    if (what == 15) {
      const ConstBytes junk = tape.take(1 + tape.below(40));
      stream.insert(stream.end(), junk.begin(), junk.end());
      continue;
    }
    if (what == 14) {
      damage(stream, tape);
      continue;
    }
    header.kind = what < 12 ? kNumbered[what % 6] : what == 12 ? Kind::kHeartbeat : Kind::kGoodbye;
    if (what < 12) header.lane_seq = ++last;
    if (what < 12 && header.kind != Kind::kVoid) header.length = static_cast<uint32_t>(what < 6 ? tape.below(300) : tape.below(30'000));
    switch (tape.below(32)) {
      case 28: header.lane_seq = tape.below(last + 3); break;  // a duplicate, a gap, none
      case 29: header.kind = static_cast<Kind>(tape.below(wire::kLastKind + 1)); break;
      case 30: header.run ^= tape.flip(); break;
      case 31: header.length = static_cast<uint32_t>(tape.below(256)) << tape.below(20); break;
      default: break;
    }
    append(stream, header);
    append_payload(stream, header.length, last);
  }
  return stream;
}

Bytes control_stream(Tape& tape) {
  Bytes stream;
  while (!tape.over() && stream.size() < kMostStreamBytes) {
    wire::FrameHeader header;
    header.run = kRun;
    header.kind = Kind::kControl;
    Bytes payload;
    switch (tape.below(8)) {
      case 0: payload = wire::encode(ControlMessage(PeerBeatMessage{})); break;
      case 1: {
        HelloMessage hello;
        hello.run_id.assign(tape.below(3000), 'r');
        payload = wire::encode(ControlMessage(hello));
        break;
      }
      case 2: payload.assign(tape.take(64).begin(), tape.take(64).end()); break;  // no message
      case 3: damage(stream, tape); continue;
      case 4: header.kind = static_cast<Kind>(tape.below(wire::kLastKind + 1)); break;
      default: header.kind = Kind::kVault; append_payload(payload, tape.below(kLargest + 64), stream.size());
    }
    header.length = static_cast<uint32_t>(payload.size());
    if (tape.below(32) == 31) header.length = static_cast<uint32_t>(tape.below(65536));
    append(stream, header);
    stream.insert(stream.end(), payload.begin(), payload.end());
  }
  return stream;
}

template <class Reader, class... Arguments>
Seen read(const Bytes& stream, Prng* pieces, Arguments&... arguments) {
  Reader reader(arguments...);
  ConstBytes left(stream);
  while (!left.empty()) {
    const size_t size = pieces ? std::min<size_t>(left.size(), 1 + pieces->below(uint64_t{1} << pieces->below(14))) : left.size();
    if (!reader.give(left.first(size))) break;
    left = left.subspan(size);
  }
  return reader.end();
}

}  // namespace

std::vector<Bytes> seeds() {
  return {bytes_from(std::string_view("\0\1\0\40\0\1\0\0\2\7\0\6\0\200\0\14\0\15\0", 19)), bytes_from(std::string_view("\1\2\7\100\0\0\10\0\0\3\0\5\0\0\1\20\0", 17)),
          bytes_from(std::string_view("\2\3\0\0\1\4\0\0\5\20\100\0\7\0\200\0\6\37\370\0", 20))};
}

}  // namespace rhz::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rhz::fuzz;
  static World world;
  Tape tape(data, size);
  uint32_t kind = static_cast<uint32_t>(tape.below(3));  // express, bulk, control
  rhz::Prng pieces(tape.byte());
  const Bytes stream = kind < 2 ? lane_stream(tape) : control_stream(tape);
  if (kind < 2) RHZ_FUZZ_CHECK(read<LaneReader>(stream, &pieces, world, kind) == read<LaneReader>(stream, nullptr, world, kind));
  else RHZ_FUZZ_CHECK(read<ControlReader>(stream, &pieces, world) == read<ControlReader>(stream, nullptr, world));
  return 0;
}
