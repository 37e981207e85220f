/*
 * What a consumer remembers. Its place is a file of one line, replaced as a whole and synced with its
 * directory: after whatever interruption it is the old one or the new one. What was given up is added to a
 * file of lines, which is synced before the place moves past the event; so it can be in there twice, but
 * never be in neither. A line that has no end was being written when everything stopped, and goes.
 */

#include "scalectl/consume/place.h"

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "scalectl/text/term.h"
#include "json/encode.h"
#include "json/parse.h"

#define NAME_MAX_SIZE    64U
#define PLACE_TEXT_MAX   256U
#define FAILED_EXTRA_MAX 4096U /* what is added to an event that was given up */

bool place_name_is_valid(const char *name)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
        size_t size = strlen(name);

        return size > 0 && size <= NAME_MAX_SIZE && name[0] != '-' && strspn(name, allowed) == size;
}

/* Where it is kept. */

/* Makes a folder, and those above it; what is made lasts. 0 or negative errno. */
static int make_folders(const char *path)
{
        _cleanup_free_ char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *slash = copy;; *slash = '/') {
                slash = strchr(slash + 1, '/');
                if (slash)
                        *slash = 0;
                if (mkdir(copy, 0700) >= 0)
                        (void)fd_sync_parent(copy);
                else if (errno != EEXIST)
                        return -errno;
                if (!slash)
                        return 0;
        }
}

/* The folder for who gives no --state: a unit has one of its own. NULL: there is none, or no memory. */
static char *find_folder(void)
{
        const char *unit = getenv("STATE_DIRECTORY"), *state = getenv("XDG_STATE_HOME"),
                   *home = getenv("HOME");
        char *folder = NULL;
        int r = -1;

        if (unit && *unit)
                return strndup(unit, strcspn(unit, ":"));
        if (state && *state == '/')
                r = asprintf(&folder, "%s/scale/consumers", state);
        else if (home && *home == '/')
                r = asprintf(&folder, "%s/.local/state/scale/consumers", home);
        return r < 0 ? NULL : folder;
}

/* 0, or an exit status (said). */
static int find_path(const char *name, const char *file, char **ret)
{
        _cleanup_free_ char *folder = NULL;
        int r;

        if (file) {
                *ret = strdup(file);
                return *ret ? 0 : EX_OSERR;
        }
        folder = find_folder();
        if (!folder) {
                complain("there is no place for what the consumer remembers: HOME, XDG_STATE_HOME and "
                         "STATE_DIRECTORY are not set; --state FILE gives one");
                return EX_CONFIG;
        }
        r = make_folders(folder);
        if (r < 0) {
                complain("%s can't be made: %s; --state FILE gives another place", folder, strerror(-r));
                return EX_CANTCREAT;
        }
        if (asprintf(ret, "%s/%s", folder, name) < 0) {
                *ret = NULL;
                return EX_OSERR;
        }
        return 0;
}

/* The lock. */

/* Whose it is stands in the file; a consumer that is gone may have left a command running. */
static int complain_of_lock(const char *name, const char *lock_path, int fd)
{
        char text[32] = "";
        uint64_t pid;

        if (pread(fd, text, sizeof(text) - 1, 0) > 0)
                text[strcspn(text, "\n")] = 0;
        if (parse_u64(text, 1, INT32_MAX, &pid) >= 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH)
                complain("a command that an earlier run of the consumer %s began is still running, and "
                         "has %s locked",
                                name, lock_path);
        else
                complain("another consumer %s is running (process %s)", name, *text ? text : "unknown");
        return EX_TEMPFAIL;
}

