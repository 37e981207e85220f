/*
 * The list of what is wrong. It is short by design: a body with ten thousand bad boxes gets 64 of them named
 * and the rest counted. An error is never pushed out by warnings: whoever reads that a body was refused also
 * reads why. Adding can't fail, so that checks read as a list of rules; a lack of memory is remembered.
 */

#include "task/problem.h"

#include <stdio.h>

#include "basic/buffer.h"
#include "basic/parse.h"
#include "json/encode.h"
#include "json/memory.h"

#define TEXT_MAX ((size_t)4 * 1024 * 1024) /* bytes of all of them, as JSON */

static void problem_done(Problem *problem)
{
        free(problem->path);
        free(problem->message);
}

void problems_done(Problems *problems)
{
        FOREACH_ARRAY(i, problems->items, problems->n)
                problem_done(i);

        *problems = (Problems){};
}

/* Whether one more would be kept and not only counted: else nobody will read what is said of it. */
static bool have_room(const Problems *problems, Severity severity)
{
        return problems->n < PROBLEMS_MAX || (severity == SEVERITY_ERROR && problems->n_warnings > 0);
}

/* Gives up the last warning of a full list, which has one. */
static void drop_warning(Problems *problems)
{
        size_t i = problems->n - 1;

        while (problems->items[i].severity != SEVERITY_WARNING)
                i--;
        problem_done(&problems->items[i]);
        memmove(&problems->items[i], &problems->items[i + 1], (problems->n - i - 1) * sizeof(Problem));
        problems->n--;
        problems->n_warnings--;
}

/* A message may quote the parser, which quotes what it could not parse. It has to be a text in any case, or
 * the list could never be written out. */
static void make_text(char *message)
{
        if (!text_is_utf8(message, strlen(message)))
                for (char *c = message; *c; c++)
                        if ((unsigned char)*c >= 0x80)
                                *c = '?';
}

/* Not by vasprintf(): when it can't shrink its buffer of 100 bytes, a text that fills it ends one behind it.
 */
_printf_(1, 0) static char *print_message(const char *format, va_list ap)
{
        char *message;
        va_list again;
        int n;

        va_copy(again, ap);
        n = vsnprintf(NULL, 0, format, again);
        va_end(again);
        message = n >= 0 ? malloc((size_t)n + 1) : NULL;
        if (message)
                (void)vsnprintf(message, (size_t)n + 1, format, ap);
        return message;
}

void problems_addv(Problems *problems, Severity severity, const char *path, const char *format, va_list ap)
{
        _cleanup_free_ char *copy = NULL, *message = NULL;

        if (severity == SEVERITY_ERROR)
                problems->n_errors++;
        if (problems->n == PROBLEMS_MAX) {
                problems->n_beyond++;
                if (!have_room(problems, severity))
                        return;
                drop_warning(problems);
        }

        copy = strdup(path);
        message = print_message(format, ap);
        if (!copy || !message) {
                problems->failed = true;
                return;
        }
        make_text(message);

        problems->items[problems->n++] = (Problem){
                .severity = severity,
                .path = TAKE_PTR(copy),
                .message = TAKE_PTR(message),
        };
        problems->n_warnings += severity == SEVERITY_WARNING;
}

void problems_add(Problems *problems, Severity severity, const char *path, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        problems_addv(problems, severity, path, format, ap);
        va_end(ap);
}

void problems_add_findings(Problems *problems, const JsonFindings *findings, const void *text)
{
        char words[JSON_FINDINGS_SIZE];

        if (json_findings_format(findings, text, words))
                problems_add(problems, SEVERITY_WARNING, "", "%s", words);
}

void problems_escalate(Problems *problems)
{
        FOREACH_ARRAY(i, problems->items, problems->n)
                i->severity = SEVERITY_ERROR;

        problems->n_errors = problems->n + problems->n_beyond;
        problems->n_warnings = 0;
}

static int append_problem(json_t *array, const char *path, const char *message, Severity severity)
{
        return json_array_append_new(
                        array, json_pack("{s:s, s:s, s:s}", "path", path, "message", message, "severity",
                                               severity == SEVERITY_ERROR ? "error" : "warning"));
}

json_t *problems_to_json(const Problems *problems)
{
        json_t *array = json_array();
        char text[64];
        int r = 0;

        FOREACH_ARRAY(i, problems->items, problems->n)
                r |= append_problem(array, i->path, i->message, i->severity);

        if (problems->n_beyond > 0) {
                snprintf(text, sizeof(text), "and %zu more", problems->n_beyond);
                r |= append_problem(
                                array, "", text, problems->n_errors > 0 ? SEVERITY_ERROR : SEVERITY_WARNING);
        }

        if (r < 0) {
                json_decref(array);
                return NULL;
        }
        return array;
}

