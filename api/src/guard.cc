#include "api/src/guard.h"

namespace rhz::api {
namespace {
thread_local std::string last_error;
thread_local const char* last_shortage = nullptr;  // is newer, if set
}

rhz_status report(const Status& status) {
  const auto number = static_cast<rhz_status>(status.code());
  if (number >= RHZ_ERR_ARGUMENT) {
    last_shortage = nullptr;
    last_error = std::string(code_text(status.code()));
    if (!status.text().empty()) last_error += ": " + status.text();
  }
  return number;
}

rhz_status report_shortage(const char* text) noexcept {
  last_shortage = text;
  return RHZ_ERR_MEMORY;
}

}  // namespace rhz::api

extern "C" {

RHZ_API const char* rhz_status_text(rhz_status status) {
  return rhz::code_text(static_cast<rhz::Code>(status));
}

RHZ_API const char* rhz_last_error(void) {
  return rhz::api::last_shortage ? rhz::api::last_shortage : rhz::api::last_error.c_str();
}
}
