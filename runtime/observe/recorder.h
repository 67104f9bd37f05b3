// Flight recorder: the last transitions of one peer or coordinator, dumped when an assertion fails or a call hangs.
// Owned by a driver; one thread.
#pragma once

#include <array>
#include <cstdio>
#include <string_view>

#include "runtime/base/types.h"

namespace rhz {

enum class LogLevel : uint8_t { kNone, kWarn, kInfo };
// From RHZ_LOG.
LogLevel log_level();

class Recorder {
 public:
  explicit Recorder(std::string_view who);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // One `key=value` line; cut at kLineBytes.  Printed too when the level asks for it.
  void note(Time now, LogLevel level, const char* format, ...) __attribute__((format(printf, 4, 5)));
  void dump(std::FILE* to) const;
  // Assertions that fail on this thread dump this recorder from now on.
  void watch_this_thread();

 private:
  static constexpr size_t kLines = 256, kLineBytes = 160;
  const LogLevel level_;
  std::array<char, 32> who_{};
  std::array<std::array<char, kLineBytes>, kLines> lines_{};
  size_t next_ = 0;
};

}  // namespace rhz
