/*
 * A group's pages go into the WAL in one piece. SQLite writes each page with two calls, 24 bytes and 4096,
 * one behind the other; for the kernel many small writes cost ten times what one large one does. So while a
 * group commits, what is written to the WAL is gathered in memory as long as it continues where it ended,
 * and handed on before anybody could miss it: when the WAL is synced, read there, measured or cut off.
 *
 * Why nothing is lost by it. A connection with synchronous=FULL syncs the WAL at the end of every
 * transaction, and only after that succeeded tells other connections (in the index in shared memory) how far
 * they may read. A failure to hand on comes out of the sync, before the commit counts. That is why only the
 * writer uses it, which sets FULL and reads it back before it writes anything. A sector that can't be
 * trusted not to harm its neighbours makes SQLite write behind the sync: nothing is gathered then.
 *
 * Why nothing is written late. There is something in memory only between wal_coalescing_start() and
 * wal_coalescing_end(), around one COMMIT. What SQLite writes before it, because a group outgrows its cache,
 * is not gathered: taken back, it would be left here, and go over what another process wrote there since.
 * What a COMMIT that failed leaves is dropped.
 */

#include "store/sqlite/connection.h"

#include <pthread.h>

/* Bytes: as many as the layer below takes at once. A larger group is handed on in several pieces. */
#define COALESCING_MAX 131071

typedef struct CoalescingFile {
        sqlite3_file base;
        sqlite3_file *real; /* behind this one, in the same memory */
        char *data;         /* owned */
        int size, max;
        sqlite3_int64 at; /* where in the file `data` belongs */
        bool active;      /* else `size` is 0 */
} CoalescingFile;

static sqlite3_vfs coalescing_vfs, *below;

static CoalescingFile *coalescing_file_of(sqlite3_file *f)
{
        return (CoalescingFile *)(void *)f;
}

static sqlite3_file *real_of(sqlite3_file *f)
{
        return coalescing_file_of(f)->real;
}

/* What could not be handed on is forgotten: its transaction has failed. */
static int hand_on(CoalescingFile *file)
{
        int size = file->size;

        file->size = 0;
        return size > 0 ? file->real->pMethods->xWrite(file->real, file->data, size, file->at) : SQLITE_OK;
}

static int coalescing_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
        CoalescingFile *file = coalescing_file_of(f);
        int rc;

        if (file->size > 0 && (at != file->at + file->size || n > file->max - file->size)) {
                rc = hand_on(file);
                if (rc != SQLITE_OK)
                        return rc;
        }
        if (!file->active || n > file->max)
                return file->real->pMethods->xWrite(file->real, p, n, at);

        if (file->size == 0)
                file->at = at;
        memcpy(file->data + file->size, p, (size_t)n);
        file->size += n;
        return SQLITE_OK;
}

static int coalescing_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
        CoalescingFile *file = coalescing_file_of(f);
        int rc = SQLITE_OK;

        if (at < file->at + file->size && file->at < at + n)
                rc = hand_on(file);
        return rc == SQLITE_OK ? file->real->pMethods->xRead(file->real, p, n, at) : rc;
}

static int coalescing_sync(sqlite3_file *f, int flags)
{
        int rc = hand_on(coalescing_file_of(f));

        return rc == SQLITE_OK ? real_of(f)->pMethods->xSync(real_of(f), flags) : rc;
}

static int coalescing_truncate(sqlite3_file *f, sqlite3_int64 size)
{
        int rc = hand_on(coalescing_file_of(f));

        return rc == SQLITE_OK ? real_of(f)->pMethods->xTruncate(real_of(f), size) : rc;
}

static int coalescing_measure(sqlite3_file *f, sqlite3_int64 *ret)
{
        int rc = hand_on(coalescing_file_of(f));

        return rc == SQLITE_OK ? real_of(f)->pMethods->xFileSize(real_of(f), ret) : rc;
}

