/*
 * The reader: read-only, one snapshot a call, nothing held between calls, so that no reader keeps the WAL
 * from starting over for longer than one call takes. A time limit ends a call that takes too long, wherever
 * it is.
 *
 * Rows are handed over one by one, and what they point to is SQLite's memory: it lives until the callback
 * returns.
 */

#include "store/sqlite/read.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "basic/time-util.h"

#define PROGRESS_STEPS 1000 /* of SQLite's machine, between two looks at the clock */

static const char what[] = "Could not read";

static int on_progress(void *userdata)
{
        const StoreReader *r = userdata;

        return r->deadline != 0 && (now_monotonic() > r->deadline || atomic_load(&r->interrupted));
}

static int reader_setup(StoreReader *r, const char *path)
{
        int version, k;

        k = connection_open(&r->connection, path, SQLITE_OPEN_READONLY, NULL);
        if (k >= 0)
                k = connection_run(&r->connection, "PRAGMA query_only = ON", "Could not set up");
        if (k >= 0)
                k = connection_identify(&r->connection, &version);
        if (k < 0)
                return k;
        if (version < store_schema_version())
                return connection_refuse(&r->connection, -EPROTONOSUPPORT,
                                "%s has schema %d, and %d is needed: it is brought up to date when the "
                                "receiver "
                                "starts.",
                                path, version, store_schema_version());

        k = statements_prepare(&r->connection, store_reader_sql, r->statements, _R_MAX);
        if (k >= 0)
                k = statements_prepare(&r->connection, outbox_reader_sql, r->outbox, _OR_MAX);
        if (k >= 0 && r->time_limit > 0)
                sqlite3_progress_handler(r->connection.db, PROGRESS_STEPS, on_progress, r);
        return k;
}

int store_reader_open(const char *path, uint64_t time_limit, StoreReader **ret, char **ret_error)
{
        _cleanup_(store_reader_closep) StoreReader *r = NULL;
        int k;

        *ret_error = NULL;
        r = calloc(1, sizeof(StoreReader));
        if (!r)
                return -ENOMEM;
        r->time_limit = time_limit;

        k = reader_setup(r, path);
        if (k < 0) {
                *ret_error = strdup(r->connection.error);
                return k;
        }
        *ret = TAKE_PTR(r);
        return 0;
}

StoreReader *store_reader_close(StoreReader *r)
{
        if (!r)
                return NULL;

        statements_done(r->statements, _R_MAX);
        statements_done(r->outbox, _OR_MAX);
        connection_done(&r->connection);
        free(r);
        return NULL;
}

const char *store_reader_error(const StoreReader *r)
{
        return r->connection.error;
}

void store_reader_interrupt(StoreReader *r)
{
        atomic_store(&r->interrupted, true);
}

int reader_begin(StoreReader *r)
{
        Query begin = QUERY(&r->connection, r->statements[R_BEGIN]);

        r->deadline = r->time_limit > 0 ? now_monotonic() + r->time_limit : 0;
        return query_run(&begin, what);
}

int reader_end(StoreReader *r, int result)
{
        Query commit = QUERY(&r->connection, r->statements[R_COMMIT]);
        Query rollback = QUERY(&r->connection, r->statements[R_ROLLBACK]);
        int k;

        r->deadline = 0; /* ending is not to be interrupted */
        result = connection_check_memory(&r->connection, result);

        /* Some errors have ended it already. */
        if (sqlite3_get_autocommit(r->connection.db))
                return result;
        k = result < 0 ? result : query_run(&commit, what);
        if (k < 0)
                query_try(&rollback);
        return k < 0 ? k : result;
}

int reader_check_time(StoreReader *r)
{
        if (!on_progress(r))
                return 0;
        return connection_refuse(&r->connection, -ETIME,
                        "%s took longer to read than allowed: ask for less at a time, or for a narrower "
                        "range.",
                        r->connection.path);
}

/* Tasks. */

