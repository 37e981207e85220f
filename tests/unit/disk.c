/*
 * A layer over SQLite's own access to files. Everything is handed on to it, so locks and the shared index of
 * the WAL are the real ones; what changes the recorded directory is written down on the way (disk-record.c).
 * Syncs are only written down: what is on the disk is what the record says, and the tests need not wait.
 *
 * As SQLite's own layer does, the first sync of a journal or of a WAL syncs the directory as well, and so
 * does a deletion that asks for it. A sync of a file alone says nothing about its name.
 */

#include "disk-record.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

typedef struct DiskFile {
        sqlite3_file base;
        sqlite3_file *real;
        DiskInode *inode; /* NULL: not recorded */
        bool new_journal; /* its first sync syncs the directory */
        bool is_wal;
} DiskFile;

static sqlite3_vfs *below;
static DiskWatchFn watch_fn;
static void *watch_userdata;
static bool lying, hurrying;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for what follows */
static DiskFault fault;
static unsigned n_calls, n_open;
static bool has_failed;

static const char *const disk_op_table[_DISK_OP_MAX] = {
        [DISK_OPEN] = "open",
        [DISK_READ] = "read",
        [DISK_WRITE] = "write",
        [DISK_SYNC] = "sync",
        [DISK_TRUNCATE] = "truncate",
        [DISK_DELETE] = "delete",
        [DISK_SIZE] = "size",
        [DISK_ACCESS] = "access",
        [DISK_LOCK] = "lock",
        [DISK_SHM_MAP] = "map",
        [DISK_SHM_LOCK] = "lock of the index",
};

const char *disk_op_to_string(DiskOp op)
{
        return disk_op_table[op];
}

void disk_watch(DiskWatchFn fn, void *userdata)
{
        watch_fn = fn;
        watch_userdata = userdata;
}

void disk_lie(bool lies)
{
        lying = lies;
}

void disk_hurry(bool hurry)
{
        hurrying = hurry;
}

void disk_fail(const DiskFault *f)
{
        pthread_mutex_lock(&lock);
        fault = *f;
        n_calls = 0;
        has_failed = false;
        pthread_mutex_unlock(&lock);
}

bool disk_has_failed(void)
{
        bool failed;

        pthread_mutex_lock(&lock);
        failed = has_failed;
        pthread_mutex_unlock(&lock);
        return failed;
}

unsigned disk_open_files(void)
{
        unsigned n;

        pthread_mutex_lock(&lock);
        n = n_open;
        pthread_mutex_unlock(&lock);
        return n;
}

static void count_open(int by)
{
        pthread_mutex_lock(&lock);
        n_open += (unsigned)by;
        pthread_mutex_unlock(&lock);
}

/* Every call that is about the recorded directory comes through here first. */
static int step(DiskOp op)
{
        static const unsigned changing =
                        1U << DISK_WRITE | 1U << DISK_SYNC | 1U << DISK_TRUNCATE | 1U << DISK_DELETE;
        int code = SQLITE_OK, system_error = 0;

        if (watch_fn && 1U << op & changing)
                watch_fn(op, watch_userdata);

        pthread_mutex_lock(&lock);
        if (fault.nth > 0 && fault.op == op) {
                n_calls++;
                if (n_calls == fault.nth || (fault.lasting && n_calls > fault.nth)) {
                        code = fault.code;
                        system_error = fault.system_error;
                        has_failed = true;
                }
        }
        pthread_mutex_unlock(&lock);
        if (code != SQLITE_OK)
                errno = system_error;
        return code;
}

static int step_of(const DiskFile *f, DiskOp op)
{
        return f->inode ? step(op) : SQLITE_OK;
}

static DiskFile *file_of(sqlite3_file *f)
{
        return (DiskFile *)(void *)f;
}

#define REAL(f)         (file_of(f)->real)
#define CALL(f, m, ...) (REAL(f)->pMethods->m(REAL(f), ##__VA_ARGS__))

static int disk_close(sqlite3_file *f)
{
        int rc = CALL(f, xClose);

        free(REAL(f));
        count_open(-1);
        return rc;
}

static int disk_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
        int rc = step_of(file_of(f), DISK_READ);

        return rc != SQLITE_OK ? rc : CALL(f, xRead, p, n, at);
}

static int disk_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
        DiskInode *inode = file_of(f)->inode;
        int failure = step_of(file_of(f), DISK_WRITE), system_error = errno, rc;

        if (failure != SQLITE_OK)
                n /= 2;
        rc = CALL(f, xWrite, p, n, at);
        if (rc == SQLITE_OK && inode)
                record_write(inode, p, (size_t)n, (size_t)at);
        if (failure == SQLITE_OK)
                return rc;
        errno = system_error;
        return failure;
}

static int disk_truncate(sqlite3_file *f, sqlite3_int64 size)
{
        int rc = step_of(file_of(f), DISK_TRUNCATE);

        if (rc == SQLITE_OK)
                rc = CALL(f, xTruncate, size);
        if (rc == SQLITE_OK && file_of(f)->inode)
                record_truncate(file_of(f)->inode, (size_t)size);
        return rc;
}

