/* What a communicator costs a program that computes: CPU of this process while nothing is open, and while an op is open that
 * others come late to.  Every rank sleeps where a trainer would compute.
 *
 *   rhizome run -n 4 -- build/release/bench/idle */
#include <rhizome/rhizome.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { kIdleSeconds = 10, kLateSeconds = 8, kSettleSeconds = 1 };

static double cpu_seconds(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static double percent_of_a_core(unsigned seconds) {
  sleep(kSettleSeconds);
  const double before = cpu_seconds();
  sleep(seconds);
  return 100 * (cpu_seconds() - before) / seconds;
}

static rhz_status finish(rhz_status submitted, rhz_op **op) {
  const rhz_status status = submitted ? submitted : rhz_op_wait(*op, 0, RHZ_WAIT_DEFAULT);
  if (!submitted) rhz_op_release(*op);
  return status;
}

static int run(rhz_comm *comm) {
  rhz_op *op = NULL;
  rhz_view view = {.struct_size = sizeof view};
  if (rhz_comm_join(comm, 0) || rhz_comm_view(comm, &view)) return 1;
  for (int i = 0; i < 100; ++i)
    if (finish(rhz_barrier(comm, &op), &op)) return 1;
  printf("idle: %.2f %% of a core\n", percent_of_a_core(kIdleSeconds));
  if (view.rank > 0) sleep(kLateSeconds + 3 * kSettleSeconds);
  const rhz_status submitted = rhz_barrier(comm, &op);
  if (!submitted && view.rank == 0)
    printf("an op open, the others late: %.2f %% of a core\n", percent_of_a_core(kLateSeconds));
  fflush(stdout);
  return finish(submitted, &op) || rhz_comm_leave(comm, 0);
}

int main(void) {
  rhz_comm *comm = NULL;
  rhz_comm_params params = {.struct_size = sizeof params};
  if (rhz_comm_create(&params, &comm)) return puts(rhz_last_error()), 1;
  const int failed = run(comm);
  if (failed) puts(rhz_last_error());
  rhz_comm_close(comm);
  return failed;
}
