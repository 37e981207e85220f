#pragma once

/* The words of an alignment, and cues: words put together to what can be read at a time. */

#include "export/format.h"

#define WORDS_TIME_MAX 359999.0 /* seconds: what can be written as 99:59:59 */

/* Whether the response of a row has words whose times can be used, perhaps none. EXPORT_FITS or another
 * reason. */
int words_survey(Exporter *exporter, const Row *row);

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

#define CUE_LINE_MAX   42U /* characters */
#define CUE_LINES_MAX  2U
#define CUE_BYTES_MAX  (CUE_LINE_MAX * 4 + 1)
#define CUE_USEC_MAX   INT64_C(7000000) /* it stays no longer */
#define CUE_USEC_LEAST INT64_C(1000000) /* and no shorter, where there is room */
#define CUE_GAP        INT64_C(750000)  /* of silence: what comes behind it is another cue */

typedef struct Cue {
        int64_t start, end; /* microseconds, whole milliseconds, end > start */
        char lines[CUE_LINES_MAX][CUE_BYTES_MAX];
        unsigned n_lines;                /* 1 or 2 */
        unsigned lengths[CUE_LINES_MAX]; /* characters */
        bool sentence;                   /* its last word ends one */
} Cue;

/* The cues of a row, in order; none begins before the one before has ended, unless both begin in the same
 * millisecond. */
void cues_each(const Row *row, void (*fn)(const Cue *cue, void *userdata), void *userdata);
