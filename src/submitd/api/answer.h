#pragma once

/* Answers to questions: what the API says when it is asked about tasks, and what that means for who asks. */

#include <jansson.h>

#include "submitd/api/api.h"

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

/* Reads an answer that came whole, within the bounds that bodies have. 0; -EBADMSG: it is no JSON, or has
 * too many values, or is nested too deep; -ENOMEM. */
int answer_read(const ApiAnswer *a, json_t **ret);

/* What an answer that can't be read seems to hold, by its braces: a task, the list of a page. Its bytes,
 * without the brackets of a list. False: it looks like no such thing, as if it was cut or came from somebody
 * else. */
bool answer_find_task(const ApiAnswer *a, const char **ret, size_t *ret_size);
bool answer_find_docs(const ApiAnswer *a, const char **ret, size_t *ret_size);

/* How long to wait before the `n`-th try after the first (from 1): `first`, doubled each time, up to `most`.
 * Microseconds. */
uint64_t answer_pause(unsigned n, uint64_t first, uint64_t most);
