#pragma once

/*
 * A disk that fails when told to: a layer over SQLite's own file access, made the default before any
 * database is opened. Only writing and syncing can fail; everything else is handed on.
 */

#include "test-store-common.h"

#include <sqlite3.h>
#include <stdatomic.h>

typedef struct FaultyFile {
        sqlite3_file base;
        sqlite3_file *real;
} FaultyFile;

static atomic_bool faulty_sync;       /* every sync fails */
static atomic_llong faulty_room = -1; /* bytes that can still be written; -1: any number */
static atomic_uint faulty_syncs;      /* that succeeded */
static sqlite3_vfs *faulty_below;

static inline sqlite3_file *real_file(sqlite3_file *f)
{
        return ((FaultyFile *)(void *)f)->real;
}

static int faulty_close(sqlite3_file *f)
{
        int rc = real_file(f)->pMethods->xClose(real_file(f));

        free(real_file(f));
        return rc;
}

static int faulty_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
        return real_file(f)->pMethods->xRead(real_file(f), p, n, at);
}

static int faulty_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
        if (faulty_room >= 0) {
                if (faulty_room < n)
                        return SQLITE_FULL;
                faulty_room -= n;
        }
        return real_file(f)->pMethods->xWrite(real_file(f), p, n, at);
}

static int faulty_truncate(sqlite3_file *f, sqlite3_int64 size)
{
        return real_file(f)->pMethods->xTruncate(real_file(f), size);
}

static int faulty_do_sync(sqlite3_file *f, int flags)
{
        if (faulty_sync)
                return SQLITE_IOERR_FSYNC;
        faulty_syncs++;
        return real_file(f)->pMethods->xSync(real_file(f), flags);
}

static int faulty_size(sqlite3_file *f, sqlite3_int64 *ret)
{
        return real_file(f)->pMethods->xFileSize(real_file(f), ret);
}

static int faulty_lock(sqlite3_file *f, int lock)
{
        return real_file(f)->pMethods->xLock(real_file(f), lock);
}

static int faulty_unlock(sqlite3_file *f, int lock)
{
        return real_file(f)->pMethods->xUnlock(real_file(f), lock);
}

static int faulty_is_reserved(sqlite3_file *f, int *ret)
{
        return real_file(f)->pMethods->xCheckReservedLock(real_file(f), ret);
}

static int faulty_control(sqlite3_file *f, int op, void *arg)
{
        return real_file(f)->pMethods->xFileControl(real_file(f), op, arg);
}

static int faulty_sector_size(sqlite3_file *f)
{
        return real_file(f)->pMethods->xSectorSize(real_file(f));
}

static int faulty_traits(sqlite3_file *f)
{
        return real_file(f)->pMethods->xDeviceCharacteristics(real_file(f));
}

static int faulty_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
        return real_file(f)->pMethods->xShmMap(real_file(f), page, size, extend, ret);
}

static int faulty_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
        return real_file(f)->pMethods->xShmLock(real_file(f), offset, n, flags);
}

static void faulty_shm_barrier(sqlite3_file *f)
{
        real_file(f)->pMethods->xShmBarrier(real_file(f));
}

static int faulty_shm_unmap(sqlite3_file *f, int remove)
{
        return real_file(f)->pMethods->xShmUnmap(real_file(f), remove);
}

static const sqlite3_io_methods faulty_methods = {
        .iVersion = 2,
        .xClose = faulty_close,
        .xRead = faulty_read,
        .xWrite = faulty_write,
        .xTruncate = faulty_truncate,
        .xSync = faulty_do_sync,
        .xFileSize = faulty_size,
        .xLock = faulty_lock,
        .xUnlock = faulty_unlock,
        .xCheckReservedLock = faulty_is_reserved,
        .xFileControl = faulty_control,
        .xSectorSize = faulty_sector_size,
        .xDeviceCharacteristics = faulty_traits,
        .xShmMap = faulty_shm_map,
        .xShmLock = faulty_shm_lock,
        .xShmBarrier = faulty_shm_barrier,
        .xShmUnmap = faulty_shm_unmap,
};

static int faulty_open(
                _unused_ sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
        FaultyFile *file = (FaultyFile *)(void *)f;
        int rc;

        file->base.pMethods = NULL;
        file->real = calloc(1, (size_t)faulty_below->szOsFile);
        if (!file->real)
                return SQLITE_NOMEM;
        rc = faulty_below->xOpen(faulty_below, name, file->real, flags, ret_flags);
        if (rc != SQLITE_OK) {
                free(file->real);
                return rc;
        }
        file->base.pMethods = &faulty_methods;
        return SQLITE_OK;
}

/* Other handles' files keep what they were opened with, so this comes first. */
static inline void faults_install(void)
{
        static sqlite3_vfs vfs;

        faulty_below = sqlite3_vfs_find(NULL);
        assert_non_null(faulty_below);
        vfs = *faulty_below;
        vfs.zName = "faulty";
        vfs.szOsFile = sizeof(FaultyFile);
        vfs.xOpen = faulty_open;
        assert_int_equal(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}
