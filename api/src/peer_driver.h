// Runs a Node for real: TCP transport, control connection, the loop and who owns it.  One per
// communicator.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "api/src/checkpoint_keeper.h"
#include "api/src/copy_pages.h"
#include "api/src/core_sharing.h"
#include "api/src/mirror_carrier.h"
#include "api/src/node.h"
#include "api/src/open_ops.h"
#include "api/src/progress.h"
#include "api/src/request.h"
#include "api/src/shard_driver.h"
#include "api/src/shard_restore.h"
#include "api/src/state_keeper.h"
#include "recovery/state/state.h"
#include "runtime/device/device_blocks.h"
#include "runtime/loop/asio_loop.h"
#include "runtime/memory/pool.h"
#include "runtime/memory/shared_memory.h"
#include "runtime/observe/recorder.h"
#include "runtime/transport/open.h"
#include "runtime/transport/tcp/control_client.h"

namespace rhz {
namespace api {
class DeviceFront;
}

struct PeerOptions {
  std::string coordinator, run_id = "default";
  std::string listen;     // empty: the address that reaches the coordinator
  std::string advertise;  // empty: where it listens
  Slot slot = kAnySlot;
  Duration op_timeout = std::chrono::seconds(600);
  Duration isolation = std::chrono::seconds(60);
  Duration connect_timeout = std::chrono::seconds(5);
  Duration spin = microseconds(50);
  uint32_t bulk_lanes = 1;
  uint32_t socket_buffer_bytes = 4u << 20;
  bool shm_direct = false;
  std::string congestion;
  Algorithm algorithm = Algorithm::kAuto;
  TransportChoice transport = TransportChoice::kAuto;
  std::string modules;  // empty: beside the library
  std::string vault;    // its socket; empty: none
  uint32_t data_shards = 4, parity_shards = 2;  // of a stripe
  uint64_t sync_bulk_bytes = 64u << 20;  // a joiner with so much state pulls it first in bulk
};

class PeerDriver {
 public:
  static Result<std::shared_ptr<PeerDriver>> create(const PeerOptions& options);
  ~PeerDriver();

  // Ok, kPending when the time was over, or why it cannot be.
  Status join(Duration timeout);
  Status leave(Duration timeout);
  // Ends everything; open ops end as kClosed.
  void close();

  // kState before join(); what ended this peer, after that.
  [[nodiscard]] Result<uint64_t> submit(GroupId group, const AnySpec& spec, OpenOp* completion);
  // In this order, and in one taking of the loop.  kMemory is an answer too: no exception leaves it.
  void submit(std::span<Request> requests);
  void cancel(GroupId group, uint64_t handle);
  // peer_device.cc (docs/gpu.md).
  bool is_on_device(const void* memory) const;
  api::DeviceFront& device() { return *device_; }
  // Ops with memory of a device or a stream, in this order.
  void submit_on_device(std::span<Request> requests);
  // Blocks until the op by which it is agreed upon has ended.  The root group's id: none was wanted.
  [[nodiscard]] Result<GroupId> split(GroupId parent, const SplitChoice& choice, Duration timeout);
  void close_group(GroupId group);
  Status publish(const std::string& name, double value);
  Progress& progress() { return progress_; }
  Time now() const { return loop_.now(); }
  Duration op_timeout() const { return options_.op_timeout; }
  Algorithm algorithm() const { return options_.algorithm; }

  // What the program may ask about; each takes the loop for a moment.
  struct Membership {
    bool joined = false, synced = false;
    Status ended;  // not ok: why this peer is out
    View view;
    Rank rank = kNoRank;
    uint64_t revision = 0;
  };
  // View and rank are those in the group.
  Membership membership(GroupId group = kRootGroup);
  Result<Communicator::Forecast> forecast(GroupId group, uint64_t bytes);
  Slot slot();  // kAnySlot before it has joined
  // Memory that peers of this host may map, so that they reduce from it without a copy; it goes
  // with the driver.
  Result<std::byte*> allocate(size_t bytes);
  // kArgument: allocate() did not give it out.  No open op may use it.
  Status free(std::byte* begin);
  // Of the device that is the thread's, and outliving this process as long as a vault keeps it.
  Result<std::byte*> allocate_on_device(uint64_t bytes);
  // Where the bytes of a tensor are a device's; lanes on it are ready then.  Null: the host's.
  [[nodiscard]] Result<StateMemory*> device_of(const std::byte* memory);
  Status add_tensor(recovery::Tensor tensor);
  Status commit(uint64_t revision);
  // kState after join().
  Status set_strategy(SyncStrategy strategy);
  SyncNumbers sync_numbers();
  // peer_follow.cc.  kState after join().
  using ApplyUpdate = std::function<bool(uint64_t revision, ConstBytes update)>;
  Status follow(ApplyUpdate apply);
  // What makes the revision that is committed next; nothing is done where no newcomer could ask for it.
  Status record_update(uint64_t revision, ConstBytes update);
  [[nodiscard]] Result<Digest> digest();
  StateKeeper& keeper() { return *keeper_; }
  CheckpointKeeper& checkpoints() { return *checkpoints_; }

