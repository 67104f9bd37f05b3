#include "api/src/peer_driver.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>

#include "api/src/closed.h"
#include "api/src/device_front.h"
#include "recovery/state/device_tensors.h"
#include "api/src/reach.h"
#include "api/src/reduce_rate.h"
#include "runtime/base/assert.h"
#include "runtime/base/out_of_memory.h"
#include "runtime/base/prng.h"
#include "runtime/digest/digest.h"
#include "runtime/loop/room.h"
#include "runtime/memory/spare_memory.h"

namespace rhz {
namespace {

// Equal on all processes of one running kernel.
uint64_t read_host_id() {
  char text[64] = {};
  if (std::FILE* file = std::fopen("/proc/sys/kernel/random/boot_id", "re")) {
    if (!std::fgets(text, sizeof text, file)) text[0] = 0;
    std::fclose(file);
  }
  return load<uint64_t>(
      reinterpret_cast<const std::byte*>(digest128(bytes_of(text, sizeof text)).data()));
}

uint64_t host_id() {
  static const uint64_t id = read_host_id();
  return id;
}

uint32_t usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<uint32_t>(CPU_COUNT(&set));
}

// B1: submitted and not begun.  Far above what a program has in flight, far below what would hurt.
constexpr size_t kMaxQueuedOps = 16384;
// B1: sends and receives that are open, and small messages that nobody has taken.
constexpr size_t kMaxOpenMessages = MessageLimits{}.open;

// Shared memory is looked at for nothing; looking at the loop is a system call.
constexpr int kLooksPerPoll = 64;
constexpr int kMovesPerPoll = 16;
constexpr int kLooksPerDeviceLook = 8;
// Where ranks share cores, whoever is waited for gets the core after a few looks, and the loop is looked at after so many of these turns.
constexpr int kCrowdedLooks = 4;
constexpr int kCrowdedTurns = 16;
// Who gives the core up between two looks may look for longer: it has to wait for the turns of others.
constexpr int kCrowdedSpins = 10;
// Two ranks may share a core although another one is idle, until the scheduler moves one of them.  Whoever has looked for so long lets the
// other go on, in case it is that one who holds it up; alone on a core this costs nothing that matters.
constexpr Duration kLooksAlone = microseconds(4);
// While one event follows the other, timers are looked at so often; none of them is that fine.
constexpr Duration kTicksApart = microseconds(50);

constexpr size_t kLoops = 2;  // its own, and that of the shards

}  // namespace

PeerDriver::PeerDriver(PeerOptions options, std::vector<tcp::SocketAddress> coordinator)
    : options_(std::move(options)),
      coordinator_(std::move(coordinator)),
      id_(random_peer_id()),
      recorder_("peer"),
      control_(loop_, coordinator_, wire::run_hash(options_.run_id),
               {[this] {
                  ever_up_ = true;
                  control_heard_ = loop_.now();
                  node_->control_up(loop_.now());
                  flush_control();
                },
                [this](ControlMessage&& message) {
                  control_heard_ = loop_.now();
                  node_->control(loop_.now(), message);
                  flush_control();
                },
                [this] { node_->control_down(loop_.now()); }}),
      progress_(loop_, [this](Time until) { turn(until); }, [this] { break_off(); }),
      keeper_(std::make_unique<StateKeeper>(
          StateKeeper::Surroundings{progress_, state_, shared_memory_, device_blocks_, [this] { return standing(); },
                                    [this] { return busy_.load(std::memory_order_relaxed); },
                                    [this](LogLevel level, const std::string& line) {
                                      recorder_.note(loop_.now(), level, "%s", line.c_str());
                                    }},
          options_.vault, wire::run_hash(options_.run_id))),
      shards_(make_shards()),
      checkpoints_(std::make_unique<CheckpointKeeper>(CheckpointKeeper::Surroundings{
          progress_, state_, options_.run_id, [this] { return standing(); },
          [this] { return point(); }, [this] { return busy_.load(std::memory_order_relaxed); },
          [this](LogLevel level, const std::string& line) {
            recorder_.note(loop_.now(), level, "%s", line.c_str());
          }})),
      device_(make_device_front()) {}

Result<std::shared_ptr<PeerDriver>> PeerDriver::create(const PeerOptions& options) {
  if (Status room = room_for_loops(kLoops); !room) return room;
  auto addresses = coordinator_addresses(options.coordinator);
  if (!addresses) return addresses.status();
  PeerOptions complete = options;
  complete.listen = where_to_listen(options.listen, addresses.value().front());
  std::shared_ptr<PeerDriver> driver(
      new PeerDriver(std::move(complete), std::move(addresses).value()));
  if (Status status = driver->open(); !status) return status;
  return driver;
}

