#pragma once

/* The keys that callbacks are signed with: several, each with a label, so that they can be rotated. */

#include "basic/key-file.h"
#include "store/types.h"

#define KEYS_MAX     KEY_LINES_MAX
#define KEY_SIZE_MAX KEY_BYTES_MAX

typedef struct Keys Keys;

/* Reads a file with a line `label key` for each, which messages call `name`. On failure *mistakes (see
 * basic/mistakes.h) got a line for each: where and what is wrong, never what stands there. -EINVAL for the
 * content, else the error of reading. */
int keys_load(const char *path, const char *name, Keys **ret, char **mistakes);

Keys *keys_free(Keys *k);
DEFINE_CLEANUP(Keys *, keys_free)

/* The label of the key that the `size` bytes of `value` equal, borrowed; NULL: none. Takes as long whichever
 * key it is. */
const char *keys_match(const Keys *k, const char *value, size_t size);

/* How many, and their labels for messages. */
size_t keys_count(const Keys *k);
const char *keys_label(const Keys *k, size_t i);
