// Threads of the library, which live in somebody else's process.
#pragma once

#include <functional>
#include <thread>

namespace rhz {

// Runs `run` on a thread of that name, of at most 15 characters.  It handles no signals that are sent to the process: the program's handlers
// run on the program's own threads.  Those of a thread's own faults, such as SIGSEGV, are as they were: blocked, they would end the process without a word.
// Throws std::system_error where no thread is to be had, and std::bad_alloc.
[[nodiscard]] std::jthread start_thread(const char* name, std::function<void()> run);

}  // namespace rhz
