#pragma once

/* Log lines: one place that knows where they go. */

#include <syslog.h>

#include "basic/macros.h"

/* Nothing less urgent than `level` (LOG_ERR ... LOG_DEBUG) is written. The default is LOG_INFO. */
void log_set_max_level(int level);
int log_set_max_level_by_name(const char *name); /* "error" to "debug"; 0 or -EINVAL */

/* Writes one line to standard error, at once and whole; when standard error is the journal's stream
 * (JOURNAL_STREAM) or nobody's terminal, the line starts with the priority in systemd's "<N>" form.
 * Thread-safe; errno is kept. Never pass a secret or a body. */
void log_full(int level, const char *format, ...) _printf_(2, 3);

/* The same with ": strerror(error)" behind the text. `error` may be negative or positive.
 * Returns -abs(error), so that a caller can log and forward in one line. */
int log_full_errno(int level, int error, const char *format, ...) _printf_(3, 4);

#define log_debug(...)   log_full(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)    log_full(LOG_INFO, __VA_ARGS__)
#define log_notice(...)  log_full(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, __VA_ARGS__)
#define log_error(...)   log_full(LOG_ERR, __VA_ARGS__)

#define log_debug_errno(e, ...)   log_full_errno(LOG_DEBUG, e, __VA_ARGS__)
#define log_warning_errno(e, ...) log_full_errno(LOG_WARNING, e, __VA_ARGS__)
#define log_error_errno(e, ...)   log_full_errno(LOG_ERR, e, __VA_ARGS__)

/* A field of the journal's own beside the text; a text that is NULL is left out. */
typedef struct LogField {
        const char *name; /* "TASK_ID" */
        bool is_text;     /* else `number` */
        const char *text;
        uint64_t number;
} LogField;

#define LOG_TEXT(n, t)                                    \
        {                                                 \
                .name = (n), .is_text = true, .text = (t) \
        }
#define LOG_NUMBER(n, v)                             \
        {                                            \
                .name = (n), .number = (uint64_t)(v) \
        }
#define LOG_FIELDS(...) (const LogField[]){ __VA_ARGS__ }, ELEMENTSOF(((const LogField[]){ __VA_ARGS__ }))

/* Something that has a name: `id` is a message id of the journal's catalog, 32 hex digits. Without a sink
 * only the text is written. */
void log_event(int level, const char *id, const LogField *fields, size_t n, const char *format, ...)
                _printf_(5, 6);

/* Where lines go instead of standard error, with their fields; false from it: to standard error after all.
 * `id` may be NULL. Set once, before there are threads. */
typedef bool (*LogSink)(int level, const char *id, const LogField *fields, size_t n, const char *text);
void log_set_sink(LogSink sink);

/* Out of memory, as one line: returns -ENOMEM. */
int log_oom(void);
