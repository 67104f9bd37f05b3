#include "tests/chaos/peer_op.h"

#include <algorithm>
#include <cstdio>

#include "runtime/base/prng.h"
#include "tests/integration/values.h"

namespace rhz::test {
namespace {

// Alike on all ranks, who may know of different views.
constexpr uint32_t kUsualWorld = 4;
constexpr uint32_t kRoots = 2;  // slots that the root is drawn from; a vacant one is a peer that is lost
constexpr uint32_t kMessageTimeoutMs = 10'000;  // where two members do not reach each other, it waits

uint64_t word(uint64_t id, uint32_t slot, uint64_t i) { return mix64(mix64(id * 64 + slot + 1) + i); }

// As often few as many.
uint64_t drawn_count(uint64_t id, uint64_t most) {
  const uint64_t dice = mix64(id + 1);
  return 1 + mix64(dice) % std::max<uint64_t>(1, most >> (dice >> 1) % 12);
}

uint32_t drawn_rebuild(uint64_t id) { return mix64(id + 1) & 32 ? RHZ_REBUILD_KEEP : RHZ_REBUILD_STRICT; }

}  // namespace

PeerOp::PeerOp(Kind kind, uint64_t id, const Place& place, uint64_t most_words)
    : kind_(kind), id_(id), place_(place), root_(mix64(id) % kRoots), in_place_(kind == kAllReduce && mix64(id + 1) & 1) {
  count_ = drawn_count(id, has_all_blocks() ? most_words / kUsualWorld : most_words);
  fill();
}

PeerOp::PeerOp(Kind kind, uint64_t id, uint32_t own_slot, uint32_t other_slot, uint64_t most_words)
    : kind_(kind), id_(id), place_{own_slot, 0, 1}, root_(other_slot), count_(drawn_count(id, most_words)) {
  fill();
}

PeerOp::~PeerOp() { (void)rhz_op_release(op_); }

uint32_t PeerOp::blocks_given() const {
  if (is_message()) return kind_ == kSend;
  return kind_ == kAllReduce ? 1 : test::blocks_given(exchange(), is_root(), place_.world);
}

uint32_t PeerOp::blocks_got() const {
  if (is_message()) return kind_ == kRecv;
  return kind_ == kAllReduce ? 1 : test::blocks_got(exchange(), is_root(), place_.world);
}

// Of a giver's words, the first that can be in a block of the result.
uint64_t PeerOp::first_word() const {
  const bool by_receiver = kind_ == kReduceScatter || kind_ == kScatter || kind_ == kAllToAll;
  return by_receiver ? place_.rank * count_ : 0;
}

void PeerOp::fill() {
  std::vector<uint64_t>& given = in_place_ ? recv_ : send_;
  recv_.assign(blocks_got() * count_, 0);
  given.resize(blocks_given() * count_);
  for (size_t i = 0; i < given.size(); ++i) given[i] = word(id_, place_.slot, i);
}

rhz_status PeerOp::submit(rhz_comm* comm) {
  if (is_message()) {
    rhz_message_params params{};
    params.struct_size = sizeof params;
    params.send = kind_ == kSend ? send_.data() : nullptr;
    params.recv = kind_ == kRecv ? recv_.data() : nullptr;
    params.bytes = count_ * sizeof(uint64_t);
    params.tag = id_;
    params.peer_slot = root_;
    params.timeout_ms = kMessageTimeoutMs;
    return (kind_ == kSend ? rhz_send : rhz_recv)(comm, &params, &op_);
  }
  if (kind_ == kAllReduce) {
    rhz_allreduce_params params{};
    params.struct_size = sizeof params;
    params.send = in_place_ ? nullptr : send_.data();
    params.recv = recv_.data();
    params.count_elems = count_;
    params.dtype = RHZ_DTYPE_U64;
    params.rebuild = drawn_rebuild(id_);
    return rhz_allreduce(comm, &params, &op_);
  }
  using Submit = rhz_status (*)(rhz_comm*, const rhz_collective_params*, rhz_op**);
  // In the order of Kind.
  constexpr Submit kSubmit[] = {nullptr,            rhz_broadcast, rhz_reduce,  rhz_allgather,
                                rhz_reduce_scatter, rhz_gather,    rhz_scatter, rhz_alltoall};
  rhz_collective_params params{};
  params.struct_size = sizeof params;
  params.send = send_.empty() ? nullptr : send_.data();
  params.recv = recv_.empty() ? nullptr : recv_.data();
  params.count_elems = count_;
  params.dtype = RHZ_DTYPE_U64;
  params.rebuild = drawn_rebuild(id_);
  params.root_slot = root_;
  params.world_size = place_.world;
  return kSubmit[kind_](comm, &params, &op_);
}

rhz_status PeerOp::finish() {
  status_ = rhz_op_wait(op_, 0, RHZ_WAIT_DEFAULT);
  rhz_op_info info{};
  info.struct_size = sizeof info;
  if (rhz_op_info_get(op_, &info) != RHZ_OK) ++wrong_;
  std::string contributors;
  if (status_ == RHZ_OK && kind_ == kRecv) look_at_message(info.bytes);
  if (status_ == RHZ_OK && !is_message()) look(contributors);
  for (size_t i = 0; i < send_.size(); ++i) wrong_ += send_[i] != word(id_, place_.slot, i);
  made_ = mix64(static_cast<uint64_t>(status_));
  text_ = "outcome=" + std::to_string(status_);
  const bool is_alike = kind_ == kAllReduce || kind_ == kAllGather;
  if (status_ == RHZ_OK && is_alike) {
    for (const uint64_t value : recv_) made_ = mix64(made_) ^ value;
    char hex[17];
    std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(made_));
    text_ += " digest=" + std::string(hex) + " contributors=" + contributors;
  }
  text_ += " wrong=" + std::to_string(wrong_) + " us=" + std::to_string(info.wait_us + info.run_us + info.release_us) +
           " epoch=" + std::to_string(info.last_epoch);
  return status_;
}

void PeerOp::look(std::string& contributors) {
  Verdict verdict;
  for (uint64_t block = 0; block < blocks_got(); ++block) {
    const uint64_t first = block * count_;
    for_each_stretch(op_, first, first + count_, verdict, [&](uint64_t begin, uint64_t end, const std::vector<uint32_t>& slots) {
      // Whoever has the result gave something to it.
      const bool has_own = std::find(slots.begin(), slots.end(), place_.slot) != slots.end();
      const bool wants_own = reduces() || (block == place_.rank && (kind_ == kAllGather || kind_ == kGather || kind_ == kAllToAll));
      if (wants_own && !has_own) wrong_ += end - begin;
      if (!reduces() && slots.size() > 1) wrong_ += end - begin;
      for (uint64_t i = begin; i < end; ++i) {
        uint64_t expected = 0;
        for (const uint32_t slot : slots) expected += word(id_, slot, first_word() + i - first);
        wrong_ += recv_[i] != expected;
      }
    });
  }
  contributors = verdict.contributors;
  if (!verdict.problem.empty()) ++wrong_;
}

void PeerOp::look_at_message(uint64_t bytes) {
  wrong_ += bytes != recv_.size() * sizeof(uint64_t);
  for (size_t i = 0; i < recv_.size(); ++i) wrong_ += recv_[i] != word(id_, root_, i);
}

std::string PeerOp::final_text() { return rhz_op_wait(op_, 0, RHZ_WAIT_FINAL) == status_ ? text_ : ""; }

}  // namespace rhz::test
