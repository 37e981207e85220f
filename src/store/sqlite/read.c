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
        const SqliteReader *reader = userdata;

        return reader->deadline != 0 &&
               (now_monotonic() > reader->deadline || atomic_load(&reader->interrupted));
}

static int reader_setup(SqliteReader *reader, const char *path)
{
        int version, r;

        r = connection_open(&reader->connection, path, SQLITE_OPEN_READONLY);
        if (r >= 0)
                r = connection_run(&reader->connection, "PRAGMA query_only = ON", "Could not set up");
        if (r >= 0)
                r = connection_identify(&reader->connection, &version);
        if (r < 0)
                return r;
        if (version < store_schema_version())
                return connection_refuse(&reader->connection, -EPROTONOSUPPORT,
                                "%s has schema %d, and %d is needed: it is brought up to date when the "
                                "receiver "
                                "starts.",
                                path, version, store_schema_version());

        r = statements_prepare(&reader->connection, store_reader_sql, reader->statements, _R_MAX);
        if (r >= 0)
                r = statements_prepare(&reader->connection, outbox_reader_sql, reader->outbox, _OR_MAX);
        if (r >= 0 && reader->time_limit > 0)
                sqlite3_progress_handler(reader->connection.db, PROGRESS_STEPS, on_progress, reader);
        return r;
}

static StoreReader *read_close(StoreReader *base)
{
        SqliteReader *reader = sqlite_reader_of(base);

        statements_done(reader->statements, _R_MAX);
        statements_done(reader->outbox, _OR_MAX);
        connection_done(&reader->connection);
        free(reader);
        return NULL;
}

static int read_open(const char *path, uint64_t time_limit, StoreReader **ret, char **ret_error)
{
        SqliteReader *reader = calloc(1, sizeof(SqliteReader));
        int r;

        if (!reader)
                return -ENOMEM;
        reader->base.reading = &sqlite_reading;
        reader->time_limit = time_limit;

        r = reader_setup(reader, path);
        if (r < 0) {
                *ret_error = strdup(reader->connection.error);
                read_close(&reader->base);
                return r;
        }
        *ret = &reader->base;
        return 0;
}

static const char *read_error(const StoreReader *base)
{
        return sqlite_reader_of(base)->connection.error;
}

static void read_interrupt(StoreReader *base)
{
        atomic_store(&sqlite_reader_of(base)->interrupted, true);
}

int reader_begin(SqliteReader *reader)
{
        Query begin = QUERY(&reader->connection, reader->statements[R_BEGIN]);

        reader->deadline = reader->time_limit > 0 ? now_monotonic() + reader->time_limit : 0;
        return query_run(&begin, what);
}

int reader_end(SqliteReader *reader, int result)
{
        Query commit = QUERY(&reader->connection, reader->statements[R_COMMIT]);
        Query rollback = QUERY(&reader->connection, reader->statements[R_ROLLBACK]);
        int r;

        reader->deadline = 0; /* ending is not to be interrupted */
        result = connection_check_memory(&reader->connection, result);

        /* Some errors have ended it already. */
        if (sqlite3_get_autocommit(reader->connection.db))
                return result;
        r = result < 0 ? result : query_run(&commit, what);
        if (r < 0)
                query_try(&rollback);
        return r < 0 ? r : result;
}

int reader_check_time(SqliteReader *reader)
{
        if (!on_progress(reader))
                return 0;
        return connection_refuse(&reader->connection, -ETIME,
                        "%s took longer to read than allowed: ask for less at a time, or for a narrower "
                        "range.",
                        reader->connection.path);
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
        int r;

        query_int(q, submission);
        r = query_step(q, what);
        if (r > 0)
                t->document = query_column_blob(q, 0, &t->document_size);
        return r;
}

