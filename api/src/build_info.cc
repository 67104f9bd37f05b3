#include <string>

#include "collectives/reduce/kernels.h"
#include "rhizome/rhizome.h"
#include "runtime/device/device.h"
#include "runtime/transport/open.h"
#include "runtime/wire/frame.h"

#define RHZ_TEXT_OF(x) #x
#define RHZ_TEXT(x) RHZ_TEXT_OF(x)

extern "C" RHZ_API const char* rhz_build_info(void) {
  static const rhz::Status rdma = rhz::rdma_hardware(), cuda = rhz::open_device().why_not;
  static const std::string text =
      "version=" RHZ_TEXT(RHZ_VERSION_MAJOR) "." RHZ_TEXT(RHZ_VERSION_MINOR) "." RHZ_TEXT(
          RHZ_VERSION_PATCH) "\nprotocol=" +
      std::to_string(rhz::wire::kProtocolVersion) +
      "\ncompiler=" __VERSION__ "\nkernels=" + rhz::reduce::isa_name() +
      "\ntransports=" + rhz::kTransportNames + "\nrdma=" + (rdma ? "yes" : rdma.text()) + "\ncuda=" + (cuda ? "yes" : cuda.text()) +
      "\nalgorithms=ring direct doubling halving tree hierarchical\n";
  return text.c_str();
}
