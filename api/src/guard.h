// From Status to rhz_status and rhz_last_error(), and the guard that no exception leaves.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <system_error>

#include "rhizome/rhizome.h"
#include "runtime/base/out_of_memory.h"
#include "runtime/base/status.h"

namespace rhz::api {

// Keeps the text for rhz_last_error() of this thread; returns the number.
rhz_status report(const Status& status);

// As report() of kMemory, without needing any; the text stays where it is.
rhz_status report_shortage(const char* text) noexcept;

// Every function of the C API is guard([&] { … return Status; }).
template <class F>
rhz_status guard(F&& body) {
  try {
    return report(body());
  } catch (const OutOfMemory& e) {
    return report_shortage(e.what());
  } catch (const std::bad_alloc&) {
    return report_shortage("out of memory");
  } catch (const std::system_error& e) {  // no thread can be started, say
    return report(Status(Code::kIo, std::string("the system does not permit it: ") + e.what() + "; look at the limits of this process (ulimit -a)"));
  } catch (const std::exception& e) {
    return report(Status(Code::kInternal, e.what()));
  }
}

}  // namespace rhz::api
