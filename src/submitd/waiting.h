#pragma once

/* Why what is in the outbox waits: one table from cause to sentence, which is what the queue, STATUS= and
 * scalectl doctor say. */

#include <jansson.h>

#include "submitd/outbox.h"

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

#define WAITING_TEXT_SIZE 512U

typedef struct Waiting {
        WaitingCause cause;
        char text[WAITING_TEXT_SIZE]; /* "" where nothing waits */
        int64_t until; /* when it is looked at again; TIME_NONE: not before something changes */
} Waiting;

/* A word for programs; the beginning of the sentence. */
const char *waiting_to_string(WaitingCause v);
const char *waiting_sentence(WaitingCause v);

/* Why a request got no answer: `answer->error` is set. */
WaitingCause waiting_cause_of_failure(const ApiAnswer *answer);

/* For the queue as a whole. `queue` is as it was just read, `writable` whether the writer can write. 0 or
 * negative errno (of reading). */
int waiting_look(const Outbox *o, const StoreQueue *queue, bool writable, Waiting *ret);

/* For one submission, when the queue as a whole waits for `queue`. False: it is in no state to wait. */
bool waiting_of_submission(const Submission *s, const Waiting *queue, int64_t now, Waiting *ret);

/* {"cause", "text", "help", "severity", "until"}. NULL: no memory. */
json_t *waiting_to_json(const Waiting *w);
