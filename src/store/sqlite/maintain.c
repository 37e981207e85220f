/*
 * What keeps the file in order: checkpoints in two phases, pruning, copies.
 *
 * A checkpoint by itself would come in the middle of a group and let everybody wait. Here a helper's
 * connection copies the WAL back beside the writer, waiting for nobody; then the writer, between two groups,
 * brings over the small rest and lets the WAL start over. It starts over in place: the file keeps its size
 * (up to a limit), because writing over what is allocated syncs faster than growing does.
 *
 * A copy reads one snapshot from its first step to its last, so that the writer's commits don't make it
 * start again for ever; the price is that the WAL can't start over meanwhile, and grows.
 */

#include "store/sqlite/internal.h"

#include <inttypes.h>
#include <libgen.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "basic/time-util.h"

/* Checkpoints. */

static int checkpoint(Store *s, int mode, unsigned wait_msec)
{
        Connection *c = &s->connection;
        int frames = 0, done = 0, rc, r;
        bool had_turn;

        assert(!s->in_group);
        if (c->lost)
                return s->files.moved ? -EIDRM : -ENOTRECOVERABLE;

        /* Another process's groups are waited for like before a group of our own: a writer that is always
         * busy would never let the WAL start over. */
        had_turn = s->turn.taken;
        r = turn_take(&s->turn, c, STORE_BUSY_MSEC);
        if (r < 0)
                return r;

        /* At the start they are not known yet. */
        r = s->files.fd >= 0 ? files_check(s) : 0;
        if (r < 0) {
                if (!had_turn)
                        turn_give(&s->turn);
                return r;
        }

        (void)sqlite3_busy_timeout(c->db, (int)wait_msec);
        errno = 0;
        rc = sqlite3_wal_checkpoint_v2(c->db, NULL, mode, &frames, &done);
        if (rc != SQLITE_OK)
                r = connection_fail(c, "Could not checkpoint");
        (void)sqlite3_busy_timeout(c->db, STORE_BUSY_MSEC);
        if (!had_turn)
                turn_give(&s->turn);

        if (rc == SQLITE_OK)
                frames = done = 0; /* the next frame is the first one again */
        if (frames >= 0 && done >= 0) {
                s->frames = (uint64_t)frames;
                s->frames_done = (uint64_t)done;
        }
        return r;
}

int store_checkpoint(Store *s, unsigned wait_msec)
{
        return checkpoint(s, SQLITE_CHECKPOINT_RESTART, wait_msec);
}

int store_empty_log(Store *s)
{
        return checkpoint(s, SQLITE_CHECKPOINT_TRUNCATE, 0);
}

struct StoreCheckpointer {
        Connection connection;
};

