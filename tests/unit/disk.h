#pragma once

/* A disk under SQLite that fails when told to, and whose power can be cut. */

#include <sqlite3.h>

#include "basic/macros.h"

/* What SQLite asks of a disk. */
typedef enum DiskOp {
        DISK_OPEN,
        DISK_READ,
        DISK_WRITE,
        DISK_SYNC,
        DISK_TRUNCATE,
        DISK_DELETE,
        DISK_SIZE,
        DISK_ACCESS,
        DISK_LOCK,
        DISK_SHM_MAP,
        DISK_SHM_LOCK,
        _DISK_OP_MAX,
} DiskOp;

const char *disk_op_to_string(DiskOp op);

/* Becomes SQLite's default, over the one that was it. Other handles' files keep what they were opened with,
 * so this comes first. */
void disk_install(void);

/* From here on all that happens to the files of this directory is recorded, and may fail. What is there
 * counts as synced. One directory at a time; no handle may be open in it, neither now nor when it ends. */
void disk_record(const char *directory);
void disk_forget(void);

/* Called before everything that changes the recorded directory. */
typedef void (*DiskWatchFn)(DiskOp op, void *userdata);
void disk_watch(DiskWatchFn fn, void *userdata);

/* A disk that says yes to a sync and does nothing. */
void disk_lie(bool lies);

/* The nth call from here on fails, and all later ones if `lasting`. `code` is SQLite's, `system_error` what
 * is in errno. A write that fails leaves half of what was to be written. nth 0: none. */
typedef struct DiskFault {
        DiskOp op;
        unsigned nth;
        bool lasting;
        int code, system_error;
} DiskFault;

void disk_fail(const DiskFault *fault);
bool disk_has_failed(void); /* since disk_fail() */
unsigned disk_open_files(void);

/* Whether waiting for a lock takes time. */
void disk_hurry(bool hurry);

/* What may be left after a cut. Synced data always is; of what came after... */
typedef enum DiskCut {
        CUT_NONE,   /* nothing */
        CUT_ALL,    /* everything */
        CUT_LAST,   /* only the last change */
        CUT_PREFIX, /* what came before some moment; the change at that moment is torn */
        CUT_SUFFIX, /* what came after some moment */
        CUT_RANDOM, /* every sector by itself: kept, dropped, torn at a byte, full of noise */
        _DISK_CUT_MAX,
} DiskCut;

const char *disk_cut_to_string(DiskCut cut);

/* Changes that aren't synced. */
uint64_t disk_pending(void);

/* Lays the files as they may be after a cut now into an empty directory. */
void disk_cut(DiskCut cut, uint64_t *chance, const char *directory);

/* Removes all files of a directory. */
void disk_empty(const char *path);

/* The number in a variable of the environment, by which a run is repeated or made longer. */
uint64_t disk_option(const char *name, uint64_t otherwise);

/* A number from a sequence that its seed decides. */
static inline uint64_t disk_chance(uint64_t *chance)
{
        uint64_t x = *chance += UINT64_C(0x9e3779b97f4a7c15);

        x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
        return x ^ (x >> 31);
}

/* 0 to n - 1. */
static inline unsigned disk_pick(uint64_t *chance, uint64_t n)
{
        return (unsigned)(disk_chance(chance) % n);
}
