/*
 * Keys: that there are some, that nobody else can read them, and that they have the form that the daemons
 * take. Nothing of a key is ever shown, only labels, and whether the API key is a live one.
 *
 * Where the units are used keys come from systemd's folder for credentials, which root alone looks into, and
 * else from the file that the configuration names. A key that systemd gets from somewhere else isn't seen.
 */

#include <unistd.h>

#include "basic/key-file.h"
#include "basic/secret.h"
#include "scalectl/doctor/doctor.h"

/* What is said of a file that can't be read: 0 where that is no trouble. */
static void say_unreadable(Doctor *d, const char *path, int error)
{
        switch (error) {
        case -EACCES:
                doctor_ok(d, "%s can't be read by you, which is as it should be; root sees more", path);
                return;
        case -EPERM:
                doctor_fail(d,
                                doctor_advice(d,
                                                "take that right away with `chmod o= '%s'`, and change the "
                                                "key if "
                                                "others are on this machine",
                                                path),
                                "%s can be read or written by others", path);
                return;
        case -ENOENT:
                doctor_fail(d, "put the key there; the Scale dashboard shows it", "%s does not exist", path);
                return;
        case -EFBIG:
        case -EINVAL:
                doctor_fail(d, "put a regular file there with nothing in it but keys",
                                "%s is too large for a file of keys, or no regular file", path);
                return;
        default:
                doctor_fail(d, "see that root can read it", "%s can't be read: %s", path, strerror(-error));
        }
}

static void say_labels(Doctor *d, const char *path, const KeyLines *lines)
{
        char labels[KEY_LINES_MAX * (KEY_LABEL_MAX + 2) + 1];
        size_t n = 0;

        FOREACH_ARRAY(l, lines->items, lines->n)
                n += (size_t)snprintf(labels + n, sizeof(labels) - n, "%s%.*s", n > 0 ? ", " : "",
                                (int)l->label_size, l->label);
        doctor_ok(d, "%s is closed to others and holds %zu %s: %s", path, lines->n,
                        lines->n == 1 ? "key" : "keys", labels);
}

void doctor_look_at_callback_keys(Doctor *d, const char *path)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        _cleanup_free_ char *mistakes = NULL;
        KeyLines lines;
        int r;

        r = secret_read_file(path, KEY_FILE_MAX, &file);
        if (r < 0) {
                say_unreadable(d, path, r);
                return;
        }
        r = key_lines_read(path, secret_data(file), secret_size(file), &lines, &mistakes);
        if (r < 0)
                doctor_fail_each(d, "mend it; until then the daemon neither starts nor reloads", mistakes);
        else
                say_labels(d, path, &lines);
}

void doctor_look_at_api_key(Doctor *d, const char *path)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        const char *text, *why;
        size_t size;
        int r;

        r = secret_read_file(path, KEY_BYTES_MAX + 2, &file);
        if (r < 0) {
                say_unreadable(d, path, r);
                return;
        }
        text = secret_data(file);
        size = secret_size(file);
        size -= size > 0 && text[size - 1] == '\n';
        size -= size > 0 && text[size - 1] == '\r';
        why = api_key_problem(text, size);
        if (why)
                doctor_fail(d, "write the key alone into the file, as the Scale dashboard shows it",
                                "%s: %s", path, why);
        else
                doctor_ok(d, "%s is closed to others and holds a %s key", path,
                                *text == 'l' ? "live" : "test");
}

/* One of the two kinds. */
typedef struct KeyKind {
        const char *credential, *file, *socket, *daemon; /* `file`: NULL when none is configured */
        DoctorDaemon which;
        void (*look)(Doctor *d, const char *path);
        const char *advice;
} KeyKind;

/* A credential and a file may both be there: the daemon takes the credential, and both should be good. */
static void look_at(Doctor *d, const KeyKind *k)
{
        int error = access(k->credential, F_OK) < 0 ? errno : 0;

        if (error == 0)
                k->look(d, k->credential);
        if (k->file)
                k->look(d, k->file);
        if (error == 0 || k->file)
                return;

        if (error == EACCES)
                doctor_ok(d, "%s is not for you to see, which is as it should be; root sees more",
                                k->credential);
        else if (k->socket && !(d->down & k->which) && doctor_ask(k->socket, "/healthz", NULL, NULL) >= 0)
                doctor_warn(d, k->advice, "%s runs, so it has a key, but where from is not to be seen",
                                k->daemon);
        else
                doctor_fail(d, k->advice, "there is no key, so %s does not start", k->daemon);
}

void doctor_check_callback_keys(Doctor *d)
{
        look_at(d, &(KeyKind){
                                   .credential = DOCTOR_CALLBACK_KEYS,
                                   .file = d->settings->callback.auth_keys_file,
                                   .socket = d->settings->query.socket,
                                   .daemon = "scale-callbackd",
                                   .which = DOCTOR_RECEIVER,
                                   .look = doctor_look_at_callback_keys,
                                   .advice = "write a line with a label and the key for each callback auth "
                                             "key of the "
                                             "Scale "
                                             "dashboard into " DOCTOR_CALLBACK_KEYS
                                             ", or into a file that [callback] auth_keys_file names",
                   });
}

void doctor_check_api_key(Doctor *d)
{
        if (!d->submitter) {
                doctor_ok(d, "nothing is submitted from here");
                return;
        }
        look_at(d, &(KeyKind){
                                   .credential = DOCTOR_API_KEY,
                                   .file = d->settings->api.key_file,
                                   .socket = d->settings->submit.socket,
                                   .daemon = "scale-submitd",
                                   .which = DOCTOR_SUBMITTER,
                                   .look = doctor_look_at_api_key,
                                   .advice = "write the key of the Scale dashboard into " DOCTOR_API_KEY
                                             ", or into a file that [api] key_file names",
                   });
}
