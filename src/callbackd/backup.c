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
#include "callbackd/local-context.h"

#define STEP_PAGES 256U
#define LOOK_USEC  (500 * USEC_PER_MSEC) /* at the room, while it is being read */

typedef struct Backup {
        LocalContext *context;
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
static void let_go(Backup *b)
{
        b->ended = true;
        b->context->backup = false;
        b->step = sd_event_source_disable_unref(b->step);
        b->look = sd_event_source_disable_unref(b->look);
        b->copy = store_backup_close(b->copy);
        b->fd = fd_close(b->fd);
        if (b->path)
                store_remove_temporary(b->path);
        free(b->path);
        b->path = NULL;
}

static void backup_free(void *userdata)
{
        Backup *b = userdata;

        if (!b->ended)
                let_go(b);
        free(b);
}

static ssize_t produce(void *userdata, char *buffer, size_t size)
{
        Backup *b = userdata;
        ssize_t n;

        if (b->given_up)
                return -ENOSPC;
        n = read(b->fd, buffer, size);
        if (n < 0)
                return -errno;
        if (n > 0)
                return n;
        let_go(b);
        return -ENODATA;
}

/* The stream ends with the request, which frees the rest. */
static void stream_done(_unused_ void *userdata)
{
}

static int refuse(Backup *b, int error)
{
        log_error_errno(error, "A backup failed");
        let_go(b);
        return http_reply_error(b->request, error == -ENOSPC ? 507 : 500, NULL,
                        "The backup could not be made beside the database: %s.", strerror(-error));
}

/* 1: there is room for so much more, and for what is to stay free; 0: there isn't; negative errno. */
static int has_room(const Backup *b, uint64_t more)
{
        uint64_t n = 0;
        int r;

        r = store_free_space(b->context->database, &n);
        return r < 0 ? r : n >= commit_min_free(b->context->base.commit) + more;
}

static int refuse_for_room(Backup *b)
{
        log_warning("A backup was not made: there is no room for %" PRIu64 " KiB beside the database.",
                        b->size / 1024);
        let_go(b);
        return http_reply_error(b->request, 507, NULL,
                        "There is no room for a backup: it takes %" PRIu64
                        " KiB beside the database, and %" PRIu64
                        " KiB have to stay free there for callbacks ([store] min_free). Make room, then try "
                        "again.",
                        b->size / 1024, commit_min_free(b->context->base.commit) / 1024);
}

/* Its room is given back at once, though the reader may hold on to it for longer. */
static int on_look(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Backup *b = userdata;

        if (has_room(b, 0) == 0) {
                log_warning("A backup was given up while it was being read: callbacks need its room.");
                b->given_up = true;
                if (ftruncate(b->fd, 0) < 0)
                        log_warning_errno(errno, "The room of a backup can't be given back");
                return 0;
        }
        (void)sd_event_source_set_time_relative(source, LOOK_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Copied: the file loses its name and goes out. */
static int send_copy(Backup *b)
{
        static const HttpStream stream = { produce, stream_done };
        int r;

        b->copy = store_backup_close(b->copy);
        if (unlink(b->path) < 0)
                return refuse(b, -errno);
        free(b->path);
        b->path = NULL;
        r = sd_event_add_time_relative(
                        b->context->base.loop, &b->look, CLOCK_MONOTONIC, LOOK_USEC, 0, on_look, b);
        if (r < 0)
                return refuse(b, r);
        return http_reply_stream(b->request, 200, "application/vnd.sqlite3", &stream, b);
}

static int on_step(sd_event_source *source, void *userdata)
{
        Backup *b = userdata;
        bool goes_on;
        int r;

        r = store_backup_step(b->copy, STEP_PAGES);
        goes_on = r > 0;
        if (goes_on && (r = has_room(b, 0)) > 0)
                return 0;

        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (r < 0)
                r = refuse(b, r);
        else
                r = goes_on ? refuse_for_room(b) : send_copy(b);
        if (r < 0)
                log_debug_errno(r, "A backup could not be answered");
        return 0;
}

int backup_on_get(HttpRequest *request, void *userdata)
{
        _cleanup_free_ char *error = NULL;
        LocalContext *c = userdata;
        Backup *b;
        int r;

        if (c->backup)
                return http_reply_error(
                                request, 409, NULL, "A backup is being made already: one at a time.");

        b = calloc(1, sizeof(Backup));
        if (!b)
                return -ENOMEM;
        *b = (Backup){ .context = c, .request = request, .fd = -EBADF };
        c->backup = true;
        http_request_set_userdata(request, b, backup_free);

        r = store_make_temporary(c->database, "backup", &b->path, &b->fd);
        if (r >= 0)
                r = store_backup_open(c->database, b->path, &b->copy, &error);
        if (r < 0)
                return refuse(b, r);
        b->size = store_backup_size(b->copy);
        r = has_room(b, b->size);
        if (r <= 0)
                return r < 0 ? refuse(b, r) : refuse_for_room(b);

        r = sd_event_add_defer(c->base.loop, &b->step, on_step, b);
        if (r >= 0)
                r = sd_event_source_set_priority(b->step, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(b->step, SD_EVENT_ON);
        return r < 0 ? refuse(b, r) : 0;
}
