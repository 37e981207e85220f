/*
 * The writer: one connection, one group (transaction) at a time.
 *
 * What it guarantees. store_commit() gives 0 only after the WAL with all of the group was synced. A group of
 * which anything failed leaves nothing: neither rows nor numbers, neither counters nor names, in the file as
 * in memory. Numbers are read anew at the start of every group, so nothing has to be believed from one to
 * the next.
 *
 * After a failed sync the handle refuses everything (see error.c). After "no room" it is as good as
 * before.
 *
 * Checkpoints never come by themselves: the caller decides when (see maintain.c).
 */

#include "store/sqlite/writer.h"
#include "store/sqlite/read.h"

#include <inttypes.h>
#include <stdio.h>

/* Larger pages were measured: slower for small groups, and no faster for large ones. */
#define PAGE_SIZE          4096
#define WAL_FRAME_HEADER   24U
#define OPEN_WAIT_MSEC     60000    /* for another process that is changing the schema */
#define JOURNAL_SIZE_LIMIT 67108864 /* bytes that the file of the WAL keeps when it starts over */

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

static int require(Connection *c, const char *pragma, int64_t wanted)
{
        char what[128];
        int64_t v = -1;
        int r;

        snprintf(what, sizeof(what), "Could not read %s back from", pragma);
        r = connection_get(c, pragma, what, &v);
        if (r < 0)
                return r;
        if (v != wanted)
                return connection_refuse(c, -EIO,
                                "%s: SQLite does not keep to %s, so nothing could be promised to be on "
                                "disk.",
                                c->path, pragma);
        return 0;
}

/* In WAL mode, or an error: some file systems can't do it. */
static int require_wal(Connection *c)
{
        int64_t is_wal = 0;
        int r;

        r = connection_run(c, "PRAGMA journal_mode = WAL", "Could not set the write-ahead log of");
        if (r >= 0)
                r = connection_get(c, "SELECT journal_mode = 'wal' FROM pragma_journal_mode",
                                "Could not read the journal's mode of", &is_wal);
        if (r < 0)
                return r;
        if (!is_wal)
                return connection_refuse(c, -EIO,
                                "%s can't have a write-ahead log: put it on a local file system.", c->path);
        return 0;
}

static int configure(Connection *c)
{
        int r;

        /* Deleted bodies are overwritten, which is what somebody who deletes them expects. */
        r = connection_run(c,
                        "PRAGMA synchronous = FULL;"
                        "PRAGMA wal_autocheckpoint = 0;"
                        "PRAGMA secure_delete = ON;"
                        "PRAGMA journal_size_limit = " STRING(JOURNAL_SIZE_LIMIT),
                        "Could not set up");
        if (r >= 0)
                r = require_wal(c);
        if (r >= 0)
                r = require(c, "PRAGMA synchronous", 2);
        return r;
}

static int on_wal(void *userdata, _unused_ sqlite3 *db, _unused_ const char *name, int frames)
{
        SqliteStore *s = userdata;

        if ((uint64_t)frames < s->frames)
                s->frames_done = 0; /* it started over */
        s->frames = (uint64_t)frames;
        return SQLITE_OK;
}

static int read_numbers(SqliteStore *s)
{
        _cleanup_query_ Query q = store_query(s, W_NUMBERS);
        const void *link;
        size_t size;
        int r;

        r = query_step(&q, "Could not read the numbers of");
        if (r < 0)
                return r;
        s->base.delivery = query_column(&q, 0);
        s->base.task = query_column(&q, 1);
        s->base.event = query_column(&q, 2);
        link = query_column_blob(&q, 3, &size);
        if (!chain_decode(link, size, &s->link))
                s->link = (ChainLink){}; /* nothing stands before the next one then */
        return 0;
}