/* Without O_CLOEXEC: whoever is run has it too. */
static int take_lock(PlaceFile *f, const char *name)
{
        _cleanup_free_ char *path = NULL;
        int n;

        if (asprintf(&path, "%s.lock", f->path) < 0) {
                path = NULL;
                return EX_OSERR;
        }
        f->lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
        if (f->lock >= 0 && flock(f->lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
                return complain_of_lock(name, path, f->lock);
        if (f->lock < 0 || ftruncate(f->lock, 0) < 0) {
                n = errno;
                complain("%s can't be written: %s", path, strerror(n));
                return n == EACCES || n == EPERM ? EX_NOPERM : EX_CANTCREAT;
        }
        (void)dprintf(f->lock, "%jd\n", (intmax_t)getpid());
        return 0;
}

/* The place. */

static int parse_place(const char *text, size_t size, Place *ret)
{
        json_auto_t *place = NULL;
        const json_t *seq, *time;
        int64_t parsed;

        if (json_parse(text, size, 0, &place, NULL) < 0)
                return -EBADMSG;
        seq = json_object_get(place, "seq");
        time = json_object_get(place, "time");
        if (!json_is_integer(seq) || json_integer_value(seq) < 0 ||
                        json_string_length(time) >= sizeof(ret->time))
                return -EBADMSG;
        if (json_is_string(time) && time_parse(json_string_value(time), &parsed) < 0)
                return -EBADMSG;
        ret->seq = (uint64_t)json_integer_value(seq);
        strcpy(ret->time, json_is_string(time) ? json_string_value(time) : "");
        return 0;
}

/* 1: there is one; 0: there is none; negative errno. */
static int read_place(const char *path, Place *ret)
{
        char text[PLACE_TEXT_MAX];
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        ssize_t n;
        int r;

        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        n = read(fd, text, sizeof(text));
        if (n < 0)
                return -errno;
        r = n == (ssize_t)sizeof(text) ? -EBADMSG : parse_place(text, (size_t)n, ret);
        return r < 0 ? r : 1;
}

int place_open(const char *name, const char *file, PlaceFile *ret, Place *ret_place, bool *ret_new)
{
        int r;

        *ret = PLACE_FILE_INIT;
        *ret_place = (Place){};
        r = find_path(name, file, &ret->path);
        if (r == 0)
                r = take_lock(ret, name);
        if (r != 0)
                return r;

        r = read_place(ret->path, ret_place);
        *ret_new = r == 0;
        if (r == -EBADMSG) {
                complain("%s does not say where a consumer is, as {\"seq\":17,\"time\":\"...\"} would: "
                         "put it right, or remove it and say where to begin with --from",
                                ret->path);
                return EX_DATAERR;
        }
        if (r < 0) {
                complain("%s can't be read: %s", ret->path, strerror(-r));
                return r == -EACCES ? EX_NOPERM : EX_NOINPUT;
        }
        return 0;
}

void place_close(PlaceFile *f)
{
        f->lock = fd_close(f->lock);
        free(f->path);
        f->path = NULL;
}

/* All of it. 0 or negative errno. */
static int write_all(int fd, const char *data, size_t size)
{
        while (size > 0) {
                ssize_t n = write(fd, data, size);

                if (n < 0 && errno != EINTR)
                        return -errno;
                data += MAX(n, 0);
                size -= (size_t)MAX(n, 0);
        }
        return 0;
}

int place_save(const PlaceFile *f, const Place *place)
{
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int fd = -EBADF;
        char text[PLACE_TEXT_MAX], time[TIME_STAMP_SIZE + 2];
        int r, n;

        snprintf(time, sizeof(time), *place->time ? "\"%s\"" : "null", place->time);
        n = snprintf(text, sizeof(text), "{\"seq\":%" PRIu64 ",\"time\":%s}\n", place->seq, time);
        if (asprintf(&temporary, "%s.new", f->path) < 0) {
                temporary = NULL;
                return -ENOMEM;
        }
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = write_all(fd, text, (size_t)n);
        if (r < 0)
                return r;
        if (fsync(fd) < 0 || rename(temporary, f->path) < 0 || fd_sync_parent(f->path) < 0)
                return -errno;
        return 0;
}

/* What was given up. */

/* The size of the file up to the end of its last whole line. 0 or negative errno. */
static int measure_lines(int fd, off_t *ret)
{
        char piece[4096];
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        for (off_t end = st.st_size; end > 0;) {
                size_t size = (size_t)MIN(end, (off_t)sizeof(piece));
                ssize_t n = pread(fd, piece, size, end - (off_t)size);
                const char *last;

                if (n != (ssize_t)size)
                        return n < 0 ? -errno : -EIO;
                last = memrchr(piece, '\n', size);
                if (last) {
                        *ret = end - (off_t)size + (last - piece) + 1;
                        return 0;
                }
                end -= (off_t)size;
        }
        *ret = 0;
        return 0;
}

/* The event with one member more. */
static int append_failed(Buffer *out, const char *event, size_t size, const char *reason, uint64_t attempts)
{
        json_auto_t *said = json_string(reason);
        char time[TIME_STAMP_SIZE];
        int r;

        while (size > 0 && (event[size - 1] == '\n' || event[size - 1] == '}')) {
                size--;
                if (event[size] == '}')
                        break;
        }
        r = said ? buffer_append(out, event, size) : -ENOMEM;
        if (r >= 0)
                r = buffer_append_f(out,
                                ",\"failure\":{\"time\":\"%s\",\"attempts\":%" PRIu64 ",\"reason\":",
                                time_format(now_realtime(), time), attempts);
        if (r >= 0)
                r = json_encode(said, out);
        return r < 0 ? r : buffer_append_str(out, "}}\n");
}

int place_save_failed(
                const PlaceFile *f, const char *event, size_t size, const char *reason, uint64_t attempts)
{
        _cleanup_buffer_ Buffer line = BUFFER_INIT(size + FAILED_EXTRA_MAX);
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        off_t end = 0;
        int r;

        r = append_failed(&line, event, size, reason, attempts);
        if (r < 0)
                return r;
        if (asprintf(&path, "%s.failed", f->path) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = measure_lines(fd, &end);
        if (r >= 0 && ftruncate(fd, end) < 0)
                r = -errno;
        if (r >= 0)
                r = write_all(fd, line.data, line.size);
        if (r < 0)
                return r;
        return fsync(fd) < 0 || fd_sync_parent(path) < 0 ? -errno : 0;
}
