/*
 * Commands and requests. A command reads from a file in memory, so that it may read as much as it likes and
 * whenever, and runs in a process group of its own: Ctrl-C ends us, between two events, and not it. Signals
 * that end the program are blocked except where nothing is in hand; where it waits, it takes them itself.
 */

#include "scalectl/consume/action.h"

#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "http/client.h"
#include "scalectl/text/term.h"

#define REQUEST_USEC (60 * USEC_PER_SEC)
#define STOP_USEC    (30 * USEC_PER_SEC) /* for a command that runs when the program is to end */
#define TERM_USEC    (5 * USEC_PER_SEC)  /* then it is told to end, and then it is ended */
#define ERROR_MAX    ((size_t)64 * 1024)

/* Signals. */

static void on_stop(_unused_ int signal)
{
        _exit(0);
}

/* 0, or -1 and errno. */
static int take_signal(Action *a, int number)
{
        const struct sigaction stop = { .sa_handler = on_stop };
        struct sigaction old;

        if (sigaction(number, NULL, &old) < 0)
                return -1;
        if (old.sa_handler == SIG_IGN)
                return 0;
        sigaddset(&a->stop, number);
        return sigaction(number, &stop, NULL);
}

int action_init(Action *a)
{
        static const int stop_signals[] = { SIGTERM, SIGINT, SIGHUP };
        const struct sigaction usual = { .sa_handler = SIG_DFL };
        sigset_t blocked;

        sigemptyset(&a->stop);
        FOREACH_ARRAY(s, stop_signals, ELEMENTSOF(stop_signals))
                if (take_signal(a, *s) < 0)
                        return -errno;
        blocked = a->stop;
        sigaddset(&blocked, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &blocked, NULL) < 0 || sigaction(SIGCHLD, &usual, NULL) < 0 ||
                        signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        return 0;
}

void action_begin_idle(const Action *a)
{
        (void)sigprocmask(SIG_UNBLOCK, &a->stop, NULL);
}

void action_end_idle(const Action *a)
{
        (void)sigprocmask(SIG_BLOCK, &a->stop, NULL);
}

/* The next of these signals; 0: none came in this time. */
static int wait_signal(const sigset_t *set, uint64_t usec)
{
        const struct timespec span = { .tv_sec = (time_t)(usec / USEC_PER_SEC),
                .tv_nsec = (long)(usec % USEC_PER_SEC) * 1000 };
        int signal;

        do
                signal = sigtimedwait(set, NULL, &span);
        while (signal < 0 && errno == EINTR);
        return MAX(signal, 0);
}

void action_pause(Action *a, uint64_t usec)
{
        if (wait_signal(&a->stop, usec) > 0)
                a->stopping = true;
}

/* Commands. */

/* A descriptor from which the lines can be read, or negative errno. */
static int make_input(const Buffer *lines)
{
        _cleanup_close_ int fd = memfd_create("events", MFD_CLOEXEC);

        if (fd < 0)
                return -errno;
        for (size_t written = 0; written < lines->size;) {
                ssize_t n = write(fd, lines->data + written, lines->size - written);

                if (n < 0 && errno != EINTR)
                        return -errno;
                written += (size_t)MAX(n, 0);
        }
        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        return take_fd(&fd);
}

static int set_number(const char *name, uint64_t value)
{
        char text[32];

        snprintf(text, sizeof(text), "%" PRIu64, value);
        return setenv(name, text, 1);
}

/* What a command is told besides. Of several events only what is true of all. */
static int set_environment(const Action *a, const Batch *batch, uint64_t attempt)
{
        const struct {
                const char *name, *value;
        } of_one[] = {
                { "SCALE_KIND", batch->kind },
                { "SCALE_TASK_ID", batch->task_id },
                { "SCALE_TASK_TYPE", batch->task_type },
        };
        int r;

        r = set_number("SCALE_SEQ", batch->seq);
        if (r >= 0)
                r = set_number("SCALE_ATTEMPT", attempt);
        if (r >= 0 && a->batched)
                r = set_number("SCALE_COUNT", batch->n);
        FOREACH_ARRAY(v, of_one, ELEMENTSOF(of_one))
                if (r >= 0)
                        r = a->batched ? unsetenv(v->name) : setenv(v->name, v->value ?: "", 1);
        return r < 0 ? -errno : 0;
}

/* 0 or negative errno. */
static int spawn(const Action *a, int input, pid_t *ret)
{
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attributes;
        sigset_t none, usual = a->stop;
        int r;

        sigemptyset(&none);
        sigaddset(&usual, SIGPIPE);
        r = posix_spawn_file_actions_init(&files);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attributes);
        if (r == 0) {
                (void)posix_spawnattr_setflags(&attributes,
                                POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
                (void)posix_spawnattr_setsigmask(&attributes, &none);
                (void)posix_spawnattr_setsigdefault(&attributes, &usual);
                r = posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
                if (r == 0)
                        r = posix_spawnp(ret, a->command[0], &files, &attributes, a->command, environ);
                (void)posix_spawnattr_destroy(&attributes);
        }
        (void)posix_spawn_file_actions_destroy(&files);
        return -r;
}

