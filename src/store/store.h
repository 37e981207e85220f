#pragma once

/* The store: domain verbs over one database. */

#include "store/types.h"

/*
 * Errors, negative, the same from every verb:
 *   -ENOSPC           no room on the disk: undo, answer 503, try again later
 *   -EROFS, -EACCES   the file or its directory can't be written
 *   -EBUSY            another process held the lock longer than the time-out
 *   -EBADMSG          not a database, or a damaged one
 *   -ENOTRECOVERABLE  a sync failed: what the disk holds is not known. Never try again: leave the process
 *   -EIDRM            (writing) the database, its WAL or the WAL's index was removed or replaced. Never try
 *                     again: leave the process
 *   -EIO, -ENOMEM     as they say
 *   -EUSERS           (open) another process has it, in a role that only one can have
 *   -ESTALE           (open) the database was made by a newer program
 *   -EPROTONOSUPPORT  (open) a database, but not one of ours
 *   -ETIME            (reading) the query took longer than the reader's time limit
 *   -ENOENT           (open) there is no such file
 *   -ENOTDIR, -EISDIR, -ELOOP, -ENAMETOOLONG
 *                     (open) there can't be a database at this path: the directory isn't there, or it is
 *                     something else than a file
 *   -EMSGSIZE         a body or metadata too large to be kept: about this delivery alone
 *   -EUCLEAN          the rows that this verb met contradict each other
 */

/* One writer: for one thread at a time. */
typedef struct Store Store;

/* One reader: read-only, for one thread at a time. No transaction stays open between two calls. */
typedef struct StoreReader StoreReader;

/* A sentence for people about the last failure of this database: what, where, and what would help. */
const char *store_error(const Store *s);
const char *store_reader_error(const StoreReader *r);

/* From any thread: what is being read ends with -ETIME, and so does whatever is read from here on. */
void store_reader_interrupt(StoreReader *r);

/* What for. One process has a database as the submitter's, or two would send the same task; receivers may be
 * several. */
typedef enum StoreRole {
        STORE_RECEIVER,
        STORE_SUBMITTER,
        _STORE_ROLE_MAX,
} StoreRole;

/* Opens or creates the database at a location, which is the path of a file, and brings it to the current
 * schema. The message of a failed open is written to `ret_error` (owned by the caller, NULL when out of
 * memory) . */
int store_open(const char *location, StoreRole role, Store **ret, char **ret_error);
Store *store_close(Store *s);
DEFINE_CLEANUP(Store *, store_close)

/* Adds a line to *mistakes (see basic/mistakes.h) for what would keep store_open() from it, as far as that
 * is seen from outside: nothing is opened, made or locked. */
void store_look_at(const char *path, char **mistakes);

#define STORE_REASON_MAX 1024U /* of a sentence about a failure */

/* How it stands with the writer. */
typedef enum StoreState {
        STORE_WELL,
        STORE_WAITING, /* nothing is written now; it goes on by itself */
        STORE_FATAL,   /* nothing will ever be written by this one: leave the process */
        _STORE_STATE_MAX,
} StoreState;

typedef struct StoreHealth {
        StoreState state;
        int error;          /* why it is not well; 0: it is */
        const char *reason; /* the same for people; until the next call */
} StoreHealth;

StoreHealth store_health(const Store *s);

/* Between groups, now and then: looks, at most once a second, whether there is a point in writing, tries
 * whether what failed goes on, and keeps the files in order. */
void store_tend(Store *s);

/* Whether the files are still those that were opened. Every group asks by itself; this is for who is about
 * to leave. */
void store_check(Store *s);

/* Bytes of the file system that are left alone, at least some: below, nothing is written. From any thread.
 */
void store_set_min_free(Store *s, uint64_t min_free);
uint64_t store_min_free(const Store *s);

/* The number of the newest event, as of the last commit. */
uint64_t store_last_event(const Store *s);

/* What the writer tells of itself, for metrics; 0 where its kind of database has nothing like it. */
typedef struct StoreCounts {
        uint64_t wal_bytes;   /* that a checkpoint has yet to bring into the database */
        uint64_t checkpoints; /* ever */
} StoreCounts;

StoreCounts store_counts(const Store *s);

/* Free bytes on the file system of the database, for who may not use the reserve. 0 or negative errno. */
int store_free_space(const char *path, uint64_t *ret);

/* Reading. `time_limit` (microseconds, 0: none) bounds each call. */
int store_reader_open(const char *location, uint64_t time_limit, StoreReader **ret, char **ret_error);
StoreReader *store_reader_close(StoreReader *r);
DEFINE_CLEANUP(StoreReader *, store_reader_close)

