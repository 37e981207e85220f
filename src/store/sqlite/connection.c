/*
 * Opening: what every connection wants, and whose file it is. A file that isn't ours is refused before
 * anything is set, because some settings, the journal's mode among them, are written into the file.
 *
 * The schema is not trusted and cells are checked: a damaged or doctored file should give an error, not a
 * crash. What sorting there is, is bounded, so it stays in memory and needs no directory for temporary
 * files.
 */

#include "store/sqlite/connection.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define READER_BUSY_MSEC 1000 /* readers wait for nobody, but for a recovery of the WAL */

/* SQLite takes "file:..." and ":memory:" for something else; a path is a path. */
static char *plain_path(const char *path)
{
        char *plain;

        return asprintf(&plain, "%s%s", path[0] == '/' ? "" : "./", path) < 0 ? NULL : plain;
}

int connection_open(Connection *c, const char *path, int flags)
{
        _cleanup_free_ char *plain = NULL;
        int r, busy = flags & SQLITE_OPEN_READWRITE ? STORE_BUSY_MSEC : READER_BUSY_MSEC;

        assert(*path);
        c->path = c->path ?: strdup(path);
        plain = plain_path(path);
        if (!c->path || !plain)
                return connection_refuse(c, -ENOMEM, "Could not open the database: out of memory.");

        errno = 0;
        /* One thread at a time has a handle, so it needs no lock of its own. */
        if (sqlite3_open_v2(plain, &c->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL) !=
                                        SQLITE_OK ||
                        sqlite3_busy_timeout(c->db, busy) != SQLITE_OK)
                return connection_fail(c, "Could not open");

        r = connection_run(c,
                        "PRAGMA trusted_schema = OFF;"
                        "PRAGMA cell_size_check = ON;"
                        "PRAGMA cache_size = -2048;" /* KiB */
                        "PRAGMA temp_store = MEMORY;"
                        "PRAGMA foreign_keys = OFF",
                        "Could not set up");
        if (r < 0)
                return r;
        if (sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK)
                return connection_fail(c, "Could not set up");
        return 0;
}

