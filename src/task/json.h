#pragma once

/* Reading JSON, also when memory runs out. */

#include <jansson.h>

#include "basic/macros.h"

/* Reads a whole text, as json_loadb() does with these flags and JSON_ALLOW_NUL. 0; -ENOMEM;
 * -EBADMSG: it is no JSON, and why is in *ret_error (NULL: nobody asks). */
int json_parse(const void *text, size_t size, size_t flags, json_t **ret, json_error_t *ret_error);
