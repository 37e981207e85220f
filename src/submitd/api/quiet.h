#pragma once

/* Until when the API wants to be left alone. */

#include "basic/parse.h"
#include "submitd/api/api.h"

#define QUIET_MAX USEC_PER_DAY /* however long a Retry-After is */

typedef struct Quiet {
        uint64_t until; /* monotonic: no request before */
        unsigned busy;  /* how often it said so without a time, in a row */
} Quiet;

/* Takes note of an answer, to whatever was asked. */
void quiet_note(Quiet *q, const ApiAnswer *answer, uint64_t now);
