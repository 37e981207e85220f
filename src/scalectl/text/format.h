#pragma once

/* Cells: values as people read them. */

#include <jansson.h>

#include "basic/macros.h"

#define FORMAT_TIME_SIZE sizeof("2016-06-23 11:09:34")
#define FORMAT_SIZE_SIZE sizeof("1023.9P")

/* Columns that a clean UTF-8 text takes on a terminal. */
size_t format_width(const char *s);

/* A copy (owned by the caller) that is safe on a terminal: tabs and line ends are spaces, other control and
 * format characters and bytes that are not UTF-8 are U+FFFD. NULL when out of memory. */
char *format_clean(const char *s);

/* Bytes of the longest front part that takes at most `width` columns. */
size_t format_cut(const char *s, size_t width);

/* The next character of a NUL-terminated text: its bytes (at least 1), its code point, or 0xFFFD where the
 * bytes are none. */
size_t format_next(const char *s, wchar_t *ret);

/* Whether a code point may go to a terminal as it is. */
bool format_printable(wchar_t c);

/* "2016-06-23 11:09:34" in the reader's zone, or in UTC. Returns buf. */
const char *format_time(int64_t t, bool utc, char buf[static FORMAT_TIME_SIZE]);

/* The same for a time stamp as JSON has it; "" where there is none, "?" for one that can't be read. */
const char *format_json_time(const json_t *v, bool utc, char buf[static FORMAT_TIME_SIZE]);

/* Whether a member of this name is a time, in what the daemons say of themselves and their documents. */
bool format_names_time(const char *name, size_t size);

/* The API's form in the reader's zone, "2016-06-23T11:09:34.752+02:00"; with Z where that is UTC. Returns
 * buf. */
#define FORMAT_ZONED_SIZE sizeof("2016-06-23T11:09:34.752000+02:00")
const char *format_zoned_time(int64_t t, char buf[static FORMAT_ZONED_SIZE]);

/* "512", "1.5K", "8.0M": factors of 1024. Returns buf. */
const char *format_size(uint64_t bytes, char buf[static FORMAT_SIZE_SIZE]);

/* A JSON value as a short text that is safe on a terminal, owned by the caller: strings as they are, others
 * as compact JSON, of at most FORMAT_VALUE_MAX bytes before it is made safe, cut at a character's end. ""
 * for NULL. NULL when out of memory. */
#define FORMAT_VALUE_MAX 256U
char *format_value(const json_t *v);

/* The same for a member of a report: a time by its name as format_json_time(), bytes as format_size(), yes
 * and no, "-" for nothing. */
char *format_member(const char *name, const json_t *v, bool utc);

/* A response in a few words, safe on a terminal, owned by the caller: what a list shows of it. NULL when out
 * of memory. */
char *format_response(const json_t *response);
