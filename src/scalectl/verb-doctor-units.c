/*
 * The units, where systemd is the service manager: that they run, that they are there after the next boot,
 * and that nobody took away what locks them in. systemctl is asked, once for all of them, and not for longer
 * than some seconds.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "basic/buffer.h"
#include "basic/fd.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "scalectl/verb-doctor.h"

#define SECONDS    10U
#define OUTPUT_MAX ((size_t)256 * 1024)

/* Reads what comes, up to the end or the deadline. */
static int read_until(int fd, uint64_t deadline, Buffer *out)
{
        char piece[4096];
        ssize_t n;
        int r;

        for (;;) {
                uint64_t now = now_monotonic();
                struct pollfd p = { .fd = fd, .events = POLLIN };

                if (now >= deadline)
                        return -ETIMEDOUT;
                r = poll(&p, 1, (int)((deadline - now) / USEC_PER_MSEC) + 1);
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r <= 0)
                        continue;
                n = read(fd, piece, sizeof(piece));
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return 0;
                r = n > 0 ? buffer_append(out, piece, (size_t)n) : 0;
                if (r < 0)
                        return r;
        }
}

/* What a program prints. 0, or negative errno; -EIO when it says that it failed. Whatever happens, it is
 * gone then. */
static int run(const char *const *argv, Buffer *out)
{
        _cleanup_close_ int ours = -EBADF, its = -EBADF;
        posix_spawn_file_actions_t actions;
        int fds[2], r, status = 0;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        ours = fds[0];
        its = fds[1];
        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawn_file_actions_adddup2(&actions, its, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        if (r == 0)
                r = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        if (r != 0)
                return -r;

        fd_close(its);
        its = -EBADF;
        r = read_until(ours, now_monotonic() + SECONDS * USEC_PER_SEC, out);
        if (r < 0)
                (void)kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (r < 0)
                return r;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* A property within what systemctl says of a unit: lines NAME=VALUE. "" where it says nothing. */
static const char *property(const char *properties, const char *name, char value[static 256])
{
        size_t n = strlen(name);

        *value = 0;
        for (const char *p = properties; p; p = strchr(p, '\n')) {
                p += *p == '\n';
                if (strncmp(p, name, n) == 0 && p[n] == '=') {
                        snprintf(value, 256, "%.*s", (int)MIN(strcspn(p + n + 1, "\n"), 255U), p + n + 1);
                        break;
                }
        }
        return value;
}

static bool has(const char *properties, const char *name, const char *value)
{
        char text[256];

        return streq(property(properties, name, text), value);
}

/* What locks a daemon in. */
static void look_at_locks(Doctor *d, const char *unit, const char *properties)
{
        static const struct {
                const char *name, *value;
        } locks[] = {
                { "NoNewPrivileges", "yes" },
                { "ProtectSystem", "strict" },
                { "ProtectHome", "yes" },
                { "MemoryDenyWriteExecute", "yes" },
                { "RestrictNamespaces", "yes" },
                { "PrivateDevices", "yes" },
                { "CapabilityBoundingSet", "" },
                { "LimitCORE", "0" },
        };
        char value[256];

        FOREACH_ARRAY(l, locks, ELEMENTSOF(locks))
                if (!has(properties, l->name, l->value))
                        doctor_warn(d,
                                        "see with `systemctl cat` which drop-in changes it, and take that "
                                        "out",
                                        "%s has %s=%s, and was made for %s=%s", unit, l->name,
                                        property(properties, l->name, value), l->name, l->value);
        property(properties, "User", value);
        if (!*value || streq(value, "root"))
                doctor_warn(d, "see with `systemctl cat` which drop-in changes it, and take that out",
                                "%s runs as root, and has no need to", unit);
}

void doctor_look_at_unit(Doctor *d, const char *properties)
{
        char unit[256], state[256], restarts[256];
        bool service;

        property(properties, "Id", unit);
        property(properties, "ActiveState", state);
        property(properties, "NRestarts", restarts);
        service = strstr(unit, ".service") != NULL;

        if (has(properties, "LoadState", "not-found")) {
                doctor_warn(d, "install it, unless another service manager starts the daemon",
                                "systemd knows no %s", unit);
                return;
        }
        if (streq(state, "failed"))
                doctor_fail(d,
                                "`systemctl status` and `journalctl -x -u` of it say why; mend that and "
                                "start it",
                                "%s failed", unit);
        else if (!streq(state, "active") && !(service && streq(state, "activating")))
                doctor_fail(d, "`systemctl enable --now` it", "%s is %s", unit,
                                *state ? state : "not known");
        if (!has(properties, "UnitFileState", "enabled"))
                doctor_warn(d, "`systemctl enable` it", "%s is not enabled, so it is not there after a boot",
                                unit);
        if (has(properties, "NeedDaemonReload", "yes"))
                doctor_warn(d, "`systemctl daemon-reload`, then restart it",
                                "the file of %s was changed since systemd read it", unit);
        if (service && *restarts && !streq(restarts, "0"))
                doctor_warn(d, "`journalctl -u` of it says why",
                                "%s was started again %s times because it ended", unit, restarts);
        if (service)
                look_at_locks(d, unit, properties);
}

/* One after the other: they are separated by empty lines. */
static void look_at_all(Doctor *d, char *text)
{
        for (char *next; text && *text; text = next) {
                next = strstr(text, "\n\n");
                if (next) {
                        *next = 0;
                        next += 2;
                }
                doctor_look_at_unit(d, text);
        }
}

void doctor_check_units(Doctor *d)
{
        const char *const argv[] = {
                "systemctl",
                "show",
                "--property=Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,NRestarts,User,"
                "NoNewPrivileges,ProtectSystem,ProtectHome,MemoryDenyWriteExecute,RestrictNamespaces,"
                "PrivateDevices,CapabilityBoundingSet,LimitCORE",
                "scale-callbackd.service",
                "scale-callbackd.socket",
                "scale-callbackd-query.socket",
                "scale-callbackd-control.socket",
                d->submitter ? "scale-submitd.service" : NULL,
                "scale-submitd.socket",
                NULL,
        };
        _cleanup_buffer_ Buffer text = BUFFER_INIT(OUTPUT_MAX);
        int r;

        if (sd_booted() <= 0) {
                doctor_ok(d, "systemd is not the service manager here");
                return;
        }
        r = run(argv, &text);
        if (r >= 0)
                r = buffer_append(&text, "", 1);
        if (r < 0)
                doctor_warn(d, "try `systemctl status scale-callbackd`", "systemctl can't be asked: %s",
                                strerror(-r));
        else
                look_at_all(d, text.data);
        if (d->said == 0)
                doctor_ok(d, "all units are enabled, run, and are locked in");
}