static int disk_sync(sqlite3_file *f, _unused_ int flags)
{
        DiskFile *file = file_of(f);
        int rc = step_of(file, DISK_SYNC);

        if (rc != SQLITE_OK || !file->inode || (lying && file->is_wal))
                return rc;
        record_sync(file->inode);
        if (file->new_journal)
                record_sync_directory();
        file->new_journal = false;
        return SQLITE_OK;
}

static int disk_size(sqlite3_file *f, sqlite3_int64 *ret)
{
        int rc = step_of(file_of(f), DISK_SIZE);

        return rc != SQLITE_OK ? rc : CALL(f, xFileSize, ret);
}

static int disk_lock(sqlite3_file *f, int level)
{
        int rc = step_of(file_of(f), DISK_LOCK);

        return rc != SQLITE_OK ? rc : CALL(f, xLock, level);
}

static int disk_unlock(sqlite3_file *f, int level)
{
        return CALL(f, xUnlock, level);
}

static int disk_is_reserved(sqlite3_file *f, int *ret)
{
        int rc = step_of(file_of(f), DISK_LOCK);

        return rc != SQLITE_OK ? rc : CALL(f, xCheckReservedLock, ret);
}

static int disk_control(sqlite3_file *f, int op, void *arg)
{
        return CALL(f, xFileControl, op, arg);
}

static int disk_sector_size(sqlite3_file *f)
{
        return CALL(f, xSectorSize);
}

static int disk_traits(sqlite3_file *f)
{
        return CALL(f, xDeviceCharacteristics);
}

static int disk_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
        int rc = step_of(file_of(f), DISK_SHM_MAP);

        if (rc == SQLITE_OK)
                return CALL(f, xShmMap, page, size, extend, ret);
        *ret = NULL;
        return rc;
}

static int disk_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
        /* Letting go never fails. */
        int rc = flags & SQLITE_SHM_UNLOCK ? SQLITE_OK : step_of(file_of(f), DISK_SHM_LOCK);

        return rc != SQLITE_OK ? rc : CALL(f, xShmLock, offset, n, flags);
}

static void disk_shm_barrier(sqlite3_file *f)
{
        CALL(f, xShmBarrier);
}

static int disk_shm_unmap(sqlite3_file *f, int remove)
{
        return CALL(f, xShmUnmap, remove);
}

static const sqlite3_io_methods disk_methods = {
        .iVersion = 2, /* nothing is mapped but the index */
        .xClose = disk_close,
        .xRead = disk_read,
        .xWrite = disk_write,
        .xTruncate = disk_truncate,
        .xSync = disk_sync,
        .xFileSize = disk_size,
        .xLock = disk_lock,
        .xUnlock = disk_unlock,
        .xCheckReservedLock = disk_is_reserved,
        .xFileControl = disk_control,
        .xSectorSize = disk_sector_size,
        .xDeviceCharacteristics = disk_traits,
        .xShmMap = disk_shm_map,
        .xShmLock = disk_shm_lock,
        .xShmBarrier = disk_shm_barrier,
        .xShmUnmap = disk_shm_unmap,
};

static int disk_open(_unused_ sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *ret_flags)
{
        static const int journals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
        const char *name = path ? record_name(path) : NULL;
        DiskFile *file = file_of(f);
        int rc;

        *file = (DiskFile){ 0 };
        rc = name ? step(DISK_OPEN) : SQLITE_OK;
        if (rc != SQLITE_OK)
                return rc;
        file->real = calloc(1, (size_t)below->szOsFile);
        if (!file->real)
                return SQLITE_NOMEM;
        rc = below->xOpen(below, path, file->real, flags, ret_flags);
        if (rc != SQLITE_OK) {
                free(file->real);
                return rc;
        }
        if (name)
                file->inode = record_open(name);
        file->new_journal = flags & SQLITE_OPEN_CREATE && flags & journals;
        file->is_wal = (flags & SQLITE_OPEN_WAL) != 0;
        file->base.pMethods = &disk_methods;
        count_open(1);
        return SQLITE_OK;
}

static int disk_delete(_unused_ sqlite3_vfs *vfs, const char *path, int sync_directory)
{
        const char *name = record_name(path);
        int rc = name ? step(DISK_DELETE) : SQLITE_OK;

        if (rc == SQLITE_OK)
                rc = below->xDelete(below, path, 0);
        if (rc == SQLITE_OK && name) {
                record_delete(name);
                if (sync_directory)
                        record_sync_directory();
        }
        return rc;
}

static int disk_access(_unused_ sqlite3_vfs *vfs, const char *path, int flags, int *ret)
{
        int rc = record_name(path) ? step(DISK_ACCESS) : SQLITE_OK;

        return rc != SQLITE_OK ? rc : below->xAccess(below, path, flags, ret);
}

static int disk_sleep(_unused_ sqlite3_vfs *vfs, int usec)
{
        return hurrying ? usec : below->xSleep(below, usec);
}

void disk_install(void)
{
        static sqlite3_vfs vfs;

        below = sqlite3_vfs_find(NULL);
        assert_non_null(below);
        vfs = *below;
        vfs.zName = "disk";
        vfs.szOsFile = sizeof(DiskFile);
        vfs.xOpen = disk_open;
        vfs.xDelete = disk_delete;
        vfs.xAccess = disk_access;
        vfs.xSleep = disk_sleep;
        assert_int_equal(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}
