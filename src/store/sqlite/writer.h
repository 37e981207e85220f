#pragma once

/* The writer: its files, its numbers, and the rows as it sees them. */

#include <stdatomic.h>
#include <sys/stat.h>

#include "store/driver.h"
#include "store/sqlite/connection.h"
#include "store/sqlite/sql.h"
#include "store/sqlite/write-lock.h"

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

typedef struct SqliteStore {
        Store base;
        Connection connection;
        sqlite3_stmt *statements[_W_MAX], *outbox[_OW_MAX];
        WriteLock write_lock;
        Files files;

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
} SqliteStore;

static inline SqliteStore *sqlite_of(const Store *store)
{
        return container_of(store, SqliteStore, base);
}

static inline Query store_query(SqliteStore *s, WriterStatement statement)
{
        return QUERY(&s->connection, s->statements[statement]);
}

static inline Query outbox_query(SqliteStore *s, OutboxWriterStatement statement)
{
        return QUERY(&s->connection, s->outbox[statement]);
}

/* files.c */

/* Before opening: makes the database where there is none, refuses what can't be one. */
int files_prepare(Connection *c, const char *path);

/* With the write lock held, once the WAL is there. */
int files_open(SqliteStore *s);
void files_close(Files *f);

/* With the write lock held. 0; -EIDRM, for good: see store.h; negative errno: it can't be told. */
int files_check(SqliteStore *s);

/* Removes what a backup or a restore that was killed has left beside the database. */
void files_clean(const char *path);

/* chain.c */

/* False: it is none, or not whole. */
bool chain_decode(const void *p, size_t size, ChainLink *ret);

/* Within a group: the link behind the one that the group began with. */
int chain_go_on(SqliteStore *s);

/* The group was committed, or there was none yet: notes the newest link beside the database. */
void chain_note(SqliteStore *s);

/* The same in a transaction that is no group. Nothing is noted. */
int chain_go_on_alone(Connection *c);

/* Before anything is opened, with the write lock held if there is one: whether the database and the log
 * beside it belong together. 0; -EBADMSG with a sentence in `c`: they don't; negative errno. */
int chain_check(const char *path, Connection *c);

/* At the start, before the log is brought over: whether this is not the database that was last written to
 * here, nor one that goes on from that: so somebody put another in its place. 0 or negative errno. */
int chain_is_turned_back(SqliteStore *s, bool *ret);

/* Within a group: see StoreDriver. */
int sqlite_take_copied(Store *store, int64_t *ret_at);

/* Outside a group: makes it one of which that says so. */
int chain_mark_turned_back(SqliteStore *s);

/* The database at `target` is a finished copy, which nobody else has open: makes it one that says so, in one
 * file. TIME_NONE where it isn't known when it was made: then it may say so already. Leaves `c` open. */
int chain_mark_copy(const char *target, int64_t at, Connection *c);

/* checkpoint.c */

/* The writer's part of a checkpoint: brings what is left into the database so that the WAL starts over.
 * Outside a group. Waits for readers no longer than that. 0; -EBUSY: a reader is in the way, later. */
int checkpoint_finish(SqliteStore *s, unsigned wait_msec);

/* The same without waiting, and nothing stays in the log's file. */
int checkpoint_empty_log(SqliteStore *s);

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
int checkpoint_tend(SqliteStore *s);

/* writer.c: a group. */
int writer_begin(SqliteStore *s);
int writer_commit(SqliteStore *s);
void writer_rollback(SqliteStore *s);
uint64_t writer_wal_size(const SqliteStore *s);

/* Outside a group. Whether the files are still those that were opened: 0, -EIDRM, negative errno
 * where it can't be told. Writes something of no consequence, to see whether it can be done. */
int writer_check_files(SqliteStore *s);
int writer_probe(SqliteStore *s);

/* rows.c, outbox.c: what the rules ask for. */
extern const StoreRows sqlite_rows;
extern const StoreOutboxRows sqlite_outbox_rows;

/* Brings the counters of a group into the database, before it commits. */
int rows_flush_counters(SqliteStore *s);