Status PeerDriver::open() {
  TransportOptions transport_options;
  transport_options.choice = options_.transport;
  transport_options.memory = &shared_memory_;
  transport_options.shm_direct = options_.shm_direct;
  transport_options.modules = options_.modules;
  TcpOptions& tcp_options = transport_options.tcp;
  tcp_options.self = id_;
  tcp_options.run_hash = wire::run_hash(options_.run_id);
  tcp_options.listen = options_.listen;
  if (!options_.advertise.empty()) tcp_options.advertise = {with_port(options_.advertise)};
  tcp_options.bulk_lanes = options_.bulk_lanes;
  tcp_options.socket_buffer_bytes = options_.socket_buffer_bytes;
  tcp_options.congestion = options_.congestion;
  auto transport = open_transport(loop_, pool_, transport_options);
  if (!transport) return transport.status();
  transport_ = std::move(transport).value();
  NodeOptions node;
  node.run_id = options_.run_id;
  node.self = {id_, options_.slot, host_id(), transport_->endpoints()};
  node.timing.isolation = options_.isolation;
  node.cores = usable_cores();
  node.reduce_ps_per_kib = reduce_ps_per_kib();
  node.shard_news = [this](ShardNews news) { shards_->news(std::move(news)); };
  node.bulk_bytes = options_.sync_bulk_bytes;
  node.spare_memory = spare_memory_bytes;
  node.pages = &copy_pages_;
  node.carrier = &carrier_;
  node_ = std::make_unique<Node>(
      std::move(node), [this] { return frame_time(); }, *transport_, pool_, state_);
  progress_.start([this] { recorder_.watch_this_thread(); });
  return Status::ok();
}

PeerDriver::~PeerDriver() { close(); }

void PeerDriver::flush_control() {
  for (const ControlMessage& message : node_->take_control()) control_.send(message);
}

void PeerDriver::turn(Time until) {
  const Time now = loop_.now();
  if (closed_) return loop_.run_until(std::min(until, now + milliseconds(1)));
  bool ran = poll(now);
  if (ran && now - ticked_ < kTicksApart && !node_->groups().draining()) {
    flush_control();
    return note_changes();
  }
  ticked_ = now;
  const uint64_t notes = progress_.notes();
  watch_control(now);
  const Time next = std::min({node_->tick(now), transport_->tick(now), control_.tick(now), until});
  flush_control();
  note_changes();
  if (!ran && (!is_idle() || node_->probing(now))) ran = spin(now, next);
  // What ended in the tick may be what the owner waits for.
  const bool news = progress_.notes() != notes;
  if (!ran && !news && !progress_.wanted() && !rest_beside_device(now) && transport_->arm()) rest(next);
  flush_control();
  note_changes();
}

// Looks again and again, for as long as it paid of late.
bool PeerDriver::spin(Time now, Time next) {
  const Time until = std::min(next, now + patience_), alone = now + kLooksAlone;
  bool ran = false;
  for (; !ran && now < until && !progress_.wanted(); now = loop_.now()) {
    if (crowded_ || now > alone) {
      std::this_thread::yield();  // whoever has what is waited for gets the core
      sharing_.gave_way(now, ranks_a_core_);
    }
    ran = poll(now);
  }
  if (ran) patience_ = most_patience();
  else if (!progress_.wanted()) patience_ = patience_ / 2;
  return ran;
}

void PeerDriver::rest(Time next) {
  busy_.store(!is_idle(), std::memory_order_relaxed);
  const Time since = loop_.now();
  resting_.store(true);  // before the look: who submits does it the other way round
  if (!device_->any_submitted()) loop_.run_until(next);
  resting_.store(false);
  if (loop_.now() - since < 2 * options_.spin) patience_ = most_patience();
}

Duration PeerDriver::most_patience() const {
  return crowded_ ? kCrowdedSpins * options_.spin : options_.spin;
}

bool PeerDriver::poll(Time now) {
  bool moved = look_at_device(now);
  if (!transport_->polled()) return loop_.poll() || moved;
  polling_ = true;
  polled_at_ = now;
  const int looks = crowded_ ? kCrowdedLooks : kLooksPerPoll;
  for (int i = 0; i < looks && !moved; ++i) {
    moved = transport_->poll();
    if (device_lingers_ && i % kLooksPerDeviceLook == 0) moved |= look_at_device(now);
  }
  polling_ = false;
  if (moved && ++moves_ < kMovesPerPoll) return true;
  if (crowded_ && !moved && ++turns_ < kCrowdedTurns) return false;
  moves_ = turns_ = 0;
  return loop_.poll() || moved;
}

