/* What the service does with reconciliation and backfill, it does with both. What the API says is held
 * against the same rules as what callbacks say, so `strict` is the receiver's. */

#include "submitd/recovery.h"

int recovery_new(SubmitContext *c, const OutboxClock *clock, void (*on_change)(void *userdata),
                void *userdata)
{
        Intake intake = {
                .port = c->port, .reader = c->base.reader, .strict = c->settings->callback.strict
        };
        int r;

        r = reconcile_new(&(ReconcileOptions){ .api = api_client_api(c->client),
                                          .clock = *clock,
                                          .intake = intake,
                                          .interval = c->settings->reconcile.interval,
                                          .on_change = on_change,
                                          .userdata = userdata },
                        &c->reconcile);
        if (r < 0)
                return r;
        return backfill_new(&(BackfillOptions){ .api = api_client_api(c->client),
                                            .clock = *clock,
                                            .intake = intake,
                                            .on_change = on_change,
                                            .userdata = userdata },
                        &c->backfill);
}

void recovery_free(SubmitContext *c)
{
        c->reconcile = reconcile_free(c->reconcile);
        c->backfill = backfill_free(c->backfill);
}

void recovery_reload(SubmitContext *c, const Settings *settings)
{
        reconcile_set(c->reconcile, settings->reconcile.interval, settings->callback.strict);
        backfill_set(c->backfill, settings->callback.strict);
}

void recovery_run(SubmitContext *c)
{
        reconcile_run(c->reconcile);
        backfill_run(c->backfill);
}

uint64_t recovery_next(const SubmitContext *c)
{
        return MIN(reconcile_next(c->reconcile), backfill_next(c->backfill));
}

void recovery_stop(SubmitContext *c)
{
        if (c->reconcile)
                reconcile_stop(c->reconcile);
        if (c->backfill)
                backfill_stop(c->backfill);
}

bool recovery_is_idle(const SubmitContext *c)
{
        return reconcile_is_idle(c->reconcile) && backfill_is_idle(c->backfill);
}
