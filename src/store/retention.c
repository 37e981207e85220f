/*
 * How old deliveries are, for what can't be undone, and the deletion of old ones. A clock on the wall is
 * set: by people, by a time service that comes up late, by a machine that wakes up without its battery. One
 * reading of it proves nothing, and neither does the time that a delivery was given when it came. So what is
 * counted here is the time that processes saw go by on a clock that only goes on, and to that the numbers of
 * deliveries, which only grow, are tied by marks. An age is never more than the true one; it is less by what
 * nobody counted.
 *
 * The count is the largest that any process knows of. Each adds what it saw itself to what it found, so two
 * that serve one database don't count an hour twice.
 */

#include "store/driver.h"

int store_count_time(Store *s, uint64_t monotonic, int64_t realtime, StoreTime *ret)
{
        uint64_t before = 0, counted;
        int64_t noted_at = realtime;
        int r;

        assert(s->in_group);
        r = s->driver->rows->get_time(s, &before, &noted_at);
        if (r < 0)
                return r;
        counted = s->counts ? MAX(s->counted + (monotonic - s->counted_at), before) : before;
        *ret = (StoreTime){
                .counted = counted,
                .jump = realtime - noted_at - (int64_t)(counted - before),
                .resumed = !s->counts,
        };
        s->counts = true;
        s->counted = counted;
        s->counted_at = monotonic;
        return s->driver->rows->set_time(s, counted, realtime);
}

int store_find_older(Store *s, uint64_t age, uint64_t *ret_n)
{
        int r = 0;

        assert(s->in_group);
        *ret_n = 0;
        if (age <= s->counted)
                r = s->driver->rows->find_mark(s, s->counted - age, ret_n);
        return MIN(r, 0);
}

int store_prune_deliveries(Store *s, uint64_t *after, uint64_t upto, unsigned limit, uint64_t *ret_deleted,
                bool *ret_more)
{
        _cleanup_free_ OldRow *old = NULL;
        uint64_t deleted = 0;
        unsigned n = 0;
        int r;

        assert(s->in_group);
        assert(limit > 0);
        old = calloc(limit, sizeof(OldRow));
        if (!old)
                return -ENOMEM;

        upto = MIN(upto, (uint64_t)MAX(s->delivery - 1, 0)); /* never the newest */
        r = s->driver->rows->find_old(s, *after, upto, limit, old, &n);
        if (r < 0)
                return r;
        FOREACH_ARRAY(i, old, n) {
                if (i->stands)
                        continue;
                r = s->driver->rows->drop_delivery(s, i);
                if (r < 0)
                        return r;
                deleted++;
        }
        if (n > 0)
                *after = (uint64_t)old[n - 1].n;
        *ret_deleted = deleted;
        *ret_more = n == limit;
        return 0;
}
