#pragma once

/* Ingest: the one way by which a task's result gets into the store, whoever brings it. */

#include <jansson.h>
#include <stdatomic.h>

#include "daemon/commit.h"
#include "store/store.h"
#include "task/callback.h"

/* By what all of it goes that comes this way: one for each loop that takes something in. */
typedef struct Ingest {
        CommitPort *port; /* borrowed, as the reader is, by which the stored task is found where the rules */
        StoreReader *reader; /* need it */
        atomic_bool strict;  /* [callback] strict: warnings are errors; a reload sets it from another thread
                              */
        unsigned invalid_status; /* answered to what breaks the rules: 422 or 200 */
} Ingest;

/* One body. */
typedef struct IngestInput {
        const void *body; /* borrowed until done() */
        size_t body_size;
        Source source;
        const char *key_label, *remote, *ref; /* NULL: none; borrowed until done() */
        uint64_t started;                     /* monotonic */
        uint64_t retry_of;                    /* see StoreDelivery */
        int64_t came_at;                      /* of what is tried again; else 0 */
} IngestInput;

/* What came of it, given to done() once it is on disk, or once it is certain that it isn't. */
typedef struct Receipt {
        unsigned status;          /* 200, 400, 422, 503 */
        StoreOutcome outcome;     /* valid unless status is 503 */
        const char *task_id;      /* that it names, or was found to be about; NULL: none */
        const char *type;         /* NULL: not known */
        const Problems *problems; /* never NULL */
        int error;                /* negative errno behind a 503 */
} Receipt;

typedef void (*IngestDone)(const Receipt *receipt, void *userdata);

/* Parses, validates and hands the delivery to the commit queue. Exactly one call of done() follows, later
 * and from the port's loop, unless this returns negative: -EAGAIN the queue is full, -ENOMEM, or what the
 * reader returned. A body that is not valid is recorded too (VERDICT_INVALID) — except when `retry_of` is
 * set: then done() gets `invalid_status`, also for what is no JSON, from the loop without anything being
 * recorded. */
int ingest(const Ingest *options, const IngestInput *input, IngestDone done, void *userdata);

/* The same with a task as the API shows it, which is not needed any longer then. `submission`: whose task it
 * is, NULL where not known. done() may be NULL: then the log says what could not be stored or is not valid.
 */
int ingest_task(const Ingest *options, const json_t *task, Source source, const char *submission,
                IngestDone done, void *userdata);

/* The same with bytes (copied): the body of a callback, or what can't be read, which goes to the
 * quarantine. */
int ingest_bytes(const Ingest *options, const void *bytes, size_t size, Source source, IngestDone done,
                void *userdata);

/* For what the API told when it was asked: says in the log that it went to the quarantine. */
void ingest_log_invalid(const Receipt *receipt);

/* Whether a failure to store, returned or in a receipt, is about that one task: the next one may fare
 * better. */
bool ingest_failed_alone(int error) _const_;

/* When a task should be done: the time that its urgency allows, from its creation on. */
int64_t ingest_choose_due(const Callback *callback, int64_t now);

/* A task's metadata as the store indexes it. */

#define METADATA_TEXT_MAX 256U /* bytes of a key, and of a value: what is longer can't be searched for */

typedef struct Metadata {
        StoreMetadata values[STORE_METADATA_MAX]; /* borrowed from the task and from `numbers` */
        char *numbers[STORE_METADATA_MAX];        /* owned: values that are no texts, put into words */
        size_t n;
} Metadata;

/* What can be searched for of the metadata of a task, NULL: none. *ret is empty before; after a failure
 * too it is to be freed with metadata_done(). 0, -ENOMEM. */
int metadata_collect(const json_t *task, Metadata *ret);
void metadata_done(Metadata *metadata);
