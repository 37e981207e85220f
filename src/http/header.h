#pragma once

/* Values of headers, as they come from strangers. */

#include "basic/parse.h"

#define HEADER_RETRY_AFTER_MAX USEC_PER_DAY /* microseconds */

/* Whether it can be the name of a header, or a method: a token of RFC 9110. */
bool header_is_token(const char *text) _pure_;

/* Whether a Content-Type (NULL: there is none) is this one, "application/json", in any case and with any
 * parameters. */
bool header_type_is(const char *value, const char *type);

/* The same for JSON by any of its names: "application/json", "application/problem+json". */
bool header_type_is_json(const char *value);

/* Retry-After: seconds, or a date, which counts from `now` by the clock of who answered. Microseconds, up to
 * HEADER_RETRY_AFTER_MAX; UINT64_MAX where there is none (NULL), or none that can be read. */
uint64_t header_retry_after(const char *value, int64_t now);
