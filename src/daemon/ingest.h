#pragma once

/* The door: from an authenticated body to a delivery on disk, whatever brought it here. */

#include "daemon/commit.h"
#include "store/store.h"
#include "task/callback.h"

/* What to do with one body. */
typedef struct ReceiveInput {
        const void *body; /* borrowed until done() */
        size_t body_size;
        Source source;
        const char *key_label, *remote, *ref; /* NULL: none; borrowed until done() */
        uint64_t started;                     /* monotonic */
        uint64_t retry_of;                    /* see StoreDelivery */
        int64_t came_at;                      /* of what is tried again; else 0 */
        bool strict;
        unsigned invalid_status; /* 422 or 200 */
} ReceiveInput;

typedef struct Receipt Receipt;

/* What came of it, given to done() once it is on disk, or once it is certain that it isn't. */
struct Receipt {
        unsigned status;          /* 200, 400, 422, 503 */
        StoreOutcome outcome;     /* valid unless status is 503 */
        const char *task_id;      /* that it names, or was found to be about; NULL: none */
        const char *type;         /* NULL: not known */
        const Problems *problems; /* never NULL */
        int error;                /* negative errno behind a 503 */
        void *userdata;
};

/* Parses, validates (reading the stored task with `reader` where the rules need it) and hands the delivery
 * to the commit queue. Exactly one call of done() follows, later and from the port's loop, unless this
 * returns negative: -EAGAIN the queue is full, -ENOMEM, or what the reader returned. A body that is not
 * valid is recorded too (VERDICT_INVALID) — except when `retry_of` is set: then done() gets
 * `invalid_status`, also for what is no JSON, from the loop without anything being recorded. */
int receive(CommitPort *port, StoreReader *reader, const ReceiveInput *in,
                void (*done)(const Receipt *receipt, void *userdata), void *userdata);
