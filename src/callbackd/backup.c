/*
 * Backups. A consistent copy of the database is made in a file beside it, in small steps between which
 * everything else goes on; then the file is streamed to whoever asked. It has no name by then, so nothing is
 * left behind, whatever happens.
 */

#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "callbackd/local-context.h"

#define STEP_PAGES 256U

typedef struct Backup {
        LocalContext *context;
        HttpRequest *request;
        StoreBackup *copy;
        sd_event_source *step;
        char *path; /* while the file has a name */
        int fd;
} Backup;

static void backup_free(void *userdata)
{
        Backup *b = userdata;

        b->context->backup = false;
        sd_event_source_disable_unref(b->step);
        store_backup_close(b->copy);
        fd_close(b->fd);
        if (b->path)
                store_remove_temporary(b->path);
        free(b->path);
        free(b);
}

static ssize_t produce(void *userdata, char *buffer, size_t size)
{
        Backup *b = userdata;
        ssize_t n;

        n = read(b->fd, buffer, size);
        if (n < 0)
                return -errno;
        return n == 0 ? -ENODATA : n;
}

/* The stream ends with the request, which frees the rest. */
static void stream_done(_unused_ void *userdata)
{
}

static int refuse(Backup *b, int error)
{
        log_error_errno(error, "A backup failed");
        return http_reply_error(b->request, error == -ENOSPC ? 507 : 500, NULL,
                        "The backup could not be made beside the database: %s.", strerror(-error));
}

/* Copied: the file loses its name and goes out. */
static int send_copy(Backup *b)
{
        static const HttpStream stream = { produce, stream_done };

        b->copy = store_backup_close(b->copy);
        if (unlink(b->path) < 0)
                return refuse(b, -errno);
        free(b->path);
        b->path = NULL;
        return http_reply_stream(b->request, 200, "application/vnd.sqlite3", &stream, b);
}

static int on_step(sd_event_source *source, void *userdata)
{
        Backup *b = userdata;
        int r;

        r = store_backup_step(b->copy, STEP_PAGES);
        if (r > 0)
                return 0;

        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        r = r < 0 ? refuse(b, r) : send_copy(b);
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

        r = sd_event_add_defer(c->loop, &b->step, on_step, b);
        if (r >= 0)
                r = sd_event_source_set_priority(b->step, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(b->step, SD_EVENT_ON);
        return r < 0 ? refuse(b, r) : 0;
}
