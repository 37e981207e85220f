#pragma once

/* What an answer of the API means: for a request that makes something, and for a question. */

#include <jansson.h>

#include "submitd/api/api.h"

/* Of a request that makes or changes something. */
typedef enum Outcome {
        OUTCOME_DONE,     /* 200: what was asked for is in the body, if that is usable */
        OUTCOME_NOT_SENT, /* nothing left: certain that nothing was done */
        OUTCOME_BUSY,     /* 429: nothing was done, and everybody is to wait */
        OUTCOME_ACCOUNT,  /* nothing was done (but see outcome_is_redirect()), and nothing will be until
                             somebody sees to the account, the key or the URL */
        OUTCOME_REJECTED, /* nothing was done, and asking again won't help */
        OUTCOME_UNKNOWN,  /* nobody can tell whether it was done */
        _OUTCOME_MAX,
} Outcome;

/* By the status, or the failure. */
Outcome outcome_of_answer(const ApiAnswer *answer);

/* 3xx, which is OUTCOME_ACCOUNT. What was to be created may have been, all the same. */
static inline bool outcome_is_redirect(const ApiAnswer *answer)
{
        return answer->error == 0 && answer->status >= 300 && answer->status <= 399;
}

/* Enough for what outcome_describe() says. */
#define OUTCOME_TEXT_SIZE 256U

/* A sentence for people: "the API answered 402: Not enabled", "no answer: Connection reset". Returns buf. */
const char *outcome_describe(const ApiAnswer *answer, char buf[static OUTCOME_TEXT_SIZE]);

/* What the body of an answer says. A new reference; NULL: nothing, no JSON, or there is no memory to read
 * it. Nobody may conclude from NULL that something isn't there. */
json_t *outcome_read(const ApiAnswer *answer) _warn_unused_;

/* What a body that should be a task is. */
typedef enum TaskClaim {
        TASK_OURS,     /* a task that carries the submission's id */
        TASK_UNUSABLE, /* no JSON, cut, or no task */
        TASK_FOREIGN,  /* a task, but it doesn't say that it is this submission's */
        _TASK_CLAIM_MAX,
} TaskClaim;

/* The submission whose id a task carries in its metadata, else at the end of its callback_url: not everybody
 * hands back both. NULL: none. Borrowed from the task. */
const char *outcome_task_submission(const json_t *task);

/* The id of a task that can be kept; NULL: it is none. Borrowed from the task. */
const char *outcome_task_id(const json_t *task);

/* When it was made, as the API says; TIME_NONE: it doesn't. */
int64_t outcome_task_created(const json_t *task);

/* Holds the body of a 200 against the submission that was sent. *ret_task: a new reference, NULL unless it
 * is TASK_OURS. */
TaskClaim outcome_claim_task(const ApiAnswer *answer, const char *submission, json_t **ret_task);

/* Of a question about tasks. */
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
static inline bool answer_broke_off(const ApiAnswer *answer)
{
        return answer->error < 0 && answer->status == 200;
}

/* Reads an answer that came whole, within the bounds that bodies have. 0; -EBADMSG: it is no JSON, or has
 * too many values, or is nested too deep; -ENOMEM. */
int answer_read(const ApiAnswer *answer, json_t **ret);

/* What an answer that can't be read seems to hold, by its braces: a task, the list of a page. Its bytes,
 * without the brackets of a list. False: it looks like no such thing, as if it was cut or came from somebody
 * else. */
bool answer_find_task(const ApiAnswer *answer, const char **ret, size_t *ret_size);
bool answer_find_docs(const ApiAnswer *answer, const char **ret, size_t *ret_size);
