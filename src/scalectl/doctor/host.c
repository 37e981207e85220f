/*
 * The machine: whose the database is and who can read it, the room beside it, and the clock. Bodies of
 * callbacks are nobody else's business, and the two daemons, which are two users, share them by a group.
 */

#include <glob.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "basic/key-file.h"
#include "basic/parse.h"
#include "basic/secret.h"
#include "basic/time-util.h"
#include "scalectl/doctor/doctor.h"
#include "scalectl/text/format.h"

#define SKEW_USEC ((int64_t)(60 * USEC_PER_SEC))

/* The directory of the database, owned by the caller; NULL: out of memory. */
static char *store_folder(const Doctor *doctor)
{
        char *folder = strdup(doctor->settings->store.path), *slash = folder ? strrchr(folder, '/') : NULL;

        if (slash == folder && folder)
                slash++;
        if (slash)
                *slash = 0;
        return folder;
}

static void look_at_folder(Doctor *doctor, const char *folder, const struct stat *st)
{
        unsigned mode = st->st_mode & 07777;

        if (!S_ISDIR(st->st_mode))
                doctor_fail(doctor, "mend [store] path", "%s is not a directory", folder);
        else if (mode & S_IWOTH)
                doctor_fail(doctor,
                                doctor_advice(doctor,
                                                "`chmod 2770 '%s'`, and see what is in it that is not yours",
                                                folder),
                                "%s has mode %04o, so everybody can put files there, or take them away",
                                folder, mode);
        else if (mode & S_IRWXO)
                doctor_warn(doctor, doctor_advice(doctor, "`chmod 2770 '%s'`", folder),
                                "%s has mode %04o, so everybody can look into it", folder, mode);

        if (doctor->submitter && (mode & (S_ISGID | S_IRWXG)) != (S_ISGID | S_IRWXG))
                doctor_warn(doctor,
                                doctor_advice(doctor, "`chgrp scale '%s' && chmod 2770 '%s'`", folder,
                                                folder),
                                "%s has mode %04o: the two daemons share it by its group, if they are two "
                                "users",
                                folder, mode);
}

static void look_at_file(Doctor *doctor, const char *suffix, gid_t gid)
{
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (asprintf(&path, "%s%s", doctor->settings->store.path, suffix) < 0) {
                path = NULL;
                return;
        }
        if (lstat(path, &st) < 0) {
                if (!*suffix)
                        doctor_fail(doctor, "start scale-callbackd, or mend [store] path", "%s: %s", path,
                                        errno == ENOENT ? "there is no database" : strerror(errno));
                return;
        }
        if (!S_ISREG(st.st_mode))
                doctor_fail(doctor, "mend [store] path, or put a file there", "%s is not a regular file",
                                path);
        else if (st.st_mode & S_IRWXO)
                doctor_fail(doctor, doctor_advice(doctor, "`chmod 0660 '%s'`", path),
                                "%s has mode %04o, so everybody can use what is in it", path,
                                (unsigned)(st.st_mode & 07777));
        else if (doctor->submitter && (st.st_mode & 0060) != 0060)
                doctor_warn(doctor,
                                doctor_advice(doctor,
                                                "`chmod 0660 '%s'`; the units make files so by UMask=0007",
                                                path),
                                "%s has mode %04o, so the daemon of another user can't write it", path,
                                (unsigned)(st.st_mode & 07777));
        if (doctor->submitter && st.st_gid != gid)
                doctor_warn(doctor,
                                doctor_advice(doctor, "`chgrp \"$(stat -c %%g \"$(dirname '%s')\")\" '%s'`",
                                                path, path),
                                "%s has another group than its directory, so the daemon of another user "
                                "can't use it",
                                path);
}

