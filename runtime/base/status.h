// How things fail: a code, who is to blame, since when, and a line of text.  Failing never throws.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "runtime/base/types.h"

namespace rhz {

// The numbers of rhz_status (api/include/rhizome/rhizome.h); a unit test compares the two lists.
enum class Code : int32_t {
  kOk = 0,
  kPending = 1,
  kArgument = 100,
  kAbi = 101,
  kState = 102,
  kMismatch = 103,
  kOverlap = 104,
  kMemory = 200,
  kIo = 201,
  kAddressInUse = 202,
  kUnreachable = 203,
  kVersion = 204,
  kRunId = 205,
  kWorldFull = 206,
  kCorrupt = 207,
  kPeerLost = 300,
  kTimeout = 301,
  kCancelled = 302,
  kWorldTooSmall = 303,
  kStateLost = 304,
  kEvicted = 400,
  kIsolated = 401,
  kDiverged = 402,
  kClosed = 403,
  kInternal = 500,
};

const char* code_text(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string text) : code_(code), text_(std::move(text)) {}

  static Status ok() { return {}; }
  bool is_ok() const { return code_ == Code::kOk; }
  explicit operator bool() const { return is_ok(); }
  Code code() const { return code_; }
  const std::string& text() const { return text_; }

  // Who caused it, where that is known.
  PeerId culprit;
  Epoch epoch;

  friend bool operator==(const Status&, const Status&) = default;

 private:
  Code code_ = Code::kOk;
  std::string text_;
};

// A value or the reason why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : held_(std::move(value)) {}
  Result(Status status) : held_(std::move(status)) {}

  bool is_ok() const { return held_.index() == 0; }
  explicit operator bool() const { return is_ok(); }
  T& value() & { return std::get<0>(held_); }
  const T& value() const& { return std::get<0>(held_); }
  T&& value() && { return std::get<0>(std::move(held_)); }
  Status status() const { return is_ok() ? Status::ok() : std::get<1>(held_); }

 private:
  std::variant<T, Status> held_;
};

}  // namespace rhz
