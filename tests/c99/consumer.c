/* A program as its users write it: C99, the installed header, the installed library.  A world of one with its own coordinator. */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <rhizome/rhizome.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 1000

static void check(rhz_status status, const char *what) {
  if (status == RHZ_OK) return;
  fprintf(stderr, "consumer: %s: %s: %s\n", what, rhz_status_text(status), rhz_last_error());
  exit(1);
}

static void require(int condition, const char *what) {
  if (condition) return;
  fprintf(stderr, "consumer: %s\n", what);
  exit(1);
}

static rhz_coordinator *start_coordinator(void) {
  rhz_coordinator_params params = {0};
  rhz_coordinator *coordinator = NULL;
  params.struct_size = sizeof params;
  params.run_id = "consumer";
  params.world = 1;
  check(rhz_coordinator_start(&params, &coordinator), "rhz_coordinator_start");
  return coordinator;
}

static rhz_comm *join(const char *coordinator) {
  rhz_comm_params params = {0};
  rhz_view view = {0};
  rhz_comm *comm = NULL;
  params.struct_size = sizeof params;
  params.coordinator = coordinator;
  params.run_id = "consumer";
  check(rhz_comm_create(&params, &comm), "rhz_comm_create");
  check(rhz_comm_join(comm, 10000), "rhz_comm_join");
  view.struct_size = sizeof view;
  check(rhz_comm_view(comm, &view), "rhz_comm_view");
  require(view.world_size == 1 && view.rank == 0, "this is no world of one");
  return comm;
}

/* By the event fd, as a program with a loop of its own waits. */
static void await(rhz_op *op) {
  struct pollfd ready;
  check(rhz_op_event_fd(op, &ready.fd), "rhz_op_event_fd");
  ready.events = POLLIN;
  ready.revents = 0;
  require(poll(&ready, 1, 10000) == 1, "the event fd says nothing");
  check(rhz_op_poll(op), "rhz_op_poll");
}

static void all_reduce(rhz_comm *comm) {
  static float send[COUNT], recv[COUNT];
  rhz_allreduce_params params = {0};
  rhz_op_info info = {0};
  rhz_op *op = NULL;
  uint32_t slot = 99, slots = 1;
  int i;
  for (i = 0; i < COUNT; ++i) send[i] = (float)i;
  params.struct_size = sizeof params;
  params.send = send;
  params.recv = recv;
  params.count_elems = COUNT;
  params.dtype = RHZ_DTYPE_F32;
  check(rhz_allreduce(comm, &params, &op), "rhz_allreduce");
  await(op);
  require(memcmp(send, recv, sizeof send) == 0, "the sum over one rank is not its input");
  info.struct_size = sizeof info;
  check(rhz_op_info_get(op, &info), "rhz_op_info_get");
  require(info.bytes == sizeof recv && info.contributors_min == 1, "the op info is wrong");
  check(rhz_op_contributors(op, COUNT - 1, &slot, &slots), "rhz_op_contributors");
  require(slots == 1 && slot == 0, "the contributors are wrong");
  check(rhz_op_release(op), "rhz_op_release");
}

static void finish(rhz_op *op) {
  await(op);
  check(rhz_op_release(op), "rhz_op_release");
}

/* Over one rank, whatever goes out comes back. */
static void others(rhz_comm *comm) {
  static int32_t send[COUNT], recv[COUNT];
  rhz_collective_params params = {0};
  rhz_op *op = NULL;
  int i;
  for (i = 0; i < COUNT; ++i) send[i] = i - COUNT / 2;
  params.struct_size = sizeof params;
  params.send = send;
  params.recv = recv;
  params.count_elems = COUNT;
  params.dtype = RHZ_DTYPE_I32;
  params.world_size = 1;
  check(rhz_allgather(comm, &params, &op), "rhz_allgather");
  finish(op);
  require(memcmp(send, recv, sizeof send) == 0, "the gathered block is not what was given");
  memset(recv, 0, sizeof recv);
  check(rhz_alltoall(comm, &params, &op), "rhz_alltoall");
  finish(op);
  require(memcmp(send, recv, sizeof send) == 0, "the exchanged block is not what was given");
  params.recv = NULL;
  params.redop = RHZ_REDOP_MAX;
  check(rhz_reduce_scatter(comm, &params, &op), "rhz_reduce_scatter");
  finish(op);
  require(memcmp(send, recv, sizeof send) == 0, "the maximum over one rank is not its input");
  params.recv = send;
  params.send = NULL;
  check(rhz_broadcast(comm, &params, &op), "rhz_broadcast");
  finish(op);
  require(memcmp(send, recv, sizeof send) == 0, "the root's own buffer changed");
}

int main(void) {
  rhz_coordinator *coordinator = start_coordinator();
  rhz_comm *comm = join(rhz_coordinator_address(coordinator));
  rhz_op *op = NULL;
  all_reduce(comm);
  others(comm);
  check(rhz_barrier(comm, &op), "rhz_barrier");
  check(rhz_op_wait(op, 10000, RHZ_WAIT_FINAL), "rhz_op_wait");
  check(rhz_op_release(op), "rhz_op_release");
  check(rhz_comm_leave(comm, 0), "rhz_comm_leave");
  rhz_comm_close(comm);
  rhz_coordinator_stop(coordinator);
  printf("consumer: ok\n%s", rhz_build_info());
  return 0;
}
