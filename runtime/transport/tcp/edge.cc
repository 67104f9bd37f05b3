#include "runtime/transport/tcp/edge.h"

namespace rhz::tcp {

void Edge::suspect(Evidence evidence) {
  const bool died = evidence == Evidence::kDied;
  if ((died ? died_ : suspected_) || said_goodbye_) return;
  suspected_ = true;
  died_ |= died;
  shared_.post(weak_from_this(), [evidence](Edge& edge) {
    if (edge.said_goodbye_ || !edge.suspected_) return;
    edge.shared_.events->on_edge_down(edge.peer_, evidence);
  });
}

void Edge::heard_goodbye() {
  if (said_goodbye_) return;
  said_goodbye_ = true;
  shared_.post(weak_from_this(), [](Edge& edge) { edge.shared_.events->on_goodbye(edge.peer_); });
}

}  // namespace rhz::tcp