/* Callbacks get rows whose pointers live until they return; a negative return stops and is handed on. */
typedef int (*StoreTaskFn)(const TaskDocument *task, void *userdata);
typedef int (*StoreDeliveryFn)(const StoredDelivery *delivery, void *userdata);
typedef int (*StoreRevisionFn)(const StoredRevision *revision, void *userdata);
typedef int (*StoreEventFn)(const StoredEvent *event, void *userdata);

/* 1: found, 0: no such task. */
int store_get_task(StoreReader *r, const char *task_id, StoreTaskFn fn, void *userdata);

/* Newest created_at first; ties: the one that came later first. 0. */
int store_list_tasks(
                StoreReader *r, const TaskFilter *filter, StoreTaskFn fn, void *userdata, TaskPage *ret);

/* All revisions, oldest first, at most `limit` from number `after` + 1 on. 1: the task exists, 0: it
 * doesn't. */
int store_list_revisions(StoreReader *r, const char *task_id, unsigned after, unsigned limit,
                StoreRevisionFn fn, void *userdata);

/* Deliveries in the order of their numbers, those behind `after`, without bodies. `verdict` may be
 * _VERDICT_ERRNO (any); `task_id` may be NULL (any). 0. */
int store_list_deliveries(StoreReader *r, Verdict verdict, const char *task_id, uint64_t after,
                unsigned limit, StoreDeliveryFn fn, void *userdata);

/* The same from the newest on, those before `before`; 0: all. */
int store_list_deliveries_back(StoreReader *r, Verdict verdict, const char *task_id, uint64_t before,
                unsigned limit, StoreDeliveryFn fn, void *userdata);

/* 1: found, 0: no such delivery. */
int store_get_delivery(StoreReader *r, uint64_t n, bool with_body, StoreDeliveryFn fn, void *userdata);

/* Events behind `after`, in order. 0. */
int store_list_events(StoreReader *r, uint64_t after, unsigned limit, bool with_task, StoreEventFn fn,
                void *userdata);

/* When event `seq` was. 1: found, 0: there is no such event. */
int store_get_event_time(StoreReader *r, uint64_t seq, int64_t *ret);

/* Whether anything was committed, by whomever, since the last time that this was asked; the first time it
 * says so. Cheap: nothing is read but the index of the WAL. 1, 0 or negative errno. */
int store_reader_changed(StoreReader *r);

int store_get_stats(StoreReader *r, StoreStats *ret);

/* A new, empty file beside the database, "scale.db.KIND-XXXXXX", for KIND "backup" or "restore". As long as
 * the descriptor is open it is in use; one that isn't is removed by whoever opens the database next. 0 or
 * negative errno; both are owned by the caller. */
int store_make_temporary(const char *path, const char *kind, char **ret_path, int *ret_fd);
void store_remove_temporary(const char *path);

/* A consistent copy of the whole database, as it is now, into a file of its own, in steps that don't hold up
 * the writer; while it lasts the WAL can't start over. The copy says that it is one, see
 * store_take_copied(). `target` is made, or there and empty, else -EEXIST; what is left of a copy that
 * failed or was given up is the caller's to remove, with what lies beside it (-wal, -journal). Step: 1 more
 * to do, 0 done and synced; a failure is final. */
typedef struct StoreBackup StoreBackup;
int store_backup_open(const char *path, const char *target, StoreBackup **ret, char **ret_error);
uint64_t store_backup_size(const StoreBackup *b); /* bytes that the copy will have */
int store_backup_step(StoreBackup *b, unsigned pages);
StoreBackup *store_backup_close(StoreBackup *b);
DEFINE_CLEANUP(StoreBackup *, store_backup_close)

/* What a restore did. */
typedef struct StoreRestored {
        char *kept;          /* owned: where what was there is now; NULL: there was nothing */
        int64_t copied_at;   /* when the copy was made, as far as that is known */
        uint64_t deliveries; /* the newest one's number */
        uint64_t waiting;    /* submissions that may have been sent since */
} StoreRestored;

void store_restored_done(StoreRestored *r);

/* Puts a copy of the file `backup` in the place of the database, once it was looked through as a whole and
 * brought to this schema. What was there is kept beside it, with its log. Nobody may have the database
 * (-EUSERS). A copy of files that lay beside each other comes with its log, "BACKUP-wal". Until the end the
 * database is what it was; should it be killed between the last two steps, the daemons refuse what is there
 * and say to do it again. -EMEDIUMTYPE: the backup can't be used, as the error says. `progress` is called
 * with the number of bytes that were copied. */
int store_restore(const char *backup, const char *path, void (*progress)(uint64_t bytes, void *userdata),
                void *userdata, StoreRestored *ret, char **ret_error);