int reader_give_task(SqliteReader *reader, int64_t id, StoreTaskFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_query(reader, R_TASK), document = reader_query(reader, R_BODY),
                              response = reader_query(reader, R_RESPONSE),
                              account = reader_outbox_query(reader, OR_ACCOUNT);
        int64_t document_n, response_n;
        TaskDocument t;
        int r;

        query_int(&q, id);
        r = query_step(&q, what);
        if (r <= 0)
                return r;

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
                r = read_body(&document, document_n, &t.document, &t.document_size);
                if (r < 0)
                        return r;
        } else if (query_column(&q, 8) != 0) {
                r = read_account(&account, query_column(&q, 8), &t);
                if (r < 0)
                        return r;
        }
        if (response_n != 0 && response_n == document_n) {
                t.response = t.document;
                t.response_size = t.document_size;
        } else if (response_n != 0) {
                r = read_body(&response, response_n, &t.response, &t.response_size);
                if (r < 0)
                        return r;
        }

        r = fn(&t, userdata);
        return r < 0 ? r : 1;
}

/* 1 and its key, or 0. */
static int find_task(SqliteReader *reader, const char *task_id, int64_t *ret)
{
        _cleanup_query_ Query q = reader_query(reader, R_TASK_BY_KEY);
        int r;

        query_text(&q, task_id);
        r = query_step(&q, what);
        if (r > 0)
                *ret = query_column(&q, 0);
        return r;
}

int sqlite_read_get_task(StoreReader *base, const char *task_id, StoreTaskFn fn, void *userdata)
{
        SqliteReader *reader = sqlite_reader_of(base);
        int64_t id;
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        r = find_task(reader, task_id, &id);
        if (r > 0)
                r = reader_give_task(reader, id, fn, userdata);
        return reader_end(reader, r);
}

/* Revisions. */

