// A coordinator's answer as a table, as one line, as JSON.
#pragma once

#include <map>
#include <string>

#include "api/tools/status_shards.h"
#include "api/tools/text.h"
#include "runtime/agreement/message.h"

namespace rhz::tools {

struct Rate {
  double ops_per_s = 0, sent_Bps = 0;
};
using Rates = std::map<PeerId, Rate>;

// Rates out of the counters of two looks.
class RateMeter {
 public:
  // Since the look before; empty at the first one.
  Rates look(const StatusReply& reply, uint64_t now_ns);

 private:
  std::map<PeerId, PeerBeatMessage> last_;
  uint64_t last_ns_ = 0;
};

std::string status_table(const StatusReply& reply, const Generations& generations,
                         const Rates& rates);
std::string status_line(const StatusReply& reply, const Generations& generations,
                        const Rates& rates);
std::string status_json(const StatusReply& reply, const Generations& generations,
                        const Rates& rates);

}  // namespace rhz::tools
