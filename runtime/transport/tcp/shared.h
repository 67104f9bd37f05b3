// What the parts of one TCP transport share.  Owned by the transport, outlives its parts.  Progress
// thread only.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

// Behind the standard library: Asio's configuration looks at what that has defined.
#include <asio/post.hpp>

#include "runtime/loop/asio_loop.h"
#include "runtime/memory/pool.h"
#include "runtime/transport/tcp/tcp_options.h"
#include "runtime/transport/transport.h"

namespace rhz::tcp {

struct Shared {
  Shared(AsioLoop& the_loop, BufferPool& the_pool, TcpOptions the_options)
      : loop(the_loop), pool(the_pool), options(std::move(the_options)), scratch(kScratchBytes) {}

  // Runs `call` from the loop, unless the guarded object is gone by then.  Events are told to the
  // layer above only from the loop, never from inside one of its own calls.
  template <class T, class Call>
  void post(std::weak_ptr<T> guard, Call call) {
    asio::post(loop.context(), [guard = std::move(guard), call = std::move(call)] {
      if (const std::shared_ptr<T> alive = guard.lock()) call(*alive);
    });
  }

  static constexpr size_t kScratchBytes = size_t{256} << 10;  // a usual segment in one read

  AsioLoop& loop;
  BufferPool& pool;
  const TcpOptions options;
  TransportEvents* events = nullptr;
  TransportCounters counters;      // queued_bytes is summed when asked for
  std::vector<std::byte> scratch;  // where dropped payloads go
  // Asks for periodic work at a time sooner than the caller of tick() may know of.
  std::function<void(Time)> wake_at;
};

}  // namespace rhz::tcp
