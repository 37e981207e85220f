#pragma once

/* The writer: its files, its numbers, and the rows as it sees them. */

#include <stdatomic.h>
#include <sys/stat.h>

#include "store/sqlite/connection.h"
#include "store/sqlite/sql.h"
#include "store/sqlite/write-lock.h"
#include "store/verbs.h"

/* files.c: whether the files still have their names. */

typedef struct FileId {
        dev_t device;
        ino_t inode;
} FileId;

typedef struct Files {
        FileId database, wal, shm;
        char *wal_path, *shm_path; /* owned */
        bool moved;                /* they were found to be others' */
} Files;

#define CHAIN_LINK_SIZE 40U
#define CHAIN_SINCE     3 /* the step of the schema that brought it */

typedef struct ChainLink {
        uint8_t value[CHAIN_VALUE_SIZE];
        uint8_t previous[CHAIN_VALUE_SIZE]; /* zeros: it is the first of its database */
} ChainLink;

/* The writer. */

#define STORE_DELTAS_MAX 128U

/* A change of counters, gathered for a group. */
typedef struct StoreDelta {
        int64_t hour, type, count;
        int status;
        bool is_test;
} StoreDelta;

typedef struct StoreTypeName {
        int64_t id;
        char name[CALLBACK_TYPE_MAX + 1];
} StoreTypeName;

typedef struct CheckpointHelper CheckpointHelper;

struct Store {
        /* How it stands: see write.c. */
        StoreState state;
        int failure;
        char reason[STORE_ERROR_MAX];
        uint64_t checked; /* monotonic, the disk and the files; 0: never */
        atomic_uint_fast64_t min_free;

        Connection connection;
        sqlite3_stmt *statements[_W_MAX], *outbox[_OW_MAX];
        WriteLock write_lock;
        Files files;
        bool in_group;

        /* The newest numbers, within the group; last_event: as committed. */
        int64_t delivery, task, event;
        uint64_t last_event;

        ChainLink link, next_link; /* as the group found it; to be the newest when it is committed */
        bool goes_on;              /* there is a next one */
        int64_t changes;           /* of the connection, when the group began */

        StoreDelta deltas[STORE_DELTAS_MAX];
        size_t n_deltas;
        int64_t verdicts[_VERDICT_MAX], repeats[_VERDICT_MAX];
        int64_t submissions[_SUBMISSION_STATE_MAX];

        StoreTypeName types[STORE_TYPES_OWN]; /* of their own kind; known to be in the database, or in this
                                                 group */
        size_t n_types;

        uint64_t page_size, frames, frames_done; /* of the WAL: there, and already brought over */
        CheckpointHelper *helper;
        uint64_t busy_since; /* monotonic: readers keep the WAL from starting over; 0: they don't */
        uint64_t checkpoints;

        /* The time that was counted when the monotonic clock was `counted_at`; see age.c. */
        bool counts;
        uint64_t counted, counted_at;
};

static inline Query store_query(Store *s, WriterStatement statement)
{
        return QUERY(&s->connection, s->statements[statement]);
}

static inline Query outbox_query(Store *s, OutboxWriterStatement statement)
{
        return QUERY(&s->connection, s->outbox[statement]);
}

/* files.c */

/* Before opening: makes the database where there is none, refuses what can't be one. */
int files_prepare(Connection *c, const char *path);

/* With the write lock held, once the WAL is there. */
int files_open(Store *s);
void files_close(Files *f);

/* With the write lock held. 0; -EIDRM, for good: see store.h; negative errno: it can't be told. */
int files_check(Store *s);

/* Removes what a backup or a restore that was killed has left beside the database. */
void files_clean(const char *path);

/* chain.c */

/* False: it is none, or not whole. */
bool chain_decode(const void *p, size_t size, ChainLink *ret);

/* Within a group: the link behind the one that the group began with. */
int chain_go_on(Store *s);

/* The group was committed, or there was none yet: notes the newest link beside the database. */
void chain_note(Store *s);

/* The same in a transaction that is no group. Nothing is noted. */
int chain_go_on_alone(Connection *c);

/* Before anything is opened, with the write lock held if there is one: whether the database and the log
 * beside it belong together. 0; -EBADMSG with a sentence in `c`: they don't; negative errno. */
int chain_check(const char *path, Connection *c);

/* At the start, before the log is brought over: whether this is not the database that was last written to
 * here, nor one that goes on from that: so somebody put another in its place. 0 or negative errno. */
int chain_is_turned_back(Store *s, bool *ret);

/* Outside a group: makes it one of which store_take_copied() says so. */
int chain_mark_turned_back(Store *s);

