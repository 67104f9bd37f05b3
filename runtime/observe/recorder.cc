#include "runtime/observe/recorder.h"

#include <cstdarg>
#include <cstring>

#include "runtime/base/assert.h"
#include "runtime/base/options.h"

namespace rhz {

LogLevel log_level() {
  const auto text = environment("RHZ_LOG");
  if (!text) return LogLevel::kWarn;
  if (*text == "none") return LogLevel::kNone;
  return *text == "info" ? LogLevel::kInfo : LogLevel::kWarn;
}

Recorder::Recorder(std::string_view who) : level_(log_level()) {
  who.copy(who_.data(), who_.size() - 1);
}

Recorder::~Recorder() { set_assert_hook(nullptr, nullptr); }

void Recorder::note(Time now, LogLevel level, const char* format, ...) {
  auto& line = lines_[next_++ % kLines];
  const auto us = std::chrono::duration_cast<microseconds>(now).count();
  const int head = std::snprintf(line.data(), line.size(), "t_us=%lld who=%s ",
                                 static_cast<long long>(us), who_.data());
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line.data() + head, line.size() - static_cast<size_t>(head), format, arguments);
  va_end(arguments);
  if (level <= level_) std::fprintf(stderr, "rhizome: %s\n", line.data());
}

void Recorder::dump(std::FILE* to) const {
  const size_t first = next_ > kLines ? next_ - kLines : 0;
  std::fprintf(to, "rhizome: last %zu transitions\n", next_ - first);
  for (size_t i = first; i < next_; ++i) std::fprintf(to, "  %s\n", lines_[i % kLines].data());
}

void Recorder::watch_this_thread() {
  set_assert_hook([](void* self) { static_cast<Recorder*>(self)->dump(stderr); }, this);
}

}  // namespace rhz
