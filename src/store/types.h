#pragma once

/* The store's nouns: what a delivery, a revision, an event is, whichever driver keeps them. */

#include "basic/macros.h"
#include "basic/time-util.h"
#include "task/callback.h"
#include "task/document.h"
#include "task/type.h"

#define STORE_REF_MAX    64U /* bytes of a submission's id in a callback's path */
#define STORE_LABEL_MAX  32U /* bytes of a key's label */
#define STORE_REMOTE_MAX 64U /* bytes of a client's address */

/* What was decided about a delivery. */
typedef enum Verdict {
        VERDICT_STORED,    /* the first response of its task */
        VERDICT_DUPLICATE, /* a response that its task already has */
        VERDICT_REVISED,   /* another response for a task that has one */
        VERDICT_INVALID,   /* the quarantine */
        VERDICT_ATTACHMENT_FAILURE,
        VERDICT_DISCARDED, /* was in the quarantine; an administrator's decision, or retried with success */
        _VERDICT_MAX,
        _VERDICT_ERRNO = -EINVAL,
} Verdict;

const char *verdict_to_string(Verdict v);
Verdict verdict_from_string(const char *s);

/* Where a delivery came from. */
typedef enum Source {
        SOURCE_CALLBACK,
        SOURCE_RECONCILE,
        SOURCE_BACKFILL,
        SOURCE_RETRY,
        _SOURCE_MAX,
        _SOURCE_ERRNO = -EINVAL,
} Source;

const char *source_to_string(Source v);

/* Asked for, again and again: it may be a snapshot of a task that has no response, and a duplicate is no
 * news. */
static inline bool source_is_poll(Source v)
{
        return v == SOURCE_RECONCILE || v == SOURCE_BACKFILL;
}
Source source_from_string(const char *s);

typedef enum EventKind {
        EVENT_TASK_SUBMITTED,
        EVENT_TASK_COMPLETED,
        EVENT_TASK_REVISED,
        EVENT_TASK_CANCELED,
        EVENT_ATTACHMENT_FAILED,
        EVENT_DELIVERY_INVALID,
        EVENT_SUBMISSION_REJECTED,
        EVENT_SUBMISSION_EXPIRED,
        EVENT_QUEUE_HELD,
        EVENT_QUEUE_RESUMED,
        _EVENT_KIND_MAX,
        _EVENT_KIND_ERRNO = -EINVAL,
} EventKind;

const char *event_kind_to_string(EventKind v);
EventKind event_kind_from_string(const char *s);

/* One entry to metadata's index: scalar values only, as text. Borrowed. */
typedef struct StoreMetadata {
        const char *key;
        const char *value;
} StoreMetadata;

#define STORE_METADATA_MAX \
        32U /* members of a task's metadata that can be searched for; more are kept, unindexed */

/* A delivery to be recorded. All pointers are borrowed until store_commit() or store_rollback(). */
typedef struct StoreDelivery {
        Source source;
        int64_t received_at;
        const char *key_label; /* NULL: none (a retry, a reconciliation) */
        const char *remote;    /* the client's address or "unix"; NULL: none */
        const char *ref;       /* {ref} of the path; NULL: none */
        const void *body;
        size_t body_size;
        unsigned status;      /* answered, should the verdict be what `proposed` says */
        uint64_t duration;    /* microseconds from the request's first line to here; informative */
        const char *problems; /* JSON array as text; NULL: none */

        /* VERDICT_STORED: a valid response, which the store refines to duplicate or revised;
         * VERDICT_INVALID, VERDICT_ATTACHMENT_FAILURE: as it is. */
        Verdict proposed;

        /* What is known of the task; for an invalid one only what could be read. */
        const char *task_id; /* NULL: names none */
        const char *type;    /* NULL: not known */
        TaskStatus task_status;
        bool is_test;
        bool unchecked;
        bool has_document;  /* the body has a `task` that is good to keep as the task's document */
        int64_t came_at;    /* where it differs from `received_at`: when what is tried again came; else 0 */
        int64_t created_at; /* TIME_NONE: that time is taken */
        int64_t completed_at; /* TIME_NONE: that time is taken */
        uint8_t digest[CALLBACK_DIGEST_SIZE];
        const StoreMetadata *metadata;
        size_t n_metadata;
        const char *submission; /* the id in the task's metadata (TASK_SUBMISSION_KEY); NULL: none */

        /* No callback, but a snapshot: what the API says of a task that has no response: pending, canceled
         * or failed. Only with VERDICT_STORED, and from a source that asks (reconcile, backfill). A task
         * that isn't known is made; a pending one that has come to an end changes; all else leaves no trace.
         */
        bool is_snapshot;
        int64_t due_at; /* of a pending task: when it should be done; TIME_NONE: a week after its creation */

        /* Of a failed attachment: the URLs. */
        const char *const *attachments;
        size_t n_attachments;

        uint64_t retry_of; /* the quarantined delivery that this one is another try of; 0: none */
} StoreDelivery;

