// Vaults, and a log, without a network: for unit tests of recovery/shards.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "recovery/shards/protector.h"
#include "recovery/shards/reprotector.h"
#include "recovery/shards/shard_store.h"
#include "runtime/base/prng.h"

namespace rhz::recovery {

inline std::vector<std::byte> random_state(size_t size, uint64_t seed = 1) {
  Prng prng(seed);
  std::vector<std::byte> bytes(size);
  for (auto& b : bytes) b = static_cast<std::byte>(prng.next());
  return bytes;
}

struct VaultWorld {
  explicit VaultWorld(uint32_t hosts, uint64_t limit = 1u << 30) : limit(limit) {
    for (uint32_t h = 0; h < hosts; ++h) start(h);
  }
  void start(uint32_t host, std::string rack = "") {
    const PeerId id{++incarnations, host + 1};
    holders.push_back({id, "host" + std::to_string(host), std::move(rack)});
    vaults[id] = std::make_unique<ShardStore>(limit);
  }
  VaultSet living() const { return VaultSet(holders); }
  // Of the n-th that lives.
  PeerId id(size_t n) const { return holders[n].vault; }
  void kill(PeerId vault) {
    vaults.erase(vault);
    std::erase_if(holders, [&](const Holder& holder) { return holder.vault == vault; });
  }

  // Carries out actions, and what comes of them; requests of a dead vault stay without an answer.
  template <class Core>
  void carry_out(Core& core, ShardActions actions) {
    for (ShardAction& action : actions) {
      if (auto* propose = std::get_if<ProposeGeneration>(&action))
        proposals.push_back(propose->record);
      if (auto* done = std::get_if<ShardsDone>(&action)) finished = done->record;
      if (auto* failed = std::get_if<ShardsFailed>(&action)) failure = failed->status;
      auto* send = std::get_if<VaultSend>(&action);
      if (!send) continue;
      ++requests[send->request.verb];
      bytes_sent += send->request.bytes.size();
      const auto at = vaults.find(send->vault);
      if (at == vaults.end()) continue;
      // As bytes, there and back.
      std::vector<std::byte> wire(kVaultHeaderBytes);
      const VaultHeader header = encode_header(send->request);
      std::copy(header.begin(), header.end(), wire.begin());
      wire.insert(wire.end(), send->request.bytes.begin(), send->request.bytes.end());
      const auto request = decode_request(wire);
      ASSERT_TRUE(request);
      const VaultReply reply = at->second->handle(*request);
      carry_out(core, core.handle(send->vault, reply));
    }
  }
  // Until it has nothing more to do by itself.
  template <class Core>
  void run(Core& core) {
    for (int i = 0; i < 10000 && failure.is_ok() && !finished && proposals.empty(); ++i)
      carry_out(core, core.step(1u << 20));
  }
  template <class Core>
  GenerationRecord seal(Core& core) {
    run(core);
    EXPECT_EQ(proposals.size(), 1u) << failure.text();
    if (proposals.empty()) return {};
    const GenerationRecord record = proposals.back();
    proposals.clear();
    carry_out(core, core.logged(record));
    EXPECT_TRUE(finished && *finished == record) << failure.text();
    finished.reset();
    return record;
  }
  GenerationRecord protect(uint64_t revision, ConstBytes state, Protector::Options options,
                           uint64_t logged = 0, Epoch epoch = Epoch(1)) {
    auto core = Protector::make({3, revision, {1}, state, epoch, logged}, living(), options);
    EXPECT_TRUE(core) << core.status().text();
    return seal(*core.value());
  }
  std::vector<std::byte> restore(const GenerationRecord& record) {
    std::vector<std::byte> out(record.state_bytes);
    auto core = Restorer::make(record, living(), out, {"stage 3", "the disk"});
    EXPECT_TRUE(core);
    run(*core.value());
    EXPECT_TRUE(core.value()->over());
    finished.reset();
    return out;
  }

  const uint64_t limit;
  uint64_t incarnations = 0;
  std::vector<Holder> holders;  // that live
  std::map<PeerId, std::unique_ptr<ShardStore>> vaults;
  std::vector<GenerationRecord> proposals;
  std::optional<GenerationRecord> finished;
  Status failure;
  std::map<VaultVerb, uint64_t> requests;
  uint64_t bytes_sent = 0;
};

}  // namespace rhz::recovery
