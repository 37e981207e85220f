/*
 * Whether what stands in the files is what the daemons have in force: settings and keys are read at a start
 * and at a reload, and whoever edits a file and forgets that, or was refused, finds here what waits.
 */

#include <sys/stat.h>

#include "basic/key-file.h"
#include "basic/parse.h"
#include "basic/secret.h"
#include "basic/time-util.h"
#include "scalectl/doctor/doctor.h"
#include "scalectl/text/format.h"

typedef struct DaemonPlace {
        DoctorDaemon which;
        const char *name, *socket;
} DaemonPlace;

static void look_at_refusal(Doctor *d, const DaemonPlace *p, const json_t *in_force)
{
        const json_t *line;
        size_t i;

        json_array_foreach(json_object_get(in_force, "refused"), i, line)
                doctor_fail(d, doctor_advice(d, "mend it, then `systemctl reload %s`", p->name),
                                "%s refused the last reload, and goes on with what it had: %s", p->name,
                                json_string_value(line));
}

static void look_at_setting(
                Doctor *d, const DaemonPlace *p, const char *section, const char *key, const char *has)
{
        _cleanup_free_ char *value = NULL;
        bool reloadable;

        if (settings_get(d->settings, section, key, &value, &reloadable) < 0 || (has && streq(value, has)))
                return;
        doctor_warn(d, doctor_advice(d, "`systemctl %s %s`", reloadable ? "reload" : "restart", p->name),
                        "%s has [%s] %s = %s in force, and the files say %s", p->name, section, key,
                        strna(has), value);
}

static void look_at_settings(Doctor *d, const DaemonPlace *p, json_t *in_force)
{
        const char *section, *key;
        json_t *members, *value;

        json_object_foreach(json_object_get(in_force, "settings"), section, members)
                json_object_foreach(members, key, value)
                        look_at_setting(d, p, section, key, json_string_value(value));
}

static bool has_label(const json_t *labels, const char *label, size_t size)
{
        const json_t *l;
        size_t i;

        json_array_foreach(labels, i, l)
                if (json_string_length(l) == size && memcmp(json_string_value(l), label, size) == 0)
                        return true;
        return false;
}

/* The labels of a file, or what kind of API key is in it. False: it can't be read, or is not good; who looks
 * at the keys says so. */
static bool same_labels(const DaemonPlace *p, const char *path, const json_t *labels, bool *ret_same)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        _cleanup_free_ char *mistakes = NULL;
        KeyLines lines = {};

        if (secret_read_file(path, KEY_FILE_MAX, &file) < 0)
                return false;
        if (p->which == DOCTOR_SUBMITTER) {
                if (secret_size(file) < 4)
                        return false;
                *ret_same = has_label(labels, secret_data(file), 4);
                return true;
        }
        if (key_lines_read(path, secret_data(file), secret_size(file), &lines, &mistakes) < 0)
                return false;
        *ret_same = lines.n == json_array_size(labels);
        FOREACH_ARRAY(l, lines.items, lines.n)
                *ret_same = *ret_same && has_label(labels, l->label, l->label_size);
        return true;
}

static const char *join_labels(const json_t *labels, char *buf, size_t size)
{
        const json_t *l;
        size_t i, n = 0;

        *buf = 0;
        json_array_foreach(labels, i, l)
                if (n < size)
                        n += (size_t)snprintf(
                                        buf + n, size - n, "%s%s", n > 0 ? ", " : "", json_string_value(l));
        return buf;
}

static int64_t changed_at(const struct stat *st)
{
        const struct timespec *t = &st->st_mtim;

        if (st->st_ctim.tv_sec > t->tv_sec)
                t = &st->st_ctim; /* moved there, with the time that it had */
        return (int64_t)t->tv_sec * (int64_t)USEC_PER_SEC + t->tv_nsec / 1000;
}

static void look_at_keys(Doctor *d, const DaemonPlace *p, const json_t *in_force)
{
        const json_t *keys = json_object_get(in_force, "keys"), *labels = json_object_get(keys, "labels");
        const char *path = json_string_value(json_object_get(keys, "from"));
        const char *since = json_string_value(json_object_get(in_force, "since"));
        char names[KEY_LINES_MAX * (KEY_LABEL_MAX + 2) + 1], when[FORMAT_TIME_SIZE];
        struct stat st;
        int64_t read_at;
        bool same;

        if (!path || !since || time_parse(since, &read_at) < 0)
                return;
        join_labels(labels, names, sizeof(names));
        if (stat(path, &st) < 0) {
                if (errno == ENOENT && !doctor_has_credential_elsewhere(d, p->which))
                        doctor_fail(d,
                                        doctor_advice(d,
                                                        "put the file back, then `systemctl reload %s`; "
                                                        "until "
                                                        "then it does not start again",
                                                        p->name),
                                        "%s goes on with what it read (%s), and its file is gone: %s",
                                        p->name, names, path);
        } else if (same_labels(p, path, labels, &same) && !same)
                doctor_warn(d, doctor_advice(d, "`systemctl reload %s`", p->name),
                                "%s has other keys in force (%s) than %s", p->name, names, path);
        else if (changed_at(&st) > read_at)
                doctor_warn(d, doctor_advice(d, "`systemctl reload %s`", p->name),
                                "%s was changed since %s read its keys, at %s", path, p->name,
                                format_time(read_at, d->utc, when));
}

static void look_at_daemon(Doctor *d, const DaemonPlace *p)
{
        json_auto_t *in_force = NULL;
        unsigned said = d->said, status = 0;
        int r;

        if (doctor_skips(d, p->which))
                return;
        r = doctor_ask(p->socket, "/v1/settings", &status, &in_force);
        if (r < 0 || !in_force) {
                doctor_warn(d,
                                status == 404 ? doctor_advice(d,
                                                                "`systemctl restart %s`: it is of an older "
                                                                "version",
                                                                p->name)
                                              : "see what is said of its socket",
                                "what %s has in force can't be had", p->name);
                return;
        }
        look_at_refusal(d, p, in_force);
        look_at_settings(d, p, in_force);
        look_at_keys(d, p, in_force);
        if (d->said == said)
                doctor_ok(d, "%s has in force what the files say", p->name);
}

void doctor_check_in_force(Doctor *d)
{
        look_at_daemon(d, &(DaemonPlace){ DOCTOR_RECEIVER, "scale-callbackd", d->settings->query.socket });
        if (d->submitter)
                look_at_daemon(d, &(DaemonPlace){ DOCTOR_SUBMITTER, "scale-submitd",
                                                  d->settings->submit.socket });
}
