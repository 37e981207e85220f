/*
 * Places in a body. A transcript has tens of thousands of them and hardly ever a problem, so walking costs a
 * frame on the stack a level and the text is made at the end, from the outermost frame inwards. Names come
 * from the body: they are cut, and quoted where they could be taken for something else.
 */

#include "task/path.h"

#include "basic/parse.h"

#include <stdio.h>

#define NAME_MAX_SHOWN 48U

typedef struct Text {
        char *buf;
        size_t size;
        bool no_memory; /* for a name */
} Text;

/* Appends what fits as a whole; a path too long for its buffer ends early, at a frame's end. */
static void text_append(Text *t, const char *data, size_t size)
{
        if (size >= PATH_SIZE - t->size)
                return;

        memcpy(t->buf + t->size, data, size);
        t->size += size;
        t->buf[t->size] = 0;
}

static bool is_plain(const char *name)
{
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$";
        size_t n = strspn(name, plain);

        return n > 0 && name[n] == 0 && n <= NAME_MAX_SHOWN;
}

static void append_name(Text *t, const char *name)
{
        char piece[PROBLEM_QUOTE_SIZE + 2], quote[PROBLEM_QUOTE_SIZE];
        const char *shown = "?";
        json_t *s = NULL;
        size_t size;
        int n;

        if (is_plain(name)) {
                n = snprintf(piece, sizeof(piece), "%s%s", t->size > 0 ? "." : "", name);
                text_append(t, piece, (size_t)n);
                return;
        }

        size = problem_cut(name, strlen(name), NAME_MAX_SHOWN);
        if (text_is_utf8(name, size)) {
                s = json_stringn_nocheck(name, size);
                if (s)
                        shown = problem_quote(s, quote);
                t->no_memory |= shown[0] != '"'; /* in general terms */
        }
        n = snprintf(piece, sizeof(piece), "[%s]", shown);
        json_decref(s);
        text_append(t, piece, (size_t)n);
}

static void append_path(Text *t, const Path *p)
{
        char piece[32];

        if (!p->up) {
                if (p->name)
                        text_append(t, p->name, strlen(p->name));
                return;
        }

        append_path(t, p->up);
        if (p->name) {
                append_name(t, p->name);
                return;
        }
        text_append(t, piece, (size_t)snprintf(piece, sizeof(piece), "[%zu]", p->index));
}

const char *path_format(const Path *p, char buf[static PATH_SIZE])
{
        Text t = { .buf = buf };

        buf[0] = 0;
        append_path(&t, p);
        return buf;
}

void path_problem(Problems *problems, Severity severity, const Path *at, const char *name,
                const char *format, ...)
{
        const Path member = { .up = at, .name = name };
        char buf[PATH_SIZE] = "";
        Text t = { .buf = buf };
        va_list ap;

        if (problems_have_room(problems, severity))
                append_path(&t, name ? &member : at);
        problems->failed |= t.no_memory;
        va_start(ap, format);
        problems_addv(problems, severity, buf, format, ap);
        va_end(ap);
}
