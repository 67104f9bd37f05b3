// nlohmann-json as this folder uses it: never by exception.  Private to this folder.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace rhz::recovery {

using Json = nlohmann::json;

// Deeper than anything this folder writes: what is below is left out, so that a file of brackets
// does not make the parser allocate a hundred times its size.
inline constexpr int kMaxJsonDepth = 8;

// Discarded where `text` is no JSON.
inline Json parse_json(std::string_view text) {
  const auto keep = [](int depth, Json::parse_event_t, Json&) { return depth <= kMaxJsonDepth; };
  return Json::parse(text, keep, false);
}

// Bytes that are no UTF-8 are replaced: see is_text().
inline std::string json_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Whether JSON can hold it as it is.
inline bool is_text(const std::string& text) {
  return parse_json(json_text(Json(text))) == Json(text);
}

// Null where it is missing.
inline const Json* field(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(name);
  return at == object.end() ? nullptr : &*at;
}

inline bool read(const Json* json, uint64_t& number) {
  if (json == nullptr || !json->is_number_unsigned()) return false;
  number = json->get<uint64_t>();
  return true;
}

inline bool read(const Json* json, std::string& text) {
  if (json == nullptr || !json->is_string()) return false;
  text = json->get_ref<const std::string&>();
  return true;
}

inline bool read(const Json* json, std::vector<uint64_t>& numbers) {
  if (json == nullptr || !json->is_array()) return false;
  numbers.clear();
  for (const Json& one : *json) {
    if (!one.is_number_unsigned()) return false;
    numbers.push_back(one.get<uint64_t>());
  }
  return true;
}

}  // namespace rhz::recovery
