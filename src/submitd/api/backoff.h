#pragma once

/* How long to wait after a failure. */

#include "basic/macros.h"

/* Microseconds until the next try when that many have failed: 0, 30 s, 2 m, 10 m, 30 m, 1 h, 2 h, then 4 h,
 * each a fifth shorter or longer at most. `chance` is the state of the jitter, anything to begin with. */
uint64_t backoff_delay(unsigned failures, uint64_t *chance);

/* The same in the middle: without jitter. */
uint64_t backoff_step(unsigned failures);

/* For what waits for this machine's own disk: from 100 ms, doubled up to 30 s. */
uint64_t backoff_local(unsigned failures);
