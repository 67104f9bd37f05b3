// The vaults and the sealed generations of a run, as text and as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runtime/agreement/message.h"

namespace rhz::tools {

// Of each stage the newest generation.
using Generations = std::vector<GenerationRecord>;

// Nothing where there are neither vaults nor generations.
std::string shards_table(const StatusReply& reply, const Generations& generations);
// The same as "vaults=… stages=… stands=…" for a line, with a space in front.
std::string shards_line(const StatusReply& reply, const Generations& generations);
nlohmann::ordered_json vaults_json(const StatusReply& reply);
nlohmann::ordered_json generations_json(const StatusReply& reply, const Generations& generations);

}  // namespace rhz::tools
