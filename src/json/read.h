#pragma once

/* Reading JSON: our own reader. Everybody but json.c asks json_parse() (json/parse.h). */

#include <jansson.h>

#include "basic/macros.h"

/* What there was in a text that others would not read. */
typedef struct JsonFindings {
        size_t n_unpaired;     /* escapes that stand for half a character */
        size_t first_unpaired; /* where the first begins, in bytes */
        size_t end;            /* where reading ended: of what is no JSON, at what is wrong */
} JsonFindings;

/* A new reference to the value that the whole text is: what json_loadb() makes of it, with these flags
 * (JSON_REJECT_DUPLICATES, JSON_DECODE_ANY) and JSON_ALLOW_NUL. But half a character, as \ud83d alone, is
 * read as U+FFFD and counted in *ret_findings (set in any case), and a number that no json_int_t and no
 * double holds with its digits keeps them (json_number_text()). 0; -ENOMEM; -EBADMSG: it is no JSON, or
 * nested more than `depth` deep. */
int json_read(const char *text, size_t size, unsigned depth, size_t flags, json_t **ret,
                JsonFindings *ret_findings) _warn_unused_;

/* A JSON number, likewise: an integer or a real. NULL: it is none, or there is no memory. */
json_t *json_read_number(const char *text, size_t size) _warn_unused_;
