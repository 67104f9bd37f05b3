#include "recovery/sync/state_copy.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/base/assert.h"

namespace rhz::recovery {

Status StateCopy::map(uint64_t bytes) {
  close();
  if (bytes > 0) {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      return {Code::kMemory, "no room for a copy of " + std::to_string(bytes) + " bytes of state"};
    // No huge pages: where memory is in pieces, making them took four times as long as all the faults of small ones.
    memory_ = static_cast<std::byte*>(memory);
  }
  bytes_ = bytes;
  return Status::ok();
}

Status StateCopy::make_room(const State& state) {
  Status mapped = map(state.shared_bytes());
  if (memory_ && pages_) pages_->begin(memory_, bytes_);
  return mapped;
}

Status StateCopy::begin(const State& state) {
  if (has_room()) {
    end_pages();
  } else if (Status mapped = map(state.shared_bytes()); !mapped) {
    return mapped;
  }
  from_ = &state;
  copy_.emplace();
  std::byte* at = memory_;
  for (const Tensor& tensor : state.tensors()) {
    Tensor copy = tensor;
    copy.data = at;
    at += tensor.bytes;
    const Status added = copy_->add(std::move(copy));
    RHZ_ASSERT("R2", added.is_ok());  // they were registered once already
  }
  return Status::ok();
}

bool StateCopy::copy(uint64_t budget_bytes) {
  const auto tensors = from_->tensors();
  while (copying() && budget_bytes > 0) {
    const Tensor& tensor = tensors[tensor_];
    const uint64_t length = std::min(budget_bytes, tensor.bytes - offset_);
    std::memcpy(memory_ + copied_, tensor.data + offset_, length);
    copied_ += length;
    offset_ += length;
    budget_bytes -= length;
    if (offset_ < tensor.bytes) continue;
    ++tensor_;
    offset_ = 0;
  }
  return !copying();
}

void StateCopy::open(Donor& live, Time now, uint64_t most_recorded) {
  RHZ_ASSERT("R2", !copying());
  asked_ = now;
  donor_.take_over(live, *copy_);
  updates_.open(donor_.revision(), most_recorded);
  make_spare();
}

void StateCopy::close() {
  donor_.close();
  updates_.close();
  if (has_room() || making_spare_) end_pages();
  spare_ = {};
  if (memory_) ::munmap(memory_, bytes_);
  memory_ = nullptr;
  from_ = nullptr;
  copy_.reset();
  bytes_ = copied_ = offset_ = 0;
  tensor_ = 0;
  held_.clear();
}

std::optional<Update> StateCopy::update_memory(uint64_t bytes) {
  usual_ = kUpdateHeaderBytes + bytes;
  if (!updates_.is_open()) return {};
  if (making_spare_) end_pages();
  Update memory = std::exchange(spare_, {});
  return memory.capacity() >= usual_ ? std::move(memory) : Update(usual_);
}

void StateCopy::record(Update update) {
  updates_.append(std::move(update));
  make_spare();
}

// While the program computes what it will record next.
void StateCopy::make_spare() {
  if (usual_ == 0 || !updates_.has_room_for(usual_)) return;
  if (making_spare_) end_pages();
  spare_ = Update(usual_);
  making_spare_ = pages_ && spare_.data();
  if (making_spare_) pages_->begin(spare_.data(), spare_.capacity());
}

void StateCopy::end_pages() {
  making_spare_ = false;
  if (pages_) pages_->end();
}

void StateCopy::handle(PeerId from, ConstBytes payload, Time now) {
  asked_ = now;
  if (held_.size() < kMaxHeld) held_.push_back({from, {payload.begin(), payload.end()}});
}

std::optional<SendData> StateCopy::answer(Time now, bool busy, Donor* live) {
  while (!held_.empty()) {
    if (busy && now < answered_ + kYield) return {};
    answered_ = now;
    const Held next = std::move(held_.front());
    held_.pop_front();
    if (auto answer = give(next, live)) return answer;
  }
  return {};
}

std::optional<SendData> StateCopy::give(const Held& held, Donor* live) {
  const auto pull = decode_pull(held.payload);
  if (is_open() && pull && pull->kind == PullKind::kUpdates && pull->sync == sync()) {
    ConstBytes bytes;
    const DataStatus status = updates_.find(*pull, bytes);
    return donor_.answer(held.from, *pull, status, bytes);
  }
  Donor& donor = is_open() || !live ? donor_ : *live;
  return donor.handle(held.from, held.payload);
}

Time StateCopy::tick(Time now) {
  if (!is_open()) return kNever;
  if (!held_.empty()) return std::max(now, answered_ + kYield);
  if (now >= asked_ + kIdle) {
    close();
    return kNever;
  }
  return asked_ + kIdle;
}

}  // namespace rhz::recovery
