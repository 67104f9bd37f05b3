/* A rank of Rhizome for perf_compare, on the public header alone.
 *
 *   perf_ours SOCKET [strict|keep|fail [alloc]]     with RHZ_COORDINATOR and RHZ_RUN_ID in the
 * environment; alloc: buffers by rhz_alloc
 */
#include <rhizome/rhizome.h>
#include <stdio.h>
#include <string.h>

#include "bench/perf/rank.h"

enum { kJoinTimeoutMs = 60000, kMostInFlight = 1024, kGroups = 4 };

static rhz_comm* g_comm;
static rhz_comm* g_groups[kGroups]; /* all ranks in each; ops in flight take turns on them */
static uint32_t g_world;
static uint32_t g_rebuild = RHZ_REBUILD_STRICT;

/* NULL, or what went wrong with the op or with its submission. */
static const char* finish(rhz_status submitted, rhz_op* op) {
  static char text[RHZ_TEXT_BYTES + 64];
  if (submitted != RHZ_OK) return rhz_last_error();
  rhz_status status = rhz_op_wait(op, 0, RHZ_WAIT_DEFAULT);
  if (status != RHZ_OK) {
    rhz_op_info info = {.struct_size = sizeof info};
    if (rhz_op_info_get(op, &info) != RHZ_OK) info.text[0] = '\0';
    snprintf(text, sizeof text, "%s: %s", rhz_status_text(status), info.text);
  }
  rhz_op_release(op);
  return status == RHZ_OK ? NULL : text;
}

static const char* barrier(const float* send, float* recv, size_t count_elems) {
  (void)send, (void)recv, (void)count_elems;
  rhz_op* op = NULL;
  rhz_status status = rhz_barrier(g_comm, &op);
  return finish(status, op);
}

static rhz_status submit(rhz_comm* comm, const float* send, float* recv, size_t count_elems,
                         rhz_op** op) {
  rhz_allreduce_params params = {
      .struct_size = sizeof params,
      .send = send == recv ? NULL : send,
      .recv = recv,
      .count_elems = count_elems,
      .dtype = RHZ_DTYPE_F32,
      .redop = RHZ_REDOP_SUM,
      .rebuild = g_rebuild,
  };
  return rhz_allreduce(comm, &params, op);
}

static const char* allreduce(const float* send, float* recv, size_t count_elems) {
  rhz_op* op = NULL;
  rhz_status status = submit(g_comm, send, recv, count_elems, &op);
  return finish(status, op);
}

typedef rhz_status (*rhz_collective)(rhz_comm*, const rhz_collective_params*, rhz_op**);

static const char* collective(rhz_collective call, const float* send, float* recv,
                              size_t count_elems) {
  rhz_op* op = NULL;
  rhz_collective_params params = {
      .struct_size = sizeof params,
      .send = send,
      .recv = recv,
      .count_elems = count_elems,
      .dtype = RHZ_DTYPE_F32,
      .rebuild = g_rebuild,
      .root_slot = 0,
      .world_size = g_world,
  };
  rhz_status status = call(g_comm, &params, &op);
  return finish(status, op);
}

static const char* reduce_scatter(const float* send, float* recv, size_t count_elems) {
  return collective(rhz_reduce_scatter, send, recv, count_elems);
}
static const char* allgather(const float* send, float* recv, size_t count_elems) {
  return collective(rhz_allgather, send, recv, count_elems);
}
static const char* broadcast(const float* send, float* recv, size_t count_elems) {
  return collective(rhz_broadcast, send, recv, count_elems);
}
static const char* reduce(const float* send, float* recv, size_t count_elems) {
  return collective(rhz_reduce, send, recv, count_elems);
}
static const char* alltoall(const float* send, float* recv, size_t count_elems) {
  return collective(rhz_alltoall, send, recv, count_elems);
}

