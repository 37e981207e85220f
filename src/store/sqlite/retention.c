/*
 * How old deliveries are, for what can't be undone. A clock on the wall is set: by people, by a time service
 * that comes up late, by a machine that wakes up without its battery. One reading of it proves nothing, and
 * neither does the time that a delivery was given when it came. So what is counted here is the time that
 * processes saw go by on a clock that only goes on, and to that the numbers of deliveries, which only grow,
 * are tied by marks. An age is never more than the true one; it is less by what nobody counted.
 *
 * The count is the largest that any process knows of. Each adds what it saw itself to what it found, so two
 * that serve one database don't count an hour twice.
 */

#include "store/sqlite/writer.h"

#include <inttypes.h>

/* How close marks are: a part of their age. Then their number grows with its logarithm. */
#define MARK_PART 32

static int read_time(Store *s, uint64_t *ret_counted, int64_t *ret_noted_at)
{
        _cleanup_query_ Query q = store_query(s, W_GET_RUNNING_TIME);
        int r;

        r = query_step(&q, "Could not read the time that was counted from");
        if (r <= 0)
                return r;
        *ret_counted = (uint64_t)query_column(&q, 0);
        *ret_noted_at = query_column(&q, 1);
        return 1;
}

static int write_time(Store *s, int64_t realtime)
{
        Query time = store_query(s, W_SET_RUNNING_TIME), mark = store_query(s, W_ADD_MARK),
              thin = store_query(s, W_THIN_MARKS);
        int r;

        query_int(&time, (int64_t)s->counted);
        query_int(&time, realtime);
        r = query_run(&time, "Could not count the time in");
        if (r < 0)
                return r;
        query_int(&mark, s->delivery);
        query_int(&mark, (int64_t)s->counted);
        r = query_run(&mark, "Could not note the newest delivery in");
        if (r < 0)
                return r;
        query_int(&thin, (int64_t)s->counted);
        query_int(&thin, MARK_PART);
        return query_run(&thin, "Could not forget a mark of");
}

int store_count_time(Store *s, uint64_t monotonic, int64_t realtime, StoreTime *ret)
{
        uint64_t before = 0, counted;
        int64_t noted_at = realtime;
        int r;

        assert(s->in_group);
        r = read_time(s, &before, &noted_at);
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
        return write_time(s, realtime);
}

int store_find_older(Store *s, uint64_t age, uint64_t *ret_n)
{
        _cleanup_query_ Query q = store_query(s, W_FIND_MARK);
        int r;

        assert(s->in_group);
        *ret_n = 0;
        if (age > s->counted)
                return 0;
        query_int(&q, (int64_t)(s->counted - age));
        r = query_step(&q, "Could not look for marks in");
        if (r > 0)
                *ret_n = (uint64_t)query_column(&q, 0);
        return MIN(r, 0);
}

/* Pruning. */

typedef struct Old {
        int64_t n, verdict, repeats;
        bool stands; /* it is a task's, or says why there is none */
} Old;

static int drop(Store *s, const Old *old)
{
        static const WriterStatement statements[] = { W_DROP_DELIVERY, W_DROP_REPEAT, W_DROP_QUARANTINE };
        int r;

        FOREACH_ARRAY(i, statements, ELEMENTSOF(statements)) {
                Query q = store_query(s, *i);

                query_int(&q, old->n);
                r = query_run(&q, "Could not delete an old delivery from");
                if (r < 0)
                        return r;
        }
        s->verdicts[old->verdict]--;
        s->repeats[old->verdict] -= old->repeats;
        return 0;
}

static int find_old(Store *s, uint64_t after, uint64_t upto, unsigned limit, Old *ret, unsigned *ret_n)
{
        _cleanup_query_ Query q = store_query(s, W_FIND_OLD);
        unsigned n = 0;
        int r;

        query_int(&q, (int64_t)MIN(after, (uint64_t)INT64_MAX));
        query_int(&q, (int64_t)MIN(upto, (uint64_t)MAX(s->delivery - 1, 0))); /* never the newest */
        query_int(&q, (int64_t)limit);
        while ((r = query_step(&q, "Could not look for old deliveries in")) > 0) {
                ret[n] = (Old){ query_column(&q, 0), query_column(&q, 1), query_column(&q, 2),
                        query_column(&q, 3) != 0 };
                if (ret[n].verdict < 0 || ret[n].verdict >= _VERDICT_MAX)
                        return connection_refuse(&s->connection, -EUCLEAN,
                                        "Delivery %" PRId64 " has no verdict.", ret[n].n);
                n++;
        }
        if (r < 0)
                return r;
        *ret_n = n;
        return 0;
}

int store_prune_deliveries(Store *s, uint64_t *after, uint64_t upto, unsigned limit, uint64_t *ret_deleted,
                bool *ret_more)
{
        _cleanup_free_ Old *old = NULL;
        uint64_t deleted = 0;
        unsigned n = 0;
        int r;

        assert(s->in_group);
        assert(limit > 0);
        old = calloc(limit, sizeof(Old));
        if (!old)
                return -ENOMEM;

        r = find_old(s, *after, upto, limit, old, &n);
        if (r < 0)
                return r;
        FOREACH_ARRAY(i, old, n) {
                if (i->stands)
                        continue;
                r = drop(s, i);
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
