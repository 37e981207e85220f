#pragma once

/* The outbox: submissions on their way to the API, and what became of each. Errors are those of store.h. */

#include "store/store.h"

#define SUBMISSION_ID_SIZE         33U  /* 32 hex digits, the first 12 of them the time, and a NUL */
#define SUBMISSION_KEY_MAX         255U /* bytes of an Idempotency-Key */
#define SUBMISSION_ATTACHMENTS_MAX 64U  /* URLs by which a failed attachment finds its submission */

/* Whether it is one: metadata is anybody's, and what doesn't look like an id of ours is none. NULL isn't. */
bool submission_id_is_valid(const char *s) _pure_;

/*
 *            .------------- certain that there is no task -------------.
 *            v                                                         |
 * (new) -> queued -> sending -> accepted                               |
 *            |          |--> rejected                                  |
 *            |          |--> expired                                   |
 *            |          `--> unknown --> accepted, expired, or --------'
 *            `--> canceled
 *
 * Whatever left `sending` or `unknown` without an answer keeps `sent_at`: as long as that is set there may
 * be a task, and only a list of the API's tasks that doesn't show it clears it. rejected, canceled and
 * expired may be tried again (retry): to unknown while sent_at is set, else to queued.
 */
typedef enum SubmissionState {
        SUBMISSION_QUEUED,
        SUBMISSION_SENDING,
        SUBMISSION_UNKNOWN,
        SUBMISSION_ACCEPTED,
        SUBMISSION_REJECTED,
        SUBMISSION_CANCELED,
        SUBMISSION_EXPIRED,
        _SUBMISSION_STATE_MAX,
        _SUBMISSION_STATE_ERRNO = -EINVAL,
} SubmissionState;

const char *submission_state_to_string(SubmissionState v);
SubmissionState submission_state_from_string(const char *s);

#define SUBMISSION_IN(state) (1U << (state))

/* A submission as read back. Texts live until the callback that got it returns. */
typedef struct Submission {
        uint64_t n; /* in the order of arrival, from 1 */
        const char *id;
        const char *type;
        SubmissionState state;
        bool is_test;       /* of the key that it was last sent with */
        bool cancel_wanted; /* to be canceled once it is known whether there is a task */
        int64_t created_at, changed_at, expires_at;
        int64_t next_at;   /* not to be looked at before; TIME_NONE: nothing is planned */
        unsigned attempts; /* requests that may have left */
        int64_t sent_at;  /* when the last of them may have left; TIME_NONE: certain that there is no task */
        int64_t floor_at; /* not later than that, by the API's clocks; TIME_NONE: not known */
        int64_t ended_at; /* since the machine's start: by then it had left, or never would; TIME_NONE: it
                             may still leave, or there was none */
        int64_t grace;    /* for how long the API may make a task of it after that; TIME_NONE: not known */
        const char *idempotency_key; /* NULL: none */
        const char *task_id;         /* NULL: none yet */
        unsigned status;             /* of the last answer; 0: none */
        const char *error;           /* why it is not accepted, for people; NULL: nothing to say */
        const char *answer;          /* the answer that rejected it, as text; NULL: none */
        const char *problems;        /* warnings about its parameters, a JSON array as text; NULL: none */
        const void *params;          /* only where asked for: the parameters, checked, as JSON */
        size_t params_size;
} Submission;

/* A new one. All pointers are borrowed until store_write() returns. */
typedef struct StoreSubmission {
        const char *id;
        const char *type;
        int64_t created_at, next_at, expires_at;
        const char *idempotency_key;          /* NULL: none */
        uint8_t digest[CALLBACK_DIGEST_SIZE]; /* of type and parameters: what the same key has to bring again
                                               */
        const void *params;
        size_t params_size;
        const char *problems;           /* NULL: none */
        const char *const *attachments; /* URLs */
        size_t n_attachments;
} StoreSubmission;

typedef enum StoreAddition {
        STORE_ADDED,
        STORE_KNOWN,    /* the same key with the same task came before */
        STORE_CONFLICT, /* the same key with another task */
        _STORE_ADDITION_MAX,
} StoreAddition;