void connection_done(Connection *c)
{
        if (c->db) {
                int leave = c->lost, rc;

                /* After a failed sync the WAL must stay as it is: bringing it over could call pages good
                 * that never reached the disk. */
                if (leave)
                        (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
                rc = sqlite3_close(c->db);
                assert(rc == SQLITE_OK); /* a statement or a backup was forgotten */
        }
        c->db = NULL;
        free(c->path);
        c->path = NULL;
}

int connection_run(Connection *c, const char *sql, const char *what)
{
        errno = 0; /* see connection_fail() */
        return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : connection_fail(c, what);
}

int connection_get(Connection *c, const char *sql, const char *what, int64_t *ret)
{
        sqlite3_stmt *statement = NULL;
        int r = 0;

        errno = 0;
        if (sqlite3_prepare_v2(c->db, sql, -1, &statement, NULL) != SQLITE_OK)
                return connection_fail(c, what);
        if (sqlite3_step(statement) == SQLITE_ROW)
                *ret = sqlite3_column_int64(statement, 0);
        else
                r = connection_fail(c, what);
        (void)sqlite3_finalize(statement);
        return r;
}

static int refuse_foreign(Connection *c, int64_t id)
{
        return connection_refuse(c, -EPROTONOSUPPORT,
                        "%s is an SQLite database, but another program's (application id %" PRId64
                        " instead of %d): name another file in [store] path.",
                        c->path, id, STORE_APPLICATION_ID);
}

int connection_identify(Connection *c, int *ret_version)
{
        static const char what[] = "Could not read";
        int64_t id, version, tables;
        int r;

        r = connection_get(c, "PRAGMA application_id", what, &id);
        if (r >= 0)
                r = connection_get(c, "PRAGMA user_version", what, &version);
        if (r >= 0)
                r = connection_get(c, "SELECT count(*) FROM sqlite_schema", what, &tables);
        if (r < 0)
                return r;

        if (id != STORE_APPLICATION_ID && (id != 0 || version != 0 || tables != 0))
                return refuse_foreign(c, id);
        if (version > store_schema_version())
                return connection_refuse(c, -ESTALE,
                                "%s was made by a newer version of this program (schema %" PRId64
                                ", this one knows up to %d): install that version again, or restore a "
                                "backup "
                                "from before the upgrade.",
                                c->path, version, store_schema_version());
        if (version < 0)
                return connection_refuse(c, -EBADMSG, "%s claims to have schema %" PRId64 ": it is damaged.",
                                c->path, version);
        *ret_version = (int)version;
        return 0;
}

/*
 * Failures.
 *
 * Failures, put into the store's few errors and into sentences. Two rules matter more than the rest.
 *
 * A sync that failed is final: what the disk holds is not known, and a second sync that succeeds would prove
 * nothing, because the kernel may have dropped the pages meanwhile. The handle is lost from then on.
 *
 * No room is not a damage: whatever form it takes (a full file system, a quota, a limit on the size of
 * files, no room for the shared index of the WAL), the group is undone and the handle works again once there
 * is room.
 */

/* What would help. */
static const struct {
        int error;
        const char *help;
} helps[] = {
        { ENOSPC, "Nothing of this group was kept; make room on its file system and it goes on by itself." },
        { EROFS, "Its file system or the file itself is read-only." },
        { EACCES, "Its file and its directory must be writable for this user." },
        { EBUSY, "Another process held the lock for too long; it may be tried again. Only this package's "
                 "programs are meant to write to it." },
        { EBADMSG, "It is damaged or not a database: stop the service, set it aside with its -wal file, and "
                   "restore a backup, or save what can be saved with sqlite3's .recover." },
        { ENOTRECOVERABLE, "A sync to the disk failed, so what the disk holds is not known: check the disk, "
                           "then "
                           "start the service again." },
        { EIO, "Check the disk and the kernel's log." },
        { ENOMEM, "There is not enough memory." },
        { ETIME, "It took longer than allowed: ask for less at a time, or for a narrower range." },
        { EUCLEAN, "Its rows contradict each other: look at it with sqlite3's PRAGMA integrity_check." },
        { ENOENT, "There is no such file: it is made when the receiver starts." },
};

static const char *find_help(int error)
{
        for (size_t i = 0; i < ELEMENTSOF(helps); i++)
                if (helps[i].error == -error)
                        return helps[i].help;
        return "";
}

/* No room has many names. */
static bool is_no_room(int system_error)
{
        return system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG;
}

static int translate_io(int extended, int system_error)
{
        switch (extended) {
        case SQLITE_IOERR_FSYNC:
        case SQLITE_IOERR_DIR_FSYNC:
                return -ENOTRECOVERABLE;
        case SQLITE_IOERR_NOMEM:
                return -ENOMEM;
        case SQLITE_IOERR_SHORT_READ:
        case SQLITE_IOERR_CORRUPTFS:
                return -EBADMSG;
        default:
                return is_no_room(system_error) ? -ENOSPC : -EIO;
        }
}

static int translate_cantopen(int system_error)
{
        static const int passed_on[] = { ENOENT, EACCES, EROFS, ENOMEM };

        if (is_no_room(system_error))
                return -ENOSPC;
        if (system_error == EPERM)
                return -EACCES;
        FOREACH_ARRAY(e, passed_on, ELEMENTSOF(passed_on))
                if (*e == system_error)
                        return -system_error;
        return -EIO;
}

static int translate(int extended, int system_error)
{
        static const struct {
                int code, error;
        } others[] = {
                { SQLITE_FULL, -ENOSPC },
                { SQLITE_READONLY, -EROFS },
                { SQLITE_PERM, -EACCES },
                { SQLITE_AUTH, -EACCES },
                { SQLITE_BUSY, -EBUSY },
                { SQLITE_LOCKED, -EBUSY },
                { SQLITE_PROTOCOL, -EBUSY },
                { SQLITE_CORRUPT, -EBADMSG },
                { SQLITE_NOTADB, -EBADMSG },
                { SQLITE_FORMAT, -EBADMSG },
                { SQLITE_NOMEM, -ENOMEM },
                { SQLITE_INTERRUPT, -ETIME },
                { SQLITE_CONSTRAINT, -EUCLEAN },
                { SQLITE_TOOBIG, -EMSGSIZE },
        };
        int primary = extended & 0xff;

        if (primary == SQLITE_IOERR)
                return translate_io(extended, system_error);
        if (primary == SQLITE_CANTOPEN)
                return translate_cantopen(system_error);
        if (extended == SQLITE_READONLY_DIRECTORY)
                return -EACCES;
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                if (others[i].code == primary)
                        return others[i].error;
        return -EIO;
}

/* SQLite remembers the system's error for failed opens, but not for what fails in a commit; there it is
 * still in errno, which was cleared before. */
static int find_system_error(Connection *c, int of_call)
{
        if (of_call != 0 || !c->db)
                return of_call;
        return sqlite3_system_errno(c->db);
}

int connection_fail(Connection *c, const char *what)
{
        int of_call = errno, extended = c->db ? sqlite3_extended_errcode(c->db) : SQLITE_NOMEM;
        int system_error = find_system_error(c, of_call);
        int primary = extended & 0xff, r = translate(extended, system_error);
        bool of_system = system_error > 0 && (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN);

        if (r == -ENOTRECOVERABLE)
                c->lost = true;
        if (r != -EMSGSIZE && r != -EUCLEAN)
                c->at_fault = true;

        snprintf(c->error, sizeof(c->error), "%s %s: %s%s%s. %s", what, c->path,
                        c->db ? sqlite3_errmsg(c->db) : "out of memory", of_system ? ", " : "",
                        of_system ? strerror(system_error) : "", find_help(r));
        return r;
}

int connection_refuse(Connection *c, int error, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(c->error, sizeof(c->error), format, args);
        va_end(args);
        return error;
}

/*
 * Statements.
 *
 * One run of a prepared statement. Binding counts its own positions and remembers the first failure, so that
 * a caller writes down values in order and asks once. Whatever happens, query_done() leaves the statement
 * reset and without pointers to anybody's memory: that is what makes it right to bind without copying.
 */

static void bound(Query *q, int rc)
{
        if (q->rc == SQLITE_OK)
                q->rc = rc;
}

void query_int(Query *q, int64_t v)
{
        bound(q, sqlite3_bind_int64(q->statement, ++q->n_bound, v));
}

void query_id(Query *q, int64_t v)
{
        if (v != 0)
                query_int(q, v);
        else
                bound(q, sqlite3_bind_null(q->statement, ++q->n_bound));
}

void query_time(Query *q, int64_t v)
{
        if (v != TIME_NONE)
                query_int(q, v);
        else
                bound(q, sqlite3_bind_null(q->statement, ++q->n_bound));
}

/* SQLITE_STATIC: the caller's memory outlives query_done(), which clears the bindings. */
void query_text(Query *q, const char *s)
{
        bound(q, sqlite3_bind_text(q->statement, ++q->n_bound, s, -1, SQLITE_STATIC));
}

void query_blob(Query *q, const void *p, size_t size)
{
        /* A NULL pointer would bind NULL, and an empty body is a body. */
        bound(q, sqlite3_bind_blob64(q->statement, ++q->n_bound, size > 0 ? p : "", size, SQLITE_STATIC));
}

int query_step(Query *q, const char *what)
{
        int rc;

        if (q->rc != SQLITE_OK)
                return connection_fail(q->connection, what);

        errno = 0; /* see connection_fail() */
        rc = sqlite3_step(q->statement);
        if (rc == SQLITE_ROW)
                return 1;
        if (rc == SQLITE_DONE)
                return 0;
        return connection_fail(q->connection, what);
}

int query_run(Query *q, const char *what)
{
        int r;

        r = query_step(q, what);
        query_done(q);
        return r < 0 ? r : 0;
}

void query_try(Query *q)
{
        (void)sqlite3_step(q->statement);
        query_done(q);
}

void query_done(Query *q)
{
        /* It repeats the error of the last step, which was reported there. */
        (void)sqlite3_reset(q->statement);
        (void)sqlite3_clear_bindings(q->statement);
        q->n_bound = 0;
        q->rc = SQLITE_OK;
}

const char *query_column_text(const Query *q, int i)
{
        bool is_null = sqlite3_column_type(q->statement, i) == SQLITE_NULL; /* as long as it knows */
        const char *s = (const char *)sqlite3_column_text(q->statement, i);

        if (s || is_null)
                return s;
        q->connection->no_memory = true;
        return "";
}

int connection_check_memory(Connection *c, int result)
{
        bool no_memory = c->no_memory;

        c->no_memory = false;
        if (!no_memory || result < 0)
                return result;
        return connection_refuse(c, -ENOMEM, "There was not enough memory for the rows of %s.", c->path);
}

const void *query_column_blob(const Query *q, int i, size_t *ret_size)
{
        const void *p = sqlite3_column_blob(q->statement, i);

        *ret_size = (size_t)sqlite3_column_bytes(q->statement, i);
        return p || sqlite3_column_type(q->statement, i) == SQLITE_NULL ? p : "";
}

int64_t query_column_time(const Query *q, int i)
{
        return sqlite3_column_type(q->statement, i) == SQLITE_NULL ? TIME_NONE : query_column(q, i);
}

int statements_prepare(Connection *c, const char *const *sql, sqlite3_stmt **ret, size_t n)
{
        errno = 0;
        for (size_t i = 0; i < n; i++)
                if (sqlite3_prepare_v3(c->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &ret[i], NULL) !=
                                SQLITE_OK)
                        return connection_fail(c, "Could not prepare the statements for");
        return 0;
}

void statements_done(sqlite3_stmt **statements, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                (void)sqlite3_finalize(statements[i]); /* repeats the error of its last step */
                statements[i] = NULL;
        }
}