/* With the write lock held: processes that start together set up one after the other. */
static int prepare(SqliteStore *s, bool *ret_turned_back)
{
        Connection *c = &s->connection;
        int64_t page_size = 0;
        int version, r;

        r = connection_identify(c, &version);
        if (r >= 0 && version == 0)
                r = connection_run(c, "PRAGMA page_size = " STRING(PAGE_SIZE), "Could not set up");
        if (r >= 0)
                r = configure(c);
        if (r >= 0)
                r = connection_migrate(c);
        if (r >= 0)
                r = statements_prepare(c, store_writer_sql, s->statements, _W_MAX);
        if (r >= 0)
                r = statements_prepare(c, outbox_writer_sql, s->outbox, _OW_MAX);
        if (r >= 0)
                r = read_numbers(s);
        if (r >= 0)
                r = connection_get(c, "PRAGMA page_size", "Could not read", &page_size);
        if (r < 0)
                return r;

        if (version >= CHAIN_SINCE)
                r = chain_is_turned_back(s, ret_turned_back);
        if (r < 0)
                return r;
        if (!*ret_turned_back) /* else once that is on disk */
                chain_note(s);

        s->page_size = (uint64_t)page_size;
        s->base.last_event = (uint64_t)s->base.event;
        (void)sqlite3_wal_hook(c->db, on_wal, s);

        /* What an earlier process left in the WAL; a reader in the way is nobody's fault. */
        r = checkpoint_empty_log(s);
        return r == -EBUSY ? 0 : r;
}

/* The database is this process's in its role, and it holds the write lock. Without `make` there may be
 * nothing to take, and then nobody who has it. */
static int store_take(SqliteStore *s, StoreRole role, bool make)
{
        Connection *c = &s->connection;
        int r;

        if (s->write_lock.fd >= 0)
                return 0;
        r = write_lock_open(&s->write_lock, c, make);
        if (r < 0)
                return r == -ENOENT && !make ? 0 : r;
        r = write_lock_take_role(&s->write_lock, c, role);
        return r < 0 ? r : write_lock_take(&s->write_lock, c, OPEN_WAIT_MSEC);
}

static int store_setup(SqliteStore *s, const char *path, StoreRole role)
{
        Connection *c = &s->connection;
        bool turned_back = false;
        int version, r;

        c->path = strdup(path);
        if (!c->path)
                return connection_refuse(c, -ENOMEM, "Could not open the database: out of memory.");
        r = files_prepare(c, path);
        if (r >= 0)
                r = store_take(s, role, false);
        if (r >= 0)
                r = chain_check(path, c);
        if (r < 0)
                return r;
        r = connection_open(c, path, SQLITE_OPEN_READWRITE);
        if (r < 0)
                return r;
        if (sqlite3_db_readonly(c->db, "main") != 0)
                return connection_refuse(c, -EACCES,
                                "%s can be read but not written: it must be writable for this user.", path);

        /* Beside what isn't ours nothing is made. */
        r = connection_identify(c, &version);
        if (r >= 0)
                r = store_take(s, role, true);
        if (r >= 0)
                r = prepare(s, &turned_back);
        if (r >= 0)
                r = files_open(s);
        if (r >= 0)
                files_clean(path);
        if (r >= 0 && turned_back)
                r = chain_mark_turned_back(s);
        write_lock_release(&s->write_lock);
        if (r < 0)
                return r;
        r = checkpoint_helper_start(path, &s->helper);
        return r < 0 ? connection_refuse(c, r, "Could not start the helper for %s: %s.", path, strerror(-r))
                     : 0;
}

static Store *sqlite_close(Store *store)
{
        SqliteStore *s = sqlite_of(store);

        checkpoint_helper_stop(s->helper);
        statements_done(s->statements, _W_MAX);
        statements_done(s->outbox, _OW_MAX);
        connection_done(&s->connection);
        write_lock_close(&s->write_lock);
        files_close(&s->files);
        free(s);
        return NULL;
}

static int sqlite_open(const char *path, StoreRole role, Store **ret, char **ret_error)
{
        SqliteStore *s = calloc(1, sizeof(SqliteStore));
        int r;

        if (!s)
                return -ENOMEM;
        s->base.driver = &sqlite_driver;
        s->write_lock = WRITE_LOCK_INIT;

        r = store_setup(s, path, role);
        if (r < 0) {
                *ret_error = strdup(s->connection.error);
                sqlite_close(&s->base);
                return r;
        }
        *ret = &s->base;
        return 0;
}

static const char *sqlite_error(const Store *store)
{
        return sqlite_of(store)->connection.error;
}

static bool sqlite_at_fault(const Store *store)
{
        return sqlite_of(store)->connection.at_fault;
}

static void sqlite_count(const Store *store, StoreCounts *ret)
{
        const SqliteStore *s = sqlite_of(store);

        *ret = (StoreCounts){ .wal_bytes = writer_wal_size(s), .checkpoints = s->checkpoints };
}

uint64_t writer_wal_size(const SqliteStore *s)
{
        return (s->frames - MIN(s->frames, s->frames_done)) * (s->page_size + WAL_FRAME_HEADER);
}

