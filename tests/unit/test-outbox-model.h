#pragma once

/* What the model test is made of: a world behind a network that loses, delays and invents, a disk that fills
 * up, clocks that jump, people who change their minds, and a list of what has to come of it. */

#include "test-store-common.h"

#include "sandbox/world.h"
#include "submitd/api/backoff.h"
#include "submitd/outbox/outbox.h"

#define MINUTE (60 * SECOND)
#define DAY    (24 * HOUR)
#define NEVER  INT64_MAX

/* The API's promise: what is made later than the time-out after the end of its request, as we see it, and
 * what lists may hide, is over within `settle`. */
#define SETTLE (30 * SECOND)
#define LATE   (17 * SECOND)
#define LAG    (12 * SECOND)

/* How far each of the API's clocks may be off, and step: together within the margin. */
#define API_STEP_MAX (3 * DAY)

#define ASKED_MAX  24U
#define WIRES_MAX  512U
#define JOBS_MAX   256U
#define EVENTS_MAX 400000U

/* A request on its way: to the world, and the answer back. Both may get lost. */
typedef struct Wire {
        bool used;
        char method[8], path[160], query[160];
        char *body; /* owned */
        bool is_test;
        int64_t timeout;
        int64_t arrives, ends; /* NEVER */
        ApiDoneFn done;        /* NULL: nobody waits any more */
        void *userdata;
        enum { END_ANSWER, END_NOT_SENT, END_TIMEOUT, END_RESET, END_GATEWAY, END_CUT } end;
        ApiAnswer answer;
        char *text; /* owned: the answer's body */
} Wire;

/* What somebody asked for, and was told yes. */
typedef struct Wish {
        char id[SUBMISSION_ID_SIZE];
        bool bad;       /* the API rejects it */
        bool canceled;  /* the latest that was asked for is to cancel it */
        bool forgotten; /* that it was tried again: there may be a task of what has come to an end */
} Wish;

/* A copy of the database from some moment, that can be put back at a later one. */
typedef struct Copy {
        bool there;
        Wish wishes[ASKED_MAX]; /* as they were */
        unsigned n_wishes;
        bool tried_again[ASKED_MAX]; /* had come to an end in it, and was tried again since */
} Copy;

typedef struct Model {
        uint64_t seed, chance;
        bool trace;
        char path[96];
        Store *store;
        StoreReader *reader;
        Outbox *outbox; /* NULL: crashed */
        World *world;

        int64_t t; /* what passes for everybody */
        int64_t booted;
        int64_t timeout; /* of our requests, until we are started anew */
        int64_t our_offset;
        int64_t created_offset, date_offset; /* of the API: of created_at, and of Date */
        int64_t run_at;                      /* when outbox_run() is called next; NEVER */
        bool dateless;

        Wire wires[WIRES_MAX];
        CommitJob *jobs, **jobs_tail;
        int64_t commit_at;
        bool disk_full;

        unsigned spell;        /* a status that everything is answered with; 0: none */
        RetryAfter left_alone; /* what it says of that */
        bool down;             /* nothing leaves */
        unsigned trouble;      /* of 100 requests, how many go wrong on the way */
        bool is_test, quiet;   /* quiet: no faults any more */
        uint64_t max_in_flight, live_per_day;

        Wish wishes[ASKED_MAX];
        unsigned n_wishes;
        Copy copy;
        bool turned_back; /* by that copy, and what that means isn't stored yet */

        uint64_t n_events;
} Model;

static inline uint64_t model_chance(Model *m)
{
        uint64_t x = m->chance += UINT64_C(0x9e3779b97f4a7c15);

        x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
        return x ^ (x >> 31);
}

/* 0 to n - 1. */
static inline unsigned pick(Model *m, unsigned n)
{
        return (unsigned)(model_chance(m) % n);
}

static inline int64_t pick_time(Model *m, int64_t max)
{
        return (int64_t)(model_chance(m) % ((uint64_t)max + 1));
}

#define say(m, ...)                                                          \
        do {                                                                 \
                if ((m)->trace) {                                            \
                        fprintf(stderr, "%12.6f ", (double)(m)->t / SECOND); \
                        fprintf(stderr, __VA_ARGS__);                        \
                        fputc('\n', stderr);                                 \
                }                                                            \
        } while (0)

#define broken(m, ...)                                                                      \
        do {                                                                                \
                fprintf(stderr, "again: MODEL_SEED=%llu MODEL_SEQUENCES=1 MODEL_TRACE=1\n", \
                                (unsigned long long)(m)->seed);                             \
                fail_msg(__VA_ARGS__);                                                      \
        } while (0)

static inline int64_t our_time(const Model *m)
{
        return T0 + m->t + m->our_offset;
}

static inline int64_t world_time(const Model *m)
{
        return T0 + m->t;
}

/* As its Date says. */
static inline int64_t api_time(const Model *m)
{
        return T0 + m->t + m->date_offset;
}
