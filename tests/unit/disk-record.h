#pragma once

/* What the disk remembers: files with what is synced of them and what came since, and a directory. */

#include "disk.h"

typedef struct DiskChange {
        uint64_t seq; /* of all changes of the directory */
        bool truncates;
        size_t at, size;     /* truncates: to `at` bytes */
        unsigned char *data; /* owned */
} DiskChange;

/* A file, whatever it is called. */
typedef struct DiskInode DiskInode;
struct DiskInode {
        DiskInode *next;
        unsigned char *synced; /* owned */
        size_t synced_size;
        DiskChange *changes; /* owned */
        size_t n_changes;
};

/* Which file has a name: on the disk, and what came since. */
typedef struct DiskName {
        char name[64];
        DiskInode *synced; /* NULL: none */
        struct {
                uint64_t seq;
                DiskInode *inode;
        } changes[64];
        size_t n_changes;
} DiskName;

/* All of these may be called from any thread. */

/* The name within the recorded directory, or NULL. */
const char *record_name(const char *path);

/* The file of that name; a new, empty one if there was none. */
DiskInode *record_open(const char *name);
void record_write(DiskInode *i, const void *data, size_t size, size_t at);
void record_truncate(DiskInode *i, size_t size);
void record_sync(DiskInode *i);
void record_sync_directory(void);
void record_delete(const char *name);
