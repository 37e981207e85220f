/* Descriptors are owned by variables that start as -EBADF and are closed when they go out of scope. */

#include "basic/fd.h"

#include <unistd.h>

int fd_close(int fd)
{
        int saved = errno;

        if (fd >= 0)
                (void)close(fd);

        errno = saved;
        return -EBADF;
}
