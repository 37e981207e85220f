/*
 * The writer's view of a task: its row, and what hangs on it and has to follow when it changes: the counters
 * of its kind and hour, and the entries by which its metadata is found.
 *
 * Counters are gathered in memory during a group and written once, before it commits: a group of many
 * callbacks touches few kinds and hours. They are part of the same transaction as the rows that they count.
 */

#include "store/sqlite/writer.h"

#include "basic/buffer.h"

#define METADATA_BYTES_MAX (64U * 1024) /* of one task */

/* Types. */

static void remember_type(Store *s, const char *name, int64_t id)
{
        StoreTypeName *t;

        if (id > STORE_TYPES_OWN || s->n_types == STORE_TYPES_OWN || strlen(name) > CALLBACK_TYPE_MAX)
                return;
        t = &s->types[s->n_types++];
        t->id = id;
        strcpy(t->name, name);
}

static int find_type(Store *s, const char *name, int64_t *ret)
{
        _cleanup_query_ Query q = store_query(s, W_FIND_TYPE);
        int r;

        query_text(&q, name);
        r = query_step(&q, "Could not look up a type in");
        if (r > 0)
                *ret = query_column(&q, 0);
        return r;
}

int store_type_id(Store *s, const char *name, int64_t *ret)
{
        Query q = store_query(s, W_ADD_TYPE);
        int r;

        if (!name) {
                *ret = 0;
                return 0;
        }
        FOREACH_ARRAY(t, s->types, s->n_types)
                if (streq(t->name, name)) {
                        *ret = t->id;
                        return 0;
                }

        r = find_type(s, name, ret);
        if (r == 0) {
                query_text(&q, name);
                r = query_run(&q, "Could not add a type to");
                *ret = sqlite3_last_insert_rowid(s->connection.db);
        }
        if (r < 0)
                return r;
        remember_type(s, name, *ret);
        return 0;
}

/* Counters. */

static int flush_delta(Store *s, const StoreDelta *d)
{
        static const char what[] = "Could not count a task in";
        Query q = store_query(s, W_TALLY), by_hour = store_query(s, W_TALLY_BY_HOUR);
        int r;

        if (d->count == 0)
                return 0;

        query_int(&q, d->type);
        query_int(&q, d->status);
        query_int(&q, d->is_test);
        query_int(&q, d->count);
        r = query_run(&q, what);
        if (r < 0)
                return r;

        query_int(&by_hour, d->hour);
        query_int(&by_hour, d->type);
        query_int(&by_hour, d->status);
        query_int(&by_hour, d->is_test);
        query_int(&by_hour, d->count);
        return query_run(&by_hour, what);
}

static int flush_deltas(Store *s)
{
        int r;

        FOREACH_ARRAY(d, s->deltas, s->n_deltas) {
                r = flush_delta(s, d);
                if (r < 0)
                        return r;
        }
        s->n_deltas = 0;
        return 0;
}

static int flush_submissions(Store *s)
{
        Query q = outbox_query(s, OW_TALLY);
        int r;

        for (int state = 0; state < _SUBMISSION_STATE_MAX; state++) {
                if (s->submissions[state] == 0)
                        continue;
                query_int(&q, state);
                query_int(&q, s->submissions[state]);
                r = query_run(&q, "Could not count submissions in");
                if (r < 0)
                        return r;
        }
        return 0;
}

int store_flush_tallies(Store *s)
{
        Query q = store_query(s, W_TALLY_OF_VERDICTS);
        int r;

        for (int v = 0; v < _VERDICT_MAX; v++) {
                if (s->verdicts[v] == 0 && s->repeats[v] == 0)
                        continue;
                query_int(&q, v);
                query_int(&q, s->verdicts[v]);
                query_int(&q, s->repeats[v]);
                r = query_run(&q, "Could not count deliveries in");
                if (r < 0)
                        return r;
        }
        r = flush_submissions(s);
        return r < 0 ? r : flush_deltas(s);
}

