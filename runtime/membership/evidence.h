// What kinds of evidence (runtime/transport/transport.h) say.
#pragma once

#include <cstdint>

namespace rhz {

// The word of the kernel that ends the process …
constexpr bool is_death(uint8_t evidence) { return evidence == 1; }
// … and what is a process's end rather than a network's mood.
constexpr bool is_hard(uint8_t evidence) { return evidence <= 2; }

}  // namespace rhz
