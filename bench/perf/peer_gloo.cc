// A rank of Gloo for perf_compare, over its TCP transport.
//
//   perf_peer_gloo SOCKET RANK WORLD STORE_FOLDER ADDRESS ring|ring-chunked|halving-doubling
//
// `ring` calls gloo::allreduce with its segmented ring, as PyTorch does, and has the other
// collectives, of which Gloo knows one algorithm each. The other two are Gloo's older algorithm
// classes. These work in place and are bound to a buffer: kept until the buffer changes, and an op
// out of place begins with a copy.
//
// No reduce-scatter: Gloo's only one, ReduceScatterHalvingDoubling, moves a rank's block to the
// front of the buffer while the front is still being sent, and gives wrong sums (seen at N = 2, 64
// MiB).
#include <gloo/allgather.h>
#include <gloo/allreduce.h>
#include <gloo/allreduce_halving_doubling.h>
#include <gloo/allreduce_ring_chunked.h>
#include <gloo/alltoall.h>
#include <gloo/barrier.h>
#include <gloo/broadcast.h>
#include <gloo/config.h>
#include <gloo/math.h>
#include <gloo/reduce.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/transport/tcp/device.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "bench/perf/rank.h"

namespace {

using Context = std::shared_ptr<gloo::Context>;

// An all-reduce object and what it is bound to.
struct Bound {
  std::unique_ptr<gloo::Algorithm> algorithm;
  const float* buffer = nullptr;
  size_t count = 0;
};

// The calls of perf_library carry no context of ours: it lies here, set once by main.
Context g_context;
Bound g_bound;

// Gloo reports by exception.
template <typename Body>
const char* guarded(const Body& body) {
  static std::string text;
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    text = error.what();
    return text.c_str();
  }
}

void add(void* to, const void* a, const void* b, size_t count) {
  gloo::sum<float>(to, a, b, count);
}

const char* barrier(const float*, float*, size_t) {
  return guarded([] {
    gloo::BarrierOptions options(g_context);
    gloo::barrier(options);
  });
}

const char* allreduce_ring(const float* send, float* recv, size_t count) {
  return guarded([&] {
    gloo::AllreduceOptions options(g_context);
    if (send != recv) options.setInput(const_cast<float*>(send), count);
    options.setOutput(recv, count);
    options.setAlgorithm(gloo::AllreduceOptions::Algorithm::RING);
    options.setReduceFunction(add);
    gloo::allreduce(options);
  });
}

template <typename Algorithm>
const char* allreduce_bound(const float* send, float* recv, size_t count) {
  return guarded([&] {
    if (send != recv) std::memcpy(recv, send, count * sizeof(float));
    if (g_bound.buffer != recv || g_bound.count != count) {
      g_bound = {std::make_unique<Algorithm>(g_context, std::vector<float*>{recv},
                                             static_cast<int>(count)),
                 recv, count};
    }
    g_bound.algorithm->run();
  });
}

const char* allgather(const float* send, float* recv, size_t count) {
  return guarded([&] {
    gloo::AllgatherOptions options(g_context);
    options.setInput(const_cast<float*>(send), count);
    options.setOutput(recv, count * static_cast<size_t>(g_context->size));
    gloo::allgather(options);
  });
}

const char* broadcast(const float* send, float* recv, size_t count) {
  return guarded([&] {
    gloo::BroadcastOptions options(g_context);
    // In place on the root: with an input it would copy it to the output first.
    options.setOutput(g_context->rank == 0 ? const_cast<float*>(send) : recv, count);
    options.setRoot(0);
    gloo::broadcast(options);
  });
}

const char* reduce(const float* send, float* recv, size_t count) {
  return guarded([&] {
    gloo::ReduceOptions options(g_context);
    options.setInput(const_cast<float*>(send), count);
    options.setOutput(recv, count);
    options.setRoot(0);
    options.setReduceFunction(add);
    gloo::reduce(options);
  });
}

const char* alltoall(const float* send, float* recv, size_t count) {
  return guarded([&] {
    const size_t elems = count * static_cast<size_t>(g_context->size);
    gloo::AlltoallOptions options(g_context);
    options.setInput(const_cast<float*>(send), elems);
    options.setOutput(recv, elems);
    gloo::alltoall(options);
  });
}

void forget() { g_bound = {}; }

// False: no such algorithm.
bool add_calls(const std::string& algorithm, perf_library& library) {
  library.calls[PERF_BARRIER] = barrier;
  if (algorithm == "ring") {
    library.calls[PERF_ALLREDUCE] = allreduce_ring;
    library.calls[PERF_ALLGATHER] = allgather;
    library.calls[PERF_BROADCAST] = broadcast;
    library.calls[PERF_REDUCE] = reduce;
    library.calls[PERF_ALLTOALL] = alltoall;
  } else if (algorithm == "ring-chunked") {
    library.calls[PERF_ALLREDUCE] = allreduce_bound<gloo::AllreduceRingChunked<float>>;
  } else if (algorithm == "halving-doubling") {
    library.calls[PERF_ALLREDUCE] = allreduce_bound<gloo::AllreduceHalvingDoubling<float>>;
  } else {
    return false;
  }
  return true;
}

Context connected(int rank, int world, const char* store_folder, const char* address) {
  auto device = gloo::transport::tcp::CreateDevice(address);
  auto context = std::make_shared<gloo::rendezvous::Context>(rank, world);
  gloo::rendezvous::FileStore store(store_folder);
  context->connectFullMesh(store, device);
  return context;
}

}  // namespace

int main(int argc, char** argv) {
  perf_die_with_parent();
  const std::string algorithm = argc == 7 ? argv[6] : "";
  const std::string name = "Gloo " + std::to_string(GLOO_VERSION_MAJOR) + "." +
                           std::to_string(GLOO_VERSION_MINOR) + "." +
                           std::to_string(GLOO_VERSION_PATCH) + " " + algorithm;
  perf_library library{};
  library.name = name.c_str();
  library.forget = forget;
  if (argc != 7 || !add_calls(algorithm, library)) {
    std::fprintf(stderr,
                 "usage: perf_peer_gloo SOCKET|- RANK WORLD STORE_FOLDER ADDRESS "
                 "ring|ring-chunked|halving-doubling\n");
    return 2;
  }
  library.rank = std::atoi(argv[2]);
  library.world = std::atoi(argv[3]);
  const char* problem =
      guarded([&] { g_context = connected(library.rank, library.world, argv[4], argv[5]); });
  if (problem) {
    std::fprintf(stderr, "perf_peer_gloo: rank %d: %s\n", library.rank, problem);
    return 1;
  }
  const int result = perf_serve(&library, argv[1]);
  forget();
  return result;
}
