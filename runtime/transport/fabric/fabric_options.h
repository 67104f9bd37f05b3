// What transports over UCX and libfabric are opened with.  Each is a module that is loaded when it
// is asked for, and not before.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/base/status.h"
#include "runtime/transport/tcp/tcp_options.h"

namespace rhz {

enum class FabricLibrary : uint8_t { kUcx, kLibfabric };

struct FabricOptions {
  FabricLibrary library = FabricLibrary::kUcx;
  // Where the modules are.  Empty: rhizome/ beside the library that this is a part of.
  std::string modules;
  // Of the connections that lanes are opened on, and of lanes in general.
  TcpOptions tcp;
};

// Listens at once.  `loop` and `pool` outlive the transport.
// kIo: the module is not in this build, or the library is not installed or does not work here; the
// text says what to do.  Otherwise as open_tcp.
[[nodiscard]] Result<std::unique_ptr<Transport>> open_fabric(AsioLoop& loop, BufferPool& pool,
                                                             const FabricOptions& options);

// "ucx", "ofi".
std::string_view fabric_name(FabricLibrary library);
// How its endpoints begin.
std::string_view fabric_scheme(FabricLibrary library);

}  // namespace rhz