void doctor_check_store(Doctor *doctor)
{
        static const char *const suffixes[] = { "", "-wal", "-shm", "-turn" };
        _cleanup_free_ char *folder = store_folder(doctor);
        struct stat st;

        if (!folder || stat(folder, &st) < 0) {
                doctor_fail(doctor,
                                "`systemd-tmpfiles --create scale.conf` makes it where the units want it, "
                                "or mend [store] path",
                                "%s: %s", folder ?: doctor->settings->store.path,
                                strerror(folder ? errno : ENOMEM));
                return;
        }
        look_at_folder(doctor, folder, &st);
        if (stat(doctor->settings->store.path, &st) < 0 && errno == EACCES) {
                doctor_ok(doctor, "%s is closed to you, which is as it should be; root sees more", folder);
                return;
        }
        if (stat(folder, &st) < 0)
                return;
        FOREACH_ARRAY(s, suffixes, ELEMENTSOF(suffixes))
                look_at_file(doctor, *s, st.st_gid);
        if (doctor->said == 0)
                doctor_ok(doctor, "%s is for its daemons alone", doctor->settings->store.path);
}

/* Databases that were kept beside the one in use. Their number; the size of all together. */
static size_t find_kept(const Doctor *doctor, char *ret_first, size_t size, uint64_t *ret_bytes)
{
        static const char *const kinds[] = { "before-restore", "saved" };
        size_t n = 0;

        FOREACH_ARRAY(kind, kinds, ELEMENTSOF(kinds)) {
                _cleanup_free_ char *pattern = NULL;
                glob_t found = {};

                if (asprintf(&pattern, "%s.%s-*", doctor->settings->store.path, *kind) < 0) {
                        pattern = NULL;
                        continue;
                }
                if (glob(pattern, 0, NULL, &found) == 0)
                        FOREACH_ARRAY(path, found.gl_pathv, found.gl_pathc) {
                                struct stat st;

                                if (stat(*path, &st) < 0)
                                        continue;
                                if (n++ == 0)
                                        snprintf(ret_first, size, "%s", *path);
                                *ret_bytes += (uint64_t)st.st_blocks * 512;
                        }
                globfree(&found);
        }
        return n;
}

/* Only what gives room back to the file system helps a full one: deleting rows doesn't. */
static void advise_for_full(const Doctor *doctor, char *ret, size_t size)
{
        char first[256] = "", bytes[FORMAT_SIZE_SIZE];
        uint64_t all = 0;
        size_t n = find_kept(doctor, first, sizeof(first), &all);
        int at;

        at = snprintf(ret, size,
                        "make room on its file system: what can't be stored is refused, and after 20 tries "
                        "in 24 hours it is gone");
        if (n > 0 && at > 0 && (size_t)at < size)
                snprintf(ret + at, size - (size_t)at,
                                "; what lies there of databases that were replaced takes %s, in %zu files "
                                "as %s: remove what nobody wants any more",
                                format_size(all, bytes), n, first);
}

void doctor_check_disk(Doctor *doctor)
{
        static const char keep_less[] = "make room on its file system before it is full, or keep less: "
                                        "what `scalectl prune` and [store] keep_deliveries delete makes "
                                        "room within the database, so that it grows no further for as "
                                        "long";
        char full[1024];
        _cleanup_free_ char *folder = store_folder(doctor);
        char have[FORMAT_SIZE_SIZE], want[FORMAT_SIZE_SIZE];
        uint64_t least = doctor->settings->store.min_free, n;
        struct statvfs st;

        if (!folder || statvfs(folder, &st) < 0) {
                doctor_fail(doctor, "see what is said of `store`",
                                "the room beside %s can't be looked at: %s", doctor->settings->store.path,
                                strerror(folder ? errno : ENOMEM));
                return;
        }
        n = (uint64_t)st.f_bavail * st.f_frsize;
        format_size(n, have);
        format_size(least, want);
        if (st.f_flag & ST_RDONLY)
                doctor_fail(doctor, "mount it for writing, and see with `journalctl -k` why it is not",
                                "the file system of %s is read-only", doctor->settings->store.path);
        else if (n < least) {
                advise_for_full(doctor, full, sizeof(full));
                doctor_fail(doctor, full, "%s are free beside the database, [store] min_free wants %s", have,
                                want);
        } else if (n / 4 < least)
                doctor_warn(doctor, keep_less, "%s are free beside the database, [store] min_free wants %s",
                                have, want);
        else
                doctor_ok(doctor, "%s are free beside the database, [store] min_free wants %s", have, want);
}

