/*
 * Log lines go to standard error, one write(2) a line, so that lines of several threads never mix. Under
 * systemd that is the journal's stream, where a "<N>" in front carries the priority; on a terminal it would
 * only be noise, so it is left out there.
 */

#include "basic/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* Longer lines are cut: a log line is for reading. */
#define LINE_MAX_SIZE 2048

static atomic_int max_level = LOG_INFO;

void log_set_max_level(int level)
{
        max_level = level;
}

int log_get_max_level(void)
{
        return max_level;
}

/* 1 while standard error is a terminal; asked once. */
static bool is_terminal(void)
{
        static atomic_int cached = -1;

        if (cached < 0)
                cached = isatty(STDERR_FILENO) ? 1 : 0;

        return cached > 0;
}

static void write_line(int level, int error, const char *format, va_list ap) _printf_(3, 0);

static void write_line(int level, int error, const char *format, va_list ap)
{
        char line[LINE_MAX_SIZE];
        size_t n = 0;
        int k;

        if (!is_terminal())
                n += (size_t)snprintf(line, sizeof(line), "<%d>", level);

        k = vsnprintf(line + n, sizeof(line) - n - 1, format, ap);
        if (k > 0)
                n = MIN(n + (size_t)k, sizeof(line) - 2);

        if (error != 0) {
                k = snprintf(line + n, sizeof(line) - n - 1, ": %s", strerror(abs(error)));
                if (k > 0)
                        n = MIN(n + (size_t)k, sizeof(line) - 2);
        }

        /* One line stays one line, whatever a peer put into it. */
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
                        line[i] = '?';

        line[n++] = '\n';

        for (size_t done = 0; done < n;) {
                ssize_t w = write(STDERR_FILENO, line + done, n - done);

                if (w < 0 && errno == EINTR)
                        continue;
                if (w <= 0)
                        return; /* nowhere left to say so */
                done += (size_t)w;
        }
}

void log_full(int level, const char *format, ...)
{
        int saved = errno;
        va_list ap;

        if (level > max_level)
                return;

        va_start(ap, format);
        write_line(level, 0, format, ap);
        va_end(ap);

        errno = saved;
}

int log_full_errno(int level, int error, const char *format, ...)
{
        int saved = errno;
        va_list ap;

        if (level <= max_level) {
                va_start(ap, format);
                write_line(level, error, format, ap);
                va_end(ap);
        }

        errno = saved;
        return -abs(error);
}

int log_oom(void)
{
        log_full(LOG_ERR, "Out of memory.");
        return -ENOMEM;
}
