/*
 * Copies of the database, and the way back.
 *
 * A copy reads one snapshot from its first step to its last, so that the writer's commits don't make it
 * start again for ever; the price is that the WAL can't start over meanwhile, and grows.
 *
 * A backup takes the place of the database. All that can be wrong with it is found out on a copy beside the
 * database, before anything else is touched: whether it is one of ours and of no newer version, and whether
 * it is whole, page by page. The copy is brought to this schema and marked as one (see chain.c).
 *
 * Then what is there gets a second name, with its log; the copy takes the name in one step; and the old log
 * goes. Whoever is killed before that step leaves the old database; after it the new one. In between, a new
 * database beside an old log, the daemons refuse to start, and doing it again is what helps.
 *
 * The locks of all roles are held meanwhile, so no daemon has the database, and none can start.
 */

#include "store/sqlite/writer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/time-util.h"

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
                r = connection_open(&b->target, target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
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

        r = connection_open(&b->source, path, SQLITE_OPEN_READONLY);
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

/* The way back. */

#define COPY_SIZE ((size_t)1024 * 1024)

typedef struct Restore {
        Connection c; /* of the copy, later; its error */
        const char *backup;
        char *path;      /* of the database, what a link stands for */
        char *temporary; /* the copy, as long as it has a name of its own */
        int fd;          /* of the copy */
        WriteLock write_lock;
        struct stat owner; /* whose the database is to be */
        bool replaces;     /* there is one */
        void (*progress)(uint64_t bytes, void *userdata);
        void *userdata;
} Restore;

static void restore_done(Restore *x)
{
        connection_done(&x->c);
        write_lock_close(&x->write_lock);
        if (x->temporary)
                store_remove_temporary(x->temporary);
        fd_close(x->fd);
        free(x->temporary);
        free(x->path);
}

/* errno, as a sentence. */
static int fail(Restore *x, const char *what, const char *path)
{
        int error = errno;

        return connection_refuse(&x->c, -error, "Could not %s %s: %s.", what, path, strerror(error));
}

static char *with_suffix(const char *path, const char *suffix)
{
        char *name;

        return asprintf(&name, "%s%s", path, suffix) < 0 ? NULL : name;
}

/* Where it will be, and whose. Without a database it is its directory's. */
static int find_place(Restore *x, const char *path)
{
        _cleanup_free_ char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        if (stat(path, &x->owner) >= 0) {
                x->replaces = true;
                x->path = realpath(path, NULL);
                return x->path ? 0 : fail(x, "look at", path);
        }
        if (errno != ENOENT || stat(dirname(copy), &x->owner) < 0)
                return fail(x, "look at", path);
        x->owner.st_mode = 0660;
        x->path = strdup(path);
        return x->path ? 0 : -ENOMEM;
}

/* The copy. */

static int copy_bytes(Restore *x, int from, const char *name)
{
        _cleanup_free_ char *buffer = malloc(COPY_SIZE);
        ssize_t n;

        if (!buffer)
                return -ENOMEM;
        while ((n = read(from, buffer, COPY_SIZE)) > 0) {
                for (ssize_t done = 0, k; done < n; done += k) {
                        k = write(x->fd, buffer + done, (size_t)(n - done));
                        if (k < 0)
                                return fail(x, "write", x->temporary);
                }
                x->progress((uint64_t)n, x->userdata);
        }
        return n < 0 ? fail(x, "read", name) : 0;
}

/* The log that lies beside the backup, where it has one. */
static int copy_log(Restore *x)
{
        _cleanup_free_ char *from = with_suffix(x->backup, "-wal"), *to = with_suffix(x->temporary, "-wal");
        _cleanup_close_ int log = -EBADF;
        int database = x->fd, r;

        if (!from || !to)
                return -ENOMEM;
        log = open(from, O_RDONLY | O_CLOEXEC);
        if (log < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : fail(x, "open", from);
        x->fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        r = x->fd < 0 ? fail(x, "create", to) : copy_bytes(x, log, from);
        fd_close(x->fd);
        x->fd = database;
        return r;
}

static int make_copy(Restore *x)
{
        _cleanup_close_ int from = -EBADF;
        struct stat of_backup, of_database;
        int r;

        from = open(x->backup, O_RDONLY | O_CLOEXEC);
        if (from < 0 || fstat(from, &of_backup) < 0)
                return fail(x, "open", x->backup);
        if (x->replaces && stat(x->path, &of_database) >= 0 && of_database.st_ino == of_backup.st_ino &&
                        of_database.st_dev == of_backup.st_dev)
                return connection_refuse(&x->c, -EMEDIUMTYPE, "%s is the database itself.", x->backup);

        r = store_make_temporary(x->path, "restore", &x->temporary, &x->fd);
        if (r < 0) {
                errno = -r;
                return fail(x, "make a file beside", x->path);
        }
        r = copy_bytes(x, from, x->backup);
        return r < 0 ? r : copy_log(x);
}

/* Every page of it. What SQLite finds is one sentence a row; the first will do. */
static int check_pages(Restore *x)
{
        sqlite3_stmt *statement = NULL;
        const char *found = NULL;
        int r = 0;

        errno = 0;
        if (sqlite3_prepare_v2(x->c.db, "PRAGMA integrity_check(1)", -1, &statement, NULL) != SQLITE_OK ||
                        sqlite3_step(statement) != SQLITE_ROW)
                r = connection_fail(&x->c, "Could not read");
        else
                found = (const char *)sqlite3_column_text(statement, 0);
        if (r >= 0 && (!found || !streq(found, "ok")))
                r = connection_refuse(&x->c, -EMEDIUMTYPE, "%s is damaged: %s", x->backup,
                                found ?: "there is not enough memory to say more.");
        (void)sqlite3_finalize(statement);
        return r;
}

/* What is wrong with the copy is wrong with the backup, and told by its name. */
static int tell_of_backup(Restore *x, int error)
{
        static const struct {
                int error;
                const char *what;
        } sentences[] = {
                { -EBADMSG, "is damaged or no database, or the -wal beside it is another one's" },
                { -EPROTONOSUPPORT, "is another program's database" },
                { -ESTALE, "was made by a newer version of this program, which has to be installed first" },
                { -EUCLEAN, "has rows that contradict each other" },
        };

        FOREACH_ARRAY(s, sentences, ELEMENTSOF(sentences))
                if (error == s->error)
                        return connection_refuse(&x->c, -EMEDIUMTYPE, "%s %s.", x->backup, s->what);
        return error;
}

static int look_through(Restore *x)
{
        int version = 0, r;

        r = chain_check(x->temporary, &x->c);
        if (r >= 0)
                r = connection_open(&x->c, x->temporary, SQLITE_OPEN_READWRITE);
        if (r >= 0)
                r = connection_identify(&x->c, &version);
        if (r >= 0 && version == 0)
                r = connection_refuse(&x->c, -EMEDIUMTYPE, "%s holds no database.", x->backup);
        if (r >= 0)
                r = check_pages(x);
        if (r >= 0)
                r = connection_migrate(&x->c);
        if (r < 0)
                return r;
        connection_done(&x->c);
        return chain_mark_copy(x->temporary, TIME_NONE, &x->c);
}

static int look_at_content(Restore *x, StoreRestored *ret)
{
        static const char what[] = "Could not read";
        int64_t deliveries = 0, waiting = 0;
        char sql[128];
        int r;

        snprintf(sql, sizeof(sql),
                        "SELECT coalesce(sum(count), 0) FROM tally_of_submissions WHERE state IN (%d, %d)",
                        SUBMISSION_QUEUED, SUBMISSION_SENDING);
        r = connection_get(&x->c, "SELECT at FROM copied", what, &ret->copied_at);
        if (r >= 0)
                r = connection_get(&x->c, "SELECT coalesce(max(n), 0) FROM delivery", what, &deliveries);
        if (r >= 0)
                r = connection_get(&x->c, sql, what, &waiting);
        ret->deliveries = (uint64_t)deliveries;
        ret->waiting = (uint64_t)waiting;
        return r;
}

/* Into its place. */

static int finish_copy(Restore *x)
{
        connection_done(&x->c);
        if (fchown(x->fd, geteuid() == 0 ? x->owner.st_uid : (uid_t)-1, x->owner.st_gid) < 0 &&
                        errno != EPERM)
                return fail(x, "give away", x->temporary);
        if (fchmod(x->fd, x->owner.st_mode & 0777) < 0 || fsync(x->fd) < 0)
                return fail(x, "write", x->temporary);
        return 0;
}

/* A name with a second, and where that is taken with a number. */
static int keep_database(Restore *x, char **ret)
{
        time_t now = (time_t)(now_realtime() / (int64_t)USEC_PER_SEC);
        char stamp[32];
        struct tm tm;

        (void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
        for (unsigned i = 0;; i++) {
                _cleanup_free_ char *name = NULL;
                char number[16] = "";

                if (i > 0)
                        snprintf(number, sizeof(number), "-%u", i);
                if (asprintf(&name, "%s.before-restore-%s%s", x->path, stamp, number) < 0) {
                        name = NULL;
                        return -ENOMEM;
                }
                if (link(x->path, name) >= 0) {
                        *ret = TAKE_PTR(name);
                        return 0;
                }
                if (errno != EEXIST || i == 100)
                        return fail(x, "keep", x->path);
        }
}

/* A second name for what lies beside it. */
static int keep_beside(Restore *x, const char *kept, const char *suffix)
{
        _cleanup_free_ char *from = with_suffix(x->path, suffix), *to = with_suffix(kept, suffix);

        if (!from || !to)
                return -ENOMEM;
        return link(from, to) < 0 && errno != ENOENT ? fail(x, "keep", from) : 0;
}

static int remove_beside(Restore *x, const char *suffix)
{
        _cleanup_free_ char *name = with_suffix(x->path, suffix);

        if (!name)
                return -ENOMEM;
        return unlink(name) < 0 && errno != ENOENT ? fail(x, "remove", name) : 0;
}

static int sync_names(Restore *x)
{
        return fd_sync_parent(x->path) < 0 ? fail(x, "sync the directory of", x->path) : 0;
}

static int replace(Restore *x, char **ret_kept)
{
        int r = 0;

        if (x->replaces)
                r = keep_database(x, ret_kept);
        if (r >= 0 && x->replaces)
                r = keep_beside(x, *ret_kept, "-wal");
        if (r >= 0 && x->replaces)
                r = keep_beside(x, *ret_kept, "-journal");
        if (r >= 0)
                r = sync_names(x);
        /* SQLite would take a journal for the new one's, without asking. */
        if (r >= 0)
                r = remove_beside(x, "-journal");
        if (r >= 0 && rename(x->temporary, x->path) < 0)
                r = fail(x, "replace", x->path);
        if (r < 0)
                return r;
        free(x->temporary);
        x->temporary = NULL;

        r = sync_names(x);
        if (r >= 0)
                r = remove_beside(x, "-wal");
        if (r >= 0)
                r = remove_beside(x, "-shm");
        return r < 0 ? r : sync_names(x);
}

static int restore(Restore *x, const char *path, StoreRestored *ret)
{
        int r;

        r = find_place(x, path);
        if (r < 0)
                return r;
        x->c.path = strdup(x->path);
        if (!x->c.path)
                return -ENOMEM;
        r = write_lock_open(&x->write_lock, &x->c, true);
        if (r >= 0)
                r = write_lock_take_all_roles(&x->write_lock, &x->c, "scalectl restore");
        if (r < 0)
                return r;
        files_clean(x->path);

        free(x->c.path);
        x->c.path = NULL;
        r = make_copy(x);
        if (r >= 0)
                r = tell_of_backup(x, look_through(x));
        if (r >= 0)
                r = look_at_content(x, ret);
        if (r >= 0)
                r = finish_copy(x);
        if (r >= 0)
                r = replace(x, &ret->kept);
        if (r >= 0)
                r = write_lock_adopt(&x->write_lock, x->path);
        return r;
}

int store_restore(const char *backup, const char *path, void (*progress)(uint64_t bytes, void *userdata),
                void *userdata, StoreRestored *ret, char **ret_error)
{
        Restore x = { .backup = backup,
                .fd = -EBADF,
                .write_lock = WRITE_LOCK_INIT,
                .progress = progress,
                .userdata = userdata };
        int r;

        *ret_error = NULL;
        *ret = (StoreRestored){};
        r = restore(&x, path, ret);
        if (r < 0) {
                *ret_error = *x.c.error ? strdup(x.c.error) : NULL;
                store_restored_done(ret);
        }
        restore_done(&x);
        return MIN(r, 0);
}

void store_restored_done(StoreRestored *r)
{
        free(r->kept);
        r->kept = NULL;
}
