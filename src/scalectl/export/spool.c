/* The spool has no name from its first moment on where the file system can do that, and else from its
 * second: no other program finds what is in it, and nothing is left when this one ends, however it does. It
 * is not in /tmp, which is memory on many machines, and what memory can't hold is what a spool is for. */

#include "scalectl/export/spool.h"

#include <fcntl.h>
#include <unistd.h>

#include "basic/fd.h"

const char *spool_folder(void)
{
        const char *folder = getenv("TMPDIR");

        return folder && *folder == '/' ? folder : "/var/tmp";
}

static int open_nameless(void)
{
        _cleanup_free_ char *name = NULL;
        int fd;

        fd = open(spool_folder(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
                return fd;

        if (asprintf(&name, "%s/scalectl.XXXXXX", spool_folder()) < 0) {
                name = NULL;
                return -1;
        }
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
                (void)unlink(name);
        return fd;
}

int spool_open(Spool *ret)
{
        _cleanup_close_ int fd = open_nameless();
        FILE *f;

        if (fd < 0)
                return -errno;
        f = fdopen(fd, "w+");
        if (!f)
                return -errno;
        (void)take_fd(&fd);
        *ret = (Spool){ .f = f };
        return 0;
}

int spool_write(Spool *spool, const char *line, size_t size)
{
        errno = EIO;
        return fwrite(line, 1, size, spool->f) == size && putc('\n', spool->f) != EOF ? 0 : -errno;
}

int spool_rewind(Spool *spool)
{
        errno = EIO;
        return fflush(spool->f) == 0 && fseeko(spool->f, 0, SEEK_SET) == 0 ? 0 : -errno;
}

int spool_read(Spool *spool, const char **ret, size_t *ret_size)
{
        ssize_t n;

        errno = 0;
        n = getline(&spool->line, &spool->allocated, spool->f);
        if (n < 0)
                return ferror(spool->f) || errno ? -(errno ?: EIO) : 0;
        *ret = spool->line;
        *ret_size = (size_t)n - 1;
        return 1;
}

void spool_done(Spool *spool)
{
        if (spool->f)
                (void)fclose(spool->f);
        free(spool->line);
        *spool = (Spool){};
}
