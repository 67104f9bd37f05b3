// What an op reads and writes of a caller's two buffers: what has to be copied when these are a
// device's.  Pure function.
#pragma once

#include <vector>

#include "api/src/request.h"

namespace rhz::api {

struct Extent {  // in bytes, of a buffer
  size_t offset = 0, bytes = 0;
  friend bool operator==(const Extent&, const Extent&) = default;
};

struct BufferUse {
  std::vector<Extent> reads, writes;
  size_t end() const;  // of the last of them
};

struct DeviceUse {
  BufferUse send, recv;
};

// `spec`: as checked at its submission.  In place (send and recv equal) everything is read from
// send and written to recv: the copies lie apart, so that the op runs as one that is not in place.
DeviceUse use_of(const AnySpec& spec, bool is_root);

struct Buffers {
  const std::byte* send = nullptr;
  std::byte* recv = nullptr;
};
Buffers buffers_of(const AnySpec& spec);

}  // namespace rhz::api
