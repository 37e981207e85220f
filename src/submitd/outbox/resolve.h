#pragma once

/* Unknown submissions: finding out whether the API has a task for them. */

#include "submitd/outbox/state.h"

typedef struct Resolver Resolver;

int resolver_new(Outbox *outbox, Resolver **ret);
/* NULL in, NULL out. */
Resolver *resolver_free(Resolver *resolver);

/* Whose request ended without a word, just stored as unknown. */
void resolver_add(Resolver *resolver, const Attempt *attempt);

/* Takes up those that others made unknown, and begins a listing when one is due. 0 or negative errno (of
 * reading). */
int resolver_run(Resolver *resolver, const StoreQueue *queue);

/* Forgets that listings failed lately. */
void resolver_hurry(Resolver *resolver);

/* Whether there is room for all that may be sent now, should nobody answer. */
bool resolver_has_room(const Resolver *resolver);
