/*
 * The machine: whose the database is and who can read it, the room beside it, and the clock. Bodies of
 * callbacks are nobody else's business, and the two daemons, which are two users, share them by a group.
 */

#include <glob.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "scalectl/doctor/doctor.h"
#include "scalectl/text/format.h"

#define SKEW_USEC ((int64_t)(60 * USEC_PER_SEC))

/* The directory of the database, owned by the caller; NULL: out of memory. */
static char *store_folder(const Doctor *d)
{
        char *folder = strdup(d->settings->store.path), *slash = folder ? strrchr(folder, '/') : NULL;

        if (slash == folder && folder)
                slash++;
        if (slash)
                *slash = 0;
        return folder;
}

static void look_at_folder(Doctor *d, const char *folder, const struct stat *st)
{
        unsigned mode = st->st_mode & 07777;

        if (!S_ISDIR(st->st_mode))
                doctor_fail(d, "mend [store] path", "%s is no directory", folder);
        else if (mode & S_IWOTH)
                doctor_fail(d,
                                doctor_advice(d,
                                                "`chmod 2770 '%s'`, and see what is in it that is not yours",
                                                folder),
                                "%s has mode %04o, so everybody can put files there, or take them away",
                                folder, mode);
        else if (mode & S_IRWXO)
                doctor_warn(d, doctor_advice(d, "`chmod 2770 '%s'`", folder),
                                "%s has mode %04o, so everybody can look into it", folder, mode);

        if (d->submitter && (mode & (S_ISGID | S_IRWXG)) != (S_ISGID | S_IRWXG))
                doctor_warn(d, doctor_advice(d, "`chgrp scale '%s' && chmod 2770 '%s'`", folder, folder),
                                "%s has mode %04o: the two daemons share it by its group, if they are two "
                                "users",
                                folder, mode);
}

static void look_at_file(Doctor *d, const char *suffix, gid_t gid)
{
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (asprintf(&path, "%s%s", d->settings->store.path, suffix) < 0) {
                path = NULL;
                return;
        }
        if (lstat(path, &st) < 0) {
                if (!*suffix)
                        doctor_fail(d, "start scale-callbackd, or mend [store] path", "%s: %s", path,
                                        errno == ENOENT ? "there is no database" : strerror(errno));
                return;
        }
        if (!S_ISREG(st.st_mode))
                doctor_fail(d, "mend [store] path, or put a file there", "%s is no regular file", path);
        else if (st.st_mode & S_IRWXO)
                doctor_fail(d, doctor_advice(d, "`chmod 0660 '%s'`", path),
                                "%s has mode %04o, so everybody can use what is in it", path,
                                (unsigned)(st.st_mode & 07777));
        else if (d->submitter && (st.st_mode & 0060) != 0060)
                doctor_warn(d,
                                doctor_advice(d, "`chmod 0660 '%s'`; the units make files so by UMask=0007",
                                                path),
                                "%s has mode %04o, so the daemon of another user can't write it", path,
                                (unsigned)(st.st_mode & 07777));
        if (d->submitter && st.st_gid != gid)
                doctor_warn(d,
                                doctor_advice(d, "`chgrp \"$(stat -c %%g \"$(dirname '%s')\")\" '%s'`", path,
                                                path),
                                "%s has another group than its directory, so the daemon of another user "
                                "can't use it",
                                path);
}

void doctor_check_store(Doctor *d)
{
        static const char *const suffixes[] = { "", "-wal", "-shm", "-turn" };
        _cleanup_free_ char *folder = store_folder(d);
        struct stat st;

        if (!folder || stat(folder, &st) < 0) {
                doctor_fail(d,
                                "`systemd-tmpfiles --create scale.conf` makes it where the units want it, "
                                "or mend [store] path",
                                "%s: %s", folder ?: d->settings->store.path,
                                strerror(folder ? errno : ENOMEM));
                return;
        }
        look_at_folder(d, folder, &st);
        if (stat(d->settings->store.path, &st) < 0 && errno == EACCES) {
                doctor_ok(d, "%s is closed to you, which is as it should be; root sees more", folder);
                return;
        }
        if (stat(folder, &st) < 0)
                return;
        FOREACH_ARRAY(s, suffixes, ELEMENTSOF(suffixes))
                look_at_file(d, *s, st.st_gid);
        if (d->said == 0)
                doctor_ok(d, "%s is for its daemons alone", d->settings->store.path);
}

