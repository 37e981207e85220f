/*
 * Opening: what every connection wants, and whose file it is. A file that isn't ours is refused before
 * anything is set, because some settings, the journal's mode among them, are written into the file.
 *
 * The schema is not trusted and cells are checked: a damaged or doctored file should give an error, not a
 * crash. What sorting there is, is bounded, so it stays in memory and needs no directory for temporary
 * files.
 */

#include "store/sqlite/internal.h"

#include <inttypes.h>
#include <stdio.h>

#define READER_BUSY_MSEC 1000 /* readers wait for nobody, but for a recovery of the WAL */

/* SQLite takes "file:..." and ":memory:" for something else; a path is a path. */
static char *plain_path(const char *path)
{
        char *plain;

        return asprintf(&plain, "%s%s", path[0] == '/' ? "" : "./", path) < 0 ? NULL : plain;
}

int connection_open(Connection *c, const char *path, int flags, const char *vfs)
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
        if (sqlite3_open_v2(plain, &c->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs) !=
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
