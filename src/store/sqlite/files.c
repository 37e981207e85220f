/*
 * Whether the files have the names that they were opened by. A file that was removed or replaced goes on
 * working for who has it open: groups would be synced and acknowledged, into what nobody will ever open
 * again. So the names are compared with the files, before a group is written and again before it counts.
 *
 * Then nothing is written any more and the process leaves. What was acknowledged before is copied from the
 * WAL into the database that is open, so that one that was renamed is whole under its new name. What was
 * deleted is gone: somebody has to put a backup in its place.
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
                                "%s is %s: expected a regular file, or none. Name another one in [store] "
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

int files_open(SqliteStore *s)
{
        Connection *c = &s->connection;
        const char *real = sqlite3_db_filename(c->db, "main"); /* what a link stands for */
        Files *f = &s->files;
        int moved = 0;

        if (asprintf(&f->wal_path, "%s-wal", real) < 0)
                f->wal_path = NULL;
        if (asprintf(&f->shm_path, "%s-shm", real) < 0)
                f->shm_path = NULL;
        if (!f->wal_path || !f->shm_path)
                return connection_refuse(c, -ENOMEM, "Could not open %s: out of memory.", c->path);

        if (look(c->path, &f->database) <= 0 || look(f->wal_path, &f->wal) <= 0 ||
                        look(f->shm_path, &f->shm) <= 0 ||
                        sqlite3_file_control(c->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK ||
                        moved)
                return connection_refuse(c, -EIDRM, "%s was removed while it was being opened.", c->path);
        return 0;
}

void files_close(Files *f)
{
        free(f->wal_path);
        free(f->shm_path);
        *f = (Files){};
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

static int find_file_states(const SqliteStore *s, FileStates *ret)
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

/* Removes a file that is still ours, and that another database would take for its own. */
static void remove_left_over(const char *path, const FileId *was)
{
        FileState state;

        if (state_of_file(path, was, &state) >= 0 && state == FILE_GOOD)
                (void)unlink(path);
}

/* Nothing is left in the WAL for another database to take for its own. Where another process may have begun
 * a new WAL on the same database nothing is known of that one, and nothing is done. */
static void leave_files(SqliteStore *s, const FileStates *states)
{
        sqlite3 *db = s->connection.db;

        if (states->database == FILE_GOOD && (states->wal == FILE_REPLACED || states->shm == FILE_REPLACED))
                return;
        if (sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK ||
                        states->database == FILE_GOOD)
                return;
        remove_left_over(s->files.wal_path, &s->files.wal);
        remove_left_over(s->files.shm_path, &s->files.shm);
}

/* What would help, by what was found. */
static const char *advise(const FileStates *states)
{
        if (states->database == FILE_GONE)
                return "If it was renamed, it is whole under its new name: stop the daemons and rename it "
                       "back. If "
                       "it was deleted, `scalectl restore FILE` puts a backup in its place.";
        if (states->database == FILE_REPLACED)
                return "To put a backup in its place use `scalectl restore FILE`, while no daemon runs.";
        if (states->wal == FILE_REPLACED || states->shm == FILE_REPLACED)
                return "If the database is damaged by it, `scalectl restore FILE` puts a backup in its "
                       "place.";
        return "What it held is in the database. Leave these files alone while a daemon runs.";
}

int files_check(SqliteStore *s)
{
        static const char *const words[_FILE_MAX] = {
                [FILE_GONE] = "removed or renamed",
                [FILE_REPLACED] = "replaced",
        };
        Connection *c = &s->connection;
        const Files *f = &s->files;
        FileStates states;
        int r;

        if (f->moved)
                return -EIDRM;
        r = find_file_states(s, &states);
        if (r < 0)
                return connection_refuse(c, r, "Could not look at %s: %s. %s", c->path, strerror(-r),
                                "Its directory must be open to this user.");

        const struct {
                const char *path;
                FileState state;
        } files[] = { { c->path, states.database }, { f->wal_path, states.wal },
                { f->shm_path, states.shm } };

        FOREACH_ARRAY(file, files, ELEMENTSOF(files)) {
                if (file->state == FILE_GOOD)
                        continue;
                s->files.moved = true;
                c->lost = true; /* nothing is to happen to the files by closing them */
                leave_files(s, &states);
                return connection_refuse(c, -EIDRM, "%s was %s while it was in use. %s", file->path,
                                words[file->state], advise(&states));
        }
        return 0;
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

int writer_check_files(SqliteStore *s)
{
        int r;

        assert(!s->base.in_group);
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
                mistakes_add(mistakes, "[store] path = %s: %s is not a directory", path, folder);
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
                mistakes_add(mistakes, "[store] path = %s: it is not a regular file", path);
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
