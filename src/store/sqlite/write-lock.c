/*
 * The lock for writing. Two daemons write to one database, and SQLite's own way of waiting for its lock,
 * sleeping and asking again, starves whoever sleeps beside a writer that is always busy. So writers queue up
 * before they ask SQLite at all, at two locks on a file beside the database, "scale.db-turn". Who wants to
 * write takes the first, then the second, lets go of the first, and writes; who waits for the second holds
 * the first, so the one that has just written can't overtake.
 *
 * This is about fairness alone. That only one writes at a time is SQLite's business still, so a program that
 * knows nothing of the file does no harm. Locks belong to the open file: a process that dies lets go of
 * them. They can't be waited for with a limit, so it is asked for again and again, at first often.
 *
 * The same file says who has the database: a lock for each role, held from opening to closing. A lock of
 * this kind doesn't tell whose it is, so its holder also writes that down.
 */

#include "store/sqlite/write-lock.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "basic/time-util.h"

enum {
        BYTE_NEXT = 0, /* bytes of the file */
        BYTE_WRITING = 1,
        BYTE_ROLES = 2, /* and one for each */
};

/* What is written there: the newest link, and who has or had which role. */
#define VALUE_AT    16
#define HOLDERS_AT  64
#define HOLDER_SIZE 64

#define SLEEP_MIN_USEC 200U
#define SLEEP_MAX_USEC 1000U

/* Whoever may write to the database has to be able to wait for it, whoever came first. */
static int adopt_mode(int fd, const char *database)
{
        struct stat db, own;

        if (stat(database, &db) < 0)
                return errno == ENOENT ? 0 : -errno; /* whoever makes it sees to that */
        if (fstat(fd, &own) < 0)
                return -errno;
        if (own.st_uid == db.st_uid && own.st_gid == db.st_gid && own.st_mode == db.st_mode)
                return 0;
        if (own.st_uid != geteuid() && geteuid() != 0)
                return 0; /* its owner has seen to it */

        /* Another owner only root can give; without it the group is what counts. */
        if (fchown(fd, geteuid() == 0 ? db.st_uid : (uid_t)-1, db.st_gid) < 0 && errno != EPERM)
                return -errno;
        return fchmod(fd, db.st_mode & 0777) < 0 ? -errno : 0;
}

int write_lock_open(WriteLock *lock, Connection *c, bool make)
{
        /* One database has one such file, by whatever link somebody came to it. */
        _cleanup_free_ char *real = realpath(c->path, NULL), *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r = 0;

        if (!real && errno != ENOENT) /* where there is nothing yet */
                return connection_refuse(c, -errno, "Could not look at %s: %s.", c->path, strerror(errno));
        if (asprintf(&path, "%s-turn", real ?: c->path) < 0) {
                path = NULL;
                return connection_refuse(c, -ENOMEM, "Could not open %s: out of memory.", c->path);
        }
        fd = open(path, O_RDWR | (make ? O_CREAT : 0) | O_CLOEXEC | O_NOFOLLOW, 0660);
        if (fd < 0 && errno == ENOENT && !make)
                return -ENOENT;
        if (fd < 0)
                r = -errno;
        else
                r = adopt_mode(fd, c->path);
        if (r < 0)
                return connection_refuse(c, r,
                                "Could not open %s, by which those who write to the database take turns: "
                                "%s. "
                                "It must be writable for this user, as the database is.",
                                path, strerror(-r));
        lock->fd = take_fd(&fd);
        return 0;
}

int write_lock_adopt(WriteLock *lock, const char *database)
{
        return adopt_mode(lock->fd, database);
}

void write_lock_close(WriteLock *lock)
{
        lock->fd = fd_close(lock->fd); /* lets go of everything */
        lock->held = false;
}

/* 1: done, 0: another process holds it, negative errno. */
static int lock_byte(const WriteLock *lock, short type, off_t byte)
{
        struct flock range = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

        if (fcntl(lock->fd, F_OFD_SETLK, &range) == 0)
                return 1;
        return errno == EAGAIN || errno == EACCES || errno == EINTR ? 0 : -errno;
}

/* "PID PROGRAM", with zeros behind. */
typedef char Holder[HOLDER_SIZE];

