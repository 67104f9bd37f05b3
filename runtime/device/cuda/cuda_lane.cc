#include "runtime/device/cuda/cuda_lane.h"

#include <cstring>
#include <utility>

#include "runtime/device/cuda/current.h"
#include "runtime/digest/cuda/block_digests.h"
#include "runtime/digest/digest.h"

namespace rhz::cuda {
namespace {

constexpr uint64_t kMostBlocks = StateMemory::kDigestedBytes / kDigestBlockBytes;
constexpr uint64_t kDigestsBytes = kMostBlocks * sizeof(Digest);
// What it runs is little, and whoever waits for it holds up a snapshot.  The driver takes the most
// urgent priority that there is.
constexpr int kMostUrgent = -1000;
constexpr unsigned kBlocksPerGroup = RHZ_DIGEST_THREADS / RHZ_DIGEST_LANES;

Status launch(const Driver& driver, Function function, Stream stream, BlockDigests parameter) {
  void* parameters[] = {&parameter};
  const auto groups =
      static_cast<unsigned>((parameter.blocks + kBlocksPerGroup - 1) / kBlocksPerGroup);
  return driver.check(driver.launch(function, groups ? groups : 1, 1, 1, RHZ_DIGEST_THREADS, 1, 1,
                                    0, stream, parameters, nullptr),
                      "rhz_block_digests");
}

}  // namespace

Result<LaneParts> make_lane_parts(const Driver& driver, Context context, Function digests) {
  Current current(driver, context);
  if (!current.status()) return current.status();
  LaneParts parts;
  void* host = nullptr;
  Status status =
      driver.check(driver.stream_create_urgent(&parts.stream, kStreamNonBlocking, kMostUrgent),
                   "cuStreamCreateWithPriority");
  if (status)
    status = driver.check(driver.host_alloc(&host, kDigestsBytes + kDigestBlockBytes,
                                            kHostAllocPortable | kHostAllocMapped),
                          "cuMemHostAlloc");
  if (status)
    status = driver.check(driver.host_get_device_pointer(&parts.digests, host, 0),
                          "cuMemHostGetDevicePointer");
  if (status && digests) {
    status = launch(driver, digests, parts.stream, {});
    if (status)
      status = driver.check(driver.stream_synchronize(parts.stream), "cuStreamSynchronize");
  }
  if (!status) return status;
  parts.host = static_cast<std::byte*>(host);
  return parts;
}

// What was begun and not finished may still write there.
CudaLane::~CudaLane() {
  (void)in_context(owner_.driver(), context_, "cuStreamSynchronize",
                   [&] { return owner_.driver().stream_synchronize(parts_.stream); });
  owner_.give_back(context_, parts_);
}

Status CudaLane::copy_out(std::byte* into, const std::byte* from, uint64_t bytes) {
  return in_context(owner_.driver(), context_, "cuMemcpyDtoHAsync", [&] {
    return owner_.driver().copy_to_host(into, address_of(from), bytes, parts_.stream);
  });
}

Result<bool> CudaLane::digest_here(const std::byte* from, uint64_t bytes) {
  const uint64_t blocks = bytes / kDigestBlockBytes;
  if (!digests_ || blocks == 0 || address_of(from) % alignof(uint64_t) != 0) return false;
  Current current(owner_.driver(), context_);
  if (!current.status()) return current.status();
  BlockDigests parameter{};
  parameter.bytes = from;
  parameter.blocks = blocks;
  parameter.block_bytes = kDigestBlockBytes;
  parameter.digests = reinterpret_cast<uint8_t*>(static_cast<uintptr_t>(parts_.digests));
  if (Status run = launch(owner_.driver(), digests_, parts_.stream, parameter); !run) return run;
  by_kernel_ = blocks;
  return true;
}

Status CudaLane::begin_fetch(MutableBytes into, const std::byte* from) {
  return copy_out(into.data(), from, into.size());
}

Status CudaLane::begin_put(std::byte* to, ConstBytes from) {
  return in_context(owner_.driver(), context_, "cuMemcpyHtoDAsync", [&] {
    return owner_.driver().copy_to_device(address_of(to), from.data(), from.size(), parts_.stream);
  });
}

Status CudaLane::begin_digest(const std::byte* from, uint64_t bytes, std::vector<Digest>* append) {
  by_kernel_ = 0;
  by_cpu_ = {};
  const auto here = digest_here(from, bytes);
  if (!here) return here.status();
  append_ = append;
  const uint64_t done = by_kernel_ * kDigestBlockBytes, left = bytes - done;
  if (left == 0) return Status::ok();
  std::byte* into = parts_.host + kDigestsBytes;
  if (left > kDigestBlockBytes) {
    staged_.resize(left);
    into = staged_.data();
  }
  by_cpu_ = {into, left};
  return copy_out(into, from + done, left);
}

Status CudaLane::finish() {
  Status done = in_context(owner_.driver(), context_, "cuStreamSynchronize",
                           [&] { return owner_.driver().stream_synchronize(parts_.stream); });
  std::vector<Digest>* const append = std::exchange(append_, nullptr);
  if (!done || !append) return done;
  const size_t before = append->size();
  append->resize(before + by_kernel_);
  if (by_kernel_ > 0)
    std::memcpy(append->data() + before, parts_.host, by_kernel_ * sizeof(Digest));
  for (uint64_t i = 0; i < digest_blocks(by_cpu_.size()); ++i)
    append->push_back(digest128(digest_block(by_cpu_, i)));
  return Status::ok();
}

}  // namespace rhz::cuda
