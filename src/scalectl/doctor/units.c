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
#include "scalectl/doctor/doctor.h"

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
static void look_at_locks(Doctor *doctor, const char *unit, const char *properties)
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
                        doctor_warn(doctor,
                                        "see with `systemctl cat` which drop-in changes it, and take that "
                                        "out",
                                        "%s has %s=%s, and was made for %s=%s", unit, l->name,
                                        property(properties, l->name, value), l->name, l->value);
        property(properties, "User", value);
        if (!*value || streq(value, "root"))
                doctor_warn(doctor, "see with `systemctl cat` which drop-in changes it, and take that out",
                                "%s runs as root, and has no need to", unit);
}

/* Whether it runs, or is about to without anybody's doing. */
static bool is_up(const char *properties)
{
        return has(properties, "ActiveState", "active") || has(properties, "ActiveState", "reloading") ||
               (has(properties, "ActiveState", "activating") &&
                               !has(properties, "SubState", "auto-restart"));
}

/* The service that a socket is for; "" for a service. */
static const char *service_of(const char *properties, char name[static 256])
{
        property(properties, "Triggers", name);
        name[strcspn(name, " ")] = 0;
        return name;
}

/* See RestartPreventExitStatus= in the units. Whoever fails otherwise is started again for ever, unless a
 * drop-in says how often. */
static bool refused(const char *result, const char *status)
{
        return streq(result, "exit-code") &&
               (streq(status, "64") || streq(status, "77") || streq(status, "78"));
}

static void look_at_service(Doctor *doctor, const char *unit, const char *properties)
{
        char state[256], result[256], status[256], restarts[256];

        property(properties, "ActiveState", state);
        property(properties, "Result", result);
        property(properties, "ExecMainStatus", status);
        property(properties, "NRestarts", restarts);
        if (streq(state, "failed") && refused(result, status))
                doctor_fail(doctor,
                                doctor_advice(doctor,
                                                "`journalctl -x -n 50 -u %s` says why; mend that, then "
                                                "`systemctl start %s`, which also opens its sockets again",
                                                unit, unit),
                                "%s refused to start with status %s, and stays down", unit, status);
        else if (streq(state, "failed"))
                doctor_fail(doctor,
                                doctor_advice(doctor,
                                                "`journalctl -x -n 50 -u %s` says why; mend that, then "
                                                "`systemctl reset-failed %s && systemctl start %s`",
                                                unit, unit, unit),
                                "%s failed with %s, status %s, and is not started again", unit, result,
                                status);
        else if (has(properties, "SubState", "auto-restart"))
                doctor_fail(doctor, doctor_advice(doctor, "`journalctl -x -n 50 -u %s` says why", unit),
                                "%s ends at every start, the last time with %s, status %s", unit, result,
                                status);
        else if (!is_up(properties))
                doctor_fail(doctor, doctor_advice(doctor, "`systemctl enable --now %s`", unit), "%s is %s",
                                unit, *state ? state : "not known");
        if (*restarts && !streq(restarts, "0"))
                doctor_warn(doctor,
                                doctor_advice(doctor,
                                                "`journalctl -n 50 -u %s` says why; `systemctl "
                                                "reset-failed %s` counts from 0 again",
                                                unit, unit),
                                "%s was started again %s times because it ended", unit, restarts);
        look_at_locks(doctor, unit, properties);
}

/* A socket is opened before its service starts, not beside it. */
static void look_at_socket(Doctor *doctor, const char *unit, const char *properties)
{
        char state[256], service[256];

        property(properties, "ActiveState", state);
        if (!streq(state, "active"))
                doctor_fail(doctor,
                                doctor_advice(doctor,
                                                "`systemctl restart %s`, which opens its sockets first",
                                                service_of(properties, service)),
                                "%s is %s", unit, *state ? state : "not known");
}

void doctor_look_at_unit(Doctor *doctor, const char *properties)
{
        char unit[256];

        property(properties, "Id", unit);
        if (has(properties, "LoadState", "not-found")) {
                doctor_warn(doctor, "install it, unless another service manager starts the daemon",
                                "systemd knows no %s", unit);
                return;
        }
        (strstr(unit, ".socket") ? look_at_socket : look_at_service)(doctor, unit, properties);
        if (!has(properties, "UnitFileState", "enabled"))
                doctor_warn(doctor, doctor_advice(doctor, "`systemctl enable %s`", unit),
                                "%s is not enabled, so it is not there after a boot", unit);
        if (has(properties, "NeedDaemonReload", "yes"))
                doctor_warn(doctor,
                                doctor_advice(doctor, "`systemctl daemon-reload && systemctl restart %s`",
                                                unit),
                                "the file of %s was changed since systemd read it", unit);
}

