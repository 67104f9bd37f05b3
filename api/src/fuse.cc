#include "api/src/fuse.h"

#include <cstring>
#include <memory>
#include <optional>

#include "runtime/base/prng.h"

namespace rhz::api {
namespace {

// A larger op is not slow because of its latency …
constexpr uint64_t kSmallBytes = 64u << 10;
// … and a larger fused one would be copied for nothing.  Within RHZ_RETAIN_BYTES, so that it is
// released as small ops are.
constexpr uint64_t kFusedBytes = 256u << 10;

uint64_t bytes_of(const OpSpec& spec) { return spec.count * reduce::size_of(spec.dtype); }

bool is_small(const OpSpec& spec) {
  return spec.kind == OpKind::kAllReduce && bytes_of(spec) <= kSmallBytes;
}

bool go_together(const OpSpec& a, const OpSpec& b) {
  return a.dtype == b.dtype && a.redop == b.redop && a.rebuild == b.rebuild &&
         a.algorithm == b.algorithm;
}

// Several all-reduces behind each other in one buffer, reduced in place.
class FusedOp final : public OpenOp {
 public:
  explicit FusedOp(std::vector<Kept>&& parts) : parts_(std::move(parts)) {}

  OpSpec pack() {
    OpSpec whole = spec(0);
    whole.count = 0;
    for (size_t i = 0; i < parts_.size(); ++i) {
      whole.count += spec(i).count;
      whole.parts = mix64(whole.parts ^ mix64(spec(i).count + i));
      whole.timeout = std::max(whole.timeout, spec(i).timeout);
    }
    buffer_ = std::make_unique<std::byte[]>(bytes_of(whole));
    uint64_t at = 0;
    for (size_t i = 0; i < parts_.size(); at += bytes_of(spec(i++)))
      if (bytes_of(spec(i)) > 0) std::memcpy(buffer_.get() + at, spec(i).send, bytes_of(spec(i)));
    whole.parts |= 1;  // 0 would say that it is not fused
    whole.send = whole.recv = buffer_.get();
    return whole;
  }

 private:
  void when_released(const OpOutcome& whole) override {
    OpOutcome outcome = whole;
    outcome.fused = true;
    uint64_t at = 0;
    for (size_t i = 0; i < parts_.size(); ++i) {
      outcome.bytes = bytes_of(spec(i));
      if (whole.status.is_ok() && outcome.bytes > 0)
        std::memcpy(spec(i).recv, buffer_.get() + at, outcome.bytes);
      at += outcome.bytes;
      parts_[i].op->released(outcome);
      outcome.first_element += spec(i).count;
    }
  }
  void when_final(const Status& status) override {
    for (Kept& part : parts_) part.op->finalised(status);
    delete this;
  }
  const OpSpec& spec(size_t i) const { return std::get<OpSpec>(parts_[i].spec); }

  std::vector<Kept> parts_;
  std::unique_ptr<std::byte[]> buffer_;
};

class Fuser {
 public:
  void add(Kept&& kept) {
    const OpSpec* spec = std::get_if<OpSpec>(&kept.spec);
    if (!spec) return fused_.add_single(std::move(kept));  // messages have an order of their own
    if (!is_small(*spec)) {
      flush();
      return fused_.add_single(std::move(kept));
    }
    for (Bucket& bucket : open_) {
      if (!go_together(*spec, std::get<OpSpec>(bucket.parts.front().spec))) continue;
      if (bucket.bytes + bytes_of(*spec) > kFusedBytes) {
        close(bucket);
        bucket = Bucket{};
        bucket.place = fused_.reserve();
      }
      bucket.bytes += bytes_of(*spec);
      bucket.parts.push_back(std::move(kept));
      return;
    }
    Bucket bucket;
    bucket.place = fused_.reserve();
    bucket.bytes = bytes_of(*spec);
    bucket.parts.push_back(std::move(kept));
    open_.push_back(std::move(bucket));
  }

  // Nothing overtakes a collective of another kind, nor is it overtaken.
  void flush() {
    for (Bucket& bucket : open_) close(bucket);
    open_.clear();
  }
  Fused take() { return std::move(fused_); }

 private:
  struct Bucket {
    size_t place = 0;  // that of its first part
    uint64_t bytes = 0;
    std::vector<Kept> parts;
  };

  void close(Bucket& bucket) {
    if (bucket.parts.size() == 1) return fused_.put(bucket.place, std::move(bucket.parts.front()));
    for (const Kept& part : bucket.parts) fused_.ops[bucket.place].push_back(part.op);
    fused_.requests[bucket.place].group = bucket.parts.front().op->group();
    auto* op = new FusedOp(std::move(bucket.parts));
    fused_.requests[bucket.place].spec = op->pack();
    fused_.requests[bucket.place].completion = op;
  }

  Fused fused_;
  std::vector<Bucket> open_;
};

}  // namespace

size_t Fused::reserve() {
  requests.emplace_back();
  ops.emplace_back();
  return requests.size() - 1;
}

void Fused::put(size_t place, Kept&& kept) {
  ops[place] = {kept.op};
  Request& request = requests[place];
  request.group = kept.op->group();
  request.completion = kept.op;
  request.spec = std::move(kept.spec);
  request.stream = kept.stream;
}

Fused fuse(std::vector<Kept>&& kept) {
  Fuser fuser;
  for (Kept& one : kept) fuser.add(std::move(one));
  fuser.flush();
  return fuser.take();
}

}  // namespace rhz::api