/* The body of a delivery that something stands on. `q` holds it. */
static int read_body(Query *q, int64_t n, const void **ret, size_t *ret_size)
{
        int r;

        query_int(q, n);
        r = query_step(q, what);
        if (r < 0)
                return r;
        if (r == 0)
                return connection_refuse(q->connection, -EBADMSG,
                                "Delivery %" PRId64
                                " is missing in %s, although a task stands on it: it is damaged.",
                                n, q->connection->path);
        *ret = query_column_blob(q, 0, ret_size);
        return 0;
}

/* What the API said of it when it was submitted: the document of a task that no delivery brought yet. There
 * is none when a delivery brought the task, without one. */
static int read_account(Query *q, int64_t submission, TaskDocument *t)
{
        int k;

        query_int(q, submission);
        k = query_step(q, what);
        if (k > 0)
                t->document = query_column_blob(q, 0, &t->document_size);
        return k;
}

int reader_give_task(StoreReader *r, int64_t id, StoreTaskFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_query(r, R_TASK), document = reader_query(r, R_BODY),
                              response = reader_query(r, R_RESPONSE),
                              account = reader_outbox_query(r, OR_ACCOUNT);
        int64_t document_n, response_n;
        TaskDocument t;
        int k;

        query_int(&q, id);
        k = query_step(&q, what);
        if (k <= 0)
                return k;

        t = (TaskDocument){
                .task_id = query_column_text(&q, 0),
                .type = query_column_text(&q, 1),
                .status = (TaskStatus)query_column(&q, 2),
                .created_at = query_column(&q, 3),
                .completed_at = query_column_time(&q, 4),
                .is_test = query_column(&q, 5) != 0,
        };
        document_n = query_column(&q, 6);
        response_n = query_column(&q, 7);

        if (document_n != 0) {
                k = read_body(&document, document_n, &t.document, &t.document_size);
                if (k < 0)
                        return k;
        } else if (query_column(&q, 8) != 0) {
                k = read_account(&account, query_column(&q, 8), &t);
                if (k < 0)
                        return k;
        }
        if (response_n != 0 && response_n == document_n) {
                t.response = t.document;
                t.response_size = t.document_size;
        } else if (response_n != 0) {
                k = read_body(&response, response_n, &t.response, &t.response_size);
                if (k < 0)
                        return k;
        }

        k = fn(&t, userdata);
        return k < 0 ? k : 1;
}

/* 1 and its key, or 0. */
static int find_task(StoreReader *r, const char *task_id, int64_t *ret)
{
        _cleanup_query_ Query q = reader_query(r, R_TASK_BY_KEY);
        int k;

        query_text(&q, task_id);
        k = query_step(&q, what);
        if (k > 0)
                *ret = query_column(&q, 0);
        return k;
}

int store_get_task(StoreReader *r, const char *task_id, StoreTaskFn fn, void *userdata)
{
        int64_t id;
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        k = find_task(r, task_id, &id);
        if (k > 0)
                k = reader_give_task(r, id, fn, userdata);
        return reader_end(r, k);
}

/* Revisions. */

static int give_revisions(StoreReader *r, int64_t task, unsigned after, unsigned limit, StoreRevisionFn fn,
                void *userdata)
{
        _cleanup_query_ Query q = reader_query(r, R_REVISIONS);
        int k;

        query_int(&q, task);
        query_int(&q, after);
        query_int(&q, limit);
        while ((k = query_step(&q, what)) > 0) {
                StoredRevision v = {
                        .number = (unsigned)query_column(&q, 0),
                        .current = query_column(&q, 1) != 0,
                        .delivery = (uint64_t)query_column(&q, 2),
                        .received_at = query_column(&q, 3),
                        .completed_at = query_column(&q, 4),
                        .source = (Source)query_column(&q, 5),
                };

                v.body = query_column_blob(&q, 6, &v.body_size);
                k = fn(&v, userdata);
                if (k < 0)
                        return k;
        }
        return k < 0 ? k : 1;
}

int store_list_revisions(StoreReader *r, const char *task_id, unsigned after, unsigned limit,
                StoreRevisionFn fn, void *userdata)
{
        int64_t id;
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        k = find_task(r, task_id, &id);
        if (k > 0)
                k = give_revisions(r, id, after, limit, fn, userdata);
        return reader_end(r, k);
}

