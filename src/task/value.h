#pragma once

/* JSON values: when two of them are the same (json_digest() agrees with it), and what a
 * single one says. */

#include <jansson.h>

#include "basic/macros.h"
#include "task/type.h"

/* Whatever the order of members and however a number is written: 1, 1.0 and 1e0 are one value. */
bool value_equal(const json_t *a, const json_t *b);

/* The value again, sharing nothing with it; unlike jansson's own copies with the digits of its numbers. A
 * new reference; NULL without memory. */
json_t *value_copy(const json_t *value) _warn_unused_;

/* Looks up members whose names come, as a rule, in the order that the object has them in: then without a
 * search. `object` is borrowed and must not change; NULL or no object: it has none. */
typedef struct MemberWalk {
        json_t *object;
        void *next;
} MemberWalk;

MemberWalk member_walk(const json_t *object);
json_t *member_walk_get(MemberWalk *walk, const char *name);

typedef enum NumberKind {
        NUMBER_INTEGER,
        NUMBER_REAL,
        NUMBER_DECIMAL,
} NumberKind;

/* Digits of a JSON number, of any length: those from the first to the last that is not zero, a point perhaps
 * among them, times ten to the power of `exponent`. None for zero. */
typedef struct Decimal {
        const char *first, *last; /* borrowed; NULL: none */
        size_t n;
        int64_t exponent; /* of the last digit */
        bool negative;
        bool beyond; /* the exponent is too large to be reckoned with: first to last is the whole text */
} Decimal;

/* A number's one form: an integer where it is one that an int64_t holds, else a double where that is what
 * was written, else what was written. Two numbers are the same exactly when this is. */
typedef struct Number {
        NumberKind kind;
        int64_t integer; /* for its kind, as the others */
        double real;
        Decimal decimal; /* as long as the value lives */
} Number;

Number value_number(const json_t *number);

/* A number that a double comes near to, a boolean; with `as_text` also as "30", "true". False, and *ret
 * untouched, for all else. */
bool value_read_number(const json_t *value, bool as_text, double *ret);
bool value_read_boolean(const json_t *value, bool as_text, bool *ret);

/* A text with http:// or https:// and something behind it, without control characters. */
bool value_is_url(const json_t *value);

#define JSON_DIGEST_SIZE 16U

/* A digest of a JSON value that doesn't depend on the order of members nor on how a number is written
 * (1, 1.0 and 1e0 are one value). 0, -ENOMEM. */
int json_digest(const json_t *value, uint8_t ret[static JSON_DIGEST_SIZE]) _warn_unused_;

/* The same of a response, whose members these rows know (NULL: none): null is an absent one, as it is where
 * it is checked. So `category_id: null` beside a category without ids makes no other response. What no row
 * knows says something else with null than without it. 0, -ENOMEM. */
int response_digest(const json_t *response, const Field *fields,
                uint8_t ret[static JSON_DIGEST_SIZE]) _warn_unused_;
