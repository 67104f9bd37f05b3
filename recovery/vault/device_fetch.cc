#include "recovery/vault/device_fetch.h"

#include <utility>

namespace rhz::recovery {

Status DeviceFetch::land(Flight& flight) {
  return std::exchange(flight.begun, false) ? flight.lane->finish() : Status::ok();
}

Status DeviceFetch::clear(Flight& flight, const Tensor& tensor) {
  if (Status landed = land(flight); !landed) return landed;
  const void* const place = tensor.device->place_of(tensor.data);
  if (flight.lane && flight.place == place) return Status::ok();
  auto lane = tensor.device->lane(tensor.data);
  if (!lane) return lane.status();
  flight.lane = std::move(lane).value();
  flight.place = place;
  return Status::ok();
}

Status DeviceFetch::digest(const Tensor& tensor, const std::byte* from, uint64_t bytes,
                           std::vector<Digest>* append) {
  Status status = clear(digests_, tensor);
  if (status) status = digests_.lane->begin_digest(from, bytes, append);
  digests_.begun = status.is_ok();
  return status;
}

Status DeviceFetch::copy(const Tensor& tensor, const std::byte* from, MutableBytes into) {
  Flight& flight = copies_[next_];
  next_ = (next_ + 1) % copies_.size();
  Status status = clear(flight, tensor);
  if (status) status = flight.lane->begin_fetch(into, from);
  flight.begun = status.is_ok();
  return status;
}

Status DeviceFetch::drain() {
  for (Flight* flight : {&copies_[0], &copies_[1], &digests_})
    if (Status landed = land(*flight); !landed) return landed;
  return Status::ok();
}

}  // namespace rhz::recovery
