#pragma once

/*
 * What a driver is: how one kind of database keeps what the rules decide. The rules (record.c, outbox.c,
 * retention.c) are the same over every driver, and know nothing of statements; a driver knows nothing of
 * what is new, known or revised. All of this is for one thread at a time, but for what says otherwise.
 *
 * A group. begin() is told of all changes that are about to come, so that a driver may look up in one go
 * what they are about; what is asked for besides is asked for then. Within a group the functions of rows see
 * what the group has done so far. commit() brings all of it to the disk, or nothing: 0 only when it is
 * synced. rollback() takes it back, in the driver's memory as well. They return the store's errors (see
 * store.h), and two more:
 *
 *   -EAGAIN       nothing is kept, and the group may be done again as it was
 *   -EINPROGRESS  (commit) nobody knows whether it is kept
 *
 * Functions of rows: 0, or 1 for "found" where they look for something and 0 for "not"; or a negative errno.
 * When that is about what was asked for (too large, rows that contradict each other), only the change fails
 * that asked; any other is the driver's own failure, which at_fault() says until the next begin(), and all
 * of the group fail.
 *
 * Counters (of tasks by kind, deliveries by verdict, submissions by state) are the driver's: they follow
 * from the rows, and are in the same transaction.
 */

#include <stdatomic.h>

#include "store/verbs.h"

/* A task as the rules see it. */
typedef struct TaskRow {
        int64_t id; /* 0: none */
        int64_t type;
        int status;
        bool is_test;
        int64_t created_at, completed_at;
        int64_t document, response; /* deliveries; 0: none. Without a revision the response is the failure
                                     * of an attachment */
        int64_t revision, revisions;
        int64_t last_event;
        int64_t submission; /* 0: not ours */
        int64_t due_at;     /* TIME_NONE only where it never was pending */
        bool described;     /* not kept: what its document says of it was just taken over */
} TaskRow;

/* A row of the log. */
typedef struct DeliveryRow {
        int64_t n;
        const StoreDelivery *delivery;
        Verdict verdict;
        int64_t type, task;
        int64_t revision;
        int64_t fingerprint; /* 0: a revision stands on it */
} DeliveryRow;

/* A submission as the rules see it. */
typedef struct SubmissionRow {
        int64_t n; /* 0: none */
        char id[SUBMISSION_ID_SIZE];
        int64_t type;
        SubmissionState state;
        int64_t task;    /* 0: none */
        int64_t failure; /* a delivery; 0: none */
        int64_t expires_at;
} SubmissionRow;

typedef struct EventRow {
        EventKind kind;
        int64_t time;
        int64_t type;
        int64_t task;           /* 0: none */
        int status;             /* _TASK_STATUS_INVALID: it is not about a task's state */
        int64_t revision;       /* 0: none */
        int64_t delivery;       /* 0: none */
        const char *named;      /* a task_id that is no task of ours; NULL: none */
        const char *submission; /* NULL: none, or known by the task */
} EventRow;

/* A delivery that may be old enough to be deleted. */
typedef struct OldRow {
        int64_t n, verdict, repeats;
        bool stands; /* it is a task's, or says why there is none */
} OldRow;

