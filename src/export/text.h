#pragma once

/* Texts: characters of UTF-8, numbers that stand for texts. */

#include "basic/macros.h"

/* The character at `s`, of which `size` bytes are there (at least 1). Returns how many bytes it has; what is
 * not UTF-8 is one byte that reads as U+FFFD. */
size_t text_char(const char *s, size_t size, uint32_t *ret);

/* Characters that would break a line or a table: C0, DEL, C1, and the line and paragraph separators. */
bool text_is_control(uint32_t c) _const_;

/* Those, and spaces. */
bool text_is_space(uint32_t c) _const_;

/* A number that stands for a text: the same on every machine, in every version. FNV-1a of 64 bits, its bits
 * mixed so that each of them is as good as another. */
uint64_t text_hash(const void *data, size_t size) _pure_;
