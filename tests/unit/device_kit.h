// A device that does what the test tells it, and ops that wait for it.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "api/src/device_message.h"
#include "api/src/device_ops.h"
#include "collectives/reduce/cuda/put_again.h"
#include "runtime/device/peer_access.h"

namespace rhz::api::test {

// Of memory that others map there is none.
class KernelsAlone : public PeerAccess {
 public:
  Result<SharedAllocation> share(const void*) override { return Status(Code::kIo, "none"); }
  Result<std::byte*> map(const DeviceQueue&, const SharedAllocation&) override {
    return Status(Code::kIo, "none");
  }
  void unmap(const DeviceQueue&, const SharedAllocation&, std::byte*) override {}
  Result<std::byte*> allocate(const DeviceQueue&, size_t, bool) override {
    return Status(Code::kIo, "none");
  }
  void free(const DeviceQueue&, std::byte*) override {}
};

// One queue for everything, whose work is done when the test says so: memory of the "device" is
// that of its vector.
class TestDevice final : public Device, private KernelsAlone {
 public:
  bool has_kernels = false;
  bool apart = false;  // queues of no stream are two: `later` is the one for results
  std::deque<std::function<bool()>> later;
  void run_later() {
    std::lock_guard lock(mutex_);
    while (!later.empty() && later.front()()) later.pop_front();
  }
  std::vector<std::byte> memory = std::vector<std::byte>(4096);
  bool broken = false;
  int pinned = 0;

  // What is queued, up to the first wait for a word that is not raised.
  void run(size_t most = SIZE_MAX) {
    std::lock_guard lock(mutex_);
    while (!work_.empty() && most-- > 0 && work_.front()()) work_.pop_front();
  }
  size_t queued() const {
    std::lock_guard lock(mutex_);
    return work_.size();
  }

  bool owns(const void* m) const override {
    return m >= memory.data() && m < memory.data() + memory.size();
  }
  Result<DeviceQueue> queue_of(void* stream) override { return DeviceQueue{this, stream}; }
  Result<Pair> own_queues(const void*) override {
    return Pair{{this, nullptr}, {this, apart ? &later : nullptr}};
  }
  Result<Pair> own_queues_here() override { return own_queues(nullptr); }
  Status pin(const DeviceQueue&, std::byte*, size_t) override { return ++pinned, Status::ok(); }
  void unpin(const DeviceQueue&, std::byte*) override { --pinned; }
  Result<std::span<DeviceWord>> words(const DeviceQueue&, size_t) override {
    return Status(Code::kMemory, "none");
  }
  Status fetch(const DeviceQueue&, std::byte* to, const void* from, size_t bytes) override {
    return copy(to, from, bytes);
  }
  Status put(const DeviceQueue& on, void* to, const std::byte* from, size_t bytes) override {
    return push([=] { return std::memcpy(to, from, bytes), true; }, on.stream == &later);
  }
  Status raise(const DeviceQueue& on, DeviceWord& word) override {
    return push([&word] { return word.store(kRaised), true; }, on.stream == &later);
  }
  Status await(const DeviceQueue& on, DeviceWord& word) override {
    return push([&word] { return word.load() == kRaised; }, on.stream == &later);
  }
  Status health(const DeviceQueue&) override { return Status::ok(); }
  PeerAccess* peers() override { return has_kernels ? this : nullptr; }

  Status copy(void* to, const void* from, size_t bytes) {
    return push([=] { return std::memcpy(to, from, bytes), true; });
  }
  Status push(std::function<bool()> work, bool is_later = false) {
    if (broken) return Status(Code::kIo, "broken");
    std::lock_guard lock(mutex_);
    (is_later ? later : work_).push_back(std::move(work));
    return Status::ok();
  }

 private:
  // Of kernels there is rhz_put_again.
  Status run(const DeviceQueue&, const Launch& launch, const void* parameter) override {
    EXPECT_STREQ(launch.kernel, "rhz_put_again");
    return push([p = *static_cast<const PutAgain*>(parameter)] {
      if (p.bytes > 0 && *p.again != 0) std::memcpy(p.to, p.from, p.bytes);
      return true;
    });
  }
  Status copy(const DeviceQueue&, void* to, const void* from, size_t bytes) override {
    return copy(to, from, bytes);
  }