int problems_encode(const Problems *problems, char **ret)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TEXT_MAX);
        json_auto_t *array = NULL;
        int r;

        if (problems->failed)
                return -ENOMEM;
        if (problems->n == 0) {
                *ret = NULL;
                return 0;
        }

        array = problems_to_json(problems);
        if (!array)
                return -ENOMEM;
        r = json_encode(array, &text);
        if (r < 0)
                return r;
        *ret = buffer_take(&text, NULL);
        return 0;
}

#define QUOTE_MAX 80U

typedef struct Quote {
        char *buf;
        size_t size;
        bool cut;
} Quote;

/* Stops the encoder as soon as there is enough: the value may be megabytes. */
static int take_quote(const char *data, size_t size, void *userdata)
{
        Quote *q = userdata;
        size_t n = MIN(size, QUOTE_MAX - q->size);

        memcpy(q->buf + q->size, data, n);
        q->size += n;
        q->cut = n < size;
        return q->cut ? -1 : 0;
}

size_t problem_cut(const char *text, size_t size, size_t max)
{
        if (size <= max)
                return size;

        while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
                max--;
        return max;
}

const char *problem_quote(const json_t *value, char buf[static PROBLEM_QUOTE_SIZE])
{
        const char *number = json_number_text(value);
        Quote q = { .buf = buf };
        int r;

        static_assert(QUOTE_MAX + sizeof("...") <= PROBLEM_QUOTE_SIZE, "a quote has to fit");

        r = number ? take_quote(number, strlen(number), &q)
                   : json_dump_callback(value, take_quote, &q,
                                     JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
        if (q.cut) {
                /* Back to where a character begins, if that one isn't whole. */
                size_t last = q.size;

                while (last > 0 && ((unsigned char)buf[last - 1] & 0xc0) == 0x80)
                        last--;
                if (last > 0 && (unsigned char)buf[last - 1] >= 0xc0)
                        q.size = last - 1;
                memcpy(buf + q.size, "...", 3);
                q.size += 3;
        } else if (r < 0)
                q.size = (size_t)snprintf(buf, PROBLEM_QUOTE_SIZE, "a value");

        buf[q.size] = 0;
        return buf;
}

const char *problems_quote(const Problems *problems, Severity severity, const json_t *value,
                char buf[static PROBLEM_QUOTE_SIZE])
{
        return have_room(problems, severity) ? problem_quote(value, buf) : "";
}

/*
 * Places in a body. A transcript has tens of thousands of them and hardly ever a problem, so walking costs a
 * frame on the stack a level and the text is made at the end, from the outermost frame inwards. Names come
 * from the body: they are cut, and quoted where they could be taken for something else.
 */

#define NAME_MAX_SHOWN 48U

typedef struct Text {
        char *buf;
        size_t size;
        bool no_memory; /* for a name */
} Text;

/* Appends what fits as a whole; a path too long for its buffer ends early, at a frame's end. */
static void text_append(Text *text, const char *data, size_t size)
{
        if (size >= PATH_SIZE - text->size)
                return;

        memcpy(text->buf + text->size, data, size);
        text->size += size;
        text->buf[text->size] = 0;
}

static bool is_plain(const char *name)
{
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$";
        size_t n = strspn(name, plain);

        return n > 0 && name[n] == 0 && n <= NAME_MAX_SHOWN;
}

static void append_name(Text *text, const char *name)
{
        char piece[PROBLEM_QUOTE_SIZE + 2], quote[PROBLEM_QUOTE_SIZE];
        const char *shown = "?";
        json_t *s = NULL;
        size_t size;
        int n;

        if (is_plain(name)) {
                n = snprintf(piece, sizeof(piece), "%s%s", text->size > 0 ? "." : "", name);
                text_append(text, piece, (size_t)n);
                return;
        }

        size = problem_cut(name, strlen(name), NAME_MAX_SHOWN);
        if (text_is_utf8(name, size)) {
                s = json_stringn_nocheck(name, size);
                if (s)
                        shown = problem_quote(s, quote);
                text->no_memory |= shown[0] != '"'; /* in general terms */
        }
        n = snprintf(piece, sizeof(piece), "[%s]", shown);
        json_decref(s);
        text_append(text, piece, (size_t)n);
}

static void append_path(Text *text, const Path *path)
{
        char piece[32];

        if (!path->up) {
                if (path->name)
                        text_append(text, path->name, strlen(path->name));
                return;
        }

        append_path(text, path->up);
        if (path->name) {
                append_name(text, path->name);
                return;
        }
        text_append(text, piece, (size_t)snprintf(piece, sizeof(piece), "[%zu]", path->index));
}

void path_problem(Problems *problems, Severity severity, const Path *at, const char *name,
                const char *format, ...)
{
        const Path member = { .up = at, .name = name };
        char buf[PATH_SIZE] = "";
        Text t = { .buf = buf };
        va_list ap;

        if (have_room(problems, severity))
                append_path(&t, name ? &member : at);
        problems->failed |= t.no_memory;
        va_start(ap, format);
        problems_addv(problems, severity, buf, format, ap);
        va_end(ap);
}
