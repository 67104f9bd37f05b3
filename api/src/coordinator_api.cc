// rhizome.h, section "embedded coordinator".
#include "api/src/abi.h"
#include "api/src/coordinator_config.h"
#include "api/src/coordinator_driver.h"

struct rhz_coordinator {
  std::unique_ptr<rhz::CoordinatorDriver> driver;
};

namespace {
using rhz::Code;
using rhz::Status;
using rhz::api::guard;
}  // namespace

extern "C" {

RHZ_API rhz_status rhz_coordinator_start(const rhz_coordinator_params* params,
                                         rhz_coordinator** out) {
  return guard([&]() -> Status {
    if (!out) return Status(Code::kArgument, "out is NULL");
    *out = nullptr;
    rhz_coordinator_params known{};
    if (Status s = rhz::api::read_struct(params, "rhz_coordinator_params", known); !s) return s;
    rhz::CoordinatorOptions options;
    if (Status s = rhz::api::coordinator_options(known, options); !s) return s;
    auto driver = rhz::CoordinatorDriver::start(options);
    if (!driver) return driver.status();
    *out = new rhz_coordinator{std::move(driver).value()};
    return Status::ok();
  });
}

RHZ_API const char* rhz_coordinator_address(const rhz_coordinator* coordinator) {
  return coordinator ? coordinator->driver->address().c_str() : "";
}

RHZ_API void rhz_coordinator_stop(rhz_coordinator* coordinator) { delete coordinator; }
}
