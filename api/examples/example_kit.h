/* What the example trainers share besides the model: lines, pauses, options, the end of an op. */
#ifndef EXAMPLE_KIT_H
#define EXAMPLE_KIT_H

#include <rhizome/rhizome.h>
#include <stddef.h>
#include <stdint.h>

double kit_now_ms(void);
uint64_t kit_now_us(void); /* CLOCK_MONOTONIC, as in the library's own lines */
long kit_pid(void);
/* As a crash would; does not return. */
void kit_die(void);
void kit_sleep_ms(double ms);

/* One line to stdout, at once: whoever reads it through a pipe waits for it. */
void kit_print_line(const char *format, ...);

/* One line to stderr, behind "PROGRAM: ".  Returns EXIT_FAILURE. */
int kit_complain(const char *program, const char *format, ...);

/* A double, as one of the words that are registered as state. */
uint64_t kit_bits_of(double value);
double kit_value_of(uint64_t bits);

/* An option whose value is a whole number in [least, most]. */
typedef struct kit_number {
  const char *name;
  uint64_t *value, least, most;
} kit_number;
enum { KIT_PROBLEM_BYTES = 96 };
typedef enum kit_parsed { KIT_UNKNOWN, KIT_SET, KIT_BAD } kit_parsed;
/* KIT_UNKNOWN: no option of this name.  KIT_BAD: problem says what the value must be. */
kit_parsed kit_parse_number(const kit_number *known, size_t count, const char *name,
                            const char *value, char problem[KIT_PROBLEM_BYTES]);
/* As kit_parse_number; above 0 and up to 1. */
kit_parsed kit_parse_rate(const char *value, double *rate, char problem[KIT_PROBLEM_BYTES]);

/* A program's options: `set` is told each but --help and --data, and ends the program
 * (kit_usage_error) where it makes no sense. */
typedef struct kit_program {
  const char *name;
  void (*print_help)(void);
  void (*set)(void *options, const char *name, const char *value);
} kit_program;
enum { KIT_EXIT_USAGE = 2 };
void kit_usage_error(const kit_program *program, const char *option, const char *problem);
/* Collects the paths behind --data in *data, which the caller frees.  Ends the program with --help.
 */
void kit_parse_options(const kit_program *program, int argc, char **argv, void *options,
                       const char ***data, size_t *data_count);

enum { KIT_ERROR_BYTES = 512 };
/* Keeps the text of this thread's last failed call; returns the status. */
rhz_status kit_note_error(rhz_status status, char error[KIT_ERROR_BYTES]);
/* Declares a revision.  RHZ_OK also for who is no member any more: the next op says why, and that
 * is where it is dealt with. */
rhz_status kit_commit(rhz_comm *comm, uint64_t revision, char error[KIT_ERROR_BYTES]);
/* Keeps the old view where there is none: as in kit_commit. */
void kit_refresh_view(rhz_comm *comm, rhz_view *view);
/* Ends an op that was submitted with the given status: its outcome, with *info filled, and the text
 * of what went wrong in error. */
rhz_status kit_finish_op(rhz_status submitted, rhz_op *op, uint32_t wait_flags, rhz_op_info *info,
                         char error[KIT_ERROR_BYTES]);

#endif /* EXAMPLE_KIT_H */