/* The database at `target` is a finished copy, which nobody else has open: makes it one that says so, in one
 * file. TIME_NONE where it isn't known when it was made: then it may say so already. Leaves `c` open. */
int chain_mark_copy(const char *target, int64_t at, Connection *c);

/* checkpoint.c */

/* The writer's part of a checkpoint: brings what is left into the database so that the WAL starts over.
 * Outside a group. Waits for readers no longer than that. 0; -EBUSY: a reader is in the way, later. */
int checkpoint_finish(Store *s, unsigned wait_msec);

/* The same without waiting, and nothing stays in the log's file. */
int checkpoint_empty_log(Store *s);

/* The helper's part: a connection of its own that checkpoints beside the writer, from another thread. */
typedef struct Checkpointer Checkpointer;
int checkpointer_open(const char *path, Checkpointer **ret);
int checkpointer_run(Checkpointer *c);
Checkpointer *checkpointer_close(Checkpointer *c);
DEFINE_CLEANUP(Checkpointer *, checkpointer_close)

/* The thread that does that when it is asked. */
int checkpoint_helper_start(const char *path, CheckpointHelper **ret);
CheckpointHelper *checkpoint_helper_stop(CheckpointHelper *helper);
DEFINE_CLEANUP(CheckpointHelper *, checkpoint_helper_stop)

/* Outside a group: has the WAL kept short. 0; -ENOTRECOVERABLE and -EIDRM, which are for good; any other
 * negative errno: later. */
int checkpoint_tend(Store *s);

/* writer.c: outside a group. Whether the files are still those that were opened: 0, -EIDRM, negative errno
 * where it can't be told. Writes something of no consequence, to see whether it can be done. */
int writer_check_files(Store *s);
int writer_probe(Store *s);

/* task.c: the writer's view of a task. */

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
        bool described;     /* not a column: what its document says of it was just taken over */
} TaskRow;

/* The type's number, made if need be; 0 for NULL. */
int store_type_id(Store *s, const char *name, int64_t *ret);

/* 1: found, 0: not. */
int store_find_task(Store *s, const char *task_id, TaskRow *ret);
int store_find_task_of_ref(Store *s, const char *ref, TaskRow *ret);
int store_find_task_of_number(Store *s, int64_t id, TaskRow *ret);

/* Writes the row back: `before` is NULL for a new one. Keeps counters, metadata and what its submission
 * still has of it in step; the metadata is `d`'s when its document was taken over. */
int store_save_task(Store *s, const TaskRow *before, const TaskRow *task, const StoreDelivery *d);

/* Brings the counters of a group into the database, before it commits. */
int store_flush_tallies(Store *s);

/* outbox.c: the writer's view of a submission. */

typedef struct SubmissionRow {
        int64_t n; /* 0: none */
        char id[SUBMISSION_ID_SIZE];
        int64_t type;
        SubmissionState state;
        int64_t task;    /* 0: none */
        int64_t failure; /* a delivery; 0: none */
        int64_t expires_at;
} SubmissionRow;

/* 1: found, 0: not. */
int store_find_submission(Store *s, const char *id, SubmissionRow *ret);
int store_find_submission_of_number(Store *s, int64_t n, SubmissionRow *ret);

/* What it has only as long as its task is pending. */
int store_tidy_submission(Store *s, int64_t n);

/* It has this task. `status`: of the answer that said so; 0: none did. */
int store_settle_submission(Store *s, SubmissionRow *row, const TaskRow *task, unsigned status, int64_t now);

/* An attachment of it failed, as delivery `failure` says, and its task is not known yet. */
int store_fail_submission(Store *s, SubmissionRow *row, int64_t failure);

/* URLs and the submissions that they may be about. */

int store_add_attachments(Store *s, int64_t submission, const char *const *urls, size_t n);

/* Whether they can be found: there is, or may be, a pending task. */
int store_open_attachments(Store *s, int64_t submission, bool open);
int store_drop_attachments(Store *s, int64_t submission);

/* The oldest open submission that has all of these. 1: found, 0: none. */
int store_find_attachments(Store *s, const char *const *urls, size_t n, SubmissionRow *ret);

/* record.c: events, in words of the store. */

typedef struct StoreNews {
        EventKind kind;
        int64_t time;
        int64_t type;
        int64_t task;           /* 0: none */
        int status;             /* _TASK_STATUS_INVALID: it is not about a task's state */
        int64_t revision;       /* 0: none */
        int64_t delivery;       /* 0: none */
        const char *named;      /* a task_id that is no task of ours; NULL: none */
        const char *submission; /* NULL: none, or known by the task */
} StoreNews;

int store_add_event(Store *s, const StoreNews *news);

/* Of bytes, to find them again; never 0. */
int64_t store_fingerprint(const void *body, size_t size);