/* The rows of the log and of tasks. */
typedef struct StoreRows {
        /* Types of tasks, made if need be. */
        int (*find_type)(Store *s, const char *name, int64_t *ret);

        /* Tasks. `before` is NULL for a new one; `delivery` has its id, and its metadata where the task is
         * `described`. */
        int (*find_task)(Store *s, const char *task_id, TaskRow *ret);
        int (*find_task_of_ref)(Store *s, const char *ref, TaskRow *ret);
        int (*get_task)(Store *s, int64_t id, TaskRow *ret);
        int (*save_task)(
                        Store *s, const TaskRow *before, const TaskRow *task, const StoreDelivery *delivery);

        /* Revisions: a response that a task has, by its digest. */
        int (*find_revision)(Store *s, int64_t task, const uint8_t *digest, int64_t *ret_number,
                        int64_t *ret_delivery);
        int (*add_revision)(Store *s, int64_t task, int64_t number, int64_t delivery, int64_t completed_at,
                        const uint8_t *digest);
        int (*set_revision_time)(Store *s, int64_t task, int64_t number, int64_t completed_at);

        /* The log. find_delivery(): the first one on which no revision stands, with the same bytes and
         * verdict; where the delivery names no task, its reference has to be the same too. */
        int (*add_delivery)(Store *s, const DeliveryRow *row);
        int (*find_delivery)(Store *s, int64_t fingerprint, Verdict verdict, const StoreDelivery *delivery,
                        int64_t *ret_n, int64_t *ret_revision);
        int (*is_body)(Store *s, int64_t n, const void *body, size_t size);
        int (*get_verdict)(Store *s, int64_t n, Verdict *ret);
        int (*count_repeat)(Store *s, int64_t n, Verdict verdict, int64_t at);
        /* What delivery n is about, where `task` and `type` (0: not known) don't say it. */
        int (*get_names)(Store *s, int64_t n, int64_t task, int64_t type, StoreOutcome *ret);
        int (*add_event)(Store *s, const EventRow *event);

        /* The quarantine. */
        int (*add_quarantined)(Store *s, int64_t n);
        int (*get_quarantined)(Store *s, uint64_t n, bool *ret_discarded, int64_t *ret_repeats);
        int (*discard)(Store *s, uint64_t n, uint64_t superseded_by, int64_t repeats);

        /* Retention: the time that was counted, and when that was noted; a mark ties the newest delivery to
         * it, and old marks are thinned. The newest delivery of a mark as old as `counted`. */
        int (*get_time)(Store *s, uint64_t *ret_counted, int64_t *ret_noted_at);
        int (*set_time)(Store *s, uint64_t counted, int64_t noted_at);
        int (*find_mark)(Store *s, uint64_t counted, uint64_t *ret_n);
        int (*find_old)(Store *s, uint64_t after, uint64_t upto, unsigned limit, OldRow *ret,
                        unsigned *ret_n);
        int (*drop_delivery)(Store *s, const OldRow *old);
} StoreRows;

/* The rows of the outbox. */
typedef struct StoreOutboxRows {
        /* Submissions. move: as StoreMove says; what is no longer sure to have left has no failure, and who
         * comes to an end isn't to be canceled. */
        int (*find_submission)(Store *s, const char *id, SubmissionRow *ret);
        int (*get_submission)(Store *s, int64_t n, SubmissionRow *ret);
        int (*find_key)(Store *s, const char *key, char ret_id[static SUBMISSION_ID_SIZE],
                        uint8_t ret_digest[static CALLBACK_DIGEST_SIZE]);
        int (*add_submission)(Store *s, const StoreSubmission *submission, int64_t type);
        int (*move_submission)(Store *s, const SubmissionRow *row, const StoreMove *move);
        int (*accept_submission)(
                        Store *s, const SubmissionRow *row, int64_t task, unsigned status, int64_t now);
        int (*set_failure)(Store *s, int64_t n, int64_t failure);
        int (*set_cancel)(Store *s, int64_t n, bool wanted, int64_t now);
        int (*end_cancel)(Store *s, int64_t n);
        int (*flush_submissions)(Store *s, SubmissionState state, int64_t now, uint64_t *ret_n);
        int (*recover_submissions)(Store *s, int64_t now, int64_t ended_at, int64_t grace, uint64_t *ret_n);
        int (*doubt_submissions)(Store *s, const StoreDoubt *doubt, uint64_t *ret_n);

        /* URLs of attachments: whether they can be found; the oldest open submission that has all of these.
         */
        int (*open_attachments)(Store *s, int64_t submission, bool open);
        int (*drop_attachments)(Store *s, int64_t submission);
        int (*find_attachments)(Store *s, const char *const *urls, size_t n, SubmissionRow *ret);

        /* What the API said of a submission's task, until that has a document of its own. */
        int (*keep_snapshot)(Store *s, int64_t submission, const void *body, size_t size);
        int (*drop_snapshot)(Store *s, int64_t submission);

        /* The queue as a whole; tasks sent on a day with a live key. */
        int (*get_queue)(Store *s, QueueHold *ret, int64_t *ret_since);
        int (*set_queue)(Store *s, QueueHold hold, const char *reason, int64_t since);
        int (*count_live)(Store *s, int64_t day, int by);
} StoreOutboxRows;

typedef struct StoreDriver {
        /* Opens or creates the database at a location of its own kind: see store_open(). */
        int (*open)(const char *location, StoreRole role, Store **ret, char **ret_error);
        Store *(*close)(Store *s);
        const char *(*error)(const Store *s);

        /* Groups. `begin` sets the newest numbers in Store. */
        int (*begin)(Store *s, StoreChange *const *changes, size_t n);
        int (*commit)(Store *s);
        void (*rollback)(Store *s);
        bool (*at_fault)(const Store *s);

        /* Between groups. Whether there is a point in writing; something of no consequence is written, to
         * see whether it can be done; whatever keeps the database in order, in small pieces. 0 or negative
         * errno, of which -EIDRM and -ENOTRECOVERABLE are for good. */
        int (*check)(Store *s);
        int (*probe)(Store *s);
        int (*tend)(Store *s);
        void (*count)(const Store *s, StoreCounts *ret);

        /* 1: the database is a copy that was put back, as of *ret_at; that was seen to. */
        int (*take_copied)(Store *s, int64_t *ret_at);

        const StoreRows *rows;
        const StoreOutboxRows *outbox;
        const struct StoreReading *reading;
} StoreDriver;

