#pragma once

/* Mistakes in settings, in words. Each of these returns the error, and adds a line with what was wrong to
 * *ret_error (owned by the caller). `where` is a file and its line, or an option. */

#include "config/table.h"

int mistake(char **ret_error, int error, const char *format, ...) _printf_(3, 4);

int mistake_unknown(const char *where, const char *section, const char *key, char **ret_error);
int mistake_range(const char *where, const Setting *setting, const char *value, char **ret_error);
int mistake_value(const char *where, const Setting *setting, const char *value, const char *wanted,
                char **ret_error);

/* A name for a message: as it is when it looks like one of a section or a setting, which keys don't. */
const char *mistake_quote_name(const char *name);

bool mistake_section_exists(const char *section);
