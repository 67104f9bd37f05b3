#pragma once

#include <sys/types.h>

namespace rhz::tools {

// What every thread of a process does, on standard error: by a debugger if there is one, else what the kernel says.
void print_stacks(pid_t pid);

}  // namespace rhz::tools