  // peer_shards.cc: shards with parity.  Protects a snapshot of this slot, 0: the newest one, as the
  // stage's; k and m 0: as the environment says.
  Status protect(uint32_t stage, uint64_t revision, StageSlots slots, uint32_t data_shards,
                 uint32_t parity_shards);
  ShardDriver& shards() { return *shards_; }
  // Into the registered tensors.
  // The slot's state, from the vault of this host, or where that has nothing from shards.
  [[nodiscard]] Result<recovery::SnapshotInfo> restore(uint64_t revision, bool unchecked);
  [[nodiscard]] Result<RestoredShards> restore_shards(uint32_t stage, uint64_t revision,
                                                      bool unchecked);

 private:
  PeerDriver(PeerOptions options, std::vector<tcp::SocketAddress> coordinator);
  Status open();
  void turn(Time until);
  void break_off() noexcept;
  bool poll(Time now);
  Time frame_time() const { return polling_ ? polled_at_ : loop_.now(); }
  bool spin(Time now, Time next);
  void rest(Time next);
  Duration most_patience() const;
  void watch_control(Time now);
  void flush_control();
  void note_changes();
  void note_syncs();
  Status join_outcome();
  bool apply_update();
  std::unique_ptr<ShardDriver> make_shards();
  Result<RestoredShards> restore_shards(ShardRestoreOptions options, bool unchecked);
  StateKeeper::Standing standing() const;
  Result<uint64_t> point() const;
  Status may_submit(GroupId group, bool message);
  std::unique_ptr<api::DeviceFront> make_device_front();
  std::optional<uint64_t> keep_behind_device(const Request& request);
  void wait_for_device(GroupId group);
  void close_device();
  bool is_idle() const;
  bool look_at_device(Time now);
  bool rest_beside_device(Time now);

  const PeerOptions options_;
  const std::vector<tcp::SocketAddress> coordinator_;
  const PeerId id_;
  BufferPool pool_;
  SharedMemory shared_memory_;
  DeviceBlocks device_blocks_{open_state_memory()};
  AsioLoop loop_;
  recovery::State state_;
  Recorder recorder_;
  std::unique_ptr<Transport> transport_;
  std::atomic<bool> busy_{false};  // ops are open, as of the last look
  CopyPages copy_pages_{[this] { return busy_.load(std::memory_order_relaxed); }};
  MirrorCarrier carrier_;
  std::unique_ptr<Node> node_;
  OpenOps open_ops_;
  tcp::ControlClient control_;
  Progress progress_;

  bool ever_up_ = false, join_asked_ = false, closed_ = false;
  bool leaving_ = false;  // no op is taken any more
  bool transport_closing_ = false;
  Time join_asked_at_ = kNever;
  bool crowded_ = false;  // more members on this host than it has cores
  uint32_t ranks_a_core_ = 1;  // rounded up
  CoreSharing sharing_{random_u64()};
  Duration patience_{};   // of the next spin
  int moves_ = 0;         // in a row, without a look at the loop
  int turns_ = 0;         // likewise, that moved nothing
  bool polling_ = false;  // frames come out of memory now, at polled_at_ but for microseconds
  Time polled_at_{};
  Time control_heard_{}, last_turn_{}, ticked_{};
  Epoch noted_epoch_;
  bool noted_end_ = false, noted_seal_ = false;
  SyncNumbers noted_syncs_;
  ApplyUpdate apply_;
  bool noted_update_ = false;
  std::unique_ptr<StateKeeper> keeper_;
  std::unique_ptr<ShardDriver> shards_;
  std::unique_ptr<CheckpointKeeper> checkpoints_;
  std::unique_ptr<api::DeviceFront> device_;
  Time device_moved_{};          // when it had news last, or an op came
  bool device_lingers_ = false;  // somebody waits for it, or may again soon
  std::atomic<bool> resting_{false};
  std::atomic<uint64_t> changes_{0};  // grows whenever join() or leave() should look again
};

}  // namespace rhz
