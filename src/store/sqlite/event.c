/*
 * The feed's writing end: a row for everything that others may care for, with a number without gaps. What a
 * row need not say is what its task says anyway: the task's id, and the submission that it belongs to.
 */

#include "store/sqlite/internal.h"

int store_add_event(Store *s, const StoreNews *news)
{
        Query q = store_query(s, W_ADD_EVENT);
        int r;

        query_int(&q, s->event + 1);
        query_int(&q, news->time);
        query_int(&q, news->kind);
        query_int(&q, news->type);
        query_id(&q, news->task);
        query_time(&q, news->status >= 0 ? news->status : TIME_NONE);
        query_int(&q, news->revision);
        query_int(&q, news->delivery);
        query_text(&q, news->named);
        query_text(&q, news->submission);
        r = query_run(&q, "Could not add an event to");
        if (r >= 0)
                s->event++;
        return r;
}
