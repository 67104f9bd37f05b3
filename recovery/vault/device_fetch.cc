#include "recovery/vault/device_fetch.h"

#include <utility>

namespace rhz::recovery {

Status DeviceFetch::land(Flight& flight) {
  std::vector<Digest>* const digests = std::exchange(flight.digests, nullptr);
  return digests ? flight.lane->finish(digests) : Status::ok();
}

Status DeviceFetch::begin(const Tensor& tensor, const std::byte* from, MutableBytes into,
                          std::vector<Digest>* digests) {
  Flight& flight = flights_[next_];
  next_ = (next_ + 1) % flights_.size();
  if (Status landed = land(flight); !landed) return landed;
  const void* const place = tensor.device->place_of(tensor.data);
  if (!flight.lane || flight.place != place) {
    auto lane = tensor.device->lane(tensor.data);
    if (!lane) return lane.status();
    flight.lane = std::move(lane).value();
    flight.place = place;
  }
  Status begun = flight.lane->begin_fetch(into, from);
  if (begun) flight.digests = digests;
  return begun;
}

Status DeviceFetch::drain() {
  for (size_t i = 0; i < flights_.size(); ++i) {
    Flight& flight = flights_[(next_ + i) % flights_.size()];
    if (Status landed = land(flight); !landed) return landed;
  }
  return Status::ok();
}

}  // namespace rhz::recovery
