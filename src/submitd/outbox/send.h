#pragma once

/* Sending: submissions from queued to what came of them. */

#include "submitd/outbox/state.h"

/* Starts what is due and may be sent. 0 or negative errno (of reading). */
int sending_run(Outbox *outbox, const StoreQueue *queue);
void sending_free_all(Outbox *outbox);
