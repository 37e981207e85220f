/*
 * What the outbox knows of itself and of the API: the time, what is under way, what the last answers told.
 *
 * Only answers in JSON tell the API's time: an error page may be somebody else's.
 */

#include "submitd/outbox/state.h"

int64_t outbox_next_try(int64_t now, uint64_t delay, int64_t expires_at)
{
        int64_t next = now + (int64_t)delay;

        return now < expires_at ? MIN(next, expires_at) : next;
}

uint64_t outbox_settles_at(const Outbox *outbox, int64_t ended_at, int64_t grace)
{
        int64_t now = (int64_t)outbox_monotonic(outbox);

        if (ended_at == TIME_NONE || grace == TIME_NONE)
                return (uint64_t)(now + outbox_grace(outbox));
        return (uint64_t)(ended_at > now ? grace : ended_at + grace);
}

void outbox_changed(Outbox *outbox)
{
        outbox->wake = 0;
        if (outbox->options.on_change)
                outbox->options.on_change(outbox->options.userdata);
}

/* Asking. */

bool outbox_may_ask(const Outbox *outbox)
{
        return outbox->recovered && !outbox->stopping && !outbox->fatal &&
               outbox->in_flight + outbox->n_starting < outbox->options.max_in_flight &&
               outbox_retry_at(outbox) <= outbox_monotonic(outbox);
}

int outbox_ask(Outbox *outbox, const ApiRequest *request, ApiDoneFn done, void *userdata)
{
        int r;

        r = outbox->options.api.request(outbox->options.api.userdata, request, done, userdata);
        if (r >= 0)
                outbox->in_flight++;
        return r;
}

/* What keeps the API from being of use, as far as the last answer shows. */
static void note_failure(Outbox *outbox, const ApiAnswer *answer, Outcome outcome)
{
        if (answer->error == -ECANCELED)
                return;
        outbox->failing = answer->error != 0 ? waiting_cause_of_failure(answer)
                          : outcome == OUTCOME_UNKNOWN || (outcome == OUTCOME_DONE && !answer->is_json)
                                          ? WAITING_FAILING
                                          : WAITING_NOTHING;
        if (outbox->failing != WAITING_NOTHING)
                outcome_describe(answer, outbox->failure);
}

Outcome outbox_note_answer(Outbox *outbox, const ApiAnswer *answer)
{
        Outcome outcome = outcome_of_answer(answer);

        assert(outbox->in_flight > 0);
        outbox->in_flight--;
        if (answer->error == 0 && answer->is_json && answer->date != TIME_NONE)
                outbox->api_date = answer->date;
        note_failure(outbox, answer, outcome);
        outbox_changed(outbox);
        return outcome;
}

void outbox_note_task(Outbox *outbox, const json_t *task)
{
        int64_t created = outcome_task_created(task);

        if (created != TIME_NONE)
                outbox->api_created = created;
}

void outbox_note_page(Outbox *outbox, const json_t *page)
{
        const json_t *docs = json_object_get(page, "docs");

        outbox->probed |= json_is_array(docs);
        if (outbox->api_created == TIME_NONE)
                outbox_note_task(outbox, json_array_get(docs, 0));
}

int64_t outbox_floor(const Outbox *outbox)
{
        if (outbox->api_created == TIME_NONE || outbox->api_date == TIME_NONE)
                return outbox->api_created;
        return MIN(outbox->api_created, outbox->api_date);
}

void outbox_tell_task(Outbox *outbox, const TaskSnapshot *snapshot)
{
        if (outbox->options.on_task)
                outbox->options.on_task(snapshot->body.data, snapshot->body.size, outbox->options.userdata);
}
