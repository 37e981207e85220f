#pragma once

/* JSON values: when two of them are the same (json_digest() agrees with it, see task/callback.h), and what a
 * single one says. */

#include <jansson.h>

#include "basic/macros.h"

/* Whatever the order of members and however a number is written: 1, 1.0 and 1e0 are one value. */
bool value_equal(const json_t *a, const json_t *b);

/* Looks up members whose names come, as a rule, in the order that the object has them in: then without a
 * search. `object` is borrowed and must not change; NULL or no object: it has none. */
typedef struct MemberWalk {
        json_t *object;
        void *next;
} MemberWalk;

MemberWalk member_walk(const json_t *object);
json_t *member_walk_get(MemberWalk *w, const char *name);

/* A number's one form: an integer where it is one that an int64_t holds, else a double. */
typedef struct Number {
        bool is_integer;
        int64_t integer;
        double real; /* only when !is_integer */
} Number;

Number value_number(const json_t *number);

/* A finite number, a boolean; with `as_text` also as "30", "true". False, and *ret untouched, for all else.
 */
bool value_read_number(const json_t *value, bool as_text, double *ret);
bool value_read_boolean(const json_t *value, bool as_text, bool *ret);

/* A text with http:// or https:// and something behind it, without control characters. */
bool value_is_url(const json_t *value);