/* One step from one state to another. Members that don't matter for it are still written: fill in all. */
typedef struct StoreMove {
        unsigned from; /* SUBMISSION_IN()s */
        SubmissionState to;
        int64_t now;
        int64_t next_at, sent_at, floor_at, ended_at, grace; /* as in Submission */
        bool is_test;
        bool attempt; /* counts one more */
        unsigned status;
        const char *error;  /* NULL: none */
        const char *answer; /* NULL: none */
        int64_t expires_at; /* TIME_NONE: stays */
        int live_by;        /* by how much the number of tasks sent with a live key on `live_day` changes */
        int64_t live_day;   /* of UTC, since 1970. No day is forgotten: the clock may show it again */
} StoreMove;

/* Positive outcomes of what follows. */
enum {
        STORE_MOVED_ON = 1, /* it is in none of the states that were asked for: nothing was changed */
        STORE_UNKNOWN = 2,  /* there is no such submission */
};

typedef enum QueueHold {
        QUEUE_RUNNING,
        QUEUE_HELD,         /* by an administrator */
        QUEUE_HELD_ACCOUNT, /* by an answer that is about the account: 401, 402, 403, a redirect */
        _QUEUE_HOLD_MAX,
        _QUEUE_HOLD_ERRNO = -EINVAL,
} QueueHold;

const char *queue_hold_to_string(QueueHold v); /* "running", "held", "held_account" */
QueueHold queue_hold_from_string(const char *s);

#define QUEUE_REASON_MAX 255U

typedef struct StoreQueue {
        QueueHold hold;
        char reason[QUEUE_REASON_MAX + 1];
        int64_t held_since; /* TIME_NONE: not held */
        uint64_t by_state[_SUBMISSION_STATE_MAX];
        uint64_t live_sent; /* with a live key, on the day of UTC that was asked about */
        int64_t oldest; /* created_at of the oldest that is queued, sending or unknown; TIME_NONE: none */
} StoreQueue;

/* Reading. */

typedef int (*StoreSubmissionFn)(const Submission *submission, void *userdata);

/* 1: found, 0: no such submission. */
int store_get_submission(
                StoreReader *r, const char *id, bool with_params, StoreSubmissionFn fn, void *userdata);

/* In the order of arrival, those behind number `after`, without parameters; `state` may be
 * _SUBMISSION_STATE_ERRNO (any). 0. */
int store_list_submissions(StoreReader *r, SubmissionState state, uint64_t after, unsigned limit,
                StoreSubmissionFn fn, void *userdata);

/* The same from the newest on, those before number `before` (0: all), with parameters. */
int store_list_submissions_back(StoreReader *r, SubmissionState state, uint64_t before, unsigned limit,
                StoreSubmissionFn fn, void *userdata);

/* Those of a state (queued or unknown) whose next_at has come, by that time, with parameters. 0. */
int store_list_due(StoreReader *r, SubmissionState state, int64_t now, unsigned limit, StoreSubmissionFn fn,
                void *userdata);

/* The earliest next_at of a state (queued or unknown); TIME_NONE: none. 0. */
int store_get_next_due(StoreReader *r, SubmissionState state, int64_t *ret);

/* Accepted ones that are still to be canceled at the API, behind number `after`. 0. */
int store_list_cancel_wanted(
                StoreReader *r, uint64_t after, unsigned limit, StoreSubmissionFn fn, void *userdata);

/* `now` says which day live_sent is about. 0. */
int store_get_queue(StoreReader *r, int64_t now, StoreQueue *ret);

/* The task that a submission has, by a callback's reference or by its metadata, whatever the outbox knows.
 * 1: there is one, its id in ret; 0: none. */
int store_find_task_of_submission(
                StoreReader *r, const char *id, char ret_task_id[static CALLBACK_ID_MAX + 1]);

/* A task that the API should be asked about. */
typedef struct PendingTask {
        const char *task_id;
        const char *submission; /* NULL: not ours */
        int64_t created_at;
        int64_t due_at; /* when it should be done, by its urgency */
        uint64_t id;    /* a place in this list, with due_at */
} PendingTask;

typedef int (*StorePendingFn)(const PendingTask *task, void *userdata);

/* Pending tasks that were due before `due_before` (INT64_MAX: all), by due_at, strictly behind the place
 * (after_due, after_id); TIME_NONE: from the start. 0. */
int store_list_pending_tasks(StoreReader *r, int64_t due_before, int64_t after_due, uint64_t after_id,
                unsigned limit, StorePendingFn fn, void *userdata);
