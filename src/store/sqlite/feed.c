/*
 * What readers follow and count: the events, and the figures. Figures come from counters and from the file
 * system; nothing is counted row by row.
 */

#include "store/sqlite/internal.h"

#include <stdio.h>
#include <sys/stat.h>

static const char what[] = "Could not read";

/* Events. */

typedef struct EventTask {
        StoredEvent *event;
        StoreEventFn fn;
        void *userdata;
} EventTask;

static int give_with_task(const TaskDocument *task, void *userdata)
{
        EventTask *x = userdata;

        x->event->task = task;
        return x->fn(x->event, x->userdata);
}

static int give_event(StoreReader *r, const Query *q, bool with_task, StoreEventFn fn, void *userdata)
{
        int64_t status = query_column_time(q, 5), task = query_column(q, 9);
        StoredEvent e = {
                .seq = (uint64_t)query_column(q, 0),
                .time = query_column(q, 1),
                .kind = (EventKind)query_column(q, 2),
                .task_id = query_column_text(q, 3),
                .type = query_column_text(q, 4),
                .status = status == TIME_NONE ? _TASK_STATUS_INVALID : (TaskStatus)status,
                .revision = (unsigned)query_column(q, 6),
                .delivery = (uint64_t)query_column(q, 7),
                .submission = query_column_text(q, 8),
        };
        EventTask x = { &e, fn, userdata };

        return with_task && task != 0 ? reader_give_task(r, task, give_with_task, &x) : fn(&e, userdata);
}

static int give_events(StoreReader *r, uint64_t after, unsigned limit, bool with_task, StoreEventFn fn,
                void *userdata)
{
        _cleanup_query_ Query q = reader_query(r, R_EVENTS);
        int k;

        query_int(&q, (int64_t)MIN(after, (uint64_t)INT64_MAX));
        query_int(&q, limit);
        while ((k = query_step(&q, what)) > 0) {
                k = give_event(r, &q, with_task, fn, userdata);
                if (k < 0)
                        return k;
        }
        return k;
}

int store_list_events(StoreReader *r, uint64_t after, unsigned limit, bool with_task, StoreEventFn fn,
                void *userdata)
{
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        return reader_end(r, give_events(r, after, limit, with_task, fn, userdata));
}

static int find_event_time(StoreReader *r, uint64_t seq, int64_t *ret)
{
        _cleanup_query_ Query q = reader_query(r, R_EVENT_TIME);
        int k;

        query_int(&q, (int64_t)MIN(seq, (uint64_t)INT64_MAX));
        k = query_step(&q, "Could not read an event from");
        if (k > 0)
                *ret = query_column(&q, 0);
        return k;
}

int store_get_event_time(StoreReader *r, uint64_t seq, int64_t *ret)
{
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        return reader_end(r, find_event_time(r, seq, ret));
}

static int get_number(StoreReader *r, ReaderStatement statement, uint64_t *ret)
{
        _cleanup_query_ Query q = reader_query(r, statement);
        int k;

        k = query_step(&q, what);
        if (k < 0)
                return k;
        *ret = (uint64_t)query_column(&q, 0);
        return 0;
}

/* Figures. */

static int get_types(StoreReader *r, StoreStats *ret)
{
        _cleanup_query_ Query q = reader_query(r, R_TALLY);
        int k;

        while ((k = query_step(&q, what)) > 0) {
                const char *type = query_column_text(&q, 0);
                uint64_t n = (uint64_t)query_column(&q, 3);
                StoreTypeCount *t;

                ret->tasks += n;
                if (ret->n_by_type == STORE_STATS_TYPES_MAX)
                        continue;
                t = &ret->by_type[ret->n_by_type++];
                t->status = (TaskStatus)query_column(&q, 1);
                t->is_test = query_column(&q, 2) != 0;
                t->n = n;
                snprintf(t->type, sizeof(t->type), "%s", type ? type : "");
        }
        return k;
}

/* A repetition of what was valid is a duplicate that needed no row; one of what was not is only more of the
 * same. */
static int get_verdicts(StoreReader *r, StoreStats *ret)
{
        _cleanup_query_ Query q = reader_query(r, R_VERDICTS);
        int k;

        while ((k = query_step(&q, what)) > 0) {
                int64_t verdict = query_column(&q, 0);

                if (verdict < 0 || verdict >= _VERDICT_MAX)
                        continue; /* of a newer program: not to be named here */
                ret->by_verdict[verdict] += (uint64_t)query_column(&q, 1);
                if (verdict != VERDICT_INVALID && verdict != VERDICT_DISCARDED)
                        ret->by_verdict[VERDICT_DUPLICATE] += (uint64_t)query_column(&q, 2);
        }
        return k;
}

/* 0 for a file that isn't there: the WAL comes and goes. */
static int get_size(StoreReader *r, const char *suffix, uint64_t *ret)
{
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (asprintf(&path, "%s%s", r->connection.path, suffix) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (stat(path, &st) < 0) {
                if (errno != ENOENT)
                        return connection_refuse(&r->connection, -errno, "Could not look at %s: %s.", path,
                                        strerror(errno));
                st.st_size = 0;
        }
        *ret = (uint64_t)st.st_size;
        return 0;
}

static int get_stats(StoreReader *r, StoreStats *ret)
{
        int k;

        k = get_types(r, ret);
        if (k >= 0)
                k = get_verdicts(r, ret);
        if (k >= 0)
                k = get_number(r, R_LAST_DELIVERY, &ret->deliveries);
        if (k >= 0)
                k = get_number(r, R_LAST_EVENT, &ret->events);
        return k;
}

int store_get_stats(StoreReader *r, StoreStats *ret)
{
        StoreStats stats = { 0 };
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        k = reader_end(r, get_stats(r, &stats));
        if (k >= 0)
                k = get_size(r, "", &stats.database_bytes);
        if (k >= 0)
                k = get_size(r, "-wal", &stats.wal_bytes);
        if (k < 0)
                return k;

        k = store_free_space(r->connection.path, &stats.free_bytes);
        if (k < 0)
                return connection_refuse(&r->connection, k,
                                "Could not ask for the free space beside %s: %s.", r->connection.path,
                                strerror(-k));
        *ret = stats;
        return 0;
}