/* What a group gathers in memory. */
static void forget_group(SqliteStore *s)
{
        s->goes_on = false;
        s->n_deltas = 0;
        memset(s->verdicts, 0, sizeof(s->verdicts));
        memset(s->repeats, 0, sizeof(s->repeats));
        memset(s->submissions, 0, sizeof(s->submissions));
        write_lock_release(&s->write_lock);
}

int writer_begin(SqliteStore *s)
{
        Query begin = QUERY(&s->connection, s->statements[W_BEGIN]);
        int r;

        s->connection.at_fault = false;
        if (s->connection.lost)
                return s->files.moved ? -EIDRM : -ENOTRECOVERABLE;

        r = write_lock_take(&s->write_lock, &s->connection, STORE_BUSY_MSEC);
        if (r < 0)
                return r;
        r = files_check(s);
        if (r >= 0)
                r = query_run(&begin, "Could not begin to write to");
        if (r < 0) {
                write_lock_release(&s->write_lock);
                return r;
        }
        s->changes = sqlite3_total_changes64(s->connection.db);

        r = read_numbers(s);
        if (r < 0)
                writer_rollback(s);
        return r;
}

int writer_commit(SqliteStore *s)
{
        Query commit = QUERY(&s->connection, s->statements[W_COMMIT]);
        int r;

        r = connection_check_memory(&s->connection, rows_flush_counters(s));
        if (r >= 0 && sqlite3_total_changes64(s->connection.db) != s->changes)
                r = chain_go_on(s);
        if (r >= 0)
                r = query_run(&commit, "Could not commit to");
        if (r >= 0)
                chain_note(s);
        if (r >= 0)
                r = files_check(s); /* else it is synced, and nobody will ever find it */
        if (r < 0)
                return r;

        forget_group(s);
        return 0;
}

void writer_rollback(SqliteStore *s)
{
        Query rollback = QUERY(&s->connection, s->statements[W_ROLLBACK]);

        /* SQLite has ended it by itself after some errors. A rollback that fails leaves nothing either: what
         * is in the WAL without a commit does not count. */
        if (!sqlite3_get_autocommit(s->connection.db))
                query_try(&rollback);
        s->connection.no_memory = false;
        s->n_types = 0; /* some may have been of this group */
        forget_group(s);
}

int writer_probe(SqliteStore *s)
{
        int r;

        r = writer_begin(s);
        if (r < 0)
                return r;
        r = chain_go_on(s);
        if (r >= 0)
                r = writer_commit(s);
        if (r < 0)
                writer_rollback(s);
        return r;
}

/* Whether there is a point in writing. */
static int sqlite_check(Store *store)
{
        SqliteStore *s = sqlite_of(store);
        Connection *c = &s->connection;
        uint64_t free_bytes, wanted = store_min_free(store);
        int r;

        r = writer_check_files(s);
        if (r == -EIDRM)
                return r;
        r = store_free_space(c->path, &free_bytes);
        if (r < 0)
                return connection_refuse(
                                c, r, "the free space beside %s can't be read: %s", c->path, strerror(-r));
        if (free_bytes < wanted)
                return connection_refuse(c, -ENOSPC,
                                "%" PRIu64
                                " KiB are free beside the database, [store] min_free asks for %" PRIu64
                                " KiB",
                                free_bytes / 1024, wanted / 1024);
        return 0;
}

/* The driver. */

static int sqlite_begin(Store *store, _unused_ StoreChange *const *changes, _unused_ size_t n)
{
        return writer_begin(sqlite_of(store));
}

static int sqlite_commit(Store *store)
{
        return writer_commit(sqlite_of(store));
}

static void sqlite_rollback(Store *store)
{
        writer_rollback(sqlite_of(store));
}

static int sqlite_probe(Store *store)
{
        return writer_probe(sqlite_of(store));
}

static int sqlite_tend(Store *store)
{
        return checkpoint_tend(sqlite_of(store));
}

const StoreDriver sqlite_driver = {
        .open = sqlite_open,
        .close = sqlite_close,
        .error = sqlite_error,
        .begin = sqlite_begin,
        .commit = sqlite_commit,
        .rollback = sqlite_rollback,
        .at_fault = sqlite_at_fault,
        .check = sqlite_check,
        .probe = sqlite_probe,
        .tend = sqlite_tend,
        .count = sqlite_count,
        .take_copied = sqlite_take_copied,
        .rows = &sqlite_rows,
        .outbox = &sqlite_outbox_rows,
        .reading = &sqlite_reading,
};
