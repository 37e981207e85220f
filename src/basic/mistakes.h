#pragma once

/* What is wrong with something that people write, a line for each mistake: all that are there, so that
 * nobody has to mend one to hear of the next. */

#include <stdarg.h>

#include "basic/macros.h"

#define MISTAKES_MAX 50U /* lines; the last one says then that there are more */

/* Adds a line to *mistakes (owned by the caller; NULL: none yet). Without memory it stays as it was. */
void mistakes_add(char **mistakes, const char *format, ...) _printf_(2, 3);
void mistakes_addv(char **mistakes, const char *format, va_list ap) _printf_(2, 0);

/* The next line of *p, whose length is *ret_size; NULL: there is none. Moves *p behind it. */
const char *mistakes_next(const char **p, size_t *ret_size);