static void* take(size_t bytes) {
  void* memory = NULL;
  return rhz_alloc(g_comm, bytes, &memory) == RHZ_OK ? memory : NULL;
}
static void give_back(void* memory) { rhz_free(g_comm, memory); }

static rhz_status split(void) {
  for (int i = 0; i < kGroups; i++) {
    rhz_split_params params = {.struct_size = sizeof params};
    rhz_status status = rhz_comm_split(g_comm, &params, &g_groups[i]);
    if (status != RHZ_OK) return status;
  }
  return RHZ_OK;
}

static const char* many(const float* send, float* recv, size_t count_elems, int ops) {
  rhz_op* in_flight[kMostInFlight] = {NULL};
  rhz_status submitted[kMostInFlight];
  const char* problem = NULL;
  if (ops > kMostInFlight) return "more ops in flight than perf_ours keeps";
  if (!g_groups[0] && split() != RHZ_OK) return rhz_last_error();
  for (int i = 0; i < ops; i++) {
    size_t begin = count_elems * (size_t)i / (size_t)ops;
    size_t end = count_elems * (size_t)(i + 1) / (size_t)ops;
    submitted[i] = submit(g_groups[i % kGroups], send + begin, recv + begin, end - begin, &in_flight[i]);
  }
  for (int i = 0; i < ops; i++) {
    const char* own = finish(submitted[i], in_flight[i]);
    if (!problem) problem = own;
  }
  return problem;
}

static int fail(const char* call) {
  fprintf(stderr, "perf_ours: %s: %s\n", call, rhz_last_error());
  rhz_comm_close(g_comm);
  return 1;
}

int main(int argc, char** argv) {
  perf_die_with_parent();
  const char* rebuild = argc > 2 ? argv[2] : "strict";
  if (strcmp(rebuild, "keep") == 0) g_rebuild = RHZ_REBUILD_KEEP;
  if (strcmp(rebuild, "fail") == 0) g_rebuild = RHZ_REBUILD_FAIL;
  if (argc < 2 || (g_rebuild == RHZ_REBUILD_STRICT && strcmp(rebuild, "strict") != 0)) {
    fprintf(stderr, "usage: perf_ours SOCKET|- [strict|keep|fail [alloc]]\n");
    return 2;
  }
  rhz_comm_params params = {.struct_size = sizeof params};
  rhz_view view = {.struct_size = sizeof view};
  if (rhz_comm_create(&params, &g_comm) != RHZ_OK) return fail("create");
  if (rhz_comm_join(g_comm, kJoinTimeoutMs) != RHZ_OK) return fail("join");
  if (rhz_comm_view(g_comm, &view) != RHZ_OK) return fail("view");
  char name[64];
  snprintf(name, sizeof name, "Rhizome %d.%d.%d", RHZ_VERSION_MAJOR, RHZ_VERSION_MINOR,
           RHZ_VERSION_PATCH);
  g_world = view.world_size;
  struct perf_library library = {
      .name = name, .rank = (int)view.rank, .world = (int)view.world_size};
  library.calls[PERF_ALLREDUCE] = allreduce;
  library.calls[PERF_BARRIER] = barrier;
  library.calls[PERF_REDUCE_SCATTER] = reduce_scatter;
  library.calls[PERF_ALLGATHER] = allgather;
  library.calls[PERF_BROADCAST] = broadcast;
  library.calls[PERF_REDUCE] = reduce;
  library.calls[PERF_ALLTOALL] = alltoall;
  if (argc > 3 && strcmp(argv[3], "alloc") == 0) {
    library.take = take;
    library.give_back = give_back;
  }
  library.many = many;
  int result = perf_serve(&library, argv[1]);
  for (int i = 0; i < kGroups; i++) rhz_comm_close(g_groups[i]);
  if (rhz_comm_leave(g_comm, 0) != RHZ_OK) fprintf(stderr, "perf_ours: %s\n", rhz_last_error());
  rhz_comm_close(g_comm);
  return result;
}
