#pragma once

/* Cues: words put together to what can be read at a time. */

#include "export/words.h"

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
