// Third parties, caged: docs/architecture.md.  A library that only one folder names can be replaced
// there.
#include <algorithm>
#include <initializer_list>

#include "tests/lint/rules.h"

namespace rhz::lint {
namespace {

struct Cage {
  std::string_view library;
  std::initializer_list<std::string_view> headers;  // how an include of it begins
  std::initializer_list<std::string_view> places;   // how the path of a file that may do so begins
};

// A place without a slash at its end is the beginning of a file name.
const Cage kCages[] = {
    {"Asio", {"asio/", "asio.hpp"}, {"runtime/loop/", "runtime/transport/tcp/"}},
    {"Cap'n Proto", {"capnp/", "kj/"}, {"runtime/wire/codec"}},
    {"UCX", {"ucp/", "uct/", "ucs/", "ucm/"}, {"runtime/transport/ucx/"}},
    {"libfabric", {"rdma/"}, {"runtime/transport/libfabric/"}},
    {"ISA-L", {"isa-l.h", "isa-l/", "erasure_code.h"}, {"recovery/parity/", "bench/"}},
    {"OpenSSL", {"openssl/"}, {"runtime/security/"}},
    {"libcurl", {"curl/"}, {"runtime/membership/"}},
    {"xxHash", {"xxhash.h", "xxh3.h"}, {"runtime/digest/"}},
    {"nlohmann-json", {"nlohmann/"}, {"api/tools/", "bench/", "tests/", "recovery/disk/"}},
    {"CLI11", {"CLI/"}, {"api/tools/", "bench/", "tests/"}},
    {"GoogleTest", {"gtest/", "gmock/"}, {"tests/", "bench/"}},
    {"Google Benchmark", {"benchmark/"}, {"bench/"}},
};

bool begins_with_one_of(std::string_view path, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return starts_with(path, prefix); });
}

void violate(const File& file, const Include& include, std::string_view library,
             const std::string& places, Violations& found) {
  found.push_back(
      {file.path, include.line, "cage",
       std::string(library) + " may be included in " + places + " only: use the interface there"});
}

void check_include(const File& file, const Include& include, Violations& found) {
  for (const Cage& cage : kCages) {
    const bool generated = cage.library == "Cap'n Proto" && ends_with(include.path, ".capnp.h");
    if (!generated && !begins_with_one_of(include.path, cage.headers)) continue;
    if (begins_with_one_of(file.path, cage.places)) continue;
    std::string places;
    for (std::string_view place : cage.places) {
      places += (places.empty() ? "" : ", ") + std::string(place);
    }
    violate(file, include, cage.library, places, found);
  }
  // CUDA is caged by name: any folder may have a cuda/ of its own.
  const bool cuda = starts_with(include.path, "cuda") || starts_with(include.path, "nvrtc");
  const bool in_cage =
      file.path.find("/cuda/") != std::string::npos || ends_with(file.path, "/rhizome_cuda.h");
  if (cuda && !include.quoted && !in_cage) {
    violate(file, include, "CUDA", "*/cuda/ and rhizome_cuda.h", found);
  }
}

}  // namespace

void check_cages(const Tree& tree, Violations& found) {
  for (const File& file : tree) {
    for (const Include& include : includes_of(file)) check_include(file, include, found);
  }
}

}  // namespace rhz::lint