/* What a command that runs is told while the program is to end: one step further each time. */
static void hurry(pid_t pid, unsigned step)
{
        if (step == 1)
                complain("waiting for the command to end, %" PRIu64 " s at most", STOP_USEC / USEC_PER_SEC);
        else
                (void)kill(-pid, step == 2 ? SIGTERM : SIGKILL);
}

/* Its status as waitpid() has it. */
static int wait_command(Action *a, pid_t pid)
{
        sigset_t set = a->stop;
        unsigned step = 0; /* 1: asked to end; 2, 3: so is the command */
        int status = EX_OSERR << 8, signal;

        sigaddset(&set, SIGCHLD);
        while (waitpid(pid, &status, WNOHANG) == 0) {
                signal = wait_signal(&set, step == 0   ? 3600 * USEC_PER_SEC
                                           : step == 1 ? STOP_USEC
                                                       : TERM_USEC);
                if (signal == SIGCHLD || (signal == 0 && step == 0))
                        continue;
                a->stopping = true;
                hurry(pid, ++step);
        }
        return status;
}

/* How the command ended, by the exit statuses that mean something. */
static ActionResult judge(Action *a, int status)
{
        if (WIFSIGNALED(status)) {
                snprintf(a->reason, sizeof(a->reason), "the command was ended by signal %d (%s)",
                                WTERMSIG(status), strsignal(WTERMSIG(status)));
                return ACTION_FAILED;
        }
        snprintf(a->reason, sizeof(a->reason), "the command's exit status is %d", WEXITSTATUS(status));
        switch (WEXITSTATUS(status)) {
        case 0:
                return ACTION_DONE;
        case EX_TEMPFAIL:
                return ACTION_LATER;
        case EX_DATAERR:
                return ACTION_NEVER;
        default:
                return ACTION_FAILED;
        }
}

static ActionResult run_command(Action *a, const Batch *batch, uint64_t attempt)
{
        _cleanup_close_ int input = -EBADF;
        pid_t pid;
        int r;

        input = make_input(&batch->lines);
        r = input < 0 ? input : set_environment(a, batch, attempt);
        if (r >= 0)
                r = spawn(a, input, &pid);
        if (r < 0) { /* nothing that the event could help */
                snprintf(a->reason, sizeof(a->reason), "%s can't be run: %s", a->command[0], strerror(-r));
                return ACTION_LATER;
        }
        return judge(a, wait_command(a, pid));
}

/* Requests. */

/* What is answered with a 2xx is nobody's business. */
static int pass_over(_unused_ const char *data, _unused_ size_t size, _unused_ void *userdata)
{
        return 0;
}

static ActionResult send_request(Action *a, const Batch *batch)
{
        static const unsigned later[] = { 429, 502, 503, 504 };
        const HttpClientRequest request = {
                .method = "POST",
                .url = a->url,
                .content_type = a->batched ? "application/x-ndjson" : "application/json",
                .body = batch->lines.data,
                .body_size = batch->lines.size,
                .timeout = REQUEST_USEC,
                .max_body = ERROR_MAX,
                .on_data = pass_over,
        };
        HttpClientResult result;
        ActionResult verdict = ACTION_FAILED;
        int r;

        r = http_client_perform(&request, &result);
        if (r < 0)
                snprintf(a->reason, sizeof(a->reason), "no answer: %s", result.error);
        else
                snprintf(a->reason, sizeof(a->reason), "the answer's status is %u", result.status);
        http_client_result_done(&result);
        if (r < 0)
                return ACTION_LATER;
        if (result.status >= 200 && result.status <= 299)
                return ACTION_DONE;
        FOREACH_ARRAY(s, later, ELEMENTSOF(later))
                if (*s == result.status)
                        verdict = ACTION_LATER;
        return verdict;
}

ActionResult action_run(Action *a, const Batch *batch, uint64_t attempt)
{
        return a->command ? run_command(a, batch, attempt) : send_request(a, batch);
}

/* The host of an http URL is this machine. */
static bool is_local(const char *host)
{
        static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };

        FOREACH_ARRAY(name, names, ELEMENTSOF(names)) {
                size_t size = strlen(*name);

                if (strncasecmp(host, *name, size) == 0 && strchr(":/?", host[size])) /* or the end */
                        return true;
        }
        return false;
}

int action_check_url(const char *url)
{
        size_t scheme = url_scheme_size(url);

        if (scheme == strlen("https://") || (scheme > 0 && is_local(url + scheme)))
                return 0;
        complain("--to %s: expected http://127.0.0.1:PORT/PATH, on this machine, or an https:// URL", url);
        return EX_USAGE;
}
