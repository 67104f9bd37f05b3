#include "runtime/transport/libfabric/provider.h"

#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>

#include <cstdlib>
#include <string>
#include <string_view>

namespace rhz::ofi {
namespace {

// Best first.  Not among them: shm, where a process that is killed while it holds a lock makes the
// others wait for ever; udp and sockets, which are for tests.
constexpr std::string_view kProviders[] = {"cxi",  "efa",           "psm3",
                                           "psm2", "verbs;ofi_rxm", "tcp;ofi_rxm"};

fi_info* ask(const std::string& host, size_t inject_bytes) {
  fi_info* const hints = fi_allocinfo();
  if (!hints) return nullptr;
  hints->caps = FI_MSG | FI_SEND | FI_RECV;
  hints->mode = FI_CONTEXT | FI_CONTEXT2;
  hints->ep_attr->type = FI_EP_RDM;
  hints->tx_attr->msg_order = FI_ORDER_SAS;
  hints->tx_attr->inject_size = inject_bytes;
  hints->rx_attr->msg_order = FI_ORDER_SAS;
  hints->domain_attr->threading = FI_THREAD_DOMAIN;  // one owner at a time
  hints->domain_attr->resource_mgmt = FI_RM_ENABLED;
  fi_info* found = nullptr;
  const bool here = !host.empty();
  const int error = fi_getinfo(FI_VERSION(1, 14), here ? host.c_str() : nullptr, nullptr,
                               here ? uint64_t{FI_SOURCE} : 0, hints, &found);
  fi_freeinfo(hints);
  return error == 0 ? found : nullptr;
}

fi_info* best_of(fi_info* all) {
  if (!all) return nullptr;
  const char* const forced = std::getenv("FI_PROVIDER");
  fi_info* best = forced && *forced ? all : nullptr;
  for (size_t i = 0; !best && i < std::size(kProviders); ++i)
    for (fi_info* each = all; each && !best; each = each->next)
      if (each->fabric_attr->prov_name == kProviders[i]) best = each;
  fi_info* const copy = best ? fi_dupinfo(best) : nullptr;
  fi_freeinfo(all);
  return copy;
}

}  // namespace

fi_info* choose_provider(const std::string& host, size_t eager_bytes) {
  // There is no other way to say it; what the user has set stands.  RxM allocates buffers of that size for everything that could
  // arrive on a connection: with the usual 128 a process of two connections would take 300 MB.
  (void)::setenv("FI_OFI_RXM_BUFFER_SIZE", std::to_string(eager_bytes).c_str(), 0);
  (void)::setenv("FI_OFI_RXM_MSG_RX_SIZE", "16", 0);
  // An address that a provider does not know leaves the choice of one to it.
  for (const std::string& at : {host, std::string()}) {
    fi_info* const best = best_of(ask(at, 0));
    if (!best) continue;
    // The same one, where it sends that much eagerly.
    fi_info* const eager = best_of(ask(at, eager_bytes));
    const bool same = eager && std::string_view(eager->fabric_attr->prov_name) == best->fabric_attr->prov_name;
    if (fi_info* const other = same ? best : eager) fi_freeinfo(other);
    return same ? eager : best;
  }
  return nullptr;
}

}  // namespace rhz::ofi
