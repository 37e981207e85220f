/*
 * Rows of the log, and the question whether the same bytes came before. Rows on which no revision stands
 * keep a fingerprint, by which a repetition is found; the bytes themselves decide. What came before gets no
 * row: it is counted beside the first one. Sources that ask again and again are told the same again and
 * again: that isn't even counted.
 */

#include "store/sqlite/internal.h"

#include <stdio.h>

/* Not against an adversary, who could only make us compare more: the bytes decide. Never 0. */
int64_t store_fingerprint(const void *body, size_t size)
{
        const unsigned char *p = body;
        uint64_t h = UINT64_C(0x9e3779b97f4a7c15) ^ size, word;

        for (; size >= sizeof(word); p += sizeof(word), size -= sizeof(word)) {
                memcpy(&word, p, sizeof(word));
                h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
                h ^= h >> 29;
        }
        word = 0;
        memcpy(&word, p, size);
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
        return h == 0 ? 1 : (int64_t)h;
}

int recording_log(Recording *x, Verdict verdict, int64_t revision, bool aside)
{
        const StoreDelivery *d = x->delivery;
        Store *s = x->store;
        Query q = store_query(s, W_ADD_DELIVERY);
        int r;

        if (aside && x->fingerprint == 0)
                x->fingerprint = store_fingerprint(d->body, d->body_size);
        query_int(&q, s->delivery + 1);
        query_int(&q, d->received_at);
        query_int(&q, d->source);
        query_int(&q, verdict);
        query_int(&q, d->status);
        query_int(&q, d->unchecked);
        query_int(&q, x->type);
        query_id(&q, x->task.id);
        query_int(&q, revision);
        query_int(&q, (int64_t)MIN(d->duration, (uint64_t)INT64_MAX));
        query_id(&q, aside ? x->fingerprint : 0);
        query_text(&q, d->key_label);
        query_text(&q, d->remote);
        query_text(&q, d->ref);
        query_text(&q, x->task.id == 0 ? d->task_id : NULL);
        query_text(&q, d->problems);
        query_blob(&q, d->body, d->body_size);
        r = query_run(&q, "Could not add a delivery to");
        if (r < 0)
                return r;

        x->n = ++s->delivery;
        s->verdicts[verdict]++;
        return 0;
}

int recording_count_repeat(Recording *x, int64_t n)
{
        Query get = store_query(x->store, W_GET_VERDICT), q = store_query(x->store, W_COUNT_REPEAT);
        int r, verdict;

        x->n = n;
        if (source_is_poll(x->delivery->source))
                return 0;

        query_int(&get, n);
        r = query_step(&get, "Could not read a delivery in");
        verdict = r > 0 ? (int)query_column(&get, 0) : _VERDICT_ERRNO;
        query_done(&get);
        if (r < 0)
                return r;
        if (verdict < 0 || verdict >= _VERDICT_MAX)
                return connection_refuse(&x->store->connection, -EUCLEAN,
                                "Delivery %lld of %s has no verdict.", (long long)n,
                                x->store->connection.path);

        query_int(&q, n);
        query_int(&q, x->delivery->received_at);
        r = query_run(&q, "Could not count a repetition in");
        if (r >= 0)
                x->store->repeats[verdict]++;
        return r;
}

int recording_find_repeat(Recording *x, Verdict verdict, int64_t *ret_n, int64_t *ret_revision)
{
        const StoreDelivery *d = x->delivery;
        _cleanup_query_ Query q = store_query(x->store, W_FIND_ASIDE);
        int r;

        x->fingerprint = store_fingerprint(d->body, d->body_size);
        query_int(&q, x->fingerprint);
        query_int(&q, verdict);
        query_blob(&q, d->body, d->body_size);
        query_text(&q, d->task_id);
        query_text(&q, d->ref);
        r = query_step(&q, "Could not look for a repetition in");
        if (r <= 0)
                return r;

        *ret_n = query_column(&q, 0);
        *ret_revision = query_column(&q, 1);
        query_done(&q);
        r = recording_count_repeat(x, *ret_n);
        return r < 0 ? r : 1;
}

static void keep_name(char *target, size_t size, const char *name)
{
        snprintf(target, size, "%s", name ?: "");
}

int recording_name_task(Recording *x, StoreOutcome *ret)
{
        _cleanup_query_ Query q = store_query(x->store, W_GET_NAMES);
        int r;

        query_int(&q, (int64_t)ret->delivery);
        query_id(&q, x->task.id);
        query_id(&q, x->type);
        r = query_step(&q, "Could not read what a delivery is about in");
        if (r <= 0)
                return r;
        keep_name(ret->task_id, sizeof(ret->task_id), query_column_text(&q, 0));
        keep_name(ret->type, sizeof(ret->type), query_column_text(&q, 1));
        return 0;
}

int recording_is_body_of(Recording *x, int64_t n)
{
        _cleanup_query_ Query q = store_query(x->store, W_IS_BODY);

        query_int(&q, n);
        query_blob(&q, x->delivery->body, x->delivery->body_size);
        return query_step(&q, "Could not compare bodies in");
}
