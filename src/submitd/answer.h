#pragma once

/* Answers to questions: what the API says when it is asked about tasks, and what that means for who asks. */

#include "submitd/api.h"

typedef enum AnswerKind {
        ANSWER_GOOD,    /* 200 with JSON */
        ANSWER_ABSENT,  /* there is no such thing, in the API's own words */
        ANSWER_LATER,   /* 429 */
        ANSWER_ACCOUNT, /* about the key or the URL: every question gets it until somebody does something */
        ANSWER_BROKEN,  /* anything else: asking again may help */
        _ANSWER_KIND_MAX,
} AnswerKind;

AnswerKind answer_classify(const ApiAnswer *answer);

/* An answer that began well and broke off. Of a page: as if there were too much of it, so that half of it is
 * asked for next. */
bool answer_broke_off(const ApiAnswer *answer);

/* How long to wait before the `n`-th try after the first (from 1): `first`, doubled each time, up to `most`.
 * Microseconds. */
uint64_t answer_pause(unsigned n, uint64_t first, uint64_t most);
