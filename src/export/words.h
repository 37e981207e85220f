#pragma once

/* The words of an alignment. */

#include "export/format.h"

#define WORDS_TIME_MAX 359999.0 /* seconds: what can be written as 99:59:59 */

/* Whether the response of a row has words whose times can be used, perhaps none. EXPORT_FITS or another
 * reason. */
int words_survey(Exporter *x, const Row *row);

/* A part of a word that has no space in it. */
typedef struct Token {
        const char *text; /* `size` bytes of UTF-8, at least one */
        size_t size;
        double start, end; /* seconds */
        double confidence; /* less than 0: not given */
} Token;

/* Gives every token in order: a word with spaces is several, which share its time evenly. What is not even
 * one character is passed over. A return other than 0 ends it and is handed on. */
int words_each(const Row *row, int (*fn)(const Token *token, void *userdata), void *userdata);

/* The length of the whole recording in seconds; less than 0: not given. */
double words_duration(const Row *row);
