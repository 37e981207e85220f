#pragma once

/* Saves: changes on their way to the disk. */

#include "submitd/outbox/state.h"

/* Begins one, now, of this kind: what else its change and `move` say is for the caller. `id`: of a
 * submission; "": none. */
void save_init(Save *save, Outbox *outbox, StoreChangeKind kind, const char *id,
                void (*finished)(Save *save, int result, void *userdata), void *userdata);
/* Lets go of what it owns, for it to be used again or freed. */
void save_done(Save *save);
void save_submit(Save *save);
void save_run_waiting(Outbox *outbox);

/* The answer is about the account: holds the queue. */
void save_hold(Outbox *outbox, const char *reason);
