/*
 * A signal has no answer, and systemd of this age has no other way to ask for a reload. So who asks puts an
 * empty file, the question, into the runtime directory and sends the signal; the daemon takes the question
 * away before it begins to read, and leaves an answer when it is through. A reload that somebody else asked
 * for meanwhile may take the question: it began behind it too, so its answer is good.
 */

#include "daemon/reload.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"

#define QUESTION  "reload-question"
#define ANSWER    "reload-answer"
#define DONE      '1'
#define REFUSED   '0'
#define WAIT_USEC (60 * USEC_PER_SEC)
#define LOOK_MSEC 1000 /* how often it is looked whether the daemon is still there */

static int open_folder(void)
{
        const char *runtime = getenv("RUNTIME_DIRECTORY");
        int fd;

        if (!runtime)
                return -ENOENT;
        fd = open(runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* The daemon. */

bool reload_is_asked_for(void)
{
        _cleanup_close_ int folder = open_folder();

        return folder >= 0 && unlinkat(folder, QUESTION, 0) == 0;
}

static int write_answer(char text)
{
        _cleanup_close_ int folder = open_folder(), fd = -EBADF;

        if (folder < 0)
                return folder;
        fd = openat(folder, "." ANSWER, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        if (write(fd, &text, 1) != 1 || renameat(folder, "." ANSWER, folder, ANSWER) < 0)
                return -errno;
        return 0;
}

void reload_answer(bool done)
{
        int r;

        r = write_answer(done ? DONE : REFUSED);
        if (r < 0)
                log_warning_errno(r, "Who asked for the reload can't be told what became of it");
}

/* Who asks. */

static int put_question(int folder)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if ((unlinkat(folder, ANSWER, 0) < 0 && errno != ENOENT) ||
                        (unlinkat(folder, QUESTION, 0) < 0 && errno != ENOENT))
                return -errno;
        fd = openat(folder, QUESTION, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        return fstat(folder, &st) < 0 || fchown(fd, st.st_uid, st.st_gid) < 0 ? -errno : 0;
}

/* DONE, REFUSED, or 0: there is no answer yet. */
static char read_answer(int folder)
{
        _cleanup_close_ int fd = openat(folder, ANSWER, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        char text = 0;

        return fd >= 0 && read(fd, &text, 1) == 1 ? text : 0;
}

/* 0, or a status. */
static int wait_for_answer(int folder, int watch, pid_t pid)
{
        uint64_t deadline = now_monotonic() + WAIT_USEC;
        char answer, events[4096];

        while ((answer = read_answer(folder)) == 0) {
                struct pollfd p = { .fd = watch, .events = POLLIN };

                if (kill(pid, 0) < 0 || now_monotonic() > deadline) {
                        log_error("The daemon does not say whether it took the new settings and keys.");
                        return EX_UNAVAILABLE;
                }
                if (poll(&p, 1, LOOK_MSEC) > 0 && read(watch, events, sizeof(events)) < 0 && errno != EAGAIN)
                        return log_error_errno(errno, "The daemon's answer can't be waited for"), EX_OSERR;
        }
        (void)unlinkat(folder, ANSWER, 0);
        return answer == DONE ? 0 : EX_CONFIG;
}

static int ask(int folder, pid_t pid)
{
        _cleanup_close_ int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        int r;

        if (watch < 0 || inotify_add_watch(watch, getenv("RUNTIME_DIRECTORY"), IN_MOVED_TO) < 0)
                return log_error_errno(errno, "The runtime directory can't be watched"), EX_OSERR;
        r = put_question(folder);
        if (r < 0)
                return log_error_errno(r, "The daemon can't be asked"), EX_OSERR;
        if (kill(pid, SIGHUP) < 0)
                return log_error_errno(errno, "The daemon can't be asked"), EX_OSERR;
        return wait_for_answer(folder, watch, pid);
}

int reload_ask(const Credential *credential)
{
        _cleanup_close_ int folder = open_folder();
        const char *pid = getenv("MAINPID");
        uint64_t n;

        if (folder < 0 || !pid || parse_u64(pid, 2, INT32_MAX, &n) < 0) {
                log_error("--reload is for ExecReload= of the unit, which sets MAINPID and RUNTIME_DIRECTORY: run `systemctl reload`.");
                return EX_USAGE;
        }
        if (credential_pass_on(credential) < 0)
                return EX_CONFIG;
        return ask(folder, (pid_t)n);
}
