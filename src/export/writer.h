#pragma once

/* Text on its way out: appending never fails, the first failure is kept and looked at once, at the end. */

#include <jansson.h>

#include "basic/buffer.h"

typedef struct Writer {
        Buffer text;
        int error; /* 0 or negative errno: the text is not whole */
} Writer;

/* Frees, and is as new. */
void writer_done(Writer *writer);

void put_bytes(Writer *writer, const void *data, size_t size);
void put(Writer *writer, const char *s);
void put_f(Writer *writer, const char *format, ...) _printf_(2, 3);

/* JSON: a value, a text, a number with as few digits as mean the same. */
void put_json(Writer *writer, const json_t *value);
void put_json_text(Writer *writer, const char *s, size_t size);
void put_json_number(Writer *writer, double v);

/* A cell of CSV, in quotes where it needs them. With `guard`, what a spreadsheet would take for a formula
 * gets an apostrophe in front. An empty text has quotes, so that it is not a cell without a value. */
void put_csv(Writer *writer, const char *s, size_t size, bool guard);

/* The text of an XML element: escaped, and what XML can't hold is U+FFFD. */
void put_xml(Writer *writer, const char *s, size_t size);
