/*
 * Files are written beside their name, synced, and renamed: what stands under the name is always whole, and
 * only its owner can read it. What is unfinished has no name, where the file system can do that, so nothing
 * of it is left whatever ends the program; elsewhere a signal that does so takes it along. A name that is a
 * link stays one, and what is a device or a pipe is written to, not replaced: /dev/null survives.
 */

#include "scalectl/text/output.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/fd.h"

/* For the signal handler, which has nothing else to hold on to. */
static char *volatile unfinished;

static void on_signal(int signal)
{
        if (unfinished)
                (void)unlink(unfinished);
        (void)raise(signal); /* once more, as if it had not been caught: see SA_RESETHAND */
}

void output_catch_signals(void (*fn)(int signal))
{
        static const int signals[] = { SIGHUP, SIGINT, SIGTERM };
        const struct sigaction action = { .sa_handler = fn, .sa_flags = (int)SA_RESETHAND };

        FOREACH_ARRAY(s, signals, ELEMENTSOF(signals)) {
                struct sigaction old;

                if (sigaction(*s, NULL, &old) >= 0 && old.sa_handler != SIG_IGN)
                        (void)sigaction(*s, &action, NULL);
        }
}

int output_complain(const char *name, const char *what)
{
        int error = errno;

        complain("%s can't be %s: %s", name, what, strerror(error));
        return -error;
}

/* Until it takes its name. */
static void note_temporary(Output *output)
{
        assert(!unfinished);
        unfinished = output->temporary;
        output_catch_signals(on_signal);
}

static int open_nameless(const Output *output)
{
        _cleanup_free_ char *copy = strdup(output->target);

        if (!copy || access("/proc/self/fd", X_OK) < 0) /* by which it gets its name: see link_nameless() */
                return -1;
        return open(dirname(copy), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static int open_named(Output *output)
{
        int fd;

        if (asprintf(&output->temporary, "%s.XXXXXX", output->target) < 0) {
                output->temporary = NULL;
                return -ENOMEM;
        }
        fd = mkostemp(output->temporary, O_CLOEXEC);
        if (fd < 0) {
                int error = errno;

                free(output->temporary);
                output->temporary = NULL;
                return -error;
        }
        note_temporary(output);
        return fd;
}

/* A file beside the target. 0 or negative errno. */
static int open_temporary(Output *output)
{
        int fd;

        output->target = realpath(output->name, NULL) ?: strdup(output->name);
        if (!output->target)
                return -ENOMEM;
        fd = open_nameless(output);
        if (fd < 0)
                fd = open_named(output);
        if (fd < 0)
                return fd;
        output->f = fdopen(fd, "w");
        if (!output->f) {
                fd_close(fd);
                return -ENOMEM;
        }
        return 0;
}

static int open_any(Output *output)
{
        struct stat st;

        if (streq(output->name, "-")) {
                output->f = stdout;
                return 0;
        }
        if (stat(output->name, &st) < 0 || S_ISREG(st.st_mode))
                return open_temporary(output);
        if (S_ISDIR(st.st_mode))
                return -EISDIR;

        output->f = fopen(output->name, "we");
        return output->f ? 0 : -errno;
}

int output_open(const char *name, Output *ret)
{
        Output o = { .name = name };
        int r;

        r = open_any(&o);
        if (r < 0) {
                errno = -r;
                (void)output_complain(name, "made");
                output_done(&o);
                return EX_CANTCREAT;
        }

        o.terminal = isatty(fileno(o.f));
        *ret = o;
        return 0;
}

int output_write(Output *output, const char *data, size_t size)
{
        bool written;

        errno = EIO; /* where nothing says better */
        written = output->terminal ? term_filter(&output->filter, data, size, output->f) >= 0
                                   : fwrite(data, 1, size, output->f) == size;
        if (!written)
                return output_complain(output->name, "written");

        output->size += size;
        return 0;
}

/* A name of the moment, from which it can be renamed over what is there. 0, or -1 and errno. */
static int link_nameless(Output *output)
{
        char file[64];
        uint32_t random;
        int r;

        snprintf(file, sizeof(file), "/proc/self/fd/%d", fileno(output->f));
        do {
                free(output->temporary);
                output->temporary = NULL;
                if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
                        return -1;
                if (asprintf(&output->temporary, "%s.%08" PRIx32, output->target, random) < 0) {
                        output->temporary = NULL;
                        return -1;
                }
                r = linkat(AT_FDCWD, file, AT_FDCWD, output->temporary, AT_SYMLINK_FOLLOW);
        } while (r < 0 && errno == EEXIST);
        if (r >= 0)
                note_temporary(output);
        else {
                int error = errno; /* free() may change it */

                free(output->temporary);
                output->temporary = NULL;
                errno = error;
        }
        return r;
}

static int take_name(Output *output)
{
        if (fsync(fileno(output->f)) < 0 || (!output->temporary && link_nameless(output) < 0) ||
                        rename(output->temporary, output->target) < 0)
                return -1;

        unfinished = NULL;
        free(output->temporary);
        output->temporary = NULL;
        return fd_sync_parent(output->target);
}

int output_finish(Output *output)
{
        if (term_filter_end(&output->filter, output->f) < 0 || (output->target && take_name(output) < 0)) {
                (void)output_complain(output->name, "written");
                return EX_IOERR;
        }
        return 0;
}

void output_done(Output *output)
{
        if (output->temporary) {
                (void)unlink(output->temporary);
                unfinished = NULL;
        }
        if (output->f && output->f != stdout)
                (void)fclose(output->f);
        free(output->temporary);
        free(output->target);
}
