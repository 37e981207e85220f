#pragma once

/* JSON as text: walked and laid out without being written anew. */

#include <stdio.h>

#include "basic/macros.h"

/* One member of an object, or one element of an array (name NULL). Points into the text. */
typedef struct JsonItem {
        const char *name; /* between its quotes, as written */
        size_t name_size;
        const char *text;
        size_t size;
} JsonItem;

typedef struct JsonCursor {
        const char *p, *end;
        char close; /* '}' or ']' */
        bool first;
} JsonCursor;

/* Sets out to walk the object or array that `text` holds. 0, -EBADMSG when it is neither. */
int json_cursor_init(JsonCursor *cursor, const char *text, size_t size);

/* 1: *ret is the next one. 0: there are no more. -EBADMSG: broken. */
int json_cursor_next(JsonCursor *cursor, JsonItem *ret);

/* The member of this name. 1, 0 none, -EBADMSG. */
int json_text_member(const char *text, size_t size, const char *name, JsonItem *ret);

/* Valid JSON on one line, with a line end, numbers and strings as they were written; for a terminal, what
 * could harm it is shown as an escape, so that the values are the same. */
void json_text_print_line(const char *text, size_t size, bool terminal, FILE *f);

typedef struct JsonLook {
        unsigned indent; /* of every line */
        bool colour;
        bool zone; /* times of the object itself are shown in the reader's; what is within is left alone */
} JsonLook;

/* Valid JSON laid out for people, no line end behind it. What could harm a terminal is shown as an escape.
 */
void json_text_print(const char *text, size_t size, const JsonLook *look, FILE *f);
