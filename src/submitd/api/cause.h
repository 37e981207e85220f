#pragma once

/* Causes for which something waits: one table from cause to sentence. */

#include "submitd/api/api.h"

typedef enum WaitingCause {
        WAITING_NOTHING, /* nothing waits, or what does is on its way */
        WAITING_HELD,
        WAITING_ACCOUNT,
        WAITING_ROOM,
        WAITING_DISK,
        WAITING_RETRY_AFTER,
        /* What came of the last question. */
        WAITING_NAME,
        WAITING_REFUSED,
        WAITING_NO_WAY,
        WAITING_TLS,
        WAITING_CONNECT_TIMEOUT,
        WAITING_UNREACHABLE, /* for another reason, nothing left */
        WAITING_NO_ANSWER,   /* it left */
        WAITING_FAILING,     /* an answer that is of no use */
        WAITING_LIVE_CAP,
        WAITING_TOO_MANY_UNKNOWN,
        WAITING_RATE,
        WAITING_BACKOFF,
        WAITING_SETTLE,
        WAITING_CANCEL,
        _WAITING_CAUSE_MAX,
} WaitingCause;

typedef struct WaitingWords {
        const char *name, *severity; /* words for programs */
        const char *text;            /* what follows it, if anything, stands behind a colon */
        const char *help;
} WaitingWords;

extern const WaitingWords waiting_words[_WAITING_CAUSE_MAX];

/* Why a request got no answer: `answer->error` is set. */
WaitingCause waiting_cause_of_failure(const ApiAnswer *answer);