// A coordinator that is frozen, or whose host is gone, says nothing: its beats do not come.  Then
// the connection is as good as lost.
void PeerDriver::watch_control(Time now) {
  const Duration suspicion = milliseconds(node_->member().config().suspicion_ms);
  if (now - last_turn_ > suspicion / 2)
    control_heard_ = now;  // it was this process that stood still
  last_turn_ = now;
  if (control_.is_up() && now - control_heard_ > 3 * suspicion)
    control_.drop(Status(Code::kUnreachable, "the coordinator is silent"));
}

// What admit ops and syncs took.
void PeerDriver::note_syncs() {
  const SyncNumbers& now = node_->sync_numbers();
  const auto us = [](Duration took) {
    return static_cast<unsigned long long>(std::chrono::duration_cast<microseconds>(took).count());
  };
  for (const auto* pull : {&now.bulk, &now.rest}) {
    if (pull->number <= noted_syncs_.pulls) continue;
    recorder_.note(loop_.now(), LogLevel::kInfo, "event=sync kind=%s bytes=%llu equal_bytes=%llu us=%llu donors_lost=%u updates=%llu",
                   pull == &now.bulk ? "bulk" : "rest", static_cast<unsigned long long>(pull->fetched_bytes),
                   static_cast<unsigned long long>(pull->equal_bytes), us(pull->took), pull->donors_lost,
                   static_cast<unsigned long long>(now.updates));
  }
  if (now.pauses > noted_syncs_.pauses)
    recorder_.note(loop_.now(), LogLevel::kInfo, "event=admit pause_us=%llu copies=%llu served_bytes=%llu", us(now.pause),
                   static_cast<unsigned long long>(now.copies), static_cast<unsigned long long>(now.served_bytes));
  noted_syncs_ = now;
}

// One line per transition, and a nudge for those who wait for one.
void PeerDriver::note_changes() {
  note_syncs();
  if (node_->has_update() && !std::exchange(noted_update_, true)) {
    changes_.fetch_add(1, std::memory_order_release);
    progress_.notify();
  }
  const Member& member = node_->member();
  const bool sealed = member.sealed_now() && node_->joined();
  const Epoch epoch = node_->communicator().epoch();
  if (epoch == noted_epoch_ && node_->ended() == noted_end_ && sealed == noted_seal_) return;
  const Time now = loop_.now();
  if (sealed && !noted_seal_)
    recorder_.note(now, LogLevel::kInfo, "event=seal epoch=%llu cause=\"%s\"",
                   static_cast<unsigned long long>(member.view().epoch.value),
                   member.view().cause.c_str());
  if (epoch != noted_epoch_) {
    const View& view = node_->view();
    recorder_.note(now, LogLevel::kInfo, "event=install epoch=%llu rank=%u world=%u cause=\"%s\"",
                   static_cast<unsigned long long>(epoch.value), view.rank_of(id_).value,
                   view.size(), view.cause.c_str());
    const auto here = static_cast<uint32_t>(
        std::count_if(view.members.begin(), view.members.end(),
                      [&](const MemberInfo& m) { return m.host == host_id(); }));
    crowded_ = here > usable_cores();
    ranks_a_core_ = std::max(1u, (here + usable_cores() - 1) / usable_cores());
    patience_ = most_patience();
  }
  if (node_->ended() && !noted_end_)
    recorder_.note(now, LogLevel::kInfo, "event=end status=%d text=\"%s\"",
                   static_cast<int>(node_->end_status().code()),
                   node_->end_status().text().c_str());
  noted_epoch_ = epoch;
  noted_end_ = node_->ended();
  noted_seal_ = sealed;
  changes_.fetch_add(1, std::memory_order_release);
  progress_.notify();
}

// What join() can say now; kPending: nothing yet.
Status PeerDriver::join_outcome() {
  if (closed_) return closed_status();
  if (node_->joined()) return Status::ok();
  if (node_->ended()) return node_->end_status();
  const Status& error = control_.last_error();
  if (error.code() == Code::kVersion) return error;
  if (!ever_up_ && loop_.now() >= join_asked_at_ + options_.connect_timeout) {
    return Status(Code::kUnreachable, "no coordinator answers at " + options_.coordinator + ": " +
                                          error.text() +
                                          "; is `rhizome coordinator` running there?");
  }
  return Status(Code::kPending, "not a member yet");
}

