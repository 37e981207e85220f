/*
 * Whether there is a point in writing. Once a round, and after a group that failed, the writer looks at what
 * it writes to:
 *
 * - without room nothing is tried, and it goes on when there is room.
 * - after any other failure it is the writer itself that tries whether it goes on, by a write of no
 *   consequence: whoever asks is not told that all is well before it is.
 * - after a failed sync, and when the files are no longer those that were opened, it ends.
 */

#include "daemon/commit-internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "basic/log.h"
#include "basic/time-util.h"
#include "daemon/message.h"

#define ROOM_MIN (UINT64_C(1024) * 1024) /* bytes free without which a group is not even tried */

/* Remembers whether there is a point in trying, and says so when that changes. */
static void set_writable(Commit *c, bool writable, const char *why)
{
        bool was;

        pthread_mutex_lock(&c->lock);
        was = c->stats.writable;
        c->stats.writable = writable;
        pthread_mutex_unlock(&c->lock);

        if (was && !writable)
                log_event(LOG_ERR, MESSAGE_NOT_WRITABLE, LOG_FIELDS(LOG_TEXT("DATABASE", c->path)),
                                "Nothing can be stored, requests are answered 503: %s", why);
        else if (!was && writable)
                log_event(LOG_NOTICE, MESSAGE_WRITABLE, LOG_FIELDS(LOG_TEXT("DATABASE", c->path)),
                                "The database takes what comes again.");
}

void commit_go_fatal(Commit *c, int error, const char *why)
{
        const char *message = error == -EIDRM ? MESSAGE_DATABASE_MOVED : MESSAGE_DISK_FAILED;

        pthread_mutex_lock(&c->lock);
        c->fatal = true;
        c->stats.writable = false;
        pthread_mutex_unlock(&c->lock);

        log_event(LOG_CRIT, message, LOG_FIELDS(LOG_TEXT("DATABASE", c->path)), "Giving up: %s", why);
        c->on_fatal(error, c->userdata);
}

static void show_progress(void *userdata)
{
        Commit *c = userdata;

        pthread_mutex_lock(&c->lock);
        c->stats.last_progress = now_monotonic();
        pthread_mutex_unlock(&c->lock);
}

/* The database isn't where it was. Leaving would lose what only this process has still open, so that is
 * brought to safety first; as long as it can't be, it stays open. */
static void save_and_leave(Commit *c)
{
        if (store_save(c->store, show_progress, c) < 0) {
                char why[2048];

                snprintf(why, sizeof(why),
                                "%s What it holds can't be saved yet, so it is kept open and this is tried "
                                "again: %s",
                                store_error(c->store), store_save_error(c->store));
                set_writable(c, false, why);
                c->moved = true;
                return;
        }
        c->moved = false;
        commit_go_fatal(c, -EIDRM, store_error(c->store));
}

void commit_check_files(Commit *c)
{
        if (c->moved || store_check(c->store) == -EIDRM)
                save_and_leave(c);
}

void commit_note_result(Commit *c, int r)
{
        if (r >= 0)
                return;
        if (r == -ENOTRECOVERABLE)
                commit_go_fatal(c, r, store_error(c->store));
        else if (r == -EIDRM)
                save_and_leave(c);
        else {
                c->failing = true;
                c->failure = r;
                set_writable(c, false, r == -ENOSPC ? "no room on the disk" : store_error(c->store));
                c->checked = now_monotonic(); /* the next try is a round away */
        }
}

/* A disk that failed is believed to take writes again when it has taken one: not whoever comes next tries it
 * out. */
static void probe(Commit *c)
{
        int r;

        r = store_probe(c->store);
        if (r < 0) {
                commit_note_result(c, r);
                return;
        }
        c->failing = false;
        set_writable(c, true, "");
}

uint64_t commit_min_free(Commit *c)
{
        return MAX(atomic_load(&c->min_free), ROOM_MIN);
}

static void check_space(Commit *c)
{
        uint64_t free_bytes, wanted = commit_min_free(c);
        char why[256];
        int r;

        r = store_free_space(c->path, &free_bytes);
        if (r < 0) {
                snprintf(why, sizeof(why), "the free space beside %s can't be read: %s", c->path,
                                strerror(-r));
                set_writable(c, false, why);
                return;
        }
        snprintf(why, sizeof(why),
                        "%" PRIu64 " KiB are free beside the database, [store] min_free asks for %" PRIu64
                        " KiB",
                        free_bytes / 1024, wanted / 1024);
        if (free_bytes >= wanted && c->failing)
                probe(c);
        else
                set_writable(c, free_bytes >= wanted, why);
}

void commit_check_health(Commit *c)
{
        uint64_t now = now_monotonic();

        if (c->fatal || (c->checked > 0 && now - c->checked < COMMIT_ROUND_USEC))
                return;
        c->checked = now;

        commit_check_files(c);
        if (!c->fatal && !c->moved)
                check_space(c);
}
