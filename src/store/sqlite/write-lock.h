#pragma once

/* Who writes, among processes, and who has the database. */

#include "store/sqlite/connection.h"

#define CHAIN_VALUE_SIZE 16U /* bytes: see chain.c */

typedef struct WriteLock {
        int fd; /* negative: none */
        bool held;
} WriteLock;

#define WRITE_LOCK_INIT ((WriteLock){ .fd = -EBADF })

/* The file beside the database. 0; -ENOENT where there is none and `make` is false; else the error is left
 * in `c`. */
int write_lock_open(WriteLock *lock, Connection *c, bool make);
void write_lock_close(WriteLock *lock);

/* Once there is a database: whoever may write to it may use this file. 0 or negative errno. */
int write_lock_adopt(WriteLock *lock, const char *database);

/* For as long as the file is open, that is for the life of the store. 0; -EUSERS with a sentence in `c`. */
int write_lock_take_role(WriteLock *lock, Connection *c, StoreRole role);

/* The same of all roles, so that nobody else has the database. */
int write_lock_take_all_roles(WriteLock *lock, Connection *c, const char *program);

/* Waits at most that long. 0; -EBUSY with a sentence in `c`; else negative errno. Taking what is taken, and
 * letting go of what isn't, do nothing. */
int write_lock_take(WriteLock *lock, Connection *c, unsigned wait_msec);
void write_lock_release(WriteLock *lock);

/* The newest link's value, left there for whoever opens the database next. False: there is none. */
void write_lock_note_link(const WriteLock *lock, const uint8_t value[static CHAIN_VALUE_SIZE]);
bool write_lock_get_link(const WriteLock *lock, uint8_t ret[static CHAIN_VALUE_SIZE]);
