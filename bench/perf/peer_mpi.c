/* A rank of an MPI library for perf_compare:   mpirun -n N perf_peer_mpich SOCKET
 *
 * Built once for each MPI library.  Every rank has a connection to the driver: relaying commands
 * through MPI_Bcast would keep the others spinning in it. */
#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include "bench/perf/rank.h"

static int g_rank;

static const char* text_of(int code) {
  static char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (code == MPI_SUCCESS) return NULL;
  MPI_Error_string(code, text, &length);
  return text;
}

static const char* barrier(const float* send, float* recv, size_t count) {
  (void)send, (void)recv, (void)count;
  return text_of(MPI_Barrier(MPI_COMM_WORLD));
}

static const char* allreduce(const float* send, float* recv, size_t count) {
  const void* from = send == recv ? MPI_IN_PLACE : (const void*)send;
  return text_of(MPI_Allreduce(from, recv, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD));
}

static const char* reduce_scatter(const float* send, float* recv, size_t count) {
  return text_of(
      MPI_Reduce_scatter_block(send, recv, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD));
}

static const char* allgather(const float* send, float* recv, size_t count) {
  return text_of(
      MPI_Allgather(send, (int)count, MPI_FLOAT, recv, (int)count, MPI_FLOAT, MPI_COMM_WORLD));
}

static const char* broadcast(const float* send, float* recv, size_t count) {
  void* buffer = g_rank == 0 ? (void*)send : (void*)recv; /* MPI reads it on the root, no more */
  return text_of(MPI_Bcast(buffer, (int)count, MPI_FLOAT, 0, MPI_COMM_WORLD));
}

static const char* reduce(const float* send, float* recv, size_t count) {
  return text_of(MPI_Reduce(send, recv, (int)count, MPI_FLOAT, MPI_SUM, 0, MPI_COMM_WORLD));
}

static const char* alltoall(const float* send, float* recv, size_t count) {
  return text_of(
      MPI_Alltoall(send, (int)count, MPI_FLOAT, recv, (int)count, MPI_FLOAT, MPI_COMM_WORLD));
}

/* "Open MPI v4.1.4, package: …" and "MPICH Version: 4.0.2\n…" */
static void read_name(char* name) {
  int length = 0;
  MPI_Get_library_version(name, &length);
  name[strcspn(name, ",\n")] = '\0';
  for (char* c = name; *c; c++) {
    if (*c == '\t') *c = ' ';
  }
}

int main(int argc, char** argv) {
  perf_die_with_parent();
  if (argc != 2) {
    fprintf(stderr, "usage: mpirun -n N %s SOCKET|-\n", argv[0]);
    return 2;
  }
  MPI_Init(&argc, &argv);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  char name[MPI_MAX_LIBRARY_VERSION_STRING];
  read_name(name);
  struct perf_library library = {
      .name = name,
      .calls = {[PERF_ALLREDUCE] = allreduce,
                [PERF_REDUCE_SCATTER] = reduce_scatter,
                [PERF_ALLGATHER] = allgather,
                [PERF_BROADCAST] = broadcast,
                [PERF_REDUCE] = reduce,
                [PERF_ALLTOALL] = alltoall,
                [PERF_BARRIER] = barrier},
  };
  MPI_Comm_rank(MPI_COMM_WORLD, &library.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &library.world);
  g_rank = library.rank;
  int result = perf_serve(&library, argv[1]);
  MPI_Finalize();
  return result;
}
