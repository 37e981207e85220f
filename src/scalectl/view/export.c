/*
 * An export of what the page shows: this program again, as `scalectl export`, with the filters as its
 * options and a file without a name as its output. The browser gets that file once it is whole, and the
 * report with it; an export that failed is an error with the words that it said. One at a time, and it ends
 * when nobody waits for it any more.
 */

#include "export/export.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "basic/fd.h"
#include "scalectl/view/view.h"

#define ARGUMENTS_MAX 32U
#define SAID_MAX      2048U

struct ViewExport {
        View *view;
        HttpRequest *request; /* NULL: it ended */
        sd_event_source *child;
        pid_t pid; /* 0: it has ended */
        int output, said;
        off_t position;
};

/* What the page may say, and the option that it is. */
static const struct {
        const char *name, *option;
} filters[] = {
        { "format", "--format" },
        { "type", "--type" },
        { "status", "--status" },
        { "since", "--since" },
        { "until", "--until" },
        { "metadata", "--metadata" },
};

static ViewExport *view_export_free(ViewExport *e)
{
        if (!e)
                return NULL;
        if (e->view->export == e)
                e->view->export = NULL;
        sd_event_source_disable_unref(e->child);
        if (e->pid > 0) { /* it has nothing that lies about */
                kill(e->pid, SIGKILL);
                (void)waitpid(e->pid, NULL, 0);
        }
        fd_close(e->output);
        fd_close(e->said);
        free(e);
        return NULL;
}
DEFINE_CLEANUP(ViewExport *, view_export_free)

static void on_request_end(void *userdata)
{
        view_export_free(userdata);
}

/* The file, as it is taken. */
static ssize_t produce(void *userdata, char *buffer, size_t size)
{
        ViewExport *e = userdata;
        ssize_t n;

        n = pread(e->output, buffer, size, e->position);
        if (n < 0)
                return -errno;
        e->position += n;
        return n == 0 ? -ENODATA : n;
}

/* The last line of what it said, which is its report, or the mistake. */
static void read_said(const ViewExport *e, char said[static SAID_MAX])
{
        ssize_t n = pread(e->said, said, SAID_MAX - 1, 0);
        char *line;

        said[MAX(n, 0)] = 0;
        for (n = MAX(n, 0); n > 0 && said[n - 1] == '\n'; n--)
                said[n - 1] = 0;
        line = strrchr(said, '\n');
        if (line)
                memmove(said, line + 1, strlen(line));
}

static int reply(ViewExport *e, const siginfo_t *info)
{
        static const HttpStream stream = { .produce = produce };
        char said[SAID_MAX];
        int r;

        read_said(e, said);
        r = view_add_headers(e->request);
        if (r < 0)
                return r;
        if (info->si_code != CLD_EXITED || info->si_status != 0)
                return http_reply_error(e->request, 502, NULL, "%s",
                                said[0] ? said : "The export was ended before it was whole.");
        r = http_reply_header(e->request, "Export-Report", said);
        return r < 0 ? r : http_reply_stream(e->request, 200, "application/octet-stream", &stream, e);
}

static int on_end(_unused_ sd_event_source *source, const siginfo_t *info, void *userdata)
{
        ViewExport *e = userdata;

        e->pid = 0;
        e->view->export = NULL; /* the next one may begin while this is taken */
        if (reply(e, info) < 0)
                http_request_drop(e->request);
        return 0;
}

/* A file without a name, as large as it needs to be. The descriptor or negative errno. */
static int open_output(void)
{
        const char *folder = getenv("TMPDIR");
        int fd;

        fd = open(folder && *folder ? folder : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        return fd < 0 ? -errno : fd;
}

/* Its streams are the two files. 0 or negative errno. */
static int spawn(ViewExport *e, const char *const *arguments)
{
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, all;
        int r;

        sigemptyset(&none);
        sigfillset(&all);
        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attributes);
        if (r == 0) {
                r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
                if (r == 0)
                        r = posix_spawn_file_actions_adddup2(&actions, e->output, STDOUT_FILENO);
                if (r == 0)
                        r = posix_spawn_file_actions_adddup2(&actions, e->said, STDERR_FILENO);
                if (r == 0)
                        r = posix_spawnattr_setflags(
                                        &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
                posix_spawnattr_setsigmask(&attributes, &none);
                posix_spawnattr_setsigdefault(&attributes, &all);
                if (r == 0)
                        r = posix_spawn(&e->pid, arguments[0], &actions, &attributes,
                                        (char *const *)(uintptr_t)arguments, environ);
                posix_spawnattr_destroy(&attributes);
        }
        posix_spawn_file_actions_destroy(&actions);
        return -r;
}

/* Takes the request: it is answered once the export has ended. */
static int start(View *view, HttpRequest *request, const char *const *arguments)
{
        _cleanup_(view_export_freep) ViewExport *e = calloc(1, sizeof(ViewExport));
        int r;

        if (!e)
                return -ENOMEM;
        *e = (ViewExport){ .view = view, .request = request, .output = open_output(), .said = -EBADF };
        if (e->output < 0)
                return e->output;
        e->said = memfd_create("export", MFD_CLOEXEC);
        if (e->said < 0)
                return -errno;
        r = spawn(e, arguments);
        if (r >= 0)
                r = sd_event_add_child(view->loop, &e->child, e->pid, WEXITED, on_end, e);
        if (r < 0)
                return r;
        view->export = e;
        http_request_set_userdata(request, TAKE_PTR(e), on_request_end);
        return 0;
}

/* NULL, or why it can't be done here. */
static const char *refuse(const View *view, const char *format)
{
        const ExportFormat *f = format ? export_format_find(format) : NULL;

        if (view->export)
                return "Another export is running: try again when it has ended.";
        if (!f)
                return "There is no such format.";
        if (export_format_shape(f) == EXPORT_FOLDER)
                return "This format makes many files: use scalectl export.";
        return NULL;
}

int view_on_export(HttpRequest *request, void *userdata)
{
        View *view = userdata;
        const char *arguments[ARGUMENTS_MAX] = { "/proc/self/exe", "--json" }, *value, *why;
        char socket[PATH_MAX];
        size_t n = 2;

        why = refuse(view, http_request_query(request, "format"));
        if (why) {
                int r = view_add_headers(request);

                return r < 0 ? r : http_reply_error(request, view->export ? 503 : 400, NULL, "%s", why);
        }
        if (view->ctl->config) {
                arguments[n++] = "--config";
                arguments[n++] = view->ctl->config;
        }
        snprintf(socket, sizeof(socket), "query.socket=%s", view->ctl->settings.query.socket);
        arguments[n++] = "-o";
        arguments[n++] = socket;
        arguments[n++] = "export";
        FOREACH_ARRAY(f, filters, ELEMENTSOF(filters)) {
                value = http_request_query(request, f->name);
                if (!value || !*value)
                        continue;
                arguments[n++] = f->option;
                arguments[n++] = value;
        }
        return start(view, request, arguments);
}

int view_on_formats(HttpRequest *request, _unused_ void *userdata)
{
        json_t *formats = json_array();
        int r;

        r = view_add_headers(request);
        for (const ExportFormat *const *f = export_formats; r >= 0 && *f; f++)
                if (json_array_append_new(formats,
                                    json_pack("{s:s, s:b}", "name", export_format_name(*f), "folder",
                                                    export_format_shape(*f) == EXPORT_FOLDER)) < 0)
                        r = -ENOMEM;
        if (r < 0) {
                json_decref(formats);
                return r;
        }
        return http_reply_json(request, 200, formats);
}
