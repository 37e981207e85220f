/* Descriptors are owned by variables that start as -EBADF and are closed when they go out of scope. */

#include "basic/fd.h"

#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <unistd.h>

int fd_close(int fd)
{
        int saved = errno;

        if (fd >= 0)
                (void)close(fd);

        errno = saved;
        return -EBADF;
}

int fd_sync_parent(const char *path)
{
        _cleanup_free_ char *copy = strdup(path);
        _cleanup_close_ int fd = -EBADF;

        if (!copy)
                return -1;
        fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -1 : fsync(fd);
}
