#include "recovery/sync/donor.h"

#include <algorithm>

#include "runtime/base/assert.h"
#include "runtime/digest/digest.h"

namespace rhz::recovery {

void Donor::open(OpSeq sync, uint64_t revision, const Digest& root, const State& state,
                 std::optional<Manifest> manifest) {
  RHZ_ASSERT("R2", !is_open());
  sync_ = sync;
  revision_ = revision;
  root_ = root;
  state_ = &state;
  if (manifest) {
    RHZ_ASSERT("R1", manifest->revision == revision && manifest->root == root);
    manifest_ = manifest->serialise();
  }
}

void Donor::take_over(Donor& live, const State& copy) {
  RHZ_ASSERT("R2", !is_open() && live.is_open());
  sync_ = live.sync_;
  revision_ = live.revision_;
  root_ = live.root_;
  state_ = &copy;
  manifest_ = std::move(live.manifest_);
  diverged_ = live.diverged_;
  live.close();
}

void Donor::close() {
  state_ = nullptr;
  manifest_ = {};
  diverged_ = false;
}

std::optional<SendData> Donor::handle(PeerId from, ConstBytes payload) {
  const auto pull = decode_pull(payload);
  if (!pull) {
    ++counters_.dropped;
    return {};
  }
  ConstBytes bytes;
  const DataStatus status = find(*pull, bytes);
  return answer(from, *pull, status, bytes);
}

std::optional<SendData> Donor::answer(PeerId from, const Pull& pull, DataStatus status, ConstBytes bytes) {
  forget_sent();
  if (unsent_.size() >= kMaxUnsentAnswers) {
    ++counters_.dropped;
    return {};
  }
  if (status == DataStatus::kOk && unsent_bytes_ + bytes.size() > kMaxUnsentBytes)
    status = DataStatus::kBusy;
  if (status != DataStatus::kOk) bytes = {};

  Buffer buffer = pool_.take(kDataHeaderBytes + bytes.size());
  if (!buffer) {
    ++counters_.dropped;
    return {};
  }
  encode_data_header(pull, status, buffer.data());
  if (!bytes.empty()) std::memcpy(buffer.data() + kDataHeaderBytes, bytes.data(), bytes.size());
  count(status, bytes.size());
  unsent_bytes_ += buffer.capacity();
  unsent_.push_back(buffer);
  return SendData{from, std::move(buffer),
                  static_cast<uint32_t>(kDataHeaderBytes + bytes.size())};
}

DataStatus Donor::find(const Pull& pull, ConstBytes& bytes) {
  if (!is_open() || pull.sync != sync_) return DataStatus::kClosed;
  if (diverged_) return DataStatus::kDiverged;
  if (pull.kind == PullKind::kUpdates) return DataStatus::kRefused;  // only of a copy
  return pull.kind == PullKind::kManifest ? find_manifest(pull, bytes) : find_range(pull, bytes);
}

DataStatus Donor::find_manifest(const Pull& pull, ConstBytes& bytes) {
  if (manifest_.empty()) {
    ManifestBuilder builder(*state_, revision_);
    while (!builder.advance(UINT64_MAX)) {
    }
    const Manifest manifest = builder.take();
    diverged_ = manifest.root != root_;
    if (diverged_) return DataStatus::kDiverged;
    manifest_ = manifest.serialise();
  }
  if (pull.tensor != 0 || pull.offset > manifest_.size() ||
      pull.length > manifest_.size() - pull.offset)
    return DataStatus::kRefused;
  bytes = ConstBytes(manifest_).subspan(pull.offset, pull.length);
  return DataStatus::kOk;
}

DataStatus Donor::find_range(const Pull& pull, ConstBytes& bytes) const {
  const auto tensors = state_->tensors();
  if (pull.tensor >= tensors.size() || !is_range(pull, tensors[pull.tensor].bytes)) return DataStatus::kRefused;
  bytes = tensors[pull.tensor].view().subspan(pull.offset, pull.length);
  return DataStatus::kOk;
}

void Donor::count(DataStatus status, size_t bytes) {
  switch (status) {
    case DataStatus::kOk:
      ++counters_.served;
      counters_.served_bytes += bytes;
      return;
    case DataStatus::kClosed: ++counters_.closed; return;
    case DataStatus::kBusy: ++counters_.busy; return;
    case DataStatus::kRefused:
    case DataStatus::kDiverged: ++counters_.refused; return;
  }
}

void Donor::forget_sent() {
  std::erase_if(unsent_, [this](const Buffer& buffer) {
    if (buffer.shared()) return false;
    unsent_bytes_ -= buffer.capacity();
    return true;
  });
}

}  // namespace rhz::recovery
