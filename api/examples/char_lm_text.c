#define _POSIX_C_SOURCE 200809L

#include "char_lm_text.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "char_lm_model.h"

static int unreadable(const char *path, int reason, const char *advice, char *error) {
  snprintf(error, LM_TEXT_ERROR_BYTES, "cannot read %s: %s; name %s with --data", path,
           strerror(reason), advice);
  return 0;
}

static int append_file(lm_text *all, const char *path, char *error) {
  uint8_t chunk[1 << 14];
  size_t got;
  FILE *file = fopen(path, "rb");
  if (!file) return unreadable(path, errno, "readable text files", error);
  while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0) {
    uint8_t *grown = realloc(all->bytes, all->size + got);
    if (!grown) {
      fclose(file);
      snprintf(error, LM_TEXT_ERROR_BYTES, "out of memory reading %s", path);
      return 0;
    }
    all->bytes = grown;
    memcpy(all->bytes + all->size, chunk, got);
    all->size += got;
  }
  int failure = ferror(file) ? errno : 0;
  fclose(file);
  return failure ? unreadable(path, failure, "readable text files", error) : 1;
}

/* Regular files only: a link would have its target read twice. */
static int append_if_regular(lm_text *all, const char *folder, const char *name, char *error) {
  char path[4096];
  struct stat info;
  int length = snprintf(path, sizeof(path), "%s/%s", folder, name);
  if (length < 0 || (size_t)length >= sizeof(path)) {
    snprintf(error, LM_TEXT_ERROR_BYTES, "path too long: %s", name);
    return 0;
  }
  if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode)) return 1;
  return append_file(all, path, error);
}

static int append_folder(lm_text *all, const char *folder, char *error) {
  struct dirent **entries;
  int count = scandir(folder, &entries, NULL, alphasort), good = 1;
  if (count < 0) return unreadable(folder, errno, "text files", error);
  for (int i = 0; i < count; i++) {
    good = good && append_if_regular(all, folder, entries[i]->d_name, error);
    free(entries[i]);
  }
  free(entries);
  return good;
}

int lm_text_load(lm_text *text, const char *const *paths, size_t count, uint64_t context,
                 char error[LM_TEXT_ERROR_BYTES]) {
  int good = count ? 1 : append_folder(text, LM_TEXT_FOLDER, error);
  for (size_t i = 0; i < count && good; i++) good = append_file(text, paths[i], error);
  if (!good) return 0;
  if (text->size <= context) {
    snprintf(error, LM_TEXT_ERROR_BYTES,
             "%zu bytes of text are too few for --context %" PRIu64
             "; name longer text files with --data",
             text->size, context);
    return 0;
  }
  if (text->size > UINT32_MAX) {
    snprintf(error, LM_TEXT_ERROR_BYTES, "more than 4 GiB of text; name fewer with --data");
    return 0;
  }
  return 1;
}

/* Multiples of the golden ratio spread the windows evenly over the text; the random offset keeps a
 * later pass from repeating. */
void lm_text_sample(const lm_text *text, uint64_t lane, uint64_t position, uint64_t random,
                    size_t batch, size_t context, uint8_t *inputs, uint8_t *targets) {
  const uint64_t golden = UINT64_C(0x9E3779B97F4A7C15); /* 2^64 / ratio */
  uint64_t starts = text->size - context;               /* legal first bytes; ≥ 1 */
  uint64_t phase = lane;
  phase = lm_random(&phase);
  random ^= phase;
  for (size_t s = 0; s < batch; s++) {
    uint64_t point = phase + (position + s) * golden; /* of 2^64 */
    uint64_t start = ((point >> 32) * starts) >> 32;
    start = (start + lm_random(&random) % context) % starts;
    memcpy(inputs + s * context, text->bytes + start, context);
    memcpy(targets + s * context, text->bytes + start + 1, context);
  }
}
