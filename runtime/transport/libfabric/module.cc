// The module's only function.
#include <cstdio>

#include "runtime/transport/libfabric/ofi_fabric.h"

extern "C" __attribute__((visibility("default"))) rhz::fabric::Fabric* rhz_fabric_open(
    uint32_t version, const char* host, char* why, size_t why_bytes) {
  if (version != rhz::fabric::kInterface) {
    std::snprintf(why, why_bytes, "the module belongs to another version of the library");
    return nullptr;
  }
  auto fabric = std::make_unique<rhz::ofi::OfiFabric>();
  if (const std::string trouble = fabric->open(host); !trouble.empty()) {
    std::snprintf(why, why_bytes, "%s", trouble.c_str());
    return nullptr;
  }
  return fabric.release();
}