/* What every driver's writer begins with. */
struct Store {
        const StoreDriver *driver;

        /* The newest numbers, within the group; last_event: as committed. */
        int64_t delivery, task, event;
        uint64_t last_event;
        bool in_group;

        /* How it stands: see store.c. */
        StoreState state;
        int failure;
        char reason[STORE_REASON_MAX];
        uint64_t checked; /* monotonic; 0: never */
        atomic_uint_fast64_t min_free;

        /* The time that was counted when the monotonic clock was `counted_at`: see retention.c. */
        bool counts;
        uint64_t counted, counted_at;
};

/* Reading: each function as its namesake in store.h and outbox.h. */
typedef struct StoreReading {
        int (*open)(const char *location, uint64_t time_limit, StoreReader **ret, char **ret_error);
        StoreReader *(*close)(StoreReader *r);
        const char *(*error)(const StoreReader *r);
        void (*interrupt)(StoreReader *r);
        int (*changed)(StoreReader *r);
        int (*get_stats)(StoreReader *r, StoreStats *ret);

        int (*get_task)(StoreReader *r, const char *task_id, StoreTaskFn fn, void *userdata);
        int (*list_tasks)(StoreReader *r, const TaskFilter *filter, StoreTaskFn fn, void *userdata,
                        TaskPage *ret);
        int (*list_revisions)(StoreReader *r, const char *task_id, unsigned after, unsigned limit,
                        StoreRevisionFn fn, void *userdata);
        int (*list_deliveries)(StoreReader *r, Verdict verdict, const char *task_id, uint64_t after,
                        unsigned limit, StoreDeliveryFn fn, void *userdata);
        int (*list_deliveries_back)(StoreReader *r, Verdict verdict, const char *task_id, uint64_t before,
                        unsigned limit, StoreDeliveryFn fn, void *userdata);
        int (*get_delivery)(StoreReader *r, uint64_t n, bool with_body, StoreDeliveryFn fn, void *userdata);
        int (*list_events)(StoreReader *r, uint64_t after, unsigned limit, bool with_task, StoreEventFn fn,
                        void *userdata);
        int (*get_event_time)(StoreReader *r, uint64_t seq, int64_t *ret);

        int (*get_submission)(StoreReader *r, const char *id, bool with_params, StoreSubmissionFn fn,
                        void *userdata);
        int (*list_submissions)(StoreReader *r, SubmissionState state, uint64_t after, unsigned limit,
                        StoreSubmissionFn fn, void *userdata);
        int (*list_submissions_back)(StoreReader *r, SubmissionState state, uint64_t before, unsigned limit,
                        StoreSubmissionFn fn, void *userdata);
        int (*list_due)(StoreReader *r, SubmissionState state, int64_t now, unsigned limit,
                        StoreSubmissionFn fn, void *userdata);
        int (*get_next_due)(StoreReader *r, SubmissionState state, int64_t *ret);
        int (*list_cancel_wanted)(StoreReader *r, uint64_t after, unsigned limit, StoreSubmissionFn fn,
                        void *userdata);
        int (*get_queue)(StoreReader *r, int64_t now, StoreQueue *ret);
        int (*find_task_of_submission)(
                        StoreReader *r, const char *id, char ret_task_id[static CALLBACK_ID_MAX + 1]);
        int (*list_pending_tasks)(StoreReader *r, int64_t due_before, int64_t after_due, uint64_t after_id,
                        unsigned limit, StorePendingFn fn, void *userdata);
} StoreReading;

/* What every driver's reader begins with. */
struct StoreReader {
        const StoreReading *reading;
};

/* store_open() with a driver, whatever the location. */
int store_open_with(const StoreDriver *driver, const char *location, StoreRole role, Store **ret,
                char **ret_error);

/* The embedded one. */
extern const StoreDriver sqlite_driver;

/* record.c: an event, with the next number. */
int store_add_event(Store *s, const EventRow *event);

/* Of bytes, to find them again; never 0. */
int64_t store_fingerprint(const void *body, size_t size);
