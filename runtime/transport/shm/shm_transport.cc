// Opens the transport on shared memory.
#include <unistd.h>

#include "runtime/transport/shm/in_lane.h"
#include "runtime/transport/shm/out_lane.h"
#include "runtime/transport/shm/shm_options.h"
#include "runtime/transport/shm/sockets.h"
#include "runtime/transport/tcp/lane_transport.h"

namespace rhz::shm {
namespace {

class ShmLanes final : public tcp::LaneKinds {
 public:
  ShmLanes(AsioLoop& loop, bool direct, const SharedMemory* blocks)
      : life_(loop), direct_(direct), blocks_(blocks) {}

  std::shared_ptr<tcp::PeerAddresses> addresses(
      tcp::Shared& shared, const std::vector<std::string>& endpoints) override {
    std::vector<tcp::SocketAddress> addresses;
    for (const std::string& endpoint : endpoints)
      if (const auto address = address_of(endpoint)) addresses.push_back(*address);
    return tcp::PeerAddresses::of(shared, endpoints, std::move(addresses));
  }
  std::unique_ptr<tcp::Outgoing> outgoing(tcp::Shared& shared, tcp::Edge& edge,
                                          std::shared_ptr<tcp::PeerAddresses> addresses,
                                          uint32_t number) override {
    return std::make_unique<OutLane>(shared, edge, std::move(addresses), number, watch_, life_,
                                     blocks_);
  }
  std::shared_ptr<tcp::Incoming> incoming(tcp::Shared& shared, tcp::Edge& edge, uint32_t number,
                                          uint64_t generation,
                                          std::function<void()> lost) override {
    return std::make_shared<InLane>(shared, edge, number, generation, std::move(lost), watch_,
                                    life_, direct_);
  }
  bool poll() override { return watch_.poll(); }
  bool arm() override { return watch_.arm(); }
  bool polled() const override { return !watch_.empty(); }

 private:
  Watch watch_;
  Life life_;
  const bool direct_;
  const SharedMemory* const blocks_;
};

}  // namespace
}  // namespace rhz::shm

namespace rhz {

Result<std::unique_ptr<Transport>> open_shm(AsioLoop& loop, BufferPool& pool,
                                            const ShmOptions& options) {
  if (!options.self.valid()) return Status(Code::kArgument, "a transport needs a peer id");
  // What the lanes need is there: better to know now.
  if (auto probe = SharedRegion::create(4096); !probe) return probe.status();
  const std::string endpoint = shm::endpoint_of(options.run_hash, options.self);
  const auto listener = shm::listen_at(endpoint);
  if (!listener) return listener.status();
  if (options.direct) shm::permit_reading();
  TcpOptions lanes;
  lanes.self = options.self;
  lanes.run_hash = options.run_hash;
  lanes.connect_ms = options.connect_ms;
  lanes.reconnect_ms = options.reconnect_ms;
  lanes.stall_ms = options.stall_ms;
  lanes.socket_buffer_bytes = 0;
  return std::unique_ptr<Transport>(std::make_unique<tcp::LaneTransport>(
      loop, pool, lanes, std::make_unique<shm::ShmLanes>(loop, options.direct, options.memory),
      listener.value(), std::vector<std::string>{endpoint}));
}

bool shm_works() { return SharedRegion::create(4096).is_ok(); }

bool shm_answers(std::string_view endpoint) {
  const auto address = shm::address_of(endpoint);
  if (!address) return false;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  // A full backlog is somebody who listens.
  const bool there = ::connect(fd, address->get(), address->length) == 0;
  const bool answers = there ? shm::same_user(fd) : errno == EAGAIN;
  ::close(fd);
  return answers;
}

}  // namespace rhz