static int count_task(Store *s, const TaskRow *t, int64_t count)
{
        StoreDelta delta = {
                .hour = store_hour(t->created_at),
                .type = type_in_counters(t->type),
                .status = t->status,
                .is_test = t->is_test,
                .count = count,
        };
        int r;

        FOREACH_ARRAY(d, s->deltas, s->n_deltas)
                if (d->hour == delta.hour && d->type == delta.type && d->status == delta.status &&
                                d->is_test == delta.is_test) {
                        d->count += count;
                        return 0;
                }

        if (s->n_deltas == STORE_DELTAS_MAX) {
                r = flush_deltas(s);
                if (r < 0)
                        return r;
        }
        s->deltas[s->n_deltas++] = delta;
        return 0;
}

/* Metadata: the task keeps a list of its entries, so that they can be found again when they change. */

static int pack_metadata(const StoreDelivery *d, Buffer *ret)
{
        size_t n = MIN(d->n_metadata, STORE_METADATA_MAX);
        int r;

        FOREACH_ARRAY(m, d->metadata, n) {
                r = buffer_append(ret, m->key, strlen(m->key) + 1);
                if (r >= 0)
                        r = buffer_append(ret, m->value, strlen(m->value) + 1);
                if (r < 0)
                        return r == -ENOBUFS ? -EMSGSIZE : r;
        }
        return 0;
}

/* Runs the statement, which takes (key, value, created_at, task), for every entry of a list. */
static int for_metadata(
                Store *s, WriterStatement statement, const char *packed, size_t size, const TaskRow *t)
{
        const char *end = packed + size;

        while (packed < end) {
                const char *key = packed, *value = key + strlen(key) + 1;
                Query q = store_query(s, statement);
                int r;

                query_text(&q, key);
                query_text(&q, value);
                query_int(&q, t->created_at);
                query_int(&q, t->id);
                r = query_run(&q, "Could not index the metadata of a task in");
                if (r < 0)
                        return r;
                packed = value + strlen(value) + 1;
        }
        return 0;
}

static int get_metadata(Store *s, int64_t task, Buffer *ret)
{
        _cleanup_query_ Query q = store_query(s, W_GET_METADATA);
        const void *packed;
        size_t size;
        int r;

        query_int(&q, task);
        r = query_step(&q, "Could not read the metadata of a task in");
        if (r <= 0)
                return r;
        packed = query_column_blob(&q, 0, &size);
        return packed ? buffer_append(ret, packed, size) : 0;
}

static int change_metadata(Store *s, const TaskRow *before, const TaskRow *task, const StoreDelivery *d)
{
        _cleanup_buffer_ Buffer old = BUFFER_INIT(METADATA_BYTES_MAX), new = BUFFER_INIT(METADATA_BYTES_MAX);
        Query q = store_query(s, W_SET_METADATA);
        int r;

        r = get_metadata(s, task->id, &old);
        if (r >= 0)
                r = pack_metadata(d, &new);
        if (r < 0)
                return connection_refuse(&s->connection, r,
                                "The metadata of a task could not be indexed: %s.", strerror(-r));
        if (old.size == new.size && before->created_at ==
                                                    task->created_at &&memcmp(buffer_text(&old),
                                                                    buffer_text(&new), old.size) == 0)
                return 0;

        r = for_metadata(s, W_DROP_METADATA, buffer_text(&old), old.size, before);
        if (r >= 0)
                r = for_metadata(s, W_ADD_METADATA, buffer_text(&new), new.size, task);
        if (r < 0)
                return r;

        query_blob(&q, buffer_text(&new), new.size);
        query_int(&q, task->id);
        return query_run(&q, "Could not keep the metadata of a task in");
}

/* Rows. */

static void read_task(const Query *q, TaskRow *ret)
{
        *ret = (TaskRow){
                .id = query_column(q, 0),
                .type = query_column(q, 1),
                .status = (int)query_column(q, 2),
                .is_test = query_column(q, 3) != 0,
                .created_at = query_column(q, 4),
                .completed_at = query_column_time(q, 5),
                .document = query_column(q, 6),
                .response = query_column(q, 7),
                .revision = query_column(q, 8),
                .revisions = query_column(q, 9),
                .last_event = query_column(q, 10),
                .submission = query_column(q, 11),
                .due_at = query_column_time(q, 12),
        };
}

