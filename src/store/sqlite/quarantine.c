/*
 * The quarantine's way out. A delivery waits there until somebody discards it, or until another try of it
 * succeeds and takes its place; either happens once. The log's row stays as it is: the decision stands
 * beside it.
 */

#include "store/sqlite/internal.h"

/* 0: it waits in the quarantine; -ENOENT, -EINVAL: see store_discard_delivery(). */
static int check_quarantined(Store *s, uint64_t n, int64_t *ret_repeats)
{
        _cleanup_query_ Query q = store_query(s, W_GET_QUARANTINE), get = store_query(s, W_GET_VERDICT);
        int r;

        query_int(&q, (int64_t)n);
        r = query_step(&q, "Could not look into the quarantine of");
        if (r < 0)
                return r;
        if (r > 0 && query_column(&q, 0) == 0) {
                *ret_repeats = query_column(&q, 1);
                return 0;
        }
        if (r == 0) {
                query_int(&get, (int64_t)n);
                r = query_step(&get, "Could not look up a delivery in");
                if (r < 0)
                        return r;
        }
        if (r == 0)
                return connection_refuse(&s->connection, -ENOENT, "There is no delivery %llu.",
                                (unsigned long long)n);
        return connection_refuse(&s->connection, -EINVAL, "Delivery %llu is not in the quarantine.",
                        (unsigned long long)n);
}

int store_settle(Store *s, uint64_t n, uint64_t superseded_by)
{
        Query q = store_query(s, W_DISCARD);
        int64_t repeats = 0;
        int r;

        r = check_quarantined(s, n, &repeats);
        if (r < 0)
                return r;

        query_int(&q, (int64_t)n);
        query_int(&q, (int64_t)superseded_by);
        r = query_run(&q, "Could not discard a delivery in");
        if (r < 0)
                return r;

        s->verdicts[VERDICT_INVALID]--;
        s->verdicts[VERDICT_DISCARDED]++;
        s->repeats[VERDICT_INVALID] -= repeats;
        s->repeats[VERDICT_DISCARDED] += repeats;
        return 0;
}

int store_discard_delivery(Store *s, uint64_t n)
{
        assert(s->in_group);
        return store_settle(s, n, 0);
}
