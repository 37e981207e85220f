#pragma once

/* Verbs: one step of one submission, asked for by somebody. */

#include "submitd/socket/context.h"

/* What a verb does with a submission in a state. */
typedef struct VerbRule {
        enum {
                VERB_REFUSE,  /* 409 with `why` */
                VERB_NOTHING, /* it is so already: 200 */
                VERB_MOVE,
                VERB_HAND_ON, /* it is for verb_run()'s `hand_on` */
        } action;
        SubmissionState to;
        bool renew;        /* as if it were new: another five days, nothing of what was answered */
        bool only_without; /* refused with `why` where there may be a task */
        const char *why;   /* half a sentence: what it is, and what can be done */
} VerbRule;

/* What is not for a move; also called for an id that no submission has. Answers, now or later. */
typedef int (*VerbHandOn)(SubmitContext *c, HttpRequest *request, const char *id);

/* Answers 200 with the submission as it is afterwards; 404, 409, 503. `rules` has a row for every state and
 * outlives the request; `hand_on` may be NULL. Sets the request's userdata. */
int verb_run(SubmitContext *context, HttpRequest *request, const char *id, const VerbRule *rules,
                VerbHandOn hand_on);
