/* A text that grows by a line at a time, up to a number of lines. */

#include "basic/mistakes.h"

#include <stdio.h>

static size_t count_lines(const char *text)
{
        size_t n = *text ? 1 : 0;

        for (; *text; text++)
                n += *text == '\n';
        return n;
}

void mistakes_addv(char **mistakes, const char *format, va_list ap)
{
        _cleanup_free_ char *line = NULL;
        size_t n = count_lines(*mistakes ?: "");
        char *longer;

        if (n >= MISTAKES_MAX)
                return;
        if (vasprintf(&line, format, ap) < 0) {
                line = NULL;
                return;
        }
        if (asprintf(&longer, "%s%s%s", *mistakes ?: "", n > 0 ? "\n" : "",
                            n + 1 == MISTAKES_MAX ? "and there are more" : line) < 0)
                return;
        free(*mistakes);
        *mistakes = longer;
}

void mistakes_add(char **mistakes, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        mistakes_addv(mistakes, format, ap);
        va_end(ap);
}

const char *mistakes_next(const char **p, size_t *ret_size)
{
        const char *line = *p;

        if (!line || !*line)
                return NULL;
        *ret_size = strcspn(line, "\n");
        *p = line + *ret_size + (line[*ret_size] == '\n');
        return line;
}
