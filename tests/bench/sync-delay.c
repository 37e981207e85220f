/* Preloaded, makes every sync take SYNC_DELAY_USEC longer than it does: a slower disk. */

#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_for_the_disk(void)
{
        const char *text = getenv("SYNC_DELAY_USEC");
        long usec = text ? strtol(text, NULL, 10) : 0;
        struct timespec t = { .tv_sec = usec / 1000000, .tv_nsec = usec % 1000000 * 1000 };

        if (usec > 0)
                (void)nanosleep(&t, NULL);
}

static int delay(const char *name, int fd)
{
        int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);

        wait_for_the_disk();
        return real(fd);
}

int fsync(int fd)
{
        return delay("fsync", fd);
}

int fdatasync(int fd)
{
        return delay("fdatasync", fd);
}