/* What is said of a unit, NULL: nothing. */
static const char *find_unit(const DoctorUnits *units, const char *name)
{
        for (size_t i = 0; i < units->n; i++)
                if (has(units->items[i], "Id", name))
                        return units->items[i];
        return NULL;
}

bool doctor_has_credential_elsewhere(const Doctor *doctor, DoctorDaemon which)
{
        const char *unit = find_unit(&doctor->units,
                        which == DOCTOR_RECEIVER ? "scale-callbackd.service" : "scale-submitd.service");
        char value[256];

        return unit && strstr(property(unit, "LoadCredential", value), ":/");
}

/* Whether a socket unit, open or not, is for this path. */
static bool listens_on(const char *properties, const char *path)
{
        char listen[256];

        property(properties, "Listen", listen);
        listen[strcspn(listen, " ")] = 0;
        return streq(listen, path);
}

static void find_who_is_down(Doctor *doctor)
{
        const struct {
                DoctorDaemon daemon;
                const char *service, *socket, *path;
        } daemons[] = {
                { DOCTOR_RECEIVER, "scale-callbackd.service", "scale-callbackd-query.socket",
                                doctor->settings->query.socket },
                { DOCTOR_SUBMITTER, "scale-submitd.service", "scale-submitd.socket",
                                doctor->settings->submit.socket },
        };

        FOREACH_ARRAY(i, daemons, ELEMENTSOF(daemons)) {
                const char *service = find_unit(&doctor->units, i->service);
                const char *socket = find_unit(&doctor->units, i->socket);

                if (service && socket && has(service, "LoadState", "loaded") && !is_up(service) &&
                                listens_on(socket, i->path))
                        doctor->down |= i->daemon;
        }
}

/* One after the other: they are separated by empty lines. */
static void split(DoctorUnits *units)
{
        for (char *next, *text = units->text.data; text && *text && units->n < DOCTOR_UNITS_MAX;
                        text = next) {
                next = strstr(text, "\n\n");
                if (next) {
                        *next = 0;
                        next += 2;
                }
                units->items[units->n++] = text;
        }
}

void doctor_load_units(Doctor *doctor)
{
        const char *const argv[] = {
                "systemctl",
                "show",
                "--property=Id,LoadState,ActiveState,SubState,Result,ExecMainStatus,UnitFileState,"
                "NeedDaemonReload,NRestarts,Triggers,Listen,LoadCredential,User,"
                "NoNewPrivileges,ProtectSystem,ProtectHome,MemoryDenyWriteExecute,RestrictNamespaces,"
                "PrivateDevices,CapabilityBoundingSet,LimitCORE",
                "scale-callbackd.service",
                "scale-callbackd.socket",
                "scale-callbackd-query.socket",
                "scale-callbackd-control.socket",
                doctor->submitter ? "scale-submitd.service" : NULL,
                "scale-submitd.socket",
                NULL,
        };
        DoctorUnits *units = &doctor->units;

        units->text = BUFFER_INIT(OUTPUT_MAX);
        units->asked = sd_booted() > 0;
        if (!units->asked)
                return;
        units->error = run(argv, &units->text);
        if (units->error >= 0)
                units->error = buffer_append(&units->text, "", 1);
        if (units->error < 0)
                return;
        split(units);
        find_who_is_down(doctor);
}

void doctor_units_done(DoctorUnits *units)
{
        buffer_done(&units->text);
        *units = (DoctorUnits){};
}

/* One that is closed because its service is down opens with it. */
static bool is_closed_with_its_service(const DoctorUnits *units, const char *properties)
{
        char name[256];
        const char *service = find_unit(units, service_of(properties, name));

        return service && has(service, "ActiveState", "failed") && !has(properties, "ActiveState", "active");
}

void doctor_check_units(Doctor *doctor)
{
        const DoctorUnits *units = &doctor->units;

        if (!units->asked) {
                doctor_ok(doctor, "systemd is not the service manager here");
                return;
        }
        if (units->error < 0)
                doctor_warn(doctor, "run this as root", "systemctl can't be asked: %s",
                                strerror(-units->error));
        for (size_t i = 0; i < units->n; i++)
                if (!is_closed_with_its_service(units, units->items[i]))
                        doctor_look_at_unit(doctor, units->items[i]);
        if (doctor->said == 0)
                doctor_ok(doctor, "all units are enabled, run, and are locked in");
}

bool doctor_skips(Doctor *doctor, unsigned daemons)
{
        unsigned down = doctor->down & daemons;

        if (down == 0)
                return false;
        doctor_warn(doctor, "see what is said of `units`",
                        "not looked at: %s does not run, and is not started by looking",
                        down & DOCTOR_RECEIVER ? "scale-callbackd.service" : "scale-submitd.service");
        return true;
}