int store_checkpointer_open(const char *path, StoreCheckpointer **ret)
{
        _cleanup_(store_checkpointer_closep) StoreCheckpointer *c = NULL;
        int version, r;

        c = calloc(1, sizeof(StoreCheckpointer));
        if (!c)
                return -ENOMEM;

        r = connection_open(&c->connection, path, SQLITE_OPEN_READWRITE, NULL);
        /* Its syncs are those that count before the WAL is written over. */
        if (r >= 0)
                r = connection_run(&c->connection,
                                "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0",
                                "Could not set up");
        /* Reads, too, which tells SQLite that there is a WAL. */
        if (r >= 0)
                r = connection_identify(&c->connection, &version);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

int store_checkpointer_run(StoreCheckpointer *c)
{
        if (c->connection.lost)
                return -ENOTRECOVERABLE;
        errno = 0;
        if (sqlite3_wal_checkpoint_v2(c->connection.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) !=
                        SQLITE_OK)
                return connection_fail(&c->connection, "Could not checkpoint");
        return 0;
}

StoreCheckpointer *store_checkpointer_close(StoreCheckpointer *c)
{
        if (!c)
                return NULL;

        connection_done(&c->connection);
        free(c);
        return NULL;
}

/* Pruning. */

typedef struct Old {
        int64_t n, verdict, repeats;
        bool stands; /* it is a task's, or says why there is none */
} Old;

static int drop(Store *s, const Old *old)
{
        static const WriterStatement statements[] = { W_DROP_DELIVERY, W_DROP_REPEAT, W_DROP_QUARANTINE };
        int r;

        FOREACH_ARRAY(i, statements, ELEMENTSOF(statements)) {
                Query q = store_query(s, *i);

                query_int(&q, old->n);
                r = query_run(&q, "Could not delete an old delivery from");
                if (r < 0)
                        return r;
        }
        s->verdicts[old->verdict]--;
        s->repeats[old->verdict] -= old->repeats;
        return 0;
}

static int find_old(Store *s, uint64_t after, uint64_t upto, unsigned limit, Old *ret, unsigned *ret_n)
{
        _cleanup_query_ Query q = store_query(s, W_FIND_OLD);
        unsigned n = 0;
        int r;

        query_int(&q, (int64_t)MIN(after, (uint64_t)INT64_MAX));
        query_int(&q, (int64_t)MIN(upto, (uint64_t)MAX(s->delivery - 1, 0))); /* never the newest */
        query_int(&q, (int64_t)limit);
        while ((r = query_step(&q, "Could not look for old deliveries in")) > 0) {
                ret[n] = (Old){ query_column(&q, 0), query_column(&q, 1), query_column(&q, 2),
                        query_column(&q, 3) != 0 };
                if (ret[n].verdict < 0 || ret[n].verdict >= _VERDICT_MAX)
                        return connection_refuse(&s->connection, -EUCLEAN,
                                        "Delivery %" PRId64 " has no verdict.", ret[n].n);
                n++;
        }
        if (r < 0)
                return r;
        *ret_n = n;
        return 0;
}

int store_prune_deliveries(Store *s, uint64_t *after, uint64_t upto, unsigned limit, uint64_t *ret_deleted,
                bool *ret_more)
{
        _cleanup_free_ Old *old = NULL;
        uint64_t deleted = 0;
        unsigned n = 0;
        int r;

        assert(s->in_group);
        assert(limit > 0);
        old = calloc(limit, sizeof(Old));
        if (!old)
                return -ENOMEM;

        r = find_old(s, *after, upto, limit, old, &n);
        if (r < 0)
                return r;
        FOREACH_ARRAY(i, old, n) {
                if (i->stands)
                        continue;
                r = drop(s, i);
                if (r < 0)
                        return r;
                deleted++;
        }
        if (n > 0)
                *after = (uint64_t)old[n - 1].n;
        *ret_deleted = deleted;
        *ret_more = n == limit;
        return 0;
}

/* Room. */

int store_free_space(const char *path, uint64_t *ret)
{
        _cleanup_free_ char *copy = NULL;
        struct statvfs st;

        if (statvfs(path, &st) < 0) {
                if (errno != ENOENT)
                        return -errno;
                copy = strdup(path);
                if (!copy)
                        return -ENOMEM;
                if (statvfs(dirname(copy), &st) < 0)
                        return -errno;
        }
        *ret = (uint64_t)st.f_bavail * st.f_frsize;
        return 0;
}

/* Copies. */

struct StoreBackup {
        Connection source, target;
        sqlite3_backup *backup; /* NULL once it has ended, as `result` says */
        char *path;             /* of the target */
        int64_t begun;          /* what came later is not in it */
        uint64_t size;
        int result;
};

static int check_target(Connection *c, const char *target)
{
        struct stat st;

        if (stat(target, &st) < 0)
                return errno == ENOENT ? 0
                                       : connection_refuse(c, -errno, "Could not look at %s: %s.", target,
                                                         strerror(errno));
        if (!S_ISREG(st.st_mode) || st.st_size > 0)
                return connection_refuse(
                                c, -EEXIST, "%s is there already: name a file that is not.", target);
        return 0;
}

static int open_target(StoreBackup *b, const char *target)
{
        int r;

        r = check_target(&b->target, target);
        if (r >= 0)
                r = connection_open(&b->target, target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
        if (r < 0)
                return r;
        /* A copy that isn't finished is thrown away, so there is nothing to roll back. The copy as a whole
         * is synced at the end. */
        if (sqlite3_db_config(b->target.db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL) != SQLITE_OK)
                return connection_fail(&b->target, "Could not set up");
        return connection_run(&b->target, "PRAGMA journal_mode = OFF; PRAGMA synchronous = FULL",
                        "Could not set up");
}

/* From here on the source stays as it is now, for us. */
static int open_source(StoreBackup *b, const char *path)
{
        int64_t pages = 0, page_size = 0;
        int version, r;

        r = connection_open(&b->source, path, SQLITE_OPEN_READONLY, NULL);
        if (r >= 0)
                r = connection_run(&b->source, "BEGIN", "Could not read");
        if (r >= 0)
                r = connection_identify(&b->source, &version);
        if (r >= 0)
                r = connection_get(&b->source, "PRAGMA page_count", "Could not read", &pages);
        if (r >= 0)
                r = connection_get(&b->source, "PRAGMA page_size", "Could not read", &page_size);
        b->size = (uint64_t)(pages * page_size);
        return r;
}

int store_backup_open(const char *path, const char *target, StoreBackup **ret, char **ret_error)
{
        _cleanup_(store_backup_closep) StoreBackup *b = NULL;
        int r;

        *ret_error = NULL;
        b = calloc(1, sizeof(StoreBackup));
        if (!b)
                return -ENOMEM;
        b->path = strdup(target);
        if (!b->path)
                return -ENOMEM;
        b->begun = now_realtime();

        r = open_source(b, path);
        if (r < 0) {
                *ret_error = strdup(b->source.error);
                return r;
        }
        r = open_target(b, target);
        if (r >= 0) {
                b->backup = sqlite3_backup_init(b->target.db, "main", b->source.db, "main");
                if (!b->backup)
                        r = connection_fail(&b->target, "Could not begin the copy");
        }
        if (r < 0) {
                *ret_error = strdup(b->target.error);
                return r;
        }
        *ret = TAKE_PTR(b);
        return 0;
}

uint64_t store_backup_size(const StoreBackup *b)
{
        return b->size;
}

int store_backup_step(StoreBackup *b, unsigned pages)
{
        sqlite3_backup *backup;
        int rc;

        assert(pages > 0);
        if (!b->backup)
                return b->result;

        errno = 0;
        rc = sqlite3_backup_step(b->backup, (int)MIN(pages, (unsigned)INT32_MAX));
        if (rc == SQLITE_OK)
                return 1;

        /* Its end puts the error of the steps into the target's handle. */
        backup = TAKE_PTR(b->backup);
        if (sqlite3_backup_finish(backup) != SQLITE_OK || rc != SQLITE_DONE)
                b->result = connection_fail(&b->target, "Could not copy to");
        if (b->result >= 0) {
                connection_done(&b->target);
                b->result = chain_mark_copy(b->path, b->begun, &b->target);
        }
        return b->result;
}

StoreBackup *store_backup_close(StoreBackup *b)
{
        if (!b)
                return NULL;

        if (b->backup)
                (void)sqlite3_backup_finish(b->backup); /* it was given up */
        connection_done(&b->target);
        connection_done(&b->source);
        free(b->path);
        free(b);
        return NULL;
}
