#pragma once

/* Problems: what is wrong with a body or with parameters, each with its path. */

#include <jansson.h>
#include <stdarg.h>

#include "basic/macros.h"
#include "json/parse.h"

/* A list keeps this many; what comes beyond is counted and named in one last line. */
#define PROBLEMS_MAX 64U

typedef enum Severity {
        SEVERITY_WARNING,
        SEVERITY_ERROR,
} Severity;

typedef struct Problem {
        Severity severity;
        char *path;    /* "response.annotations[3].left"; "" for the body as a whole */
        char *message; /* what was wrong and what would be right */
} Problem;

typedef struct Problems {
        Problem items[PROBLEMS_MAX];
        size_t n;          /* items in use */
        size_t n_beyond;   /* how many more there were */
        size_t n_errors;   /* errors, also among those beyond */
        size_t n_warnings; /* in use: an error takes the place of one when the list is full */
        bool failed;       /* out of memory while adding: the list is not to be trusted */
} Problems;

void problems_done(Problems *problems);

/* Adds one. Never fails: a lack of memory is remembered in `failed`, which the caller checks at the end.
 * Values from the body that a message quotes are to be cut by problem_quote(). */
void problems_add(Problems *problems, Severity severity, const char *path, const char *format, ...)
                _printf_(4, 5);
void problems_addv(Problems *problems, Severity severity, const char *path, const char *format, va_list ap)
                _printf_(4, 0);

/* A warning of what JSON's reader found in `text`, where it found something. */
void problems_add_findings(Problems *problems, const JsonFindings *findings, const void *text);

/* Makes every warning an error (`strict`). */
void problems_escalate(Problems *problems);

/* A new reference: [{"path", "message", "severity"}], with a last entry that counts those beyond the
 * maximum; an empty array when there are none. NULL when out of memory. */
json_t *problems_to_json(const Problems *problems);

/* The same as text, owned by the caller; NULL when there are none. 0, -ENOMEM. */
int problems_encode(const Problems *problems, char **ret);

/* The value as compact JSON, cut to at most 80 bytes at a character's end, "..." behind it where cut.
 * Returns buf. */
#define PROBLEM_QUOTE_SIZE 96U
const char *problem_quote(const json_t *value, char buf[static PROBLEM_QUOTE_SIZE]);

/* The same for a problem that is about to be added: "" where that would only be counted. A body can have a
 * million of them. */
const char *problems_quote(const Problems *problems, Severity severity, const json_t *value,
                char buf[static PROBLEM_QUOTE_SIZE]);

/* How many of the `size` bytes of a UTF-8 text to show when at most `max` are wanted: whole characters. */
size_t problem_cut(const char *text, size_t size, size_t max) _pure_;

/* A place within another one, as a chain of frames on the stack. The first frame's name is taken as it is.
 */
typedef struct Path Path;
struct Path {
        const Path *up;   /* NULL: the first */
        const char *name; /* the member; NULL: the element `index` */
        size_t index;
};

#define PATH_SIZE 256U /* of what is said of a place */

/* Adds a problem with the member `name` of the place `at`; NULL: with that place itself. It reads as
 * "response.annotations[3].left"; names that are no plain words as ["in quotes"], long ones cut. */
void path_problem(Problems *problems, Severity severity, const Path *at, const char *name,
                const char *format, ...) _printf_(5, 6);
