#include "tests/integration/vault_hosts.h"

#include <algorithm>
#include <csignal>
#include <functional>
#include <thread>

#include "runtime/base/prng.h"

namespace rhz::test {

bool until(const std::function<bool()>& so) {
  const auto deadline = Clock::now() + kPatience;
  while (!so()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// ---- vaults

VaultHosts::VaultHosts(std::string run, std::string coordinator, uint32_t hosts, uint32_t racks,
                       std::string memory)
    : run_(std::move(run)),
      coordinator_(std::move(coordinator)),
      racks_(racks),
      memory_(std::move(memory)),
      vaults_(hosts),
      addresses_(hosts) {}

void VaultHosts::start(uint32_t host) {
  std::string options = "vault --run-id " + run_ + " --coordinator " + coordinator_ + " --host h" +
                        std::to_string(host) + " --shard-memory " + memory_;
  if (racks_ > 0) options += " --rack r" + std::to_string(host % racks_);
  vaults_[host] = std::make_unique<Cli>(words(options));
  const std::string line = vaults_[host]->await("vault: shards at ").raw;
  const size_t at = line.find(" at ") + 4;
  addresses_[host] = line.substr(at, line.find(' ', at) - at);
}

void VaultHosts::start_all() {
  for (uint32_t host = 0; host < size(); ++host) start(host);
}

void VaultHosts::kill(const std::vector<uint32_t>& hosts) {
  for (const uint32_t host : hosts) vaults_[host]->signal(SIGKILL);
  for (const uint32_t host : hosts) vaults_[host].reset();
}

// ---- the trainer

StageTrainer::StageTrainer(const std::string& run, const std::string& coordinator, uint32_t slot,
                           size_t words, uint32_t stage)
    : stage_(stage), weights_(words), moments_(words / 2 + 1) {
  auto params = comm_params(coordinator.c_str());
  params.run_id = run.c_str();
  params.slot_plus_one = slot + 1;
  EXPECT_EQ(rhz_comm_create(&params, &comm_), RHZ_OK) << rhz_last_error();
  for (auto& [name, data] : {std::pair<const char*, std::vector<uint64_t>&>{"weights", weights_},
                             std::pair<const char*, std::vector<uint64_t>&>{"moments", moments_}}) {
    auto tensor = sized<rhz_tensor>();
    tensor.name = name;
    tensor.data = data.data();
    tensor.count_elems = data.size();
    tensor.dtype = RHZ_DTYPE_U64;
    EXPECT_EQ(rhz_state_register(comm_, &tensor), RHZ_OK) << rhz_last_error();
  }
}

void StageTrainer::join() {
  ASSERT_EQ(rhz_comm_join(comm_, kPatienceMs), RHZ_OK) << rhz_last_error();
}

namespace {
uint64_t word(uint32_t stage, uint64_t revision, uint64_t tensor, uint64_t i) {
  return mix64((uint64_t{stage} << 48) ^ (revision << 32) ^ (tensor << 31) ^ i);
}
}  // namespace

void StageTrainer::fill(uint64_t revision) {
  for (size_t i = 0; i < weights_.size(); ++i) weights_[i] = word(stage_, revision, 0, i);
  for (size_t i = 0; i < moments_.size(); ++i) moments_[i] = word(stage_, revision, 1, i);
}

bool StageTrainer::holds(uint64_t revision) const {
  for (size_t i = 0; i < weights_.size(); ++i)
    if (weights_[i] != word(stage_, revision, 0, i)) return false;
  for (size_t i = 0; i < moments_.size(); ++i)
    if (moments_[i] != word(stage_, revision, 1, i)) return false;
  return true;
}

void StageTrainer::step(bool copied) {
  fill(++revision_);
  ASSERT_EQ(rhz_state_commit(comm_, revision_), RHZ_OK) << rhz_last_error();
  ASSERT_EQ(rhz_snapshot(comm_, nullptr), RHZ_OK) << rhz_last_error();
  if (!copied) return;
  ASSERT_EQ(rhz_snapshot_fence(comm_, kPatienceMs), RHZ_OK) << rhz_last_error();
}

rhz_status StageTrainer::protect(uint32_t data_shards, uint32_t parity_shards) {
  auto params = sized<rhz_protect_params>();
  params.stage = stage_;
  params.data_shards = data_shards;
  params.parity_shards = parity_shards;
  const rhz_status begun = rhz_protect(comm_, &params);
  return begun == RHZ_OK ? rhz_protect_fence(comm_, kPatienceMs) : begun;
}

bool StageTrainer::protect_until_it_stands(uint32_t stands, uint32_t data_shards,
                                           uint32_t parity_shards) {
  return until([&] {
    step();
    const rhz_status status = protect(data_shards, parity_shards);
    if (status != RHZ_OK) return false;  // too few hosts are known yet
    const rhz_generation_info info = generation();
    return info.revision == revision_ && info.stands >= stands && info.lost == 0;
  });
}

bool StageTrainer::train_until(const std::function<bool()>& so) {
  std::vector<float> gradient(16'384, 1), sum(gradient.size());
  return until([&] {
    if (so()) return true;
    const auto params = floats(gradient.data(), sum.data(), sum.size());
    rhz_op* op = nullptr;
    EXPECT_EQ(rhz_allreduce(comm_, &params, &op), RHZ_OK) << rhz_last_error();
    EXPECT_EQ(outcome(op), RHZ_OK);
    return false;
  });
}

void StageTrainer::forget() {
  std::fill(weights_.begin(), weights_.end(), 0);
  std::fill(moments_.begin(), moments_.end(), 0);
}

rhz_status StageTrainer::restore_slot(uint64_t revision) {
  auto params = sized<rhz_restore_params>();
  params.revision = revision;
  forget();
  auto info = sized<rhz_restore_info>();
  const rhz_status status = rhz_restore(comm_, &params, &info);
  if (status == RHZ_OK) revision_ = info.revision;
  return status;
}

rhz_status StageTrainer::restore(uint64_t revision) {
  auto params = sized<rhz_restore_shards_params>();
  params.stage = stage_;
  params.revision = revision;
  forget();
  auto info = sized<rhz_restore_info>();
  const rhz_status status = rhz_restore_shards(comm_, &params, &info);
  if (status == RHZ_OK) revision_ = info.revision;
  return status;
}

rhz_generation_info StageTrainer::generation() {
  auto info = sized<rhz_generation_info>();
  (void)!rhz_generation(comm_, stage_, &info);
  return info;
}

}  // namespace rhz::test
