#pragma once

/* What is done with events: a command is run, or a URL is told. */

#include <signal.h>

#include "basic/buffer.h"
#include "scalectl/consume/place.h"

/* What became of it. */
typedef enum ActionResult {
        ACTION_DONE,
        ACTION_FAILED, /* counts for who gives up */
        ACTION_LATER,  /* doesn't */
        ACTION_NEVER,  /* is given up at once */
} ActionResult;

typedef struct Action {
        char *const *command; /* up to a NULL; NULL: none */
        const char *url;      /* NULL: none */
        bool batched;         /* several events may come at once, as lines */
        sigset_t stop;    /* the signals that end the program: those that are not ignored, as under nohup */
        bool stopping;    /* one came */
        char reason[320]; /* why it was not done, for people */
} Action;

/* Some events, and of the first of them what the environment says. */
typedef struct Batch {
        Buffer lines;
        size_t n;
        uint64_t seq;                           /* of the last of them */
        const char *kind, *task_id, *task_type; /* borrowed; NULL: none */
        Place place;                            /* behind which the feed goes on */
        const char *end;                        /* and what was read of it */
} Batch;

/* Blocks the signals that end the program, and takes them from then on where it waits by itself. */
int action_init(Action *a);

/* While nothing is in hand they end it at once. */
void action_begin_idle(const Action *a);
void action_end_idle(const Action *a);

/* Waits so long, or until it is asked to end. */
void action_pause(Action *a, uint64_t usec);

ActionResult action_run(Action *a, const Batch *batch, uint64_t attempt);

/* 0, or an exit status (said): events are sent to programs of this machine, or over TLS. */
int action_check_url(const char *url);
