#pragma once

/* Reconciliation and backfill as the service has them: two parts that are made, run and ended together. */

#include "submitd/socket/context.h"

/* Makes c->reconcile and c->backfill, also where it fails after the first. `on_change`: recovery_run() is
 * wanted. 0 or -ENOMEM. */
int recovery_new(SubmitContext *c, const OutboxClock *clock, void (*on_change)(void *userdata),
                void *userdata);
void recovery_free(SubmitContext *c);

void recovery_reload(SubmitContext *c, const Settings *settings);

void recovery_run(SubmitContext *c);
uint64_t recovery_next(const SubmitContext *c);

/* Also where there is nothing to stop. */
void recovery_stop(SubmitContext *c);
bool recovery_is_idle(const SubmitContext *c);
