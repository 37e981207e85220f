#pragma once

/* JSON text as values. */

#include <jansson.h>

#include "basic/macros.h"

/* An object or an array as RFC 8259 has it, of text that somebody else wrote. A new reference; NULL, and
 * *error says where and what. The flags are jansson's. */
json_t *json_decode(const void *text, size_t size, size_t flags, json_error_t *error);
