/* Preloaded, makes every sync fail while the file that FSYNC_FAILS names is there. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int should_fail(void)
{
        const char *trigger = getenv("FSYNC_FAILS");

        return trigger && access(trigger, F_OK) == 0;
}

static int sync_or_fail(const char *name, int fd)
{
        int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);

        if (should_fail()) {
                errno = EIO;
                return -1;
        }
        return real(fd);
}

int fsync(int fd);
int fdatasync(int fd);

int fsync(int fd)
{
        return sync_or_fail("fsync", fd);
}

int fdatasync(int fd)
{
        return sync_or_fail("fdatasync", fd);
}
