#include "recovery/sync/follower.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/base/assert.h"

namespace rhz::recovery {

SyncActions Follower::start(OpSeq sync, uint64_t revision, uint64_t limit_bytes,
                            std::span<const PeerId> donors, Time now) {
  stop();
  sync_ = sync;
  revision_ = revision;
  limit_ = limit_bytes;
  donors_.assign(donors.begin(), donors.end());
  begin_ = pulled_ = 0;
  heard_ = again_ = now;
  begin_update();
  return ask(now);
}

void Follower::stop() {
  RHZ_ASSERT("R2", !applying_);
  donors_.clear();
  donor_ = 0;
  update_ = {};
  missing_.clear();
  asked_.clear();
  whole_ = at_end_ = false;
}

// Where nobody knows its length, its header is all that there is to ask for.
void Follower::begin_update() {
  update_bytes_ = kUpdateHeaderBytes;
  if (update_.size() < update_bytes_) update_.resize(update_bytes_);
  missing_.assign(1, 0);
  asked_.clear();
  whole_ = false;
}

uint64_t Follower::piece_bytes(uint64_t offset) const {
  if (offset < kUpdateHeaderBytes) return kUpdateHeaderBytes;
  return std::min<uint64_t>(kMaxPullBytes, update_bytes_ - offset);
}

SyncActions Follower::ask(Time now) {
  SyncActions out;
  if (!running() || applying_ || now < again_) return out;
  while (!missing_.empty() && asked_.size() < kMostAsked) {
    const uint64_t offset = missing_.front();
    missing_.pop_front();
    if (asked_.empty()) heard_ = now;
    asked_.push_back(offset);
    const Pull pull{PullKind::kUpdates, 0, sync_, begin_ + offset,
                    static_cast<uint32_t>(piece_bytes(offset))};
    out.emplace_back(SendPull{donors_[donor_], encode_pull(pull)});
  }
  return out;
}

// Goes on where the last one stopped.
void Follower::next_donor(Time now) {
  ++donor_;
  at_end_ = false;
  missing_.insert(missing_.begin(), asked_.begin(), asked_.end());
  asked_.clear();
  heard_ = again_ = now;
}

SyncActions Follower::handle(PeerId from, ConstBytes payload, Time now) {
  if (!expects(from)) return {};
  const auto data = decode_data(payload);
  if (!data)
    next_donor(now);
  else if (data->pull.kind == PullKind::kUpdates && data->pull.sync == sync_)
    on_data(*data, now);
  return ask(now);
}

void Follower::on_data(const Data& data, Time now) {
  const uint64_t offset = data.pull.offset - begin_;
  const auto asked = std::find(asked_.begin(), asked_.end(), offset);
  if (asked == asked_.end() || data.pull.length != piece_bytes(offset))
    return;  // late, of another donor or update
  asked_.erase(asked);
  heard_ = now;
  if (data.status == DataStatus::kBusy) {
    missing_.push_front(offset);
    again_ = now + kLook;
    at_end_ = offset == 0;
    return;
  }
  if (data.status != DataStatus::kOk) {
    missing_.push_front(offset);
    return next_donor(now);
  }
  at_end_ = false;
  std::memcpy(update_.data() + offset, data.bytes.data(), data.bytes.size());
  pulled_ += data.bytes.size();
  if (offset == 0 && !read_header()) return next_donor(now);
  whole_ = missing_.empty() && asked_.empty();
}

// False: it is not that of the next revision, or too long.
bool Follower::read_header() {
  const auto revision = load<uint64_t>(update_.data());
  const auto bytes = load<uint64_t>(update_.data() + sizeof revision);
  if (revision != revision_ + 1 || bytes > limit_) {
    missing_.push_front(0);
    return false;
  }
  update_bytes_ = kUpdateHeaderBytes + bytes;
  if (update_.size() < update_bytes_) update_.resize(update_bytes_);
  for (uint64_t at = kUpdateHeaderBytes; at < update_bytes_; at += kMaxPullBytes)
    missing_.push_back(at);
  return true;
}

Follower::Taken Follower::begin_applying() {
  RHZ_ASSERT("R2", has_update());
  applying_ = true;
  const ConstBytes bytes =
      ConstBytes(update_).subspan(kUpdateHeaderBytes, update_bytes_ - kUpdateHeaderBytes);
  return {revision_ + 1, bytes, std::move(update_)};
}

SyncActions Follower::applied(Taken&& update, bool well, Time now) {
  RHZ_ASSERT("R2", applying_);
  applying_ = false;
  update_ = std::move(update.memory);
  if (!well) {
    donor_ = donors_.size();  // the program cannot go on
    whole_ = at_end_ = false;
    return {};
  }
  ++revision_;
  begin_ += update_bytes_;
  begin_update();
  return ask(now);
}

SyncActions Follower::donor_lost(PeerId donor, Time now) {
  if (!expects(donor)) return {};
  next_donor(now);
  return ask(now);
}

SyncActions Follower::tick(Time now) {
  if (running() && !asked_.empty() && now >= heard_ + kSilence) next_donor(now);
  return ask(now);
}

Time Follower::next_tick() const {
  if (!running() || applying_) return kNever;
  Time next = kNever;
  if (!asked_.empty()) next = heard_ + kSilence;
  if (!missing_.empty() && asked_.size() < kMostAsked) next = std::min(next, again_);
  return next;
}

}  // namespace rhz::recovery
