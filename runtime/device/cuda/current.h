// A context that is the calling thread's for a moment.
#pragma once

#include "runtime/device/cuda/driver.h"

namespace rhz::cuda {

inline Address address_of(const void* memory) { return reinterpret_cast<uintptr_t>(memory); }
inline std::byte* pointer_to(Address address) {
  return reinterpret_cast<std::byte*>(static_cast<uintptr_t>(address));
}

class Current {
 public:
  // Mostly it is already: then nothing has to be put back.
  Current(const Driver& driver, Context context) : driver_(driver) {
    Context now = nullptr;
    if (driver.context_get_current(&now) == kSuccess && now == context) return;
    status_ = driver.check(driver.context_push(context), "cuCtxPushCurrent");
    pushed_ = status_.is_ok();
  }
  ~Current() {
    Context popped = nullptr;
    if (pushed_) (void)driver_.context_pop(&popped);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
  const Status& status() const { return status_; }

 private:
  const Driver& driver_;
  Status status_;
  bool pushed_ = false;
};

template <class Call>
[[nodiscard]] Status in_context(const Driver& driver, Context context, const char* what,
                                Call&& call) {
  Current current(driver, context);
  if (!current.status()) return current.status();
  return driver.check(call(), what);
}

}  // namespace rhz::cuda
