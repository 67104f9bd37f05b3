/* A rank of an MPI library for perf_compare:   mpirun -n N perf_peer_mpi SOCKET
 *
 * Every rank has a connection to the driver: relaying commands through MPI_Bcast would keep the
 * others spinning in it. */
#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include "bench/perf/rank.h"

static const char* text_of(int code) {
  static char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (code == MPI_SUCCESS) return NULL;
  MPI_Error_string(code, text, &length);
  return text;
}

static const char* barrier(void) { return text_of(MPI_Barrier(MPI_COMM_WORLD)); }

static const char* allreduce(const float* send, float* recv, size_t count_elems) {
  const void* from = send == recv ? MPI_IN_PLACE : (const void*)send;
  return text_of(MPI_Allreduce(from, recv, (int)count_elems, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD));
}

int main(int argc, char** argv) {
  perf_die_with_parent();
  if (argc != 2) {
    fprintf(stderr, "usage: mpirun -n N perf_peer_mpi SOCKET|-\n");
    return 2;
  }
  MPI_Init(&argc, &argv);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  char name[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(name, &length);
  name[strcspn(name, ",\n")] = '\0'; /* "Open MPI v4.1.4, package: …" */
  struct perf_library library = {name, 0, 0, barrier, allreduce};
  MPI_Comm_rank(MPI_COMM_WORLD, &library.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &library.world);
  int result = perf_serve(&library, argv[1]);
  MPI_Finalize();
  return result;
}
