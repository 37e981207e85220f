#pragma once

/* Why what is in the outbox waits, as the queue, STATUS= and scalectl doctor say it. */

#include <jansson.h>

#include "submitd/api/cause.h"
#include "submitd/outbox/outbox.h"

#define WAITING_TEXT_SIZE 512U

typedef struct Waiting {
        WaitingCause cause;
        char text[WAITING_TEXT_SIZE]; /* "" where nothing waits */
        int64_t until; /* when it is looked at again; TIME_NONE: not before something changes */
} Waiting;

/* For the queue as a whole. `queue` is as it was just read, `writable` whether the writer can write. 0 or
 * negative errno (of reading). */
int waiting_look(const Outbox *outbox, const StoreQueue *queue, bool writable, Waiting *ret);

/* For one submission, when the queue as a whole waits for `queue`. False: it is in no state to wait. */
bool waiting_of_submission(const Submission *submission, const Waiting *queue, int64_t now, Waiting *ret);

/* {"cause", "text", "help", "severity", "until"}. NULL: no memory. */
json_t *waiting_to_json(const Waiting *waiting);
