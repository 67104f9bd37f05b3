#include "runtime/transport/ucx/ucx_settings.h"

#include <cstdlib>
#include <string>

namespace rhz::ucx {
namespace {

struct Setting {
  const char* name;  // without UCX_
  const char* value;
};

// Of the context.  What is under way has to end when its endpoint is closed by force: so nobody but
// this process reads the memory that is sent.
//
// Memory that processes share is System V's, whose segments have numbers that do not come again, and
// go with their last process.  POSIX segments are known by a descriptor of their process, which is
// somebody else's once renew() has closed it: a peer that knows the address of before would write
// there.
constexpr Setting kSettings[] = {{"ZCOPY_THRESH", "inf"}, {"RNDV_THRESH", "inf"}, {"TLS", "^posix"}};

// Of transports: UCX reads these from the environment only, whenever a worker is made, so they stay
// there.
constexpr Setting kTransportSettings[] = {
    // Memory shared by processes: UCX offers it only on request, because a process that is killed in
    // the middle of a message stops everybody else's.  renew() is the answer to that.
    {"SYSV_ERROR_HANDLING", "y"},
    // Who asks for POSIX memory gets it under names, which a process that is killed leaves behind.
    {"POSIX_ERROR_HANDLING", "y"},
    {"POSIX_USE_PROC_LINK", "n"},
    // Fewer, larger pieces of a large message.
    {"TCP_TX_SEG_SIZE", "128k"},
    {"TCP_RX_SEG_SIZE", "128k"},
};

}  // namespace

ucs_status_t make_context(ucp_context_h* context) {
  for (const Setting& setting : kTransportSettings)
    (void)::setenv((std::string("UCX_") + setting.name).c_str(), setting.value, 0);
  ucp_config_t* config = nullptr;
  ucs_status_t status = ucp_config_read(nullptr, nullptr, &config);
  if (status != UCS_OK) return status;
  for (const Setting& setting : kSettings)
    if (!std::getenv((std::string("UCX_") + setting.name).c_str()))
      (void)ucp_config_modify(config, setting.name, setting.value);
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_NAME;
  params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
  params.name = "rhizome";
  status = ucp_init(&params, config, context);
  ucp_config_release(config);
  return status;
}

}  // namespace rhz::ucx
