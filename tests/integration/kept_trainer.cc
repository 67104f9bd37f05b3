#include "tests/integration/kept_trainer.h"

#include <algorithm>
#include <cstdio>

#include "tests/integration/rank.h"
#include "tests/integration/values.h"

namespace rhz::test {
namespace {

template <class T>
T sized() {
  T value{};
  value.struct_size = sizeof value;
  return value;
}

rhz_tensor tensor(const char* name, void* data, size_t words) {
  auto t = sized<rhz_tensor>();
  t.name = name;
  t.data = data;
  t.count_elems = words;
  t.dtype = RHZ_DTYPE_U64;
  return t;
}

uint64_t* shared(rhz_comm* comm, size_t words) {
  void* memory = nullptr;
  if (rhz_alloc(comm, words * sizeof(uint64_t), &memory) != RHZ_OK) std::abort();
  return static_cast<uint64_t*>(memory);
}

}  // namespace

KeptTrainer::KeptTrainer(const Line& options) : options_(options) {
  auto params = sized<rhz_comm_params>();
  params.coordinator = options_.text("coordinator").c_str();
  params.run_id = options_.text("run").c_str();
  params.slot_plus_one = 1 + static_cast<uint32_t>(options_.number("slot"));
  if (rhz_comm_create(&params, &comm_) != RHZ_OK) {
    std::printf("came status=-1 text=%s\n", rhz_last_error());
    return;
  }
  const char* source = "attach";
  const rhz_status attached = attach();
  std::printf("came attach=%d text=%s\n", attached, last_error(attached).c_str());
  if (attached != RHZ_OK) begin_anew();
  for (auto t : {tensor("weights", weights_.data(), weights_.size()),
                 tensor("moments", moments_.data(), moments_.size())})
    if (rhz_state_register(comm_, &t) != RHZ_OK) std::abort();
  if (attached != RHZ_OK) {
    restore(0);
    source = revision_ != 0 ? "restore" : "none";
  }
  tell_state(source);
}

KeptTrainer::~KeptTrainer() { rhz_comm_close(comm_); }

rhz_status KeptTrainer::attach() {
  const size_t words = options_.number("words");
  rhz_tensor tensors[] = {tensor("weights", nullptr, words), tensor("moments", nullptr, words / 2)};
  auto params = sized<rhz_attach_params>();
  params.tensors = tensors;
  params.tensor_count = 2;
  auto info = sized<rhz_attach_info>();
  const rhz_status status = rhz_state_attach(comm_, &params, &info);
  if (status != RHZ_OK) return status;
  weights_ = {static_cast<uint64_t*>(tensors[0].data), words};
  moments_ = {static_cast<uint64_t*>(tensors[1].data), words / 2};
  revision_ = info.revision;
  std::printf("attached revision=%llu bytes=%llu verified=%u\n",
              static_cast<unsigned long long>(info.revision),
              static_cast<unsigned long long>(info.bytes), info.verified);
  return RHZ_OK;
}

void KeptTrainer::begin_anew() {
  const size_t words = options_.number("words");
  weights_ = {shared(comm_, words), words};
  moments_ = {shared(comm_, words / 2), words / 2};
}

void KeptTrainer::restore(uint64_t revision) {
  auto params = sized<rhz_restore_params>();
  params.revision = revision;
  auto info = sized<rhz_restore_info>();
  const rhz_status status = rhz_restore(comm_, &params, &info);
  if (status == RHZ_OK) revision_ = info.revision;
  std::printf("restored status=%d revision=%llu part=%u parts=%u text=%s\n", status,
              static_cast<unsigned long long>(info.revision), info.part, info.parts,
              last_error(status).c_str());
}

void KeptTrainer::tell_state(const char* source) {
  std::printf("state source=%s revision=%llu right=%d\n", source,
              static_cast<unsigned long long>(revision_), right(revision_));
  std::fflush(stdout);
}

// The first so many words of both.
void KeptTrainer::fill(uint64_t revision, size_t words) {
  fill_state(weights_.first(std::min(words, weights_.size())), revision);
  fill_state(moments_.first(std::min(words, moments_.size())), revision + 1);
}

bool KeptTrainer::right(uint64_t revision) const {
  return revision != 0 && state_is(weights_, revision) && state_is(moments_, revision + 1);
}

bool KeptTrainer::obey(const Line& command) {
  if (command.verb == "bye") return false;
  rhz_status status = RHZ_OK;
  if (command.verb == "join") {
    status = rhz_comm_join(comm_, kPatienceMs);
    auto view = sized<rhz_view>();
    if (status == RHZ_OK) status = rhz_comm_view(comm_, &view);
    std::printf("joined status=%d slot=%u text=%s\n", status, view.slot,
                last_error(status).c_str());
  } else if (command.verb == "train") {
    train(command);
  } else if (command.verb == "tear") {
    status = rhz_state_begin_update(comm_);
    fill(revision_ + 1, weights_.size() / 3);
    std::printf("torn status=%d\n", status);
  } else if (command.verb == "loiter") {
    status = rhz_state_begin_update(comm_);
    fill(revision_ + 1, weights_.size());
    if (status == RHZ_OK) status = rhz_state_end_update(comm_);
    std::printf("loitering status=%d\n", status);
  } else if (command.verb == "admit") {
    status = admit(static_cast<uint32_t>(command.number("world")));
    std::printf("admitted status=%d\n", status);
  } else if (command.verb == "show") {
    auto view = sized<rhz_view>();
    status = rhz_comm_view(comm_, &view);
    revision_ = view.revision;
    tell_state("view");
  } else if (command.verb == "back") {
    restore(command.number("revision"));
    tell_state("restore");
  } else if (command.verb == "digest") {
    uint8_t digest[16];
    std::printf("digest status=%d\n", rhz_state_digest(comm_, digest));
  } else if (command.verb == "spoil") {
    weights_[weights_.size() / 2] ^= 1;
    std::printf("spoilt\n");
  } else if (command.verb == "attach_again") {
    status = attach();
    std::printf("again status=%d text=%s\n", status, last_error(status).c_str());
  } else if (command.verb == "leave") {
    status = rhz_comm_leave(comm_, 0);
    std::printf("left status=%d\n", status);
  }
  return true;
}

// Until the world is that large.
rhz_status KeptTrainer::admit(uint32_t world) {
  for (;;) {
    rhz_op* op = nullptr;
    rhz_status status = rhz_admit(comm_, &op);
    if (status == RHZ_OK) status = rhz_op_wait(op, 0, 0);
    rhz_op_release(op);
    auto view = sized<rhz_view>();
    if (status == RHZ_OK) status = rhz_comm_view(comm_, &view);
    if (status != RHZ_OK || view.world_size >= world) return status;
  }
}

// Every step: an update and its commit; every so many steps a snapshot that is waited for.
void KeptTrainer::train(const Line& command) {
  for (uint64_t step = 0; command.number("steps") == 0 || step < command.number("steps"); ++step) {
    rhz_status status = rhz_state_begin_update(comm_);
    fill(revision_ + 1, weights_.size());
    if (status == RHZ_OK) status = rhz_state_end_update(comm_);
    if (status == RHZ_OK) status = rhz_state_commit(comm_, revision_ + 1);
    const std::string text = last_error(status);
    if (status == RHZ_OK) ++revision_;
    rhz_status copied = RHZ_OK;
    const uint64_t every = command.number("snapshot");
    if (every != 0 && revision_ % every == 0) {
      auto params = sized<rhz_snapshot_params>();
      params.part = static_cast<uint32_t>(command.number("part"));
      params.parts = static_cast<uint32_t>(command.number("parts"));
      copied = rhz_snapshot(comm_, &params);
      if (copied == RHZ_OK) copied = rhz_snapshot_fence(comm_, 0);
    }
    std::printf("step status=%d revision=%llu copied=%d text=%s%s\n", status,
                static_cast<unsigned long long>(revision_), copied, text.c_str(),
                last_error(copied).c_str());
    std::fflush(stdout);
    if (status != RHZ_OK) return;
  }
  std::printf("trained\n");
}

}  // namespace rhz::test
