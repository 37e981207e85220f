#pragma once

/* Retention: the time is counted, by which deliveries get old, and old ones are thrown away. */

#include <systemd/sd-event.h>

#include "callbackd/metrics.h"
#include "daemon/commit.h"

typedef struct Retention Retention;

/* `keep` is how long deliveries are kept, in microseconds; UINT64_MAX: forever. 0 or negative errno. */
int retention_new(sd_event *loop, CommitPort *port, Metrics *metrics, uint64_t keep, Retention **ret);
void retention_set(Retention *r, uint64_t keep);

/* NULL in, NULL out. */
Retention *retention_free(Retention *r);
