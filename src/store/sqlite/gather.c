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
 * Why nothing is written late. There is something in memory only between store_gather_start() and
 * store_gather_end(), around one COMMIT. What SQLite writes before it, because a group outgrows its cache,
 * is not gathered: taken back, it would be left here, and go over what another process wrote there since.
 * What a COMMIT that failed leaves is dropped.
 */

#include "store/sqlite/connection.h"

#include <pthread.h>

/* Bytes: as many as the layer below takes at once. A larger group is handed on in several pieces. */
#define GATHER_MAX 131071

typedef struct GatherFile {
        sqlite3_file base;
        sqlite3_file *real; /* behind this one, in the same memory */
        char *data;         /* owned */
        int size, max;
        sqlite3_int64 at; /* where in the file `data` belongs */
        bool gathers;     /* else `size` is 0 */
} GatherFile;

static sqlite3_vfs gather_vfs, *below;

static GatherFile *gather_of(sqlite3_file *f)
{
        return (GatherFile *)(void *)f;
}

static sqlite3_file *real_of(sqlite3_file *f)
{
        return gather_of(f)->real;
}

/* What could not be handed on is forgotten: its transaction has failed. */
static int hand_on(GatherFile *g)
{
        int size = g->size;

        g->size = 0;
        return size > 0 ? g->real->pMethods->xWrite(g->real, g->data, size, g->at) : SQLITE_OK;
}

static int gather_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
        GatherFile *g = gather_of(f);
        int rc;

        if (g->size > 0 && (at != g->at + g->size || n > g->max - g->size)) {
                rc = hand_on(g);
                if (rc != SQLITE_OK)
                        return rc;
        }
        if (!g->gathers || n > g->max)
                return g->real->pMethods->xWrite(g->real, p, n, at);

        if (g->size == 0)
                g->at = at;
        memcpy(g->data + g->size, p, (size_t)n);
        g->size += n;
        return SQLITE_OK;
}

static int gather_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
        GatherFile *g = gather_of(f);
        int rc = SQLITE_OK;

        if (at < g->at + g->size && g->at < at + n)
                rc = hand_on(g);
        return rc == SQLITE_OK ? g->real->pMethods->xRead(g->real, p, n, at) : rc;
}

static int gather_sync(sqlite3_file *f, int flags)
{
        int rc = hand_on(gather_of(f));

        return rc == SQLITE_OK ? real_of(f)->pMethods->xSync(real_of(f), flags) : rc;
}

static int gather_truncate(sqlite3_file *f, sqlite3_int64 size)
{
        int rc = hand_on(gather_of(f));

        return rc == SQLITE_OK ? real_of(f)->pMethods->xTruncate(real_of(f), size) : rc;
}

static int gather_measure(sqlite3_file *f, sqlite3_int64 *ret)
{
        int rc = hand_on(gather_of(f));

        return rc == SQLITE_OK ? real_of(f)->pMethods->xFileSize(real_of(f), ret) : rc;
}

static int gather_close(sqlite3_file *f)
{
        free(gather_of(f)->data);
        return real_of(f)->pMethods->xClose(real_of(f));
}

static int gather_lock(sqlite3_file *f, int lock)
{
        return real_of(f)->pMethods->xLock(real_of(f), lock);
}

static int gather_unlock(sqlite3_file *f, int lock)
{
        return real_of(f)->pMethods->xUnlock(real_of(f), lock);
}

static int gather_is_reserved(sqlite3_file *f, int *ret)
{
        return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}

static int gather_control(sqlite3_file *f, int op, void *arg)
{
        return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int gather_sector_size(sqlite3_file *f)
{
        return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int gather_traits(sqlite3_file *f)
{
        return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static const sqlite3_io_methods gather_methods = {
        .iVersion = 1, /* a WAL is neither mapped nor locked by bytes */
        .xClose = gather_close,
        .xRead = gather_read,
        .xWrite = gather_write,
        .xTruncate = gather_truncate,
        .xSync = gather_sync,
        .xFileSize = gather_measure,
        .xLock = gather_lock,
        .xUnlock = gather_unlock,
        .xCheckReservedLock = gather_is_reserved,
        .xFileControl = gather_control,
        .xSectorSize = gather_sector_size,
        .xDeviceCharacteristics = gather_traits,
};

static int open_wal(const char *name, GatherFile *g, int flags, int *ret_flags)
{
        int rc;

        *g = (GatherFile){ .real = (sqlite3_file *)(void *)(g + 1) };
        rc = below->xOpen(below, name, g->real, flags, ret_flags);
        if (rc != SQLITE_OK)
                return rc;

        if (g->real->pMethods->xDeviceCharacteristics(g->real) & SQLITE_IOCAP_POWERSAFE_OVERWRITE) {
                g->data = malloc(GATHER_MAX);
                g->max = g->data ? GATHER_MAX : 0; /* without memory it is only slower */
        }
        g->base.pMethods = &gather_methods;
        return SQLITE_OK;
}

/* All other files are those of the layer below. */
static int gather_open(
                _unused_ sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
        if (flags & SQLITE_OPEN_WAL)
                return open_wal(name, gather_of(f), flags, ret_flags);
        return below->xOpen(below, name, f, flags, ret_flags);
}

static void make_vfs(void)
{
        below = sqlite3_vfs_find(NULL);
        if (!below)
                return;
        gather_vfs = *below;
        gather_vfs.zName = "gather";
        gather_vfs.szOsFile += (int)sizeof(GatherFile);
        gather_vfs.xOpen = gather_open;
        if (sqlite3_vfs_register(&gather_vfs, 0) != SQLITE_OK)
                below = NULL;
}

/* NULL: the WAL is not open, or not by way of this layer. */
static GatherFile *gather_of_wal(Connection *c)
{
        sqlite3_file *f = NULL;

        if (sqlite3_file_control(c->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f) != SQLITE_OK || !f)
                return NULL;
        return f->pMethods == &gather_methods ? gather_of(f) : NULL;
}

void store_gather_start(Connection *c)
{
        GatherFile *g = gather_of_wal(c);

        if (!g)
                return;
        assert(!g->gathers && g->size == 0);
        g->gathers = true;
}

void store_gather_end(Connection *c, bool committed)
{
        GatherFile *g = gather_of_wal(c);

        if (!g)
                return;
        assert(!committed || g->size == 0);
        g->size = 0;
        g->gathers = false;
}

const char *store_gather_vfs(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        (void)pthread_once(&once, make_vfs);
        return below ? gather_vfs.zName : NULL;
}
