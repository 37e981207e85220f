/*
 * A folder is filled under another name beside its own and renamed once everything in it is on disk. An
 * empty folder of that name is replaced, anything else is left alone: nothing that was there is ever
 * deleted. A signal that ends the program is noted, so that the unfinished folder can be taken away first; a
 * second one ends it at once.
 */

#include "scalectl/export/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/fd.h"
#include "scalectl/text/output.h"

#define FILES_OPEN 16 /* while the tree is taken away */

static volatile sig_atomic_t interrupted; /* for the signal handler, which has nothing else to write to */

static void on_signal(int signal)
{
        interrupted = signal;
}

bool folder_interrupted(void)
{
        return interrupted != 0;
}

/* Where it will be: without a slash at the end, links followed. */
static char *find_target(const char *name)
{
        char *target = realpath(name, NULL) ?: strdup(name);

        for (size_t n = target ? strlen(target) : 0; n > 1 && target[n - 1] == '/'; n--)
                target[n - 1] = 0;
        return target;
}

static int make_temporary(Folder *folder)
{
        if (asprintf(&folder->temporary, "%s.XXXXXX", folder->target) < 0) {
                folder->temporary = NULL;
                return -1;
        }
        if (!mkdtemp(folder->temporary)) {
                int error = errno;

                free(TAKE_PTR(folder->temporary));
                errno = error;
                return -1;
        }
        output_catch_signals(on_signal);
        folder->fd = open(folder->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return folder->fd < 0 ? -1 : 0;
}

static int open_index(Folder *folder, const char *name)
{
        _cleanup_close_ int fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        folder->index = fd < 0 ? NULL : fdopen(fd, "w");
        if (!folder->index)
                return -1;
        (void)take_fd(&fd);
        return 0;
}

/* What stands under the name must be an empty folder, or nothing. 0, or -1 and errno. */
static int check_target(const Folder *folder)
{
        DIR *d = opendir(folder->target);
        bool empty = true;

        if (!d)
                return errno == ENOENT ? 0 : -1;
        for (struct dirent *e; empty && (e = readdir(d));)
                empty = streq(e->d_name, ".") || streq(e->d_name, "..");
        (void)closedir(d);
        errno = ENOTEMPTY;
        return empty ? 0 : -1;
}

int folder_open(const char *name, const char *index, Folder *ret)
{
        Folder f = FOLDER_INIT;

        f.name = name;
        f.target = find_target(name);
        if (!f.target || check_target(&f) < 0 || make_temporary(&f) < 0 || open_index(&f, index) < 0) {
                if (errno == ENOTEMPTY)
                        complain("%s is there and not empty: name a new folder", name);
                else
                        (void)output_complain(name, "made");
                folder_done(&f);
                return EX_CANTCREAT;
        }
        *ret = f;
        return 0;
}

int folder_write(Folder *folder, const void *data, size_t size)
{
        errno = EIO; /* where nothing says better */
        return fwrite(data, 1, size, folder->index) == size ? 0 : output_complain(folder->name, "written");
}

/* The folder within, if the name has one. */
static int make_within(const Folder *folder, const char *name)
{
        const char *slash = strchr(name, '/');
        _cleanup_free_ char *within = NULL;

        if (!slash)
                return 0;
        within = strndup(name, (size_t)(slash - name));
        if (!within)
                return -1;
        return mkdirat(folder->fd, within, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

static int write_all(int fd, const char *data, size_t size)
{
        while (size > 0) {
                ssize_t n = write(fd, data, size);

                if (n < 0 && errno != EINTR)
                        return -1;
                data += MAX(n, 0);
                size -= (size_t)MAX(n, 0);
        }
        return 0;
}

int folder_put(Folder *folder, const char *name, const void *data, size_t size)
{
        _cleanup_close_ int fd = -EBADF;

        if (make_within(folder, name) < 0)
                return output_complain(folder->name, "written");
        fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EEXIST)
                return 1;
        if (fd < 0 || write_all(fd, data, size) < 0)
                return output_complain(folder->name, "written");
        return 0;
}

static int take_name(Folder *folder)
{
        FILE *index = TAKE_PTR(folder->index);

        if (fclose(index) != 0 || syncfs(folder->fd) < 0 || rename(folder->temporary, folder->target) < 0)
                return -1;
        free(TAKE_PTR(folder->temporary));
        return fd_sync_parent(folder->target);
}

int folder_finish(Folder *folder)
{
        if (take_name(folder) < 0) {
                (void)output_complain(folder->name, "written");
                return EX_IOERR;
        }
        return 0;
}

static int remove_one(const char *path, _unused_ const struct stat *st, _unused_ int kind,
                _unused_ struct FTW *where)
{
        (void)remove(path);
        return 0;
}

void folder_done(Folder *folder)
{
        if (folder->index)
                (void)fclose(folder->index);
        folder->fd = fd_close(folder->fd);
        if (folder->temporary)
                (void)nftw(folder->temporary, remove_one, FILES_OPEN, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        free(folder->temporary);
        free(folder->target);
        *folder = FOLDER_INIT;
        if (interrupted)
                (void)raise(interrupted);
}
