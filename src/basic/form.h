#pragma once

/* application/x-www-form-urlencoded, as browsers, curl and the API's clients write it. */

#include "basic/macros.h"

typedef struct FormPair {
        const char *name;  /* decoded, NUL-terminated; both point into the decoded text */
        const char *value; /* "" for a name without a value */
        size_t value_size; /* a value may hold %00 */
} FormPair;

/* Splits `text` at `&`, then at the first `=`, and decodes `+` and `%XX` in place; a bad `%zz` stays as it
 * is, and so does `%00` in a name. Empty pieces are skipped. *ret_n pairs are set, pointing into `text`. 0,
 * or -E2BIG beyond `max` pairs.
 */
int form_split(char *text, FormPair *pairs, size_t max, size_t *ret_n);

/* Decodes `%XX` (and `+` when `plus`) in place; returns the size. */
size_t form_decode(char *text, bool plus);
