#pragma once

/* Canceling what the API has a task for. */

#include "submitd/outbox/state.h"

/* Goes on with the wishes in the store. 0 or negative errno (of reading). */
int cancel_run(Outbox *outbox);
/* Forgets that some failed. */
void cancel_hurry(Outbox *outbox);
void cancel_free_all(Outbox *outbox);
