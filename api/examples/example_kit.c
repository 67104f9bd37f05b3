#define _POSIX_C_SOURCE 200809L

#include "example_kit.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double kit_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

uint64_t kit_now_us(void) { return (uint64_t)(kit_now_ms() * 1e3); }

long kit_pid(void) { return (long)getpid(); }

void kit_die(void) {
  for (;;) kill(getpid(), SIGKILL);
}

void kit_sleep_ms(double ms) {
  struct timespec pause;
  if (ms <= 0) return;
  pause.tv_sec = (time_t)(ms / 1e3);
  pause.tv_nsec = (long)((ms - (double)pause.tv_sec * 1e3) * 1e6);
  while (nanosleep(&pause, &pause) != 0 && errno == EINTR) continue;
}

void kit_print_line(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
  fflush(stdout);
}

int kit_complain(const char *program, const char *format, ...) {
  va_list arguments;
  fprintf(stderr, "%s: ", program);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  return EXIT_FAILURE;
}

uint64_t kit_bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

double kit_value_of(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

kit_parsed kit_parse_number(const kit_number *known, size_t count, const char *name,
                            const char *value, char problem[KIT_PROBLEM_BYTES]) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(name, known[i].name) != 0) continue;
    char *end;
    errno = 0;
    uint64_t number = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end || errno || number < known[i].least ||
        number > known[i].most) {
      snprintf(problem, KIT_PROBLEM_BYTES, "must be a whole number from %" PRIu64 " to %" PRIu64,
               known[i].least, known[i].most);
      return KIT_BAD;
    }
    *known[i].value = number;
    return KIT_SET;
  }
  return KIT_UNKNOWN;
}

kit_parsed kit_parse_rate(const char *value, double *rate, char problem[KIT_PROBLEM_BYTES]) {
  char *end;
  *rate = strtod(value, &end);
  if (end != value && !*end && *rate > 0 && *rate <= 1) return KIT_SET;
  snprintf(problem, KIT_PROBLEM_BYTES, "must be a number above 0 and up to 1");
  return KIT_BAD;
}

void kit_usage_error(const kit_program *program, const char *option, const char *problem) {
  kit_complain(program->name, "%s %s; see %s --help", option, problem, program->name);
  exit(KIT_EXIT_USAGE);
}

void kit_parse_options(const kit_program *program, int argc, char **argv, void *options,
                       const char ***data, size_t *data_count) {
  *data = calloc((size_t)argc, sizeof(**data));
  if (!*data) exit(kit_complain(program->name, "out of memory"));
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i];
    if (strcmp(name, "--help") == 0) {
      program->print_help();
      exit(EXIT_SUCCESS);
    }
    if (i + 1 == argc) kit_usage_error(program, name, "is no option, or lacks its value");
    if (strcmp(name, "--data") != 0) {
      program->set(options, name, argv[++i]);
      continue;
    }
    while (i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0) (*data)[(*data_count)++] = argv[++i];
    if (*data_count == 0) kit_usage_error(program, name, "needs at least one file");
  }
}

rhz_status kit_note_error(rhz_status status, char error[KIT_ERROR_BYTES]) {
  snprintf(error, KIT_ERROR_BYTES, "%s", rhz_last_error());
  return status;
}

rhz_status kit_commit(rhz_comm *comm, uint64_t revision, char error[KIT_ERROR_BYTES]) {
  rhz_status status = rhz_state_commit(comm, revision);
  if (status == RHZ_ERR_STATE) return RHZ_OK;
  return status == RHZ_OK ? status : kit_note_error(status, error);
}

void kit_refresh_view(rhz_comm *comm, rhz_view *view) {
  rhz_view now = {.struct_size = sizeof(now)};
  if (rhz_comm_view(comm, &now) == RHZ_OK) *view = now;
}

rhz_status kit_finish_op(rhz_status submitted, rhz_op *op, uint32_t wait_flags, rhz_op_info *info,
                         char error[KIT_ERROR_BYTES]) {
  *info = (rhz_op_info){.struct_size = sizeof(*info)};
  if (submitted != RHZ_OK) {
    snprintf(error, KIT_ERROR_BYTES, "%s", rhz_last_error());
    return submitted;
  }
  rhz_status outcome = rhz_op_wait(op, 0, wait_flags);
  /* Before any other call: the text lasts until then. */
  if (outcome != RHZ_OK) snprintf(error, KIT_ERROR_BYTES, "%s", rhz_last_error());
  if (rhz_op_info_get(op, info) == RHZ_OK && outcome != RHZ_OK && info->text[0])
    snprintf(error, KIT_ERROR_BYTES, "%s", info->text);
  rhz_op_release(op);
  return outcome;
}
