#pragma once

/* The quick way to read ordinary JSON. */

#include <jansson.h>

#include "basic/macros.h"

/* A new reference to the object that the text is: what json_loadb() with JSON_REJECT_DUPLICATES and
 * JSON_ALLOW_NUL makes of it. NULL: it is wrong, or unusual, or nested more than `depth` deep, or there is
 * no memory: json_loadb() has to say. */
json_t *json_read_ordinary(const char *text, size_t size, unsigned depth) _warn_unused_;
