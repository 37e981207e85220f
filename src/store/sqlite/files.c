/*
 * Whether the files have the names that they were opened by. A file that was removed or replaced goes on
 * working for who has it open: groups would be synced and acknowledged, into what nobody will ever open
 * again. So the names are compared with the files, before a group is written and again before it counts.
 *
 * What was acknowledged before somebody removed something is still there as long as it is open, and it is
 * brought to where it is found before the process leaves:
 *
 * - the WAL is copied back, and emptied, so that whatever database has the name now is not taken for the one
 *   that this WAL belongs to. Where another process has begun a new WAL on the same database that can't be:
 *   then it is a copy that keeps the rest.
 * - a database without any name left is copied, and the copy gets the name, or one beside it where the name
 *   is taken. The first of two processes does it, and notes that for the other in the file of the
 *   write lock.
 */

#include "store/sqlite/writer.h"

#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/mistakes.h"

#define SAVE_STEP 4096 /* pages between two signs of life */

/* Before opening. */

/* "a directory"; NULL: a regular file. */
static const char *kind_of(mode_t mode)
{
        static const struct {
                mode_t format;
                const char *kind;
        } kinds[] = {
                { S_IFDIR, "a directory" },
                { S_IFIFO, "a FIFO" },
                { S_IFSOCK, "a socket" },
                { S_IFCHR, "a device" },
                { S_IFBLK, "a device" },
        };

        FOREACH_ARRAY(k, kinds, ELEMENTSOF(kinds))
                if ((mode & S_IFMT) == k->format)
                        return k->kind;
        return NULL;
}

/* What is there must be a file that this user may change, or nothing is begun with it: SQLite would make the
 * files beside it with its modes, and leave them there. */
static int examine(Connection *c, const char *path)
{
        struct stat st;
        int error;

        if (stat(path, &st) < 0) {
                error = errno;
                if (error == ENOENT)
                        return connection_refuse(c, -ENOTDIR, "%s is a symbolic link to nothing.", path);
                return connection_refuse(c, -error, "Could not look at %s: %s. %s", path, strerror(error),
                                error == EACCES ? "Its directory must be open to this user."
                                                : "Name another file in [store] path.");
        }
        if (kind_of(st.st_mode))
                return connection_refuse(c, -EISDIR,
                                "%s is %s: a regular file, or none, is wanted. Name another one in [store] "
                                "path.",
                                path, kind_of(st.st_mode));
        if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) < 0)
                return connection_refuse(c, -errno,
                                "Could not open %s: %s. It must be readable and writable for this user, and "
                                "its file system too.",
                                path, strerror(errno));
        return 0;
}

/* A new file is ours alone and the group's, as the umask allows: bodies are nobody else's business. SQLite
 * would make it readable for all. Nothing is opened that is there: closing it would let go of other handles'
 * locks. */
int files_prepare(Connection *c, const char *path)
{
        _cleanup_close_ int fd = -EBADF;

        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
        if (fd >= 0)
                return 0;
        if (errno == EEXIST)
                return examine(c, path);
        return connection_refuse(c, errno == ENOENT ? -ENOTDIR : -errno,
                        "Could not create %s: %s. Its directory must exist and be writable%s.", path,
                        strerror(errno),
                        errno == EROFS ? ", for a service also by ReadWritePaths= of its unit" : "");
}

/* The files. */

static FileId id_of(const struct stat *st)
{
        return (FileId){ .device = st->st_dev, .inode = st->st_ino };
}

static bool same_file(const FileId *a, const FileId *b)
{
        return a->device == b->device && a->inode == b->inode;
}

/* 1: there, 0: there is nothing of that name, negative errno: nobody knows. */
static int look(const char *path, FileId *ret)
{
        struct stat st;

        if (stat(path, &st) >= 0) {
                *ret = id_of(&st);
                return 1;
        }
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
}