  mutable std::mutex mutex_;
  std::deque<std::function<bool()>> work_;
};

struct User final : OpCompletion {
  std::vector<Code> told, final;
  void released(const OpOutcome& outcome) override { told.push_back(outcome.status.code()); }
  void finalised(const Status& status) override { final.push_back(status.code()); }
};

inline OpOutcome with(Code code) {
  OpOutcome outcome;
  if (code != Code::kOk) outcome.status = Status(code, "test");
  return outcome;
}

class DeviceOpsTest : public testing::Test {
 protected:
  struct Begun {
    GroupId group;
    OpSpec spec;
    OpCompletion* completion;
    MessageSpec message = {};
  };
  void enqueue(DeviceOp& op) {
    EXPECT_TRUE(op.enqueue_input(device_));
    EXPECT_TRUE(op.enqueue_output(device_));
  }
  DeviceWords words() {
    return DeviceWords(words_.data() + DeviceWords::kCount * used_++);
  }

  // An all-reduce in place of 16 floats at the beginning of the device's memory, or of the host's.
  OpSpec in_place(bool on_device = true) {
    OpSpec spec;
    spec.dtype = reduce::Dtype::f32;
    spec.count = 16;
    spec.recv = on_device ? device_.memory.data() : host_.data();
    spec.send = spec.recv;
    return spec;
  }
  uint64_t add(User& user, GroupId group = kRootGroup, bool on_device = true) {
    return add(user, group, in_place(on_device), on_device);
  }
  // All of the device's memory, of so many bytes.
  uint64_t add_large(User& user, size_t bytes) {
    device_.memory.resize(bytes);
    OpSpec spec = in_place();
    spec.count = bytes / 4;
    return add(user, kRootGroup, spec, true);
  }
  uint64_t add(User& user, GroupId group, const OpSpec& spec, bool on_device) {
    auto op = std::make_unique<DeviceOp>(group, spec, &user);
    if (on_device) {
      again_.load(device_, {&device_, nullptr});
      EXPECT_TRUE(op->prepare(device_, slabs_, words(), nullptr, false, &again_));
      enqueue(*op);
    }
    return ops_.add(std::move(op));
  }
  // The runtime's answer, for which it adds 1 to each byte.
  void finish(size_t i, Code code = Code::kOk) {
    const Begun& op = begun_[i];
    for (size_t b = 0; b < 64; ++b) op.spec.recv[b] = std::byte(uint8_t(op.spec.send[b]) + 1);
    op.completion->released(with(code));
    op.completion->finalised(with(code).status);
  }

  TestDevice device_;
  std::deque<std::vector<std::byte>> given_;
  Slabs slabs_{
      device_,
      {[this](size_t bytes) -> Result<std::byte*> { return given_.emplace_back(bytes).data(); },
       [](std::byte*) {}}};
  std::vector<DeviceWord> words_ = std::vector<DeviceWord>(16 * DeviceWords::kCount);
  size_t used_ = 0;
  std::vector<std::byte> host_ = std::vector<std::byte>(4096);
  std::vector<Begun> begun_;
  std::vector<uint64_t> cancelled_;
  std::vector<std::pair<uint64_t, uint64_t>> input_there_;  // handle, bytes
  PutAgainKernel again_{"kernels"};
  uint64_t result_there_ = 0;
  Status ended_, refuses_;
  int freed_ = 0;
  DeviceOps ops_{
      {[this] { return ended_; },
       [this](GroupId group, const AnySpec& any, OpCompletion* completion) -> Result<uint64_t> {
         if (!refuses_) return refuses_;
         begun_.push_back({group, {}, completion});
         if (const auto* spec = std::get_if<OpSpec>(&any))
           begun_.back().spec = *spec;
         else
           begun_.back().message = std::get<MessageSpec>(any);
         return begun_.size() - 1;
       },
       [this](GroupId, uint64_t handle) { cancelled_.push_back(handle); },
       [this](GroupId, uint64_t handle, uint64_t bytes) { input_there_.emplace_back(handle, bytes); },
       [this](GroupId, uint64_t) { return result_there_; },
       [this](const DeviceOp&) { ++freed_; }}};
};

}  // namespace rhz::api::test
