#pragma once

/* Until when the API wants to be left alone. */

#include "submitd/api.h"

#define QUIET_MAX (UINT64_C(24) * 3600 * 1000000) /* however long a Retry-After is */

typedef struct Quiet {
        uint64_t until; /* monotonic: no request before */
        unsigned busy;  /* how often it said so without a time, in a row */
} Quiet;

/* Takes note of an answer, to whatever was asked. */
void quiet_note(Quiet *q, const ApiAnswer *answer, uint64_t now);