int files_open(Store *s)
{
        Connection *c = &s->connection;
        const char *real = sqlite3_db_filename(c->db, "main"); /* what a link stands for */
        Files *f = &s->files;
        struct stat st;
        int moved = 0;

        if (asprintf(&f->wal_path, "%s-wal", real) < 0)
                f->wal_path = NULL;
        if (asprintf(&f->shm_path, "%s-shm", real) < 0)
                f->shm_path = NULL;
        if (!f->wal_path || !f->shm_path)
                return connection_refuse(c, -ENOMEM, "Could not open %s: out of memory.", c->path);

        /* O_PATH: closing it lets go of nobody's locks. */
        f->fd = open(c->path, O_PATH | O_CLOEXEC);
        if (f->fd < 0 || fstat(f->fd, &st) < 0 || look(c->path, &f->database) <= 0 ||
                        look(s->files.wal_path, &f->wal) <= 0 || look(s->files.shm_path, &f->shm) <= 0 ||
                        sqlite3_file_control(c->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK ||
                        moved)
                return connection_refuse(c, -EIDRM, "%s was removed while it was being opened.", c->path);
        f->mode = st.st_mode;
        f->group = st.st_gid;
        return 0;
}

void files_close(Files *f)
{
        f->fd = fd_close(f->fd);
        free(f->wal_path);
        free(f->shm_path);
        *f = FILES_INIT;
}

/* What has become of one file: whether its name is another's now, or nobody's. */
typedef enum FileState {
        FILE_GOOD,
        FILE_GONE,
        FILE_REPLACED,
        _FILE_MAX,
} FileState;

static int state_of_file(const char *path, const FileId *was, FileState *ret)
{
        FileId now = {};
        int r;

        r = look(path, &now);
        if (r < 0)
                return r;
        *ret = r == 0 ? FILE_GONE : same_file(&now, was) ? FILE_GOOD : FILE_REPLACED;
        return 0;
}

typedef struct FileStates {
        FileState database, wal, shm;
} FileStates;

static int find_file_states(const Store *s, FileStates *ret)
{
        const Files *f = &s->files;
        int r;

        r = state_of_file(s->connection.path, &f->database, &ret->database);
        if (r >= 0)
                r = state_of_file(s->files.wal_path, &f->wal, &ret->wal);
        if (r >= 0)
                r = state_of_file(s->files.shm_path, &f->shm, &ret->shm);
        return r;
}

int files_check(Store *s)
{
        static const char *const words[_FILE_MAX] = {
                [FILE_GONE] = "removed or renamed",
                [FILE_REPLACED] = "replaced",
        };
        Connection *c = &s->connection;
        const char *path = c->path;
        FileStates f;
        FileState state;
        int r;

        if (s->files.moved)
                return -EIDRM;
        r = find_file_states(s, &f);
        if (r < 0)
                return connection_refuse(c, r, "Could not look at %s: %s. %s", path, strerror(-r),
                                "Its directory must be open to this user.");

        state = f.database;
        if (state == FILE_GOOD && (state = f.wal) != FILE_GOOD)
                path = s->files.wal_path;
        if (state == FILE_GOOD && (state = f.shm) != FILE_GOOD)
                path = s->files.shm_path;
        if (state == FILE_GOOD)
                return 0;

        s->files.moved = true;
        c->lost = true; /* nothing is to happen to the files by closing them */
        return connection_refuse(c, -EIDRM, "%s was %s while it was in use.", path, words[state]);
}

/* Files of a moment. */

static const char *const temporary_kinds[] = { "backup", "restore" };

#define TEMPORARY_RANDOM "XXXXXX"

int store_make_temporary(const char *path, const char *kind, char **ret_path, int *ret_fd)
{
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = -EBADF;

        if (asprintf(&name, "%s.%s-" TEMPORARY_RANDOM, path, kind) < 0) {
                name = NULL;
                return -ENOMEM;
        }
        fd = mkostemp(name, O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                (void)unlink(name);
                return -errno;
        }
        *ret_path = TAKE_PTR(name);
        *ret_fd = take_fd(&fd);
        return 0;
}

void store_remove_temporary(const char *path)
{
        static const char *const suffixes[] = { "-wal", "-shm", "-journal", "" };

        FOREACH_ARRAY(suffix, suffixes, ELEMENTSOF(suffixes)) {
                _cleanup_free_ char *name = NULL;

                if (asprintf(&name, "%s%s", path, *suffix) < 0)
                        name = NULL;
                else
                        (void)unlink(name);
        }
}

static void clean(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) >= 0)
                store_remove_temporary(path);
}

void files_clean(const char *path)
{
        FOREACH_ARRAY(kind, temporary_kinds, ELEMENTSOF(temporary_kinds)) {
                _cleanup_free_ char *pattern = NULL;
                glob_t found = {};

                if (asprintf(&pattern, "%s.%s-??????", path, *kind) < 0) {
                        pattern = NULL;
                        return;
                }
                if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
                        FOREACH_ARRAY(name, found.gl_pathv, found.gl_pathc)
                                clean(*name);
                globfree(&found);
        }
}

/* Saving. */

