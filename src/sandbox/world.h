#pragma once

/* The stand-in's world: an account with its tasks, without a network and without a clock of its own. What it
 * does follows from its seed, the requests and the times that it is given. */

#include <jansson.h>

#include "basic/buffer.h"
#include "basic/time-util.h"
#include "task/type.h"

#define WORLD_TASKS_MAX      1000000U /* more are refused with 503 */
#define WORLD_DELIVERIES_MAX 1000000U /* callbacks that are not through; likewise */
#define WORLD_ATTEMPTS_MAX   100000U  /* attempts that are remembered, the latest */
#define WORLD_RETRIES_MAX    20U      /* of one callback, behind its first attempt */

typedef struct World World;

typedef enum Fault {
        FAULT_DROP_ANSWER,  /* done, then the connection is closed */
        FAULT_ERROR_AFTER,  /* done, then 500 */
        FAULT_ERROR_500,    /* not done */
        FAULT_ERROR_429,    /* not done; with Retry-After */
        FAULT_HTML,         /* a proxy's error page with 502, done or not */
        FAULT_DELAY,        /* done, the answer comes late */
        FAULT_LAG,          /* a new task is shown late in lists */
        FAULT_SLOW,         /* made late, also where nobody waits any more, and answered then */
        FAULT_CLOCK_BEHIND, /* created_at lies behind */
        FAULT_CALLBACK_LOST,
        FAULT_CALLBACK_DUPLICATE,
        FAULT_CALLBACK_REORDER,
        FAULT_CALLBACK_CUT,     /* at its first attempt */
        FAULT_CALLBACK_INVALID, /* at its first attempt */
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
        uint64_t complete_after;   /* microseconds, of live tasks; UINT64_MAX: on demand. Test tasks: at once
                                    */
        const char *callback_url;  /* the account's default; NULL: none, and tasks need their own; copied */
        uint64_t delay, lag; /* microseconds at most, where those faults strike; `delay` also of slow ones
                                and callbacks */
        uint64_t clock_step; /* microseconds that created_at lies behind at most, where that fault strikes */
        uint64_t time_scale; /* retries come that much faster; 0 and 1: as they are */
} WorldOptions;

int world_new(const WorldOptions *options, World **ret);
World *world_free(World *world);
DEFINE_CLEANUP(World *, world_free)

typedef struct WorldRequest {
        const char *method, *path; /* "/v1/task/categorization", decoded, without the query */
        const char *query;         /* as sent; NULL: none */
        const char *content_type;  /* NULL: none */
        const void *body;
        size_t body_size;
        bool is_test; /* of the key; that it is one was checked before */
        int64_t now;  /* the API's clock */
        int64_t skew; /* of created_at against that */
        bool again;   /* it comes the second time: see WorldAnswer.again_in */
} WorldRequest;

typedef struct WorldAnswer {
        unsigned status;
        Buffer body; /* owned by the caller */
        const char *content_type;
        const char *allow;    /* with a 405: the methods; NULL: no such header */
        unsigned retry_after; /* seconds; 0: no such header */
        uint64_t again_in;    /* not 0: nothing is done yet, ask the same again in so many microseconds */
        uint64_t delay;       /* microseconds that the answer comes late */
        bool drop;            /* the connection is closed instead, after the delay */
} WorldAnswer;

/* One request of the API ("/v1/...", with the faults that strike it) or of who runs the stand-in
 * ("/sandbox/..."). Lets time pass up to `now` first. 0 or -ENOMEM. */
int world_handle(World *world, const WorldRequest *request, WorldAnswer *ret);

/* Lets time pass: completes what is due, and makes callbacks ready that are. A clock that went back does
 * nothing. 0 or -ENOMEM. */
int world_run(World *world, int64_t now);

/* When world_run() is wanted next; TIME_NONE: only after a request. */
int64_t world_next(const World *world);

/* One attempt at a callback. Borrowed until world_callback_done(). */
typedef struct WorldCallback {
        uint64_t number; /* to be told with what came of it */
        const char *task_id, *url;
        unsigned attempt; /* from 1 */
        const void *body; /* NUL behind it */
        size_t body_size;
        bool cut; /* the connection is to end in the middle of the body */
} WorldCallback;

/* The next one that is ready, to be sent now. 1; 0: there is none; -ENOMEM. */
int world_take_callback(World *world, int64_t now, WorldCallback *ret);

/* What came of one that was taken: the status answered, or 0 and what went wrong in words. Plans the next
 * attempt unless it was a 2xx. 0 or -ENOMEM. */
int world_callback_done(World *world, uint64_t number, unsigned status, const char *error, int64_t now);

void world_set_fault(World *world, Fault fault, double probability);

/* {tasks, duplicate_tasks, callbacks, ...}; duplicate_tasks: tasks that carry the id of a submission which
 * an earlier task carries too, in `metadata` or at the end of `callback_url`; callbacks: attempts. A new
 * reference, NULL without memory. */
json_t *world_stats(const World *world);
