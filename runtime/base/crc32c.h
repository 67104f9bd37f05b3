// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), as in iSCSI (RFC 3720, appendix B.4).
#pragma once

#include <cstdint>

#include "runtime/base/bytes.h"

namespace rhz {

uint32_t crc32c(ConstBytes bytes, uint32_t seed = 0);

}  // namespace rhz
