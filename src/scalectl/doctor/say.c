/* Findings, as they are counted and printed: a line each for people, and what to do in the next one. */

#include <stdarg.h>

#include "basic/mistakes.h"
#include "scalectl/doctor/doctor.h"
#include "scalectl/text/format.h"

#define MESSAGE_SIZE 1024U

void doctor_say(Doctor *d, FindingKind kind, const char *advice, const char *format, ...)
{
        char message[MESSAGE_SIZE];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);

        d->said += kind != FINDING_OK;
        d->worst = MAX(d->worst, kind);
        d->take(d, kind, message, advice);
}

void doctor_fail_each(Doctor *d, const char *advice, const char *mistakes)
{
        const char *line;
        size_t n;

        while ((line = mistakes_next(&mistakes, &n)))
                doctor_fail(d, advice, "%.*s", (int)n, line);
}

const char *doctor_advice(Doctor *d, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(d->advice, sizeof(d->advice), format, ap);
        va_end(ap);
        return d->advice;
}

static const char *const finding_names[_FINDING_KIND_MAX] = { "ok", "warning", "failure" };

static void print_json(Doctor *d, FindingKind kind, const char *message, const char *advice)
{
        _cleanup_free_ char *clean = format_clean(message); /* a path may be anything, JSON is UTF-8 */
        json_auto_t *line = json_object();
        int r = 0;

        r |= json_object_set_new(line, "check", json_string(d->check));
        r |= json_object_set_new(line, "result", json_string(finding_names[kind]));
        r |= json_object_set_new(line, "message", json_string(clean ?: "out of memory"));
        r |= json_object_set_new(line, "advice", advice ? json_string(advice) : json_null());
        if (r < 0 || json_dumpf(line, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) < 0)
                complain("%s: the finding can't be printed", d->check);
        putchar('\n');
}

static void print_text(Doctor *d, FindingKind kind, const char *message, const char *advice)
{
        static const char *const colours[_FINDING_KIND_MAX] = { SGR_GREEN, SGR_YELLOW, SGR_RED };
        _cleanup_free_ char *clean = format_clean(message), *help = format_clean(advice ?: "");
        const Ctl *ctl = d->userdata;

        printf("%s%-8s%s %s: %s\n", ctl->term.colour ? colours[kind] : "", finding_names[kind],
                        ctl->term.colour ? SGR_RESET : "", d->check, clean ?: "out of memory");
        if (help && *help)
                printf("         %s\n", help);
}

void doctor_print(Doctor *d, FindingKind kind, const char *message, const char *advice)
{
        const Ctl *ctl = d->userdata;

        (ctl->json ? print_json : print_text)(d, kind, message, advice);
        (void)fflush(stdout); /* a check may take its time, and is then seen to */
}
