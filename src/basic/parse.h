#pragma once

/* Strict parsing of short texts: all of the text or -EINVAL, out of range is -ERANGE. */

#include "basic/macros.h"

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC  UINT64_C(1000000)
#define USEC_PER_HOUR (3600 * USEC_PER_SEC)
#define USEC_PER_DAY  (24 * USEC_PER_HOUR)

/* A decimal number, digits only. */
int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);

/* yes/no, true/false, on/off, 1/0. */
int parse_boolean(const char *s, bool *ret);

/* Bytes: a number, with K or M or G (1024) behind it. */
int parse_size(const char *s, uint64_t *ret);

/* A duration in microseconds: a number with ms, s, m, h or d behind it; a bare 0 needs no unit. */
int parse_duration(const char *s, uint64_t *ret_usec);

/* The length of "http://" or "https://", in any case, where the text begins with it; else 0. */
size_t url_scheme_size(const char *s) _pure_;

/* How many bytes the character at p has, before `end`; 0: it is none. */
size_t utf8_measure(const char *p, const char *end) _pure_;

/* UTF-8 without surrogates, overlong forms and what is beyond the last character. */
bool text_is_utf8(const char *text, size_t size) _pure_;
