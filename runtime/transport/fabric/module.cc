#include "runtime/transport/fabric/module.h"

#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <span>

namespace rhz::fabric {
namespace {

struct Variable {
  const char* name;
  const char* value;
};

struct Library {
  const char* title;
  const char* module;
  const char* runtime_package;  // Debian's
  const char* build_package;
  // What it reads from the environment while it is loaded, and nowhere else.
  std::span<const Variable> environment;
};

const Library& describe(FabricLibrary library) {
  static constexpr Variable kUcxEnvironment[] = {
      {"UCX_ERROR_SIGNALS", ""},           // how the program dies is its own business,
      {"UCX_MEM_MMAP_HOOK_MODE", "none"},  // and so is how it gets its memory
      {"UCX_MEMTYPE_CACHE", "n"},
      {"UCX_LOG_LEVEL", "fatal"},  // a peer that dies is reported by us
  };
  static constexpr Library kUcx{"UCX", "librhizome-ucx.so", "libucx0", "libucx-dev",
                                kUcxEnvironment};
  static constexpr Library kOfi{
      "libfabric", "librhizome-ofi.so", "libfabric1", "libfabric-dev", {}};
  return library == FabricLibrary::kUcx ? kUcx : kOfi;
}

// Sets what the user has not set, until the library is loaded.
class Environment {
 public:
  explicit Environment(std::span<const Variable> variables) : variables_(variables) {
    for (size_t i = 0; i < variables_.size(); ++i)
      if (!std::getenv(variables_[i].name) &&
          ::setenv(variables_[i].name, variables_[i].value, 0) == 0)
        set_ |= 1u << i;
  }
  ~Environment() {
    for (size_t i = 0; i < variables_.size(); ++i)
      if (set_ & 1u << i) ::unsetenv(variables_[i].name);
  }

 private:
  const std::span<const Variable> variables_;
  unsigned set_ = 0;
};

// Where the code is that runs here: the shared library, or a program that contains it.
std::string own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&own_folder), &info) == 0 || !info.dli_fname) return ".";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

// These libraries take over how a program dies; that stays the program's own business.
class SignalsAsTheyAre {
 public:
  SignalsAsTheyAre() {
    for (size_t i = 0; i < kSignals.size(); ++i) (void)sigaction(kSignals[i], nullptr, &before_[i]);
  }
  ~SignalsAsTheyAre() {
    for (size_t i = 0; i < kSignals.size(); ++i) (void)sigaction(kSignals[i], &before_[i], nullptr);
  }

 private:
  static constexpr std::array kSignals{SIGSEGV, SIGBUS, SIGILL,  SIGFPE,  SIGABRT, SIGTERM,
                                       SIGINT,  SIGHUP, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2};
  std::array<struct sigaction, kSignals.size()> before_;
};

}  // namespace

Result<std::unique_ptr<Fabric>> load(FabricLibrary library, std::string folder,
                                     const std::string& host) {
  const Library& about = describe(library);
  if (folder.empty()) folder = own_folder() + "/rhizome";
  const std::string path = folder + "/" + about.module;
  const auto trouble = [&](const std::string& why) {
    return Status(Code::kIo, std::string(about.title) + " cannot be used: " + why);
  };
  if (access(path.c_str(), R_OK) != 0)
    return trouble(path + " is not there; install " + about.build_package +
                   " and build again, or set RHZ_MODULE_DIR to the folder that has it");
  const SignalsAsTheyAre signals;
  const Environment environment(about.environment);
  // Stays: these libraries have threads and handlers of their own.
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!handle) {
    const char* const reason = dlerror();
    return trouble(std::string(reason ? reason : "dlopen failed") + "; install " +
                   about.runtime_package);
  }
  auto* const open = reinterpret_cast<OpenFunction*>(dlsym(handle, kOpenFunction));
  if (!open) return trouble(path + " is no module of this library");
  char why[256] = "no reason given";
  std::unique_ptr<Fabric> fabric(open(kInterface, host.c_str(), why, sizeof why));
  if (!fabric) return trouble(why);
  return fabric;
}

}  // namespace rhz::fabric