/* Databases that were kept beside the one in use. Their number; the size of all together. */
static size_t find_kept(const Doctor *d, char *ret_first, size_t size, uint64_t *ret_bytes)
{
        static const char *const kinds[] = { "before-restore", "saved" };
        size_t n = 0;

        FOREACH_ARRAY(kind, kinds, ELEMENTSOF(kinds)) {
                _cleanup_free_ char *pattern = NULL;
                glob_t found = {};

                if (asprintf(&pattern, "%s.%s-*", d->settings->store.path, *kind) < 0) {
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
static void advise_for_full(const Doctor *d, char *ret, size_t size)
{
        char first[256] = "", bytes[FORMAT_SIZE_SIZE];
        uint64_t all = 0;
        size_t n = find_kept(d, first, sizeof(first), &all);
        int at;

        at = snprintf(ret, size,
                        "make room on its file system: what can't be stored is refused, and after 20 tries "
                        "in 24 hours it is gone");
        if (n > 0 && at > 0 && (size_t)at < size)
                snprintf(ret + at, size - (size_t)at,
                                "; what lies there of databases that were replaced takes %s, in %zu files "
                                "as "
                                "%s: remove what nobody wants any more",
                                format_size(all, bytes), n, first);
}

void doctor_check_disk(Doctor *d)
{
        static const char keep_less[] = "make room on its file system before it is full, or keep less: what "
                                        "`scalectl prune` "
                                        "and [store] keep_deliveries delete makes room within the database, "
                                        "so that it grows "
                                        "no further for as long";
        char full[1024];
        _cleanup_free_ char *folder = store_folder(d);
        char have[FORMAT_SIZE_SIZE], want[FORMAT_SIZE_SIZE];
        uint64_t least = d->settings->store.min_free, n;
        struct statvfs st;

        if (!folder || statvfs(folder, &st) < 0) {
                doctor_fail(d, "see what is said of `store`", "the room beside %s can't be looked at: %s",
                                d->settings->store.path, strerror(folder ? errno : ENOMEM));
                return;
        }
        n = (uint64_t)st.f_bavail * st.f_frsize;
        format_size(n, have);
        format_size(least, want);
        if (st.f_flag & ST_RDONLY)
                doctor_fail(d, "mount it for writing, and see with `journalctl -k` why it is not",
                                "the file system of %s is read-only", d->settings->store.path);
        else if (n < least) {
                advise_for_full(d, full, sizeof(full));
                doctor_fail(d, full, "%s are free beside the database, [store] min_free wants %s", have,
                                want);
        } else if (n / 4 < least)
                doctor_warn(d, keep_less, "%s are free beside the database, [store] min_free wants %s", have,
                                want);
        else
                doctor_ok(d, "%s are free beside the database, [store] min_free wants %s", have, want);
}

/* When the newest delivery was received, by the daemon's clock. TIME_NONE when there is none to look at. */
static int64_t newest_delivery(const Doctor *d)
{
        json_auto_t *stats = NULL, *delivery = NULL;
        const char *socket = d->settings->query.socket, *received;
        json_int_t n;
        char url[64];
        int64_t t;

        if ((d->down & DOCTOR_RECEIVER) || doctor_ask(socket, "/v1/stats", NULL, &stats) < 0)
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
void doctor_check_clock(Doctor *d)
{
        int64_t newest = newest_delivery(d);
        struct timex state = {};

        if (newest != TIME_NONE && newest > now_realtime() + SKEW_USEC)
                doctor_warn(d, "set the clock, and have a time service keep it, as systemd-timesyncd",
                                "the newest delivery is from the future: the clock was wrong then, or is "
                                "now");
        else if (adjtimex(&state) < 0 || (state.status & STA_UNSYNC))
                doctor_warn(d, "start a time service, as systemd-timesyncd or chrony",
                                "the kernel says that nothing keeps the clock right");
        else
                doctor_ok(d, "the clock is kept right");
}