static int coalescing_close(sqlite3_file *f)
{
        free(coalescing_file_of(f)->data);
        return real_of(f)->pMethods->xClose(real_of(f));
}

static int coalescing_lock(sqlite3_file *f, int lock)
{
        return real_of(f)->pMethods->xLock(real_of(f), lock);
}

static int coalescing_unlock(sqlite3_file *f, int lock)
{
        return real_of(f)->pMethods->xUnlock(real_of(f), lock);
}

static int coalescing_is_reserved(sqlite3_file *f, int *ret)
{
        return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}

static int coalescing_control(sqlite3_file *f, int op, void *arg)
{
        return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int coalescing_sector_size(sqlite3_file *f)
{
        return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int coalescing_traits(sqlite3_file *f)
{
        return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static const sqlite3_io_methods coalescing_methods = {
        .iVersion = 1, /* a WAL is neither mapped nor locked by bytes */
        .xClose = coalescing_close,
        .xRead = coalescing_read,
        .xWrite = coalescing_write,
        .xTruncate = coalescing_truncate,
        .xSync = coalescing_sync,
        .xFileSize = coalescing_measure,
        .xLock = coalescing_lock,
        .xUnlock = coalescing_unlock,
        .xCheckReservedLock = coalescing_is_reserved,
        .xFileControl = coalescing_control,
        .xSectorSize = coalescing_sector_size,
        .xDeviceCharacteristics = coalescing_traits,
};

static int open_wal(const char *name, CoalescingFile *file, int flags, int *ret_flags)
{
        int rc;

        *file = (CoalescingFile){ .real = (sqlite3_file *)(void *)(file + 1) };
        rc = below->xOpen(below, name, file->real, flags, ret_flags);
        if (rc != SQLITE_OK)
                return rc;

        if (file->real->pMethods->xDeviceCharacteristics(file->real) & SQLITE_IOCAP_POWERSAFE_OVERWRITE) {
                file->data = malloc(COALESCING_MAX);
                file->max = file->data ? COALESCING_MAX : 0; /* without memory it is only slower */
        }
        file->base.pMethods = &coalescing_methods;
        return SQLITE_OK;
}

/* All other files are those of the layer below. */
static int coalescing_open(
                _unused_ sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
        if (flags & SQLITE_OPEN_WAL)
                return open_wal(name, coalescing_file_of(f), flags, ret_flags);
        return below->xOpen(below, name, f, flags, ret_flags);
}

static void make_vfs(void)
{
        below = sqlite3_vfs_find(NULL);
        if (!below)
                return;
        coalescing_vfs = *below;
        coalescing_vfs.zName = "wal-coalescing";
        coalescing_vfs.szOsFile += (int)sizeof(CoalescingFile);
        coalescing_vfs.xOpen = coalescing_open;
        if (sqlite3_vfs_register(&coalescing_vfs, 0) != SQLITE_OK)
                below = NULL;
}

/* NULL: the WAL is not open, or not by way of this layer. */
static CoalescingFile *coalescing_file_of_wal(Connection *c)
{
        sqlite3_file *f = NULL;

        if (sqlite3_file_control(c->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f) != SQLITE_OK || !f)
                return NULL;
        return f->pMethods == &coalescing_methods ? coalescing_file_of(f) : NULL;
}

void wal_coalescing_start(Connection *c)
{
        CoalescingFile *file = coalescing_file_of_wal(c);

        if (!file)
                return;
        assert(!file->active && file->size == 0);
        file->active = true;
}

void wal_coalescing_end(Connection *c, bool committed)
{
        CoalescingFile *file = coalescing_file_of_wal(c);

        if (!file)
                return;
        assert(!committed || file->size == 0);
        file->size = 0;
        file->active = false;
}

const char *wal_coalescing_vfs(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        (void)pthread_once(&once, make_vfs);
        return below ? coalescing_vfs.zName : NULL;
}
