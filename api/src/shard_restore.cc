#include "api/src/shard_restore.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "api/src/closed.h"
#include "api/src/shard_links.h"
#include "recovery/shards/restorer.h"
#include "recovery/vault/piece.h"
#include "runtime/loop/room.h"
#include "runtime/memory/shared_region.h"

namespace rhz {
namespace {

constexpr uint64_t kPiece = uint64_t{1} << 20;
constexpr uint64_t kBudget = uint64_t{4} << 20;  // coded between two looks at the network
constexpr int kMostTries = 8;  // B1: of records that are replaced while they are read
constexpr Duration kAskAgain = milliseconds(100);
constexpr uint64_t kMagic = 0x316468732d7a6872;  // "rhz-shd1" in memory order

struct Sealed {
  StatusReply status;
  std::vector<GenerationRecord> generations;
};

// What the coordinator says, once it knows all vaults.
Result<Sealed> ask(AsioLoop& loop, const ShardRestoreOptions& options) {
  Sealed sealed;
  Status refused;
  bool asked = false, answered = false;
  Time ask_at{};
  tcp::ControlClient::Events events;
  events.up = [&] { ask_at = loop.now(); };
  events.message = [&](ControlMessage&& message) {
    if (auto* generations = std::get_if<GenerationsMessage>(&message))
      sealed.generations = std::move(generations->generations);
    if (auto* no = std::get_if<RefusedMessage>(&message)) refused = std::move(no->status);
    if (auto* reply = std::get_if<StatusReply>(&message)) {
      sealed.status = std::move(*reply);
      answered = sealed.status.vaults_complete;
      asked = false;
      ask_at = loop.now() + kAskAgain;
    }
  };
  events.down = [&] { asked = false; };
  tcp::ControlClient client(loop, options.coordinator, wire::run_hash(options.run_id),
                            std::move(events));
  client.start(loop.now());
  const Time deadline = loop.now() + options.patience;
  for (Time now = loop.now(); !answered && refused.is_ok() && now < deadline; now = loop.now()) {
    if (client.is_up() && !asked && now >= ask_at) {
      asked = true;
      client.send(StatusRequest{options.run_id, true});
    }
    const Time next = client.is_up() && !asked ? ask_at : deadline;
    loop.run_until(std::min({client.tick(now), next, deadline}));
  }
  if (!refused.is_ok()) return refused;
  if (!answered)
    return Status(Code::kUnreachable, "the coordinator does not say which vaults there are: " +
                                          client.last_error().text());
  if (sealed.status.config.run_id != options.run_id)
    return Status(Code::kRunId, "the coordinator serves the run \"" + sealed.status.config.run_id +
                                    "\", not \"" + options.run_id + "\"");
  return sealed;
}

Result<GenerationRecord> choose(const Sealed& sealed, const ShardRestoreOptions& options) {
  const std::string whose = options.slot ? "slot " + std::to_string(options.slot->value)
                                         : "stage " + std::to_string(options.stage);
  const auto lost = [&](const std::string& why) {
    return Status(Code::kStateLost, whose + why + "; next source: " + options.next_source);
  };
  const GenerationRecord* newest = nullptr;
  for (const GenerationRecord& record : sealed.generations) {
    if (options.slot ? !record.slots.has(*options.slot) : record.stage != options.stage) continue;
    if (options.revision == record.revision) return record;
    newest = &record;
  }
  if (!newest) return lost(" has no sealed generation of shards");
  if (options.revision == 0) return *newest;
  return lost(": revision " + std::to_string(newest->revision) + " is sealed, not " +
              std::to_string(options.revision));
}

// All of it, into `into`.
Status fetch(AsioLoop& loop, const Sealed& sealed, const GenerationRecord& record,
             const ShardRestoreOptions& options, MutableBytes into) {
  recovery::VaultSet vaults;
  for (const VaultInfo& vault : sealed.status.vaults) vaults.join(vault.holder);
  auto made =
      recovery::Restorer::make(record, std::move(vaults), into,
                               {"stage " + std::to_string(record.stage), options.next_source});
  if (!made) return made.status();
  recovery::Restorer& restorer = *made.value();
  Status outcome;
  std::vector<recovery::ShardAction> sends;
  const auto carry_out = [&](recovery::ShardActions&& actions) {
    for (recovery::ShardAction& action : actions) {
      if (auto* failed = std::get_if<recovery::ShardsFailed>(&action)) outcome = failed->status;
      if (std::holds_alternative<recovery::VaultSend>(action)) sends.push_back(std::move(action));
    }
  };
  ShardLinks links(loop, options.run_id,
                   [&](uint64_t, PeerId vault, const recovery::VaultReply& reply) {
                     carry_out(restorer.handle(vault, reply));
                   });
  links.know(sealed.status.vaults, true);
  while (!restorer.over()) {
    carry_out(restorer.step(kBudget));
    const bool asked = !sends.empty();
    for (const recovery::ShardAction& action : std::exchange(sends, {}))
      links.send(0, std::get<recovery::VaultSend>(action));
    const Time now = loop.now(), next = links.tick(now);
    // What is here is coded before others are waited for.
    if (restorer.over() || asked || restorer.busy())
      loop.poll();
    else
      loop.run_until(next);
  }
  return outcome;
}

Result<recovery::Snapshot> as_snapshot(SharedRegion& region, const GenerationRecord& record) {
  const ConstBytes state{region.data(), record.state_bytes};
  const auto corrupt = [&](const char* why) {
    return Status(Code::kCorrupt, "what is sealed of stage " + std::to_string(record.stage) +
                                      " is no snapshot: " + why);
  };
  if (state.size() < kShardTrailerBytes) return corrupt("too short");
  const uint64_t bytes = state.size() - kShardTrailerBytes;
  const auto data_bytes = load<uint64_t>(state.data() + bytes);
  if (load<uint64_t>(state.data() + bytes + 8) != kMagic || data_bytes > bytes)
    return corrupt("its end is not what it should be");
  if (root_of_shards(state) != record.root) return corrupt("its root is another one");
  auto fd = recovery::duplicate(region.fd());
  if (!fd) return fd.status();
  return recovery::Snapshot{{record.revision, data_bytes, bytes - data_bytes, 0, 1},
                            std::move(fd).value()};
}

// `tried`: the record that was lost on the way, if any; kStateLost again where it still counts.
Result<RestoredShards> try_once(AsioLoop& loop, const ShardRestoreOptions& options,
                                std::optional<GenerationRecord>& tried, const Status& lost) {
  RestoredShards restored;
  const Time begun = loop.now();
  auto sealed = ask(loop, options);
  if (!sealed) return sealed.status();
  auto record = choose(sealed.value(), options);
  if (!record) return record.status();
  if (tried && *tried == record.value()) {
    tried.reset();
    return lost;
  }
  tried = restored.record = std::move(record).value();
  const Time asked = loop.now();
  restored.asking = asked - begun;
  auto region = SharedRegion::create(restored.record.state_bytes);
  if (!region) return region.status();
  const MutableBytes into{region.value().data(), restored.record.state_bytes};
  if (Status fetched = fetch(loop, sealed.value(), restored.record, options, into); !fetched)
    return fetched;
  auto snapshot = as_snapshot(region.value(), restored.record);
  if (!snapshot) return snapshot.status();
  restored.snapshot = std::move(snapshot).value();
  restored.fetching = loop.now() - asked;
  return restored;
}

}  // namespace

Result<RestoredShards> restore_shards(const ShardRestoreOptions& options) {
  if (Status room = room_for_loops(1); !room) return room;
  AsioLoop loop;
  std::optional<GenerationRecord> tried;
  Status lost;
  // What is lost may have been sealed anew meanwhile, or placed elsewhere.
  for (int tries = 0;; ++tries) {
    auto restored = try_once(loop, options, tried, lost);
    const bool again = !restored && restored.status().code() == Code::kStateLost && tried;
    if (!again || tries == kMostTries) return restored;
    lost = restored.status();
  }
}

Result<std::vector<std::byte>> read_for_shards(const recovery::Snapshot& snapshot,
                                               const std::function<bool()>& next) {
  const uint64_t bytes = snapshot.info.bytes();
  std::vector<std::byte> state(bytes + kShardTrailerBytes);
  for (uint64_t at = 0; at < bytes; at += kPiece) {
    if (!next()) return closed_status();
    const uint64_t length = std::min(kPiece, bytes - at);
    if (Status read =
            recovery::read_piece(snapshot.buffer, at, MutableBytes(state).subspan(at, length));
        !read)
      return read;
  }
  store(state.data() + bytes, snapshot.info.data_bytes);
  store(state.data() + bytes + 8, kMagic);
  return state;
}

// The table has the digest of every block of the data.
Digest root_of_shards(ConstBytes state) {
  const uint64_t end = state.size() - kShardTrailerBytes;
  const auto data_bytes = load<uint64_t>(state.data() + end);
  return digest128(state.subspan(data_bytes, end - data_bytes));
}

}  // namespace rhz