static int find_task(Store *s, WriterStatement statement, const char *by, TaskRow *ret)
{
        _cleanup_query_ Query q = store_query(s, statement);
        int r;

        query_text(&q, by);
        r = query_step(&q, "Could not look up a task in");
        if (r > 0)
                read_task(&q, ret);
        return r;
}

int store_find_task(Store *s, const char *task_id, TaskRow *ret)
{
        return find_task(s, W_FIND_TASK, task_id, ret);
}

int store_find_task_of_ref(Store *s, const char *ref, TaskRow *ret)
{
        return find_task(s, W_FIND_TASK_OF_REF, ref, ret);
}

int store_find_task_of_number(Store *s, int64_t id, TaskRow *ret)
{
        _cleanup_query_ Query q = store_query(s, W_FIND_TASK_OF_NUMBER);
        int r;

        query_int(&q, id);
        r = query_step(&q, "Could not look up a task in");
        if (r > 0)
                read_task(&q, ret);
        return r;
}

static void bind_task(Query *q, const TaskRow *t)
{
        query_int(q, t->id);
        query_int(q, t->type);
        query_int(q, t->status);
        query_int(q, t->is_test);
        query_int(q, t->created_at);
        query_time(q, t->completed_at);
        query_id(q, t->document);
        query_id(q, t->response);
        query_int(q, t->revision);
        query_int(q, t->revisions);
        query_int(q, t->last_event);
        query_id(q, t->submission);
        query_time(q, t->due_at);
}

static int add_task(Store *s, const TaskRow *task, const StoreDelivery *d)
{
        _cleanup_buffer_ Buffer packed = BUFFER_INIT(METADATA_BYTES_MAX);
        _cleanup_query_ Query q = store_query(s, W_ADD_TASK);
        int r;

        r = d->has_document ? pack_metadata(d, &packed) : 0;
        if (r < 0)
                return connection_refuse(&s->connection, r,
                                "The metadata of a task could not be indexed: %s.", strerror(-r));

        bind_task(&q, task);
        query_text(&q, d->task_id);
        if (packed.size > 0)
                query_blob(&q, packed.data, packed.size);
        r = query_step(&q, "Could not add a task to");
        if (r >= 0)
                r = for_metadata(s, W_ADD_METADATA, buffer_text(&packed), packed.size, task);
        if (r >= 0)
                r = count_task(s, task, 1);
        return r;
}

static int drop_account(Store *s, int64_t submission)
{
        Query q = outbox_query(s, OW_DROP_ACCOUNT);

        query_int(&q, submission);
        return query_run(&q, "Could not forget what was said of a task in");
}

/* What its submission has only as long as the task is pending, or has no document of its own. */
static int tidy_submission(Store *s, const TaskRow *before, const TaskRow *task)
{
        bool is_news = !before || before->submission == 0;
        int r = 0;

        if (task->submission == 0)
                return 0;
        if (task->status != TASK_PENDING && (is_news || before->status == TASK_PENDING))
                r = store_tidy_submission(s, task->submission);
        if (r >= 0 && task->document != 0 && (is_news || before->document == 0))
                r = drop_account(s, task->submission);
        return r;
}

int store_save_task(Store *s, const TaskRow *before, const TaskRow *task, const StoreDelivery *d)
{
        Query q = store_query(s, W_CHANGE_TASK);
        int r;

        if (!before) {
                r = add_task(s, task, d);
                return r < 0 ? r : tidy_submission(s, NULL, task);
        }

        bind_task(&q, task);
        r = query_run(&q, "Could not change a task in");
        if (r >= 0 && task->described)
                r = change_metadata(s, before, task, d);
        if (r >= 0)
                r = count_task(s, before, -1);
        if (r >= 0)
                r = count_task(s, task, 1);
        return r < 0 ? r : tidy_submission(s, before, task);
}
