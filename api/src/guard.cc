#include "api/src/guard.h"

namespace rhz::api {
namespace {
thread_local std::string last_error;
}

rhz_status report(const Status& status) {
  const auto number = static_cast<rhz_status>(status.code());
  if (number >= RHZ_ERR_ARGUMENT) {
    last_error = std::string(code_text(status.code()));
    if (!status.text().empty()) last_error += ": " + status.text();
  }
  return number;
}

}  // namespace rhz::api

extern "C" {

RHZ_API const char* rhz_status_text(rhz_status status) {
  return rhz::code_text(static_cast<rhz::Code>(status));
}

RHZ_API const char* rhz_last_error(void) { return rhz::api::last_error.c_str(); }
}