Status PeerDriver::join(Duration timeout) {
  const Time deadline = timeout == Duration::zero() ? kNever : loop_.now() + timeout;
  device_->warm_up();
  Status stands_in;
  progress_.with([&] {
    if (join_asked_ || closed_) return;
    if (stands_in = carrier_.mirror().stand_in(state_); !stands_in) return;
    join_asked_ = true;
    join_asked_at_ = loop_.now();
    control_.start(loop_.now());
  });
  if (!stands_in) return stands_in;
  Status outcome;
  auto look = [&] {
    progress_.with([&] { outcome = join_outcome(); });
    return outcome.code() != Code::kPending;
  };
  while (!look()) {
    if (loop_.now() >= deadline) break;
    if (apply_update()) continue;
    // Looks again at every change, and often enough for the connect time-out.
    const uint64_t seen = changes_.load(std::memory_order_acquire);
    const Time until = std::min(deadline, loop_.now() + milliseconds(50));
    (void)progress_.wait([&] { return changes_.load(std::memory_order_acquire) != seen; }, until);
  }
  if (outcome) keeper_->joined();
  return outcome;
}

// As the loop's owner.
Status PeerDriver::may_submit(GroupId group, bool message) {
  if (closed_) return closed_status();
  if (node_->ended()) return node_->end_status();
  if (!node_->joined()) return Status(Code::kState, "not a member yet: call rhz_comm_join first");
  if (leaving_) return Status(Code::kState, "the run is being left: no op is taken any more");
  const Communicator* communicator = node_->groups().find(group);
  if (!communicator || communicator->closing()) return Status(Code::kState, "this communicator was closed");
  if (message && node_->messenger().open() >= kMaxOpenMessages)
    return Status(Code::kState, "too many sends and receives are open; wait for some of them");
  if (!message && communicator->queued() >= kMaxQueuedOps)
    return Status(Code::kState, "too many ops are queued; wait for some of them");
  return Status::ok();
}

// An op is in the list before the cores have it, since it may end inside their call.
void PeerDriver::submit(std::span<Request> requests) {
  const auto all = [&] {
    const Time now = loop_.now();
    for (Request& request : requests) {
      const auto* message = std::get_if<MessageSpec>(&request.spec);
      if (Status no = may_submit(request.group, message != nullptr); !no) {
        request.handle = no;
        continue;
      }
      request.handle = uint64_t{0};
      open_ops_.add(*request.completion);
      if (const auto kept = keep_behind_device(request)) request.handle = *kept;
      else if (message) request.handle = node_->submit(now, *message, request.completion);
      else request.handle = node_->submit(now, request.group, std::get<OpSpec>(request.spec), request.completion);
    }
    busy_.store(true, std::memory_order_relaxed);
    if (!closed_) flush_control();
  };
  // Without memory, those that were given to the cores have ended by that, and the others say so themselves.
  (void)had_memory([&] { progress_.with(all); });
}

Result<uint64_t> PeerDriver::submit(GroupId group, const AnySpec& spec, OpenOp* completion) {
  Request request{group, spec, completion};
  submit({&request, 1});
  return request.handle;
}

void PeerDriver::cancel(GroupId group, uint64_t handle) {
  progress_.with([&] {
    if (closed_) return;
    if (!device_->ops().cancel(handle)) node_->cancel(loop_.now(), group, handle);
    flush_control();
  });
}

Result<GroupId> PeerDriver::split(GroupId parent, const SplitChoice& choice, Duration timeout) {
  struct Outcome {
    std::atomic<bool> over{false};
    Status status;
    GroupId group;
  };
  auto outcome = std::make_shared<Outcome>();
  wait_for_device(parent);
  Status may;
  progress_.with([&] {
    may = may_submit(parent, false);
    if (!may) return;
    node_->split(loop_.now(), parent, choice, timeout, [this, outcome](const Status& status, GroupId group) {
      outcome->status = status;
      outcome->group = group;
      outcome->over.store(true, std::memory_order_release);
      progress_.notify();
    });
    flush_control();
  });
  if (!may) return may;
  (void)progress_.wait([&] { return outcome->over.load(std::memory_order_acquire); }, kNever);
  if (!outcome->status) return outcome->status;
  return outcome->group;
}

void PeerDriver::close_group(GroupId group) {
  progress_.with([&] {
    if (closed_ || node_->ended()) return;
    device_->ops().refuse({group}, closed_status());
    node_->close_group(loop_.now(), group);
    flush_control();
  });
}

