/* Preloaded, makes a program say the same again: the time of day stands at the seconds in STILL_TIME
 * (deadlines' clocks go on), what is random follows from how many bytes are asked for and how often, and
 * what goes to the journal is printed: the message as a line of the log, and `NAME=VALUE` of all fields into
 * the file that STILL_JOURNAL names. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *t)
{
        int (*real)(clockid_t, struct timespec *) =
                        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
        const char *still = getenv("STILL_TIME");

        if (!still || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
                return real(id, t);
        *t = (struct timespec){ .tv_sec = atol(still) };
        return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
        struct timespec now;
        int r = clock_gettime(CLOCK_REALTIME, &now);

        (void)zone;
        t->tv_sec = now.tv_sec;
        t->tv_usec = now.tv_nsec / 1000;
        return r;
}

time_t time(time_t *ret)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        if (ret)
                *ret = now.tv_sec;
        return now.tv_sec;
}

ssize_t getrandom(void *buffer, size_t size, unsigned flags)
{
        static atomic_uint asked[64];
        unsigned n = atomic_fetch_add(&asked[size % 64], 1);

        (void)flags;
        memset(buffer, (int)size, size);
        memcpy(buffer, &n, size < sizeof(n) ? size : sizeof(n));
        return (ssize_t)size;
}

int sd_journal_sendv(const struct iovec *parts, int n)
{
        FILE *f = fopen(getenv("STILL_JOURNAL"), "ae");

        if (!f)
                return -1;
        for (int i = 0; i < n; i++) {
                const char *text = parts[i].iov_base;
                int size = (int)parts[i].iov_len;

                if (size >= 8 && strncmp(text, "MESSAGE=", 8) == 0)
                        dprintf(2, "%.*s\n", size - 8, text + 8);
                fprintf(f, "%.*s%c", size, text, i == n - 1 ? '\n' : '\t');
        }
        fclose(f);
        return 0;
}