static int give_revisions(SqliteReader *reader, int64_t task, unsigned after, unsigned limit,
                StoreRevisionFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_query(reader, R_REVISIONS);
        int r;

        query_int(&q, task);
        query_int(&q, after);
        query_int(&q, limit);
        while ((r = query_step(&q, what)) > 0) {
                StoredRevision v = {
                        .number = (unsigned)query_column(&q, 0),
                        .current = query_column(&q, 1) != 0,
                        .delivery = (uint64_t)query_column(&q, 2),
                        .received_at = query_column(&q, 3),
                        .completed_at = query_column(&q, 4),
                        .source = (Source)query_column(&q, 5),
                };

                v.body = query_column_blob(&q, 6, &v.body_size);
                r = fn(&v, userdata);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : 1;
}

int sqlite_read_list_revisions(StoreReader *base, const char *task_id, unsigned after, unsigned limit,
                StoreRevisionFn fn, void *userdata)
{
        SqliteReader *reader = sqlite_reader_of(base);
        int64_t id;
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        r = find_task(reader, task_id, &id);
        if (r > 0)
                r = give_revisions(reader, id, after, limit, fn, userdata);
        return reader_end(reader, r);
}

/* Deliveries. */

int reader_give_deliveries(Query *q, bool with_body, StoreDeliveryFn fn, void *userdata)
{
        int r, n = 0;

        while ((r = query_step(q, what)) > 0) {
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
                r = fn(&d, userdata);
                if (r < 0)
                        return r;
                n = 1;
        }
        return r < 0 ? r : n;
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

/* `back`: how far behind each statement its twin is that goes the other way; 0: this way. */
static int give_deliveries(SqliteReader *reader, Verdict verdict, const char *task_id, uint64_t beyond,
                ReaderStatement back, unsigned limit, StoreDeliveryFn fn, void *userdata)
{
        int64_t third, task = 0;
        ReaderStatement statement = choose_list(verdict, task_id, &third);
        _cleanup_query_ Query q = reader_query(reader, statement + back);
        int r;

        query_int(&q, (int64_t)MIN(beyond, (uint64_t)INT64_MAX));
        query_int(&q, limit);
        if (statement == R_DELIVERIES_OF_TASK) {
                r = find_task(reader, task_id, &task);
                if (r < 0)
                        return r;
                query_time(&q, third >= 0 ? third : TIME_NONE);
                query_int(&q, task);
                query_text(&q, task_id);
        } else if (statement == R_DELIVERIES_OF_VERDICT || statement == R_DELIVERIES_OF_QUARANTINE)
                query_int(&q, third);

        r = reader_give_deliveries(&q, false, fn, userdata);
        return r < 0 ? r : 0;
}

int sqlite_read_list_deliveries(StoreReader *base, Verdict verdict, const char *task_id, uint64_t after,
                unsigned limit, StoreDeliveryFn fn, void *userdata)
{
        SqliteReader *reader = sqlite_reader_of(base);
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        return reader_end(reader, give_deliveries(reader, verdict, task_id, after, 0, limit, fn, userdata));
}

int sqlite_read_list_deliveries_back(StoreReader *base, Verdict verdict, const char *task_id,
                uint64_t before, unsigned limit, StoreDeliveryFn fn, void *userdata)
{
        SqliteReader *reader = sqlite_reader_of(base);
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        return reader_end(reader, give_deliveries(reader, verdict, task_id, before > 0 ? before : INT64_MAX,
                                                  R_DELIVERIES_BACK - R_DELIVERIES, limit, fn, userdata));
}

static int give_delivery(
                SqliteReader *reader, uint64_t n, bool with_body, StoreDeliveryFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_query(reader, R_DELIVERY);

        query_int(&q, (int64_t)MIN(n, (uint64_t)INT64_MAX));
        return reader_give_deliveries(&q, with_body, fn, userdata);
}

int sqlite_read_get_delivery(
                StoreReader *base, uint64_t n, bool with_body, StoreDeliveryFn fn, void *userdata)
{
        SqliteReader *reader = sqlite_reader_of(base);
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        return reader_end(reader, give_delivery(reader, n, with_body, fn, userdata));
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

static int give_event(SqliteReader *reader, const Query *q, bool with_task, StoreEventFn fn, void *userdata)
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

        return with_task && task != 0 ? reader_give_task(reader, task, give_with_task, &x)
                                      : fn(&e, userdata);
}

static int give_events(SqliteReader *reader, uint64_t after, unsigned limit, bool with_task, StoreEventFn fn,
                void *userdata)
{
        _cleanup_query_ Query q = reader_query(reader, R_EVENTS);
        int r;

        query_int(&q, (int64_t)MIN(after, (uint64_t)INT64_MAX));
        query_int(&q, limit);
        while ((r = query_step(&q, what)) > 0) {
                r = give_event(reader, &q, with_task, fn, userdata);
                if (r < 0)
                        return r;
        }
        return r;
}

int sqlite_read_list_events(StoreReader *base, uint64_t after, unsigned limit, bool with_task,
                StoreEventFn fn, void *userdata)
{
        SqliteReader *reader = sqlite_reader_of(base);
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        return reader_end(reader, give_events(reader, after, limit, with_task, fn, userdata));
}

static int find_event_time(SqliteReader *reader, uint64_t seq, int64_t *ret)
{
        _cleanup_query_ Query q = reader_query(reader, R_EVENT_TIME);
        int r;

        query_int(&q, (int64_t)MIN(seq, (uint64_t)INT64_MAX));
        r = query_step(&q, "Could not read an event from");
        if (r > 0)
                *ret = query_column(&q, 0);
        return r;
}

int sqlite_read_get_event_time(StoreReader *base, uint64_t seq, int64_t *ret)
{
        SqliteReader *reader = sqlite_reader_of(base);
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        return reader_end(reader, find_event_time(reader, seq, ret));
}

static int get_number(SqliteReader *reader, ReaderStatement statement, uint64_t *ret)
{
        _cleanup_query_ Query q = reader_query(reader, statement);
        int r;

        r = query_step(&q, what);
        if (r < 0)
                return r;
        *ret = (uint64_t)query_column(&q, 0);
        return 0;
}

/* Figures. */

static int get_types(SqliteReader *reader, StoreStats *ret)
{
        _cleanup_query_ Query q = reader_query(reader, R_TALLY);
        int r;

        while ((r = query_step(&q, what)) > 0) {
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
        return r;
}

/* A repetition of what was valid is a duplicate that needed no row; one of what was not is only more of the
 * same. */
static int get_verdicts(SqliteReader *reader, StoreStats *ret)
{
        _cleanup_query_ Query q = reader_query(reader, R_VERDICTS);
        int r;

        while ((r = query_step(&q, what)) > 0) {
                int64_t verdict = query_column(&q, 0);

                if (verdict < 0 || verdict >= _VERDICT_MAX)
                        continue; /* of a newer program: not to be named here */
                ret->by_verdict[verdict] += (uint64_t)query_column(&q, 1);
                if (verdict != VERDICT_INVALID && verdict != VERDICT_DISCARDED)
                        ret->by_verdict[VERDICT_DUPLICATE] += (uint64_t)query_column(&q, 2);
        }
        return r;
}

/* 0 for a file that isn't there: the WAL comes and goes. */
static int get_size(SqliteReader *reader, const char *suffix, uint64_t *ret)
{
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (asprintf(&path, "%s%s", reader->connection.path, suffix) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (stat(path, &st) < 0) {
                if (errno != ENOENT)
                        return connection_refuse(&reader->connection, -errno, "Could not look at %s: %s.",
                                        path, strerror(errno));
                st.st_size = 0;
        }
        *ret = (uint64_t)st.st_size;
        return 0;
}

static int get_stats(SqliteReader *reader, StoreStats *ret)
{
        int r;

        r = get_types(reader, ret);
        if (r >= 0)
                r = get_verdicts(reader, ret);
        if (r >= 0)
                r = get_number(reader, R_LAST_DELIVERY, &ret->deliveries);
        if (r >= 0)
                r = get_number(reader, R_LAST_EVENT, &ret->events);
        return r;
}

int sqlite_read_get_stats(StoreReader *base, StoreStats *ret)
{
        SqliteReader *reader = sqlite_reader_of(base);
        StoreStats stats = { 0 };
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        r = reader_end(reader, get_stats(reader, &stats));
        if (r >= 0)
                r = get_size(reader, "", &stats.database_bytes);
        if (r >= 0)
                r = get_size(reader, "-wal", &stats.wal_bytes);
        if (r < 0)
                return r;

        r = store_free_space(reader->connection.path, &stats.free_bytes);
        if (r < 0)
                return connection_refuse(&reader->connection, r,
                                "Could not ask for the free space beside %s: %s.", reader->connection.path,
                                strerror(-r));
        *ret = stats;
        return 0;
}

/* Whether anything was committed. */
static int read_changed(StoreReader *base)
{
        SqliteReader *reader = sqlite_reader_of(base);
        _cleanup_query_ Query q = reader_outbox_query(reader, OR_DATA_VERSION);
        int64_t before = reader->data_version;
        int r;

        r = query_step(&q, what);
        if (r < 0)
                return r;
        reader->data_version = query_column(&q, 0);
        return reader->data_version != before;
}

const StoreReading sqlite_reading = {
        .open = read_open,
        .close = read_close,
        .error = read_error,
        .interrupt = read_interrupt,
        .changed = read_changed,
        .get_task = sqlite_read_get_task,
        .list_revisions = sqlite_read_list_revisions,
        .list_deliveries = sqlite_read_list_deliveries,
        .list_deliveries_back = sqlite_read_list_deliveries_back,
        .get_delivery = sqlite_read_get_delivery,
        .list_events = sqlite_read_list_events,
        .get_event_time = sqlite_read_get_event_time,
        .get_stats = sqlite_read_get_stats,
        .list_tasks = sqlite_read_list_tasks,
        .get_submission = sqlite_read_get_submission,
        .list_submissions = sqlite_read_list_submissions,
        .list_submissions_back = sqlite_read_list_submissions_back,
        .list_due = sqlite_read_list_due,
        .list_cancel_wanted = sqlite_read_list_cancel_wanted,
        .get_next_due = sqlite_read_get_next_due,
        .get_queue = sqlite_read_get_queue,
        .find_task_of_submission = sqlite_read_find_task_of_submission,
        .list_pending_tasks = sqlite_read_list_pending_tasks,
};
