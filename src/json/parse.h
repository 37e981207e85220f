#pragma once

/* Reading JSON, also when memory runs out. */

#include <jansson.h>

#include "basic/macros.h"
#include "json/read.h"

/* Reads a whole text, as json_read() does (json/read.h), as deep as jansson would. 0; -ENOMEM;
 * -EBADMSG: it is no JSON, and why is in *ret_error (NULL: nobody asks). */
int json_parse(const void *text, size_t size, size_t flags, json_t **ret, json_error_t *ret_error);

/* The same for who says what there was in it that others would not read (set in any case). */
int json_parse_noting(const void *text, size_t size, size_t flags, json_t **ret, JsonFindings *ret_findings,
                json_error_t *ret_error);

/* Says it in words, of the text that was read; NULL where there is nothing to say. Returns buf. */
#define JSON_FINDINGS_SIZE 160U
const char *json_findings_format(
                const JsonFindings *findings, const void *text, char buf[static JSON_FINDINGS_SIZE]);