/* What became of it. */
typedef struct StoreOutcome {
        Verdict verdict;
        uint64_t delivery; /* its number; for a repetition byte for byte, that of the first such delivery; 0:
                            * a duplicate from a source that asks again and again, which leaves no row */
        unsigned revision; /* the number of the response; 0: none */
        bool repeated;     /* counted on `delivery`, no new row */
        bool second_task;  /* its submission has another task: two were made, which should never be */

        /* Of a failed attachment whose body names no task: what it was found to be about. "": not known. */
        char task_id[CALLBACK_ID_MAX + 1], type[CALLBACK_TYPE_MAX + 1];
} StoreOutcome;

/* A delivery as read back. Pointers live until the callback that got them returns. */
typedef struct StoredDelivery {
        uint64_t n;
        int64_t received_at;
        Source source;
        Verdict verdict;
        unsigned status;
        const char *key_label; /* NULL: none */
        const char *remote;    /* NULL: none */
        const char *ref;       /* NULL: none */
        const char *task_id;   /* as named; NULL: none */
        const char *type;      /* NULL: not known */
        unsigned revision;     /* 0: none */
        uint64_t duration;
        uint64_t repeats;       /* how often the same bytes came again */
        int64_t last_repeat_at; /* TIME_NONE: never */
        uint64_t superseded_by; /* a retry with success; 0: none */
        bool unchecked;
        const char *problems; /* JSON array as text; NULL: none */
        size_t body_size;
        const void *body; /* only where asked for */
} StoredDelivery;

typedef struct StoredRevision {
        unsigned number;
        bool current;
        uint64_t delivery;
        int64_t received_at;
        int64_t completed_at;
        Source source;
        const void *body; /* of the delivery */
        size_t body_size;
} StoredRevision;

typedef struct StoredEvent {
        uint64_t seq;
        int64_t time;
        EventKind kind;
        const char *task_id;      /* NULL: none */
        const char *type;         /* NULL: not known */
        TaskStatus status;        /* _TASK_STATUS_INVALID: none */
        unsigned revision;        /* 0: none */
        uint64_t delivery;        /* 0: none */
        const char *submission;   /* NULL: none */
        const TaskDocument *task; /* only where asked for, and where there is one */
} StoredEvent;

/* A place in a list of tasks: "everything older than this"; along the feed, "everything behind this". */
typedef struct TaskCursor {
        int64_t created_at; /* along the feed: the number of the event */
        uint64_t id;
        uint64_t total; /* of the list, as its first page had it; 0: not known */
} TaskCursor;

/* Which tasks; unset members (0, NULL, TIME_NONE) don't restrict. */
typedef struct TaskFilter {
        int64_t start_time, end_time;  /* of created_at, inclusive; TIME_NONE: open */
        TaskStatus status;             /* _TASK_STATUS_INVALID: any */
        const char *type;              /* NULL: any */
        int is_test;                   /* -1: any */
        const StoreMetadata *metadata; /* all of them */
        size_t n_metadata;
        bool has_cursor;
        TaskCursor cursor; /* strictly after this place */
        /* Only tasks whose last event is later than this, in the order of these events; 0: all. */
        uint64_t after_seq;
        uint64_t until_seq; /* and not later than this; 0: than the newest one now */
        uint64_t offset;
        unsigned limit;     /* 1 to 1000 */
        bool without_total; /* nobody wants to know */
} TaskFilter;

typedef struct TaskPage {
        /* That match without cursor, offset and limit; with metadata, and along the feed, what the cursor
         * says. 0 where it is not wanted. */
        uint64_t total;
        bool has_more;
        TaskCursor next;    /* the last one given; valid when has_more */
        uint64_t until_seq; /* of the filter; with after_seq */
} TaskPage;

/* Types that are counted and listed each by itself: the first that came, those of the API among them. All
 * others are one kind together, with this name in figures. The number is in every database. */
#define STORE_TYPES_OWN    32
#define STORE_TYPES_OTHERS "other"

/* These, the others, and what has no type; each in every state, as test and not. */
#define STORE_STATS_TYPES_MAX ((STORE_TYPES_OWN + 2U) * _TASK_STATUS_MAX * 2U)

typedef struct StoreTypeCount {
        char type[CALLBACK_TYPE_MAX + 1];
        TaskStatus status;
        bool is_test;
        uint64_t n;
} StoreTypeCount;

typedef struct StoreStats {
        uint64_t tasks;
        StoreTypeCount by_type[STORE_STATS_TYPES_MAX]; /* the largest first */
        size_t n_by_type;
        uint64_t by_verdict[_VERDICT_MAX]; /* deliveries in the log, now; duplicates with their repeats */
        uint64_t deliveries;               /* the newest number */
        uint64_t events;                   /* the newest number */
        uint64_t database_bytes, wal_bytes, free_bytes; /* free: on the file system */
} StoreStats;
