/* Text to train on, and windows of it.  Pure C99 and POSIX. */
#ifndef CHAR_LM_TEXT_H
#define CHAR_LM_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define LM_TEXT_FOLDER "/usr/share/common-licenses"

enum { LM_TEXT_ERROR_BYTES = 4352 }; /* a path and a sentence */

typedef struct lm_text {
  uint8_t *bytes;
  size_t size;
} lm_text;

/* Reads files one behind the other; count 0: those of LM_TEXT_FOLDER.  0: error says why, and what
 * to do.  The caller frees text->bytes in any case. */
int lm_text_load(lm_text *text, const char *const *paths, size_t count, uint64_t context,
                 char error[LM_TEXT_ERROR_BYTES]);

/* Fills inputs and targets, [batch * context] each, with the windows that a lane of the run draws
 * at a position; random is the run's number of this step.  Depends on nothing else: a lane's
 * windows are the same whoever draws them, and those of two lanes differ. */
void lm_text_sample(const lm_text *text, uint64_t lane, uint64_t position, uint64_t random,
                    size_t batch, size_t context, uint8_t *inputs, uint8_t *targets);

#endif /* CHAR_LM_TEXT_H */
