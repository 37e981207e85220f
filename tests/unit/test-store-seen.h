#pragma once

/* What readers give, copied so that it can be looked at. */

#include "test-store-common.h"

/* What was read last, copied. */
typedef struct Seen {
        size_t n;
        uint64_t numbers[32];
        Verdict verdicts[32];
        uint64_t repeats[32];
        uint64_t superseded_by[32];
        char task_ids[32][32];
        char body[256];
        /* of a task */
        TaskStatus status;
        bool is_test;
        int64_t created_at, completed_at;
        char document[256], response[256], type[64];
        bool has_document, has_response;
        /* of revisions */
        unsigned revisions[32];
        bool current[32];
        /* of events; types also of deliveries */
        EventKind kinds[32];
        TaskStatus statuses[32];
        char submissions[32][32], types[32][64];
        bool with_task[32];
} Seen;

static inline void copy(char *to, size_t size, const void *from, size_t n)
{
        assert_true(n < size);
        memcpy(to, from, n);
        to[n] = '\0';
}

static inline int see_task(const TaskDocument *t, void *userdata)
{
        Seen *s = userdata;

        assert_true(s->n < 32);
        snprintf(s->task_ids[s->n++], 32, "%s", t->task_id);
        snprintf(s->type, sizeof(s->type), "%s", strna(t->type));
        s->status = t->status;
        s->is_test = t->is_test;
        s->created_at = t->created_at;
        s->completed_at = t->completed_at;
        s->has_document = t->document != NULL;
        s->has_response = t->response != NULL;
        if (t->document)
                copy(s->document, sizeof(s->document), t->document, t->document_size);
        if (t->response)
                copy(s->response, sizeof(s->response), t->response, t->response_size);
        return 0;
}

static inline int see_delivery(const StoredDelivery *d, void *userdata)
{
        Seen *s = userdata;

        assert_true(s->n < 32);
        s->numbers[s->n] = d->n;
        s->verdicts[s->n] = d->verdict;
        s->repeats[s->n] = d->repeats;
        s->superseded_by[s->n] = d->superseded_by;
        snprintf(s->types[s->n], 64, "%s", strna(d->type));
        assert_int_equal(d->last_repeat_at == TIME_NONE, d->repeats == 0);
        snprintf(s->task_ids[s->n], 32, "%s", strna(d->task_id));
        if (d->body)
                copy(s->body, sizeof(s->body), d->body, d->body_size);
        s->n++;
        return 0;
}

static inline int see_revision(const StoredRevision *v, void *userdata)
{
        Seen *s = userdata;

        assert_true(s->n < 32);
        s->revisions[s->n] = v->number;
        s->current[s->n] = v->current;
        s->numbers[s->n] = v->delivery;
        copy(s->body, sizeof(s->body), v->body, v->body_size);
        s->n++;
        return 0;
}

static inline int see_event(const StoredEvent *e, void *userdata)
{
        Seen *s = userdata;

        assert_true(s->n < 32);
        s->numbers[s->n] = e->seq;
        s->kinds[s->n] = e->kind;
        s->statuses[s->n] = e->status;
        s->revisions[s->n] = e->revision;
        s->with_task[s->n] = e->task != NULL;
        snprintf(s->task_ids[s->n], 32, "%s", strna(e->task_id));
        snprintf(s->submissions[s->n], 32, "%s", strna(e->submission));
        snprintf(s->types[s->n], 64, "%s", strna(e->type));
        s->n++;
        return 0;
}

static inline Seen get_task(Fixture *f, const char *id)
{
        Seen s = { 0 };

        assert_int_equal(store_get_task(f->reader, id, see_task, &s), 1);
        return s;
}

static inline Seen get_delivery(Fixture *f, uint64_t n)
{
        Seen s = { 0 };

        assert_int_equal(store_get_delivery(f->reader, n, true, see_delivery, &s), 1);
        return s;
}

static inline Seen list_deliveries(Fixture *f, Verdict verdict, const char *task_id)
{
        Seen s = { 0 };

        assert_int_equal(store_list_deliveries(f->reader, verdict, task_id, 0, 32, see_delivery, &s), 0);
        return s;
}

static inline Seen list_events(Fixture *f, uint64_t after)
{
        Seen s = { 0 };

        assert_int_equal(store_list_events(f->reader, after, 32, true, see_event, &s), 0);
        for (size_t i = 0; i < s.n; i++)
                assert_int_equal(s.numbers[i], after + i + 1); /* no gaps */
        return s;
}

static inline StoreStats get_stats(Fixture *f)
{
        StoreStats stats;

        assert_int_equal(store_get_stats(f->reader, &stats), 0);
        return stats;
}
