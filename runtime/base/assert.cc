#include "runtime/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace rhz {
namespace {
thread_local AssertHook hook = nullptr;
thread_local void* hook_context = nullptr;
}  // namespace

void set_assert_hook(AssertHook new_hook, void* context) {
  hook = new_hook;
  hook_context = context;
}

void assert_failed(const char* invariant, const char* condition, const char* file, int line) {
  std::fprintf(stderr, "rhizome: invariant %s violated: %s (%s:%d)\n", invariant, condition, file,
               line);
  if (AssertHook dump = hook) {
    hook = nullptr;  // an assertion inside the dump must not recurse
    dump(hook_context);
  }
  std::fflush(stderr);
  std::abort();
}

}  // namespace rhz
