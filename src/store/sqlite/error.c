/*
 * Failures, put into the store's few errors and into sentences. Two rules matter more than the rest.
 *
 * A sync that failed is final: what the disk holds is not known, and a second sync that succeeds would prove
 * nothing, because the kernel may have dropped the pages meanwhile. The handle is lost from then on.
 *
 * No room is not a damage: whatever form it takes (a full file system, a quota, a limit on the size of
 * files, no room for the shared index of the WAL), the group is undone and the handle works again once there
 * is room.
 */

#include "store/sqlite/internal.h"

#include <stdarg.h>
#include <stdio.h>

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
