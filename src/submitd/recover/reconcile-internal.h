#pragma once

/* Rounds and their questions: what both sides of reconciliation share. */

#include <jansson.h>

#include "store/outbox.h"
#include "submitd/recover/reconcile.h"
#include "submitd/recover/snooze.h"

#define LIST_AT_ONCE 64U

typedef enum QuestionState {
        QUESTION_FREE,
        QUESTION_WAITING, /* to be asked, at `at` */
        QUESTION_ASKED,
        QUESTION_ANSWERED, /* to be handed to the port, at `at` */
        QUESTION_STORING,
} QuestionState;

/* Where a task stands in the store's list. */
typedef struct Place {
        int64_t due_at;
        uint64_t id;
} Place;

/* A task to be asked about. */
typedef struct Pending {
        Place place;
        char task_id[CALLBACK_ID_MAX + 1];
        char submission[SUBMISSION_ID_SIZE]; /* "": not ours */
} Pending;

typedef struct Question {
        Reconcile *r;
        QuestionState state;
        Pending pending;
        uint64_t at;
        unsigned tries;           /* of what is being tried: asking, or storing */
        uint64_t answered_before; /* Reconcile.n_answered when it was first asked */
        json_t *task;             /* the answer, on its way to the store */
        bool is_account;          /* it has no response */
        bool is_canceled;
} Question;

struct Reconcile {
        ReconcileOptions options;
        Shelf *shelf;
        ReconcileWaiter *waiters;

        uint64_t next_at; /* of the interval's next round; UINT64_MAX: none */
        uint64_t last_end;
        unsigned failures; /* rounds, one after the other */
        bool wanted;       /* reconcile_start() was called for a round that is yet to begin */
        bool stopped;

        /* The round. */
        ReconcileReport report;
        int64_t due_before;
        bool ending; /* no more questions */
        bool has_missed;
        Place place;  /* the last task that was taken off the list; where an interrupted round goes on */
        Place missed; /* the first task whose question came to nothing */
        Place listed; /* the last task that was read */
        bool list_ended;
        Pending list[LIST_AT_ONCE];
        size_t n_list, list_i;
        uint64_t n_answered; /* questions with a usable answer, ever */
        unsigned n_told;     /* lines in the log about single tasks */
        Question questions[RECONCILE_IN_FLIGHT_MAX];

        ReconcileStats stats; /* of what came to its end before this round */
};

uint64_t reconcile_monotonic(const Reconcile *r);
uint64_t reconcile_quiet_until(const Reconcile *r); /* monotonic: see Api */

/* No more questions in this round, for this reason; the first one counts. */
void reconcile_fail(Reconcile *r, const char *format, ...) _printf_(2, 3);

/* Whether the log may have another line about a single task. */
bool reconcile_may_tell(Reconcile *r);

/* Does what is due for a question: asks, hands over. */
void question_start(Question *q, const Pending *pending);
void question_run(Question *q, uint64_t now);

/* Gives up a question that waits to be asked. */
void question_miss(Question *q);

/* When question_run() is wanted; UINT64_MAX: not before something comes back. */
uint64_t question_next(const Question *q);

void question_done(Question *q);