/* Deliveries. */

int reader_give_deliveries(Query *q, bool with_body, StoreDeliveryFn fn, void *userdata)
{
        int k, n = 0;

        while ((k = query_step(q, what)) > 0) {
                StoredDelivery d = {
                        .n = (uint64_t)query_column(q, 0),
                        .received_at = query_column(q, 1),
                        .source = (Source)query_column(q, 2),
                        .verdict = (Verdict)query_column(q, 3),
                        .status = (unsigned)query_column(q, 4),
                        .key_label = query_column_text(q, 5),
                        .remote = query_column_text(q, 6),
                        .ref = query_column_text(q, 7),
                        .task_id = query_column_text(q, 8),
                        .type = query_column_text(q, 9),
                        .revision = (unsigned)query_column(q, 10),
                        .duration = (uint64_t)query_column(q, 11),
                        .repeats = (uint64_t)query_column(q, 12),
                        .last_repeat_at = query_column_time(q, 13),
                        .superseded_by = (uint64_t)query_column(q, 14),
                        .unchecked = query_column(q, 15) != 0,
                        .problems = query_column_text(q, 16),
                        .body_size = (size_t)query_column(q, 17),
                };

                if (with_body)
                        d.body = query_column_blob(q, 18, &d.body_size);
                k = fn(&d, userdata);
                if (k < 0)
                        return k;
                n = 1;
        }
        return k < 0 ? k : n;
}

/* Which statement walks along the deliveries asked for, and what its third parameter is. */
static ReaderStatement choose_list(Verdict verdict, const char *task_id, int64_t *ret_third)
{
        *ret_third = verdict;
        if (task_id)
                return R_DELIVERIES_OF_TASK;
        if (verdict == VERDICT_INVALID || verdict == VERDICT_DISCARDED) {
                *ret_third = verdict == VERDICT_DISCARDED;
                return R_DELIVERIES_OF_QUARANTINE;
        }
        if (verdict == VERDICT_STORED)
                return R_DELIVERIES_STORED;
        return verdict < 0 ? R_DELIVERIES : R_DELIVERIES_OF_VERDICT;
}

static int give_deliveries(StoreReader *r, Verdict verdict, const char *task_id, uint64_t after,
                unsigned limit, StoreDeliveryFn fn, void *userdata)
{
        int64_t third, task = 0;
        ReaderStatement statement = choose_list(verdict, task_id, &third);
        _cleanup_query_ Query q = reader_query(r, statement);
        int k;

        query_int(&q, (int64_t)MIN(after, (uint64_t)INT64_MAX));
        query_int(&q, limit);
        if (statement == R_DELIVERIES_OF_TASK) {
                k = find_task(r, task_id, &task);
                if (k < 0)
                        return k;
                query_time(&q, third >= 0 ? third : TIME_NONE);
                query_int(&q, task);
                query_text(&q, task_id);
        } else if (statement == R_DELIVERIES_OF_VERDICT || statement == R_DELIVERIES_OF_QUARANTINE)
                query_int(&q, third);

        k = reader_give_deliveries(&q, false, fn, userdata);
        return k < 0 ? k : 0;
}

int store_list_deliveries(StoreReader *r, Verdict verdict, const char *task_id, uint64_t after,
                unsigned limit, StoreDeliveryFn fn, void *userdata)
{
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        return reader_end(r, give_deliveries(r, verdict, task_id, after, limit, fn, userdata));
}

static int give_delivery(StoreReader *r, uint64_t n, bool with_body, StoreDeliveryFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_query(r, R_DELIVERY);

        query_int(&q, (int64_t)MIN(n, (uint64_t)INT64_MAX));
        return reader_give_deliveries(&q, with_body, fn, userdata);
}

int store_get_delivery(StoreReader *r, uint64_t n, bool with_body, StoreDeliveryFn fn, void *userdata)
{
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        return reader_end(r, give_delivery(r, n, with_body, fn, userdata));
}

/*
 * The feed and the figures.
 *
 * What readers follow and count: the events, and the figures. Figures come from counters and from the file
 * system; nothing is counted row by row.
 */

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
