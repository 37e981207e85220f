/*
 * Backups. A consistent copy of the database is made in a file beside it, in small steps between which
 * everything else goes on; then the file is streamed to whoever asked. It has no name by then, so nothing is
 * left behind; what a kill leaves before that is removed at the next start.
 *
 * Callbacks need the room more: a copy that would leave less than [store] min_free is not begun, and one
 * that does so later is given up, also while it is being read, because a reader may take all the time it
 * wants.
 */

#include <inttypes.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "callbackd/local.h"

#define STEP_PAGES 256U
#define LOOK_USEC  (500 * USEC_PER_MSEC) /* at the room, while it is being read */

typedef struct Backup {
        Local *local;
        HttpRequest *request;
        StoreBackup *copy;
        sd_event_source *step, *look;
        bool given_up, ended;
        char *path; /* while the file has a name */
        int fd;
        uint64_t size; /* of the whole */
} Backup;

/* Before the end is told: who hears of it may ask for the next one at once, and finds no trace of this one.
 */
static void let_go(Backup *backup)
{
        backup->ended = true;
        backup->local->backup = false;
        backup->step = sd_event_source_disable_unref(backup->step);
        backup->look = sd_event_source_disable_unref(backup->look);
        backup->copy = store_backup_close(backup->copy);
        backup->fd = fd_close(backup->fd);
        if (backup->path)
                store_remove_temporary(backup->path);
        free(backup->path);
        backup->path = NULL;
}

static void backup_free(void *userdata)
{
        Backup *backup = userdata;

        if (!backup->ended)
                let_go(backup);
        free(backup);
}

static ssize_t produce(void *userdata, char *buffer, size_t size)
{
        Backup *backup = userdata;
        ssize_t n;

        if (backup->given_up)
                return -ENOSPC;
        n = read(backup->fd, buffer, size);
        if (n < 0)
                return -errno;
        if (n > 0)
                return n;
        let_go(backup);
        return -ENODATA;
}

/* The stream ends with the request, which frees the rest. */
static void stream_done(_unused_ void *userdata)
{
}

static int refuse(Backup *backup, int error)
{
        log_error_errno(error, "A backup failed");
        let_go(backup);
        return http_reply_error(backup->request, error == -ENOSPC ? 507 : 500, NULL,
                        "The backup could not be made beside the database: %s.", strerror(-error));
}

/* 1: there is room for so much more, and for what is to stay free; 0: there isn't; negative errno. */
static int has_room(const Backup *backup, uint64_t more)
{
        uint64_t n = 0;
        int r;

        r = store_free_space(backup->local->database, &n);
        return r < 0 ? r : n >= commit_min_free(backup->local->base.commit) + more;
}

static int refuse_for_room(Backup *backup)
{
        log_warning("A backup was not made: there is no room for %" PRIu64 " KiB beside the database.",
                        backup->size / 1024);
        let_go(backup);
        return http_reply_error(backup->request, 507, NULL,
                        "There is no room for a backup: it takes %" PRIu64
                        " KiB beside the database, and %" PRIu64
                        " KiB have to stay free there for callbacks ([store] min_free). Make room, then try again.",
                        backup->size / 1024, commit_min_free(backup->local->base.commit) / 1024);
}

/* Its room is given back at once, though the reader may hold on to it for longer. */
static int on_look(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Backup *backup = userdata;

        if (has_room(backup, 0) == 0) {
                log_warning("A backup was given up while it was being read: callbacks need its room.");
                backup->given_up = true;
                if (ftruncate(backup->fd, 0) < 0)
                        log_warning_errno(errno, "The room of a backup can't be given back");
                return 0;
        }
        (void)sd_event_source_set_time_relative(source, LOOK_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Copied: the file loses its name and goes out. */
static int send_copy(Backup *backup)
{
        static const HttpStream stream = { produce, stream_done };
        int r;

        backup->copy = store_backup_close(backup->copy);
        if (unlink(backup->path) < 0)
                return refuse(backup, -errno);
        free(backup->path);
        backup->path = NULL;
        r = sd_event_add_time_relative(backup->local->base.loop, &backup->look, CLOCK_MONOTONIC, LOOK_USEC,
                        0, on_look, backup);
        if (r < 0)
                return refuse(backup, r);
        return http_reply_stream(backup->request, 200, "application/vnd.sqlite3", &stream, backup);
}

static int on_step(sd_event_source *source, void *userdata)
{
        Backup *backup = userdata;
        bool goes_on;
        int r;

        r = store_backup_step(backup->copy, STEP_PAGES);
        goes_on = r > 0;
        if (goes_on && (r = has_room(backup, 0)) > 0)
                return 0;

        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (r < 0)
                r = refuse(backup, r);
        else
                r = goes_on ? refuse_for_room(backup) : send_copy(backup);
        if (r < 0)
                log_debug_errno(r, "A backup could not be answered");
        return 0;
}

int backup_on_get(HttpRequest *request, void *userdata)
{
        _cleanup_free_ char *error = NULL;
        Local *local = userdata;
        Backup *backup;
        int r;

        if (local->backup)
                return http_reply_error(
                                request, 409, NULL, "A backup is being made already: one at a time.");

        backup = calloc(1, sizeof(Backup));
        if (!backup)
                return -ENOMEM;
        *backup = (Backup){ .local = local, .request = request, .fd = -EBADF };
        local->backup = true;
        http_request_set_userdata(request, backup, backup_free);

        r = store_make_temporary(local->database, "backup", &backup->path, &backup->fd);
        if (r >= 0)
                r = store_backup_open(local->database, backup->path, &backup->copy, &error);
        if (r < 0)
                return refuse(backup, r);
        backup->size = store_backup_size(backup->copy);
        r = has_room(backup, backup->size);
        if (r <= 0)
                return r < 0 ? refuse(backup, r) : refuse_for_room(backup);

        r = sd_event_add_defer(local->base.loop, &backup->step, on_step, backup);
        if (r >= 0)
                r = sd_event_source_set_priority(backup->step, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(backup->step, SD_EVENT_ON);
        return r < 0 ? refuse(backup, r) : 0;
}