Status PeerDriver::publish(const std::string& name, double value) {
  bool room = true;
  progress_.with([&] {
    if (!closed_) room = node_->publish(name, value);
  });
  return room ? Status::ok() : Status(Code::kArgument, "8 other names are published already");
}

PeerDriver::Membership PeerDriver::membership(GroupId group) {
  Membership m;
  progress_.with([&] {
    if (closed_) return void(m.ended = closed_status());
    const Communicator* communicator = node_->groups().find(group);
    if (!communicator) return void(m.ended = Status(Code::kState, "this communicator was closed"));
    m.joined = node_->joined();
    m.synced = node_->synced();
    if (node_->ended()) m.ended = node_->end_status();
    m.view = communicator->view();
    m.rank = m.view.rank_of(id_);
    m.revision = state_.revision().value_or(0);
  });
  return m;
}

Result<Communicator::Forecast> PeerDriver::forecast(GroupId group, uint64_t bytes) {
  Result<Communicator::Forecast> forecast = closed_status();
  progress_.with([&] {
    if (closed_) return;
    const Communicator* communicator = node_->groups().find(group);
    if (!node_->joined()) forecast = Status(Code::kState, "not a member yet: call rhz_comm_join");
    else if (!communicator) forecast = Status(Code::kState, "this communicator was closed");
    else forecast = communicator->forecast(bytes);
  });
  return forecast;
}

Slot PeerDriver::slot() {
  Slot slot = kAnySlot;
  progress_.with([&] {
    if (closed_ || !node_->joined()) return;
    if (const Rank rank = node_->view().rank_of(id_); rank != kNoRank)
      slot = node_->view().members[rank.value].slot;
  });
  return slot;
}

Status PeerDriver::add_tensor(recovery::Tensor tensor) {
  Status status;
  progress_.with([&] {
    status = join_asked_ ? Status(Code::kState, "tensors are registered before rhz_comm_join")
                         : state_.add(std::move(tensor));
  });
  return status;
}

Status PeerDriver::set_strategy(SyncStrategy strategy) {
  Status status;
  progress_.with([&] {
    if (closed_) status = closed_status();
    else if (join_asked_) status = Status(Code::kState, "a strategy is chosen before rhz_comm_join");
    else node_->set_strategy(strategy);
  });
  return status;
}

SyncNumbers PeerDriver::sync_numbers() {
  SyncNumbers numbers;
  progress_.with([&] {
    numbers = node_ ? node_->sync_numbers() : noted_syncs_;
  });
  return numbers;
}

Status PeerDriver::commit(uint64_t revision) {
  Status status = recovery::settle(state_.all_tensors());
  if (!status) return status;
  progress_.with([&] {
    if (closed_)
      status = closed_status();
    else if (node_->ended())
      status = node_->end_status();
    else
      status = state_.commit(revision);
  });
  return status;
}

// The caller does not change the tensors meanwhile, and they are registered for good: no need to
// hold the loop.
Result<Digest> PeerDriver::digest() {
  const auto root = recovery::root_of(state_.all_tensors());
  if (!root) return root;
  progress_.with([&] {
    if (!state_.header().open()) state_.header().note_root(root.value());
  });
  return root;
}

// As the loop's owner.
StateKeeper::Standing PeerDriver::standing() const {
  StateKeeper::Standing now;
  now.asked = join_asked_;
  if (closed_) {
    now.ended = closed_status();
    return now;
  }
  if (node_->ended()) now.ended = node_->end_status();
  now.joined = node_->joined();
  now.slot = options_.slot;
  if (const Rank rank = now.joined ? node_->view().rank_of(id_) : kNoRank; rank != kNoRank)
    now.slot = node_->view().members[rank.value].slot;
  return now;
}

// As the loop's owner, of a member.  Of the number of the next op of the whole run, on which members
// agree wherever all of the ops before have begun, and of who they are: a run that is started anew
// counts from the beginning, with other peers.
Result<uint64_t> PeerDriver::point() const {
  const Communicator& root = node_->communicator();
  if (root.queued() != 0)
    return Status(Code::kState,
                  "collectives are submitted and have not begun: wait for them (rhz_op_wait) first");
  std::vector<uint64_t> words{root.next_seq().value};
  for (const MemberInfo& member : node_->view().members)
    words.insert(words.end(), {member.id.high, member.id.low});
  const Digest digest = digest128(std::as_bytes(std::span(words)));
  return load<uint64_t>(reinterpret_cast<const std::byte*>(digest.data()));
}

}  // namespace rhz