/* Whether there is a name by which the database can be opened, whatever that is now. */
static int is_nameless(const Store *s)
{
        struct stat st;

        return fstat(s->files.fd, &st) < 0 ? -errno : st.st_nlink == 0;
}

/* All of the WAL into the database that is open, and nothing left in it. */
static int empty_wal(Store *s)
{
        Connection *c = &s->connection;

        errno = 0;
        if (sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
                return connection_fail(c, "Could not bring the write-ahead log into");
        return 0;
}

/* Removes a file that is still ours, and that another database would take for its own. */
static void remove_left_over(const char *path, const FileId *was)
{
        FileState state;

        if (state_of_file(path, was, &state) >= 0 && state == FILE_GOOD)
                (void)unlink(path);
}

static int copy_to(Store *s, const char *path, void (*progress)(void *userdata), void *userdata)
{
        Connection target = {};
        sqlite3_backup *backup = NULL;
        int rc, r;

        r = connection_open(&target, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
        if (r >= 0 && sqlite3_db_config(target.db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL) != SQLITE_OK)
                r = connection_fail(&target, "Could not set up");
        if (r >= 0)
                r = connection_run(&target, "PRAGMA journal_mode = OFF; PRAGMA synchronous = FULL",
                                "Could not set up");
        if (r >= 0) {
                backup = sqlite3_backup_init(target.db, "main", s->connection.db, "main");
                if (!backup)
                        r = connection_fail(&target, "Could not begin the copy");
        }
        if (backup) {
                errno = 0;
                while ((rc = sqlite3_backup_step(backup, SAVE_STEP)) == SQLITE_OK)
                        progress(userdata);
                if (sqlite3_backup_finish(backup) != SQLITE_OK || rc != SQLITE_DONE)
                        r = connection_fail(&target, "Could not copy to");
        }
        if (r < 0)
                memcpy(s->connection.error, target.error, sizeof(target.error));
        connection_done(&target);
        return r;
}

/* The names of a directory are on disk when the directory is. */
static int sync_directory_of(const char *path)
{
        _cleanup_free_ char *folder = strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
        _cleanup_close_ int fd = -EBADF;

        if (!folder)
                return -ENOMEM;
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int copy(Store *s, bool to_name, void (*progress)(void *userdata), void *userdata)
{
        const char *name = sqlite3_db_filename(s->connection.db, "main");
        Connection *c = &s->connection;
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        char before[STORE_ERROR_MAX];
        int r;

        if (asprintf(&path, "%s.saved-XXXXXX", name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        memcpy(before, c->error, sizeof(before));
        fd = mkostemp(path, O_CLOEXEC);
        if (fd < 0)
                return connection_refuse(c, -errno, "Could not create %s: %s.", path, strerror(errno));
        /* Another group only its members can give. */
        r = fchown(fd, (uid_t)-1, s->files.group) < 0 && errno != EPERM ? -errno : 0;
        if (r >= 0 && fchmod(fd, s->files.mode & 0777) < 0)
                r = -errno;
        fd = fd_close(fd);

        if (r >= 0)
                r = copy_to(s, path, progress, userdata);
        if (r < 0) {
                (void)unlink(path);
                return r;
        }
        if (to_name && link(path, name) >= 0) {
                (void)unlink(path);
                snprintf(c->error, sizeof(c->error), "%.512s A copy of what it held was put back.", before);
        } else
                snprintf(c->error, sizeof(c->error), "%.512s What it held is saved in %.400s.", before,
                                path);
        return sync_directory_of(path);
}

/* The write lock is held. */
static int save(Store *s, void (*progress)(void *userdata), void *userdata)
{
        const Files *f = &s->files;
        bool moved, torn;
        FileStates states;
        int r;

        r = find_file_states(s, &states);
        if (r < 0)
                return r;

        /* Another process may have begun on new files beside the same database. Of those we know nothing. */
        moved = states.database != FILE_GOOD;
        torn = !moved && (states.wal == FILE_REPLACED || states.shm == FILE_REPLACED);
        if (!torn) {
                r = empty_wal(s);
                if (r < 0)
                        return r;
        }
        if (moved) {
                remove_left_over(s->files.wal_path, &f->wal);
                remove_left_over(s->files.shm_path, &f->shm);
        }

        r = is_nameless(s);
        if (r < 0)
                return r;
        if ((r == 0 || write_lock_noted(&s->write_lock, f->database.inode)) &&
                        !(torn && states.wal != FILE_GOOD))
                return 0;
        r = copy(s, states.database == FILE_GONE, progress, userdata);
        if (r >= 0)
                write_lock_note(&s->write_lock, f->database.inode);
        return r;
}

int store_save(Store *s, void (*progress)(void *userdata), void *userdata)
{
        Connection *c = &s->connection;
        char why[STORE_ERROR_MAX];
        int r;

        assert(!s->in_group);
        assert(s->files.moved);

        memcpy(why, c->error, sizeof(why));
        r = write_lock_take(&s->write_lock, c, STORE_BUSY_MSEC);
        if (r >= 0)
                r = save(s, progress, userdata);
        write_lock_release(&s->write_lock);
        if (r < 0) {
                _cleanup_free_ char *cause = strdup(c->error);

                snprintf(s->files.trouble, sizeof(s->files.trouble), "%s", cause ?: "out of memory");
                memcpy(c->error, why, sizeof(why));
        }
        return r;
}

const char *store_save_error(const Store *s)
{
        return s->files.trouble;
}

int store_check(Store *s)
{
        int r;

        assert(!s->in_group);
        if (s->files.moved)
                return -EIDRM;
        r = write_lock_take(&s->write_lock, &s->connection, STORE_BUSY_MSEC);
        if (r < 0)
                return r;
        r = files_check(s);
        write_lock_release(&s->write_lock);
        return r;
}

/*
 * From outside.
 *
 * Whether a daemon could open the database, told from outside: what the path leads to, and the first bytes
 * of the file. Nothing is opened by SQLite, which would make files beside it, as another user's perhaps.
 */

#define HEADER_SIZE 100 /* see "The Database Header" of https://www.sqlite.org/fileformat2.html */
#define AT_VERSION  60
#define AT_ID       68

static uint32_t read_be32(const unsigned char *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void look_at_folder(const char *path, char **mistakes)
{
        _cleanup_free_ char *copy = strdup(path);
        const char *folder;
        struct stat st;

        if (!copy)
                return;
        folder = dirname(copy);
        if (stat(folder, &st) < 0)
                mistakes_add(mistakes, "[store] path = %s: its directory %s: %s", path, folder,
                                strerror(errno));
        else if (!S_ISDIR(st.st_mode))
                mistakes_add(mistakes, "[store] path = %s: %s is no directory", path, folder);
}

static void look_at_header(const char *path, const unsigned char *header, char **mistakes)
{
        uint32_t id = read_be32(header + AT_ID), version = read_be32(header + AT_VERSION);

        if (memcmp(header, "SQLite format 3", 16) != 0)
                mistakes_add(mistakes, "[store] path = %s: the file is no SQLite database", path);
        else if (id != STORE_APPLICATION_ID && (id != 0 || version != 0))
                mistakes_add(mistakes,
                                "[store] path = %s: it is an SQLite database, but another program's "
                                "(application id %u instead of %d)",
                                path, id, STORE_APPLICATION_ID);
        else if (version > (uint32_t)store_schema_version())
                mistakes_add(mistakes,
                                "[store] path = %s: it was made by a newer version of this program (schema "
                                "%u, "
                                "this one knows up to %d)",
                                path, version, store_schema_version());
}

void store_look_at(const char *path, char **mistakes)
{
        unsigned char header[HEADER_SIZE];
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        ssize_t n;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 && errno == ENOENT) {
                look_at_folder(path, mistakes); /* where it is made at the first start */
                return;
        }
        if (fd < 0 || fstat(fd, &st) < 0) {
                mistakes_add(mistakes, "[store] path = %s: %s", path, strerror(errno));
                return;
        }
        if (!S_ISREG(st.st_mode)) {
                mistakes_add(mistakes, "[store] path = %s: it is no regular file", path);
                return;
        }
        n = pread(fd, header, sizeof(header), 0);
        if (n < 0)
                mistakes_add(mistakes, "[store] path = %s: %s", path, strerror(errno));
        else if (n == (ssize_t)sizeof(header))
                look_at_header(path, header, mistakes);
        else if (n > 0)
                mistakes_add(mistakes, "[store] path = %s: the file is no SQLite database", path);
}

/* Room. */

int store_free_space(const char *path, uint64_t *ret)
{
        _cleanup_free_ char *copy = NULL;
        struct statvfs st;

        if (statvfs(path, &st) < 0) {
                if (errno != ENOENT)
                        return -errno;
                copy = strdup(path);
                if (!copy)
                        return -ENOMEM;
                if (statvfs(dirname(copy), &st) < 0)
                        return -errno;
        }
        *ret = (uint64_t)st.f_bavail * st.f_frsize;
        return 0;
}
