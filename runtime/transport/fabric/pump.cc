#include "runtime/transport/fabric/pump.h"

#include <fcntl.h>

#include <utility>

#include "runtime/base/prng.h"

namespace rhz::fabric {
namespace {

// Before others get their turn.
constexpr int kTurns = 64;
// What the fabric did not take is tried again after this.
constexpr Duration kRetryPause = milliseconds(1);

}  // namespace

Pump::Pump(AsioLoop& loop, std::unique_ptr<Fabric> fabric)
    : loop_(loop),
      fabric_(std::move(fabric)),
      next_tag_(random_u64()),
      alive_(std::make_shared<Pump*>(this)) {
  watch();
}

Pump::~Pump() = default;

// The descriptors are the fabric's own: what is watched is a copy of each.
void Pump::watch() {
  if (!events_.empty() && watched_ == fabric_->generation()) return;
  watched_ = fabric_->generation();
  events_.clear();
  for (const int fd : fabric_->event_fds()) {
    tcp::Connection event(loop_, ::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!event) continue;
    event.on_ready([this] { work(); }, [] {});
    events_.push_back(std::move(event));
  }
  kick();
}

uint64_t Pump::add(Receiver& lane) {
  lanes_[next_tag_] = &lane;
  fabric_->expect(next_tag_);
  return next_tag_++;
}

void Pump::remove(uint64_t tag) {
  lanes_.erase(tag);
  fabric_->forget(tag);
}

void Pump::arrived(const Piece& piece) {
  const auto at = lanes_.find(piece.tag);
  if (at == lanes_.end()) return fabric_->release(piece);
  at->second->take(piece);
  if (given_.empty() || given_.back() != piece.tag) given_.push_back(piece.tag);
}

bool Pump::turn() {
  if (turning_) return false;
  turning_ = true;
  const std::weak_ptr<Pump*> alive = alive_;
  const bool moved = fabric_->progress(*this);
  for (size_t i = 0; i < given_.size(); ++i) {
    const auto at = lanes_.find(given_[i]);
    if (at == lanes_.end()) continue;
    at->second->work();
    if (alive.expired()) return false;
  }
  given_.clear();
  turning_ = false;
  return moved;
}

bool Pump::poll() {
  armed_ = false;
  return turn();
}

bool Pump::arm() {
  armed_ = true;
  if (rest()) return true;
  armed_ = false;
  return false;
}

// The descriptors say something only from here on, and may go on saying it until they are asked
// again: whoever polls does not look at them.
bool Pump::rest() {
  if (!fabric_->arm()) return false;
  const bool needs_turns = fabric_->needs_turns();
  for (size_t i = 0; i < (needs_turns ? 1 : events_.size()); ++i) events_[i].want_read();
  retry_at_ = needs_turns ? loop_.now() + kRetryPause : kNever;
  if (needs_turns && shared_) shared_->wake_at(retry_at_);
  return true;
}

Time Pump::tick(Time now) {
  if (now < retry_at_) return retry_at_;
  retry_at_ = kNever;  // until it rests again
  kick();
  return kNever;
}

// From the loop.
void Pump::work() {
  const std::weak_ptr<Pump*> alive = alive_;
  for (int i = 0; i < kTurns; ++i) {
    const bool moved = turn();
    if (alive.expired()) return;
    if (!moved) break;
  }
  if (armed_ && !rest()) later();
}

void Pump::post(void (*call)(Pump&)) {
  loop_.context().get_executor().post(
      [call, alive = std::weak_ptr(alive_)] {
        if (const auto pump = alive.lock()) call(**pump);
      },
      std::allocator<void>());
}

void Pump::kick() {
  if (armed_) later();
}

void Pump::later() {
  if (std::exchange(scheduled_, true)) return;
  post([](Pump& pump) {
    pump.scheduled_ = false;
    pump.work();
  });
}

Link* Pump::connect(std::span<const std::byte> address) {
  Link* const link = fabric_->connect(address);
  watch();
  return link;
}

void Pump::disconnect(Link* link) {
  fabric_->disconnect(link);
  watch();
  kick();
}

void Pump::renew_soon() {
  if (std::exchange(renewal_due_, true)) return;
  post([](Pump& pump) { pump.renew(); });
}

void Pump::renew() {
  renewal_due_ = false;
  const auto lanes = std::exchange(lanes_, {});
  for (const auto& [tag, lane] : lanes) lane->fabric_renewed();
  (void)fabric_->renew();  // if not, lanes come to nothing, and peers say so
  watch();
  kick();
}

}  // namespace rhz::fabric
