/*
 * Log lines go to standard error, one write(2) a line, so that lines of several threads never mix. Under
 * systemd that is the journal's stream, where a "<N>" in front carries the priority; on a terminal it would
 * only be noise, so it is left out there. A daemon can set a sink that takes lines with their fields.
 */

#include "basic/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* Longer lines are cut: a log line is for reading. */
#define LINE_MAX_SIZE 2048

static atomic_int max_level = LOG_INFO;
static LogSink sink = NULL;

void log_set_max_level(int level)
{
        max_level = level;
}

int log_set_max_level_by_name(const char *name)
{
        static const struct {
                const char *name;
                int level;
        } levels[] = {
                { "error", LOG_ERR },
                { "warning", LOG_WARNING },
                { "notice", LOG_NOTICE },
                { "info", LOG_INFO },
                { "debug", LOG_DEBUG },
        };

        FOREACH_ARRAY(l, levels, ELEMENTSOF(levels))
                if (streq(l->name, name)) {
                        log_set_max_level(l->level);
                        return 0;
                }
        return -EINVAL;
}

void log_set_sink(LogSink s)
{
        sink = s;
}

/* 1 while standard error is a terminal; asked once. */
static bool is_terminal(void)
{
        static atomic_int cached = -1;

        if (cached < 0)
                cached = isatty(STDERR_FILENO) ? 1 : 0;

        return cached > 0;
}

/* What there is to say, as one line: whatever a peer put into it. */
static size_t format_line(char *line, size_t size, int error, const char *format, va_list ap) _printf_(4, 0);

static size_t format_line(char *line, size_t size, int error, const char *format, va_list ap)
{
        size_t n = 0;
        int k;

        k = vsnprintf(line, size, format, ap);
        if (k > 0)
                n = MIN((size_t)k, size - 1);

        if (error != 0) {
                k = snprintf(line + n, size - n, ": %s", strerror(abs(error)));
                if (k > 0)
                        n = MIN(n + (size_t)k, size - 1);
        }

        for (size_t i = 0; i < n; i++)
                if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
                        line[i] = '?';
        line[n] = 0;
        return n;
}

static void write_line(const char *line, size_t n)
{
        for (size_t done = 0; done < n;) {
                ssize_t w = write(STDERR_FILENO, line + done, n - done);

                if (w < 0 && errno == EINTR)
                        continue;
                if (w <= 0)
                        return; /* nowhere left to say so */
                done += (size_t)w;
        }
}

typedef struct Event {
        int level, error;
        const char *id;
        const LogField *fields;
        size_t n;
} Event;

static void say(const Event *e, const char *format, va_list ap) _printf_(2, 0);

static void say(const Event *e, const char *format, va_list ap)
{
        char line[LINE_MAX_SIZE];
        size_t prefix = 0, n;

        if (!is_terminal())
                prefix = (size_t)snprintf(line, sizeof(line), "<%d>", e->level);

        n = format_line(line + prefix, sizeof(line) - prefix - 1, e->error, format, ap);
        if (sink && sink(e->level, e->id, e->fields, e->n, line + prefix))
                return;

        line[prefix + n] = '\n';
        write_line(line, prefix + n + 1);
}

void log_full(int level, const char *format, ...)
{
        int saved = errno;
        va_list ap;

        if (level > max_level)
                return;

        va_start(ap, format);
        say(&(Event){ .level = level }, format, ap);
        va_end(ap);

        errno = saved;
}

int log_full_errno(int level, int error, const char *format, ...)
{
        int saved = errno;
        va_list ap;

        if (level <= max_level) {
                va_start(ap, format);
                say(&(Event){ .level = level, .error = error }, format, ap);
                va_end(ap);
        }

        errno = saved;
        return -abs(error);
}

void log_event(int level, const char *id, const LogField *fields, size_t n, const char *format, ...)
{
        int saved = errno;
        va_list ap;

        if (level > max_level)
                return;

        va_start(ap, format);
        say(&(Event){ .level = level, .id = id, .fields = fields, .n = n }, format, ap);
        va_end(ap);

        errno = saved;
}

int log_oom(void)
{
        log_full(LOG_ERR, "Out of memory.");
        return -ENOMEM;
}
