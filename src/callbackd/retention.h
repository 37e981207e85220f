#pragma once

/* Retention: old deliveries on which nothing stands any more, thrown away in small pieces. */

#include <systemd/sd-event.h>

#include "daemon/commit.h"

typedef struct Retention Retention;

/* `keep` is how long deliveries are kept, in microseconds; UINT64_MAX: forever. 0 or negative errno. */
int retention_new(sd_event *loop, CommitPort *port, uint64_t keep, Retention **ret);
void retention_set(Retention *r, uint64_t keep);

/* NULL in, NULL out. */
Retention *retention_free(Retention *r);