/* When the newest delivery was received, by the daemon's clock. TIME_NONE when there is none to look at. */
static int64_t newest_delivery(const Doctor *doctor)
{
        json_auto_t *stats = NULL, *delivery = NULL;
        const char *socket = doctor->settings->query.socket, *received;
        json_int_t n;
        char url[64];
        int64_t t;

        if ((doctor->down & DOCTOR_RECEIVER) || doctor_ask(socket, "/v1/stats", NULL, &stats) < 0)
                return TIME_NONE;
        n = json_integer_value(json_object_get(stats, "last_delivery"));
        if (n <= 0)
                return TIME_NONE;
        snprintf(url, sizeof(url), "/v1/delivery/%" JSON_INTEGER_FORMAT, n);
        if (doctor_ask(socket, url, NULL, &delivery) < 0)
                return TIME_NONE;
        received = json_string_value(json_object_get(delivery, "received_at"));
        return received && time_parse(received, &t) >= 0 ? t : TIME_NONE;
}

/* Times are what tasks are sorted and looked for by. */
void doctor_check_clock(Doctor *doctor)
{
        int64_t newest = newest_delivery(doctor);
        struct timex state = {};

        if (newest != TIME_NONE && newest > now_realtime() + SKEW_USEC)
                doctor_warn(doctor, "set the clock, and have a time service keep it, as systemd-timesyncd",
                                "the newest delivery is from the future: the clock was wrong then, or is "
                                "now");
        else if (adjtimex(&state) < 0 || (state.status & STA_UNSYNC))
                doctor_warn(doctor, "start a time service, as systemd-timesyncd or chrony",
                                "the kernel says that nothing keeps the clock right");
        else
                doctor_ok(doctor, "the clock is kept right");
}

/*
 * Keys: that there are some, that nobody else can read them, and that they have the form that the daemons
 * take. Nothing of a key is ever shown, only labels, and whether the API key is a live one.
 *
 * Where the units are used keys come from systemd's folder for credentials, which root alone looks into, and
 * else from the file that the configuration names. A key that systemd gets from somewhere else isn't seen.
 */

/* What is said of a file that can't be read: 0 where that is no trouble. */
static void say_unreadable(Doctor *doctor, const char *path, int error)
{
        switch (error) {
        case -EACCES:
                doctor_ok(doctor, "%s can't be read by you, which is as it should be; root sees more", path);
                return;
        case -EPERM:
                doctor_fail(doctor,
                                doctor_advice(doctor,
                                                "take that right away with `chmod o= '%s'`, and change "
                                                "the key if others are on this machine",
                                                path),
                                "%s can be read or written by others", path);
                return;
        case -ENOENT:
                doctor_fail(doctor, "put the key there; the Scale dashboard shows it", "%s does not exist",
                                path);
                return;
        case -EFBIG:
        case -EINVAL:
                doctor_fail(doctor, "put a regular file there with nothing in it but keys",
                                "%s is not a regular file, or too large for a file of keys", path);
                return;
        default:
                doctor_fail(doctor, "see that root can read it", "%s can't be read: %s", path,
                                strerror(-error));
        }
}

