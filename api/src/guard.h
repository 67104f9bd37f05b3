// From Status to rhz_status and rhz_last_error(), and the guard that no exception leaves.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <system_error>

#include "rhizome/rhizome.h"
#include "runtime/base/status.h"

namespace rhz::api {

// Keeps the text for rhz_last_error() of this thread; returns the number.
rhz_status report(const Status& status);

// Every function of the C API is guard([&] { … return Status; }).
template <class F>
rhz_status guard(F&& body) {
  try {
    return report(body());
  } catch (const std::bad_alloc&) {
    return report(Status(Code::kMemory, "out of memory"));
  } catch (const std::system_error& e) {  // no thread can be started, say
    return report(Status(Code::kIo, std::string("the system does not permit it: ") + e.what() + "; look at the limits of this process (ulimit -a)"));
  } catch (const std::exception& e) {
    return report(Status(Code::kInternal, e.what()));
  }
}

}  // namespace rhz::api