/* Who has a role: the one who took it last. */
static void describe_holder(const WriteLock *lock, StoreRole role, Holder ret)
{
        Holder noted = "";
        char *program;
        uint64_t pid;

        snprintf(ret, sizeof(Holder), "another process");
        if (pread(lock->fd, noted, sizeof(noted) - 1, HOLDERS_AT + (off_t)role * HOLDER_SIZE) <= 0)
                return;
        program = strchr(noted, ' ');
        if (!program)
                return;
        *program++ = '\0';
        /* Of several receivers another one may have gone. */
        if (parse_u64(noted, 1, INT32_MAX, &pid) >= 0 && (kill((pid_t)pid, 0) >= 0 || errno == EPERM))
                snprintf(ret, sizeof(Holder), "%.40s (pid %d)", program, (int)pid);
}

static int take_role(WriteLock *lock, Connection *c, StoreRole role, short type, const char *program)
{
        Holder holder = "";
        int r;

        r = lock_byte(lock, type, BYTE_ROLES + role);
        if (r < 0)
                return connection_refuse(
                                c, r, "Could not lock %s for this process: %s.", c->path, strerror(-r));
        if (r == 0) {
                describe_holder(lock, role, holder);
                return connection_refuse(c, -EUSERS,
                                "%s is in use by %s, and only one such process may have it: stop that one "
                                "first.",
                                c->path, holder);
        }
        snprintf(holder, sizeof(holder), "%d %s", (int)getpid(), program);
        (void)!pwrite(lock->fd, holder, sizeof(holder), HOLDERS_AT + (off_t)role * HOLDER_SIZE);
        return 0;
}

int write_lock_take_role(WriteLock *lock, Connection *c, StoreRole role)
{
        static const struct {
                short type;
                const char *program;
        } roles[_STORE_ROLE_MAX] = {
                [STORE_RECEIVER] = { F_RDLCK, "scale-callbackd" },
                [STORE_SUBMITTER] = { F_WRLCK, "scale-submitd" },
        };

        return take_role(lock, c, role, roles[role].type, roles[role].program);
}

int write_lock_take_all_roles(WriteLock *lock, Connection *c, const char *program)
{
        int r = 0;

        for (StoreRole role = 0; r >= 0 && role < _STORE_ROLE_MAX; role++)
                r = take_role(lock, c, role, F_WRLCK, program);
        return r;
}

static int wait_for_byte(const WriteLock *lock, off_t byte, uint64_t deadline)
{
        unsigned pause = SLEEP_MIN_USEC;
        int r;

        while ((r = lock_byte(lock, F_WRLCK, byte)) == 0) {
                if (now_monotonic() >= deadline)
                        return -EBUSY;
                (void)nanosleep(&(struct timespec){ .tv_nsec = pause * 1000L }, NULL);
                pause = MIN(pause * 2, SLEEP_MAX_USEC);
        }
        return r < 0 ? r : 0;
}

int write_lock_take(WriteLock *lock, Connection *c, unsigned wait_msec)
{
        uint64_t deadline = now_monotonic() + (uint64_t)wait_msec * USEC_PER_MSEC;
        int r;

        if (lock->held)
                return 0;

        r = wait_for_byte(lock, BYTE_NEXT, deadline);
        if (r >= 0) {
                r = wait_for_byte(lock, BYTE_WRITING, deadline);
                (void)lock_byte(lock, F_UNLCK, BYTE_NEXT); /* of one's own: can't be refused */
        }
        if (r == -EBUSY)
                return connection_refuse(c, r,
                                "Another process has been writing to %s for more than %u ms: nothing was "
                                "done, it may be tried again.",
                                c->path, wait_msec);
        if (r < 0)
                return connection_refuse(c, r, "Could not wait for the lock to write to %s: %s.", c->path,
                                strerror(-r));
        lock->held = true;
        return 0;
}

void write_lock_note_link(const WriteLock *lock, const uint8_t value[static CHAIN_VALUE_SIZE])
{
        (void)!pwrite(lock->fd, value, CHAIN_VALUE_SIZE, VALUE_AT);
}

bool write_lock_get_link(const WriteLock *lock, uint8_t ret[static CHAIN_VALUE_SIZE])
{
        static const uint8_t none[CHAIN_VALUE_SIZE];

        return pread(lock->fd, ret, CHAIN_VALUE_SIZE, VALUE_AT) == (ssize_t)CHAIN_VALUE_SIZE &&
               memcmp(ret, none, sizeof(none)) != 0;
}

void write_lock_release(WriteLock *lock)
{
        if (!lock->held)
                return;
        lock->held = false;
        (void)lock_byte(lock, F_UNLCK, BYTE_WRITING);
}