static void say_labels(Doctor *doctor, const char *path, const KeyLines *lines)
{
        char labels[KEY_LINES_MAX * (KEY_LABEL_MAX + 2) + 1];
        size_t n = 0;

        FOREACH_ARRAY(l, lines->items, lines->n)
                n += (size_t)snprintf(labels + n, sizeof(labels) - n, "%s%.*s", n > 0 ? ", " : "",
                                (int)l->label_size, l->label);
        doctor_ok(doctor, "%s is closed to others and holds %zu %s: %s", path, lines->n,
                        lines->n == 1 ? "key" : "keys", labels);
}

void doctor_look_at_callback_keys(Doctor *doctor, const char *path)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        _cleanup_free_ char *mistakes = NULL;
        KeyLines lines;
        int r;

        r = secret_read_file(path, KEY_FILE_MAX, &file);
        if (r < 0) {
                say_unreadable(doctor, path, r);
                return;
        }
        r = key_lines_read(path, secret_data(file), secret_size(file), &lines, &mistakes);
        if (r < 0)
                doctor_fail_each(doctor, "mend it; until then the daemon neither starts nor reloads",
                                mistakes);
        else
                say_labels(doctor, path, &lines);
}

void doctor_look_at_api_key(Doctor *doctor, const char *path)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        const char *text, *why;
        size_t size;
        int r;

        r = secret_read_file(path, KEY_BYTES_MAX + 2, &file);
        if (r < 0) {
                say_unreadable(doctor, path, r);
                return;
        }
        text = secret_data(file);
        size = secret_size(file);
        size -= size > 0 && text[size - 1] == '\n';
        size -= size > 0 && text[size - 1] == '\r';
        why = api_key_problem(text, size);
        if (why)
                doctor_fail(doctor, "write the key alone into the file, as the Scale dashboard shows it",
                                "%s: %s", path, why);
        else
                doctor_ok(doctor, "%s is closed to others and holds a %s key", path,
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
static void look_at(Doctor *doctor, const KeyKind *k)
{
        int error = access(k->credential, F_OK) < 0 ? errno : 0;

        if (error == 0)
                k->look(doctor, k->credential);
        if (k->file)
                k->look(doctor, k->file);
        if (error == 0 || k->file)
                return;

        if (error == EACCES)
                doctor_ok(doctor, "%s is not for you to see, which is as it should be; root sees more",
                                k->credential);
        else if (k->socket && !(doctor->down & k->which) &&
                        doctor_ask(k->socket, "/healthz", NULL, NULL) >= 0)
                doctor_warn(doctor, k->advice, "%s runs, so it has a key, but where from is not to be seen",
                                k->daemon);
        else
                doctor_fail(doctor, k->advice, "there is no key, so %s does not start", k->daemon);
}

void doctor_check_callback_keys(Doctor *doctor)
{
        look_at(doctor, &(KeyKind){
                                        .credential = DOCTOR_CALLBACK_KEYS,
                                        .file = doctor->settings->callback.auth_keys_file,
                                        .socket = doctor->settings->query.socket,
                                        .daemon = "scale-callbackd",
                                        .which = DOCTOR_RECEIVER,
                                        .look = doctor_look_at_callback_keys,
                                        .advice = "write a line with a label and the key for each "
                                                  "callback auth key of the Scale dashboard into " DOCTOR_CALLBACK_KEYS
                                                  ", or into a file that [callback] auth_keys_file names",
                        });
}

void doctor_check_api_key(Doctor *doctor)
{
        if (!doctor->submitter) {
                doctor_ok(doctor, "nothing is submitted from here");
                return;
        }
        look_at(doctor, &(KeyKind){
                                        .credential = DOCTOR_API_KEY,
                                        .file = doctor->settings->api.key_file,
                                        .socket = doctor->settings->submit.socket,
                                        .daemon = "scale-submitd",
                                        .which = DOCTOR_SUBMITTER,
                                        .look = doctor_look_at_api_key,
                                        .advice = "write the key of the Scale dashboard into " DOCTOR_API_KEY
                                                  ", or into a file that [api] key_file names",
                        });
}
