#pragma once

/* When to ask again: after a failure, and when the API says so. */

#include "basic/parse.h"
#include "submitd/api/api.h"

/* Microseconds until the next try when that many have failed: 0, 30 s, 2 m, 10 m, 30 m, 1 h, 2 h, then 4 h,
 * each a fifth shorter or longer at most. `chance` is the state of the jitter, anything to begin with. */
uint64_t backoff_delay(unsigned failures, uint64_t *chance);

/* The same in the middle: without jitter. */
uint64_t backoff_step(unsigned failures);

/* For what waits for this machine's own disk: from 100 ms, doubled up to 30 s. */
uint64_t backoff_local(unsigned failures);

/* How long to wait before the `n`-th try after the first (from 1): `first`, doubled each time, up to `most`.
 * Microseconds. */
uint64_t backoff_doubled(unsigned n, uint64_t first, uint64_t most);

/* Until when the API wants to be left alone. */
typedef struct RetryAfter {
        uint64_t until; /* monotonic: no request before */
        unsigned busy;  /* how often it said so without a time, in a row */
} RetryAfter;

#define RETRY_AFTER_MAX USEC_PER_DAY /* however long a Retry-After is */

/* Takes note of an answer, to whatever was asked. */
void retry_after_note(RetryAfter *retry_after, const ApiAnswer *answer, uint64_t now);
