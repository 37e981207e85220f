#pragma once

/* Paths: places in a body, put into words only once a problem names them. */

#include "task/problem.h"

/* A place within another one, as a chain of frames on the stack. The first frame's name is taken as it is.
 */
typedef struct Path Path;
struct Path {
        const Path *up;   /* NULL: the first */
        const char *name; /* the member; NULL: the element `index` */
        size_t index;
};

#define PATH_SIZE 256U

/* "response.annotations[3].left"; names that are no plain words as ["in quotes"], long ones cut. Returns
 * buf. */
const char *path_format(const Path *p, char buf[static PATH_SIZE]);

/* Adds a problem with the member `name` of the place `at`; NULL: with that place itself. */
void path_problem(Problems *problems, Severity severity, const Path *at, const char *name,
                const char *format, ...) _printf_(5, 6);
