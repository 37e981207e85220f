#pragma once

/* The stand-in's world: an account with its tasks, without a network and without a clock of its own. */

#include <jansson.h>

#include "basic/buffer.h"
#include "basic/time-util.h"
#include "task/type.h"

typedef struct World World;

typedef enum Fault {
        FAULT_DROP_ANSWER, /* done, then the connection is closed */
        FAULT_ERROR_AFTER, /* done, then 500 */
        FAULT_ERROR_500,
        FAULT_ERROR_429, /* with Retry-After */
        FAULT_HTML,      /* a proxy's error page */
        FAULT_DELAY,     /* done, the answer comes late */
        FAULT_LAG,       /* a new task is shown late in lists */
        FAULT_CALLBACK_LOST,
        FAULT_CALLBACK_DUPLICATE,
        FAULT_CALLBACK_REORDER,
        FAULT_CALLBACK_CUT,
        FAULT_CALLBACK_INVALID,
        FAULT_CALLBACK_DELAY,
        FAULT_ATTACHMENT_FAILURE,
        _FAULT_MAX,
        _FAULT_ERRNO = -EINVAL,
} Fault;

const char *fault_to_string(Fault v); /* "drop_answer", ... */
Fault fault_from_string(const char *s);

typedef struct WorldOptions {
        uint64_t seed;
        double faults[_FAULT_MAX]; /* probabilities, 0 to 1 */
        uint64_t complete_after;   /* microseconds; UINT64_MAX: live tasks on demand, tests at once */
        const char *callback_url;  /* the account's default; NULL: none; copied */
        uint64_t delay, lag;       /* microseconds at most, where those faults strike */
        uint64_t time_scale;       /* retries come that much faster; 1: as they are */
} WorldOptions;

int world_new(const WorldOptions *options, World **ret);
World *world_free(World *w);
DEFINE_CLEANUP(World *, world_free)

typedef struct WorldRequest {
        const char *method, *path; /* "/v1/task/categorization", decoded, without the query */
        const char *query;         /* as sent; NULL: none */
        const char *content_type;  /* NULL: none */
        const void *body;
        size_t body_size;
        bool is_test; /* of the key; that it is one was checked before */
        int64_t now;  /* the API's clock */
} WorldRequest;

typedef struct WorldAnswer {
        unsigned status;
        Buffer body; /* owned by the caller */
        const char *content_type;
        unsigned retry_after; /* seconds; 0: no such header */
        uint64_t delay;       /* microseconds that the answer comes late */
        bool drop;            /* the connection is closed instead */
} WorldAnswer;

/* One request of the API, with the faults that strike it. 0 or -ENOMEM. */
int world_handle(World *w, const WorldRequest *request, WorldAnswer *ret);

/* Lets time pass: completes what is due, and plans callbacks. */
int world_run(World *w, int64_t now);

/* When world_run() is wanted next; TIME_NONE: only after a request. */
int64_t world_next(const World *w);

void world_set_fault(World *w, Fault fault, double probability);

/* {tasks, duplicate_tasks, callbacks, ...}; duplicate_tasks: tasks that carry the id of a submission which
 * another task carries too. A new reference, NULL without memory. */
json_t *world_stats(const World *w);
