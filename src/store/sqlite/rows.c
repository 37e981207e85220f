/*
 * The rows of the log and of tasks, as the rules ask for them, and what hangs on them and has to follow when
 * they change: counters by kind and hour, and the entries by which a task's metadata is found.
 *
 * Counters are gathered in memory during a group and written once, before it commits: a group of many
 * callbacks touches few kinds and hours. They are part of the same transaction as the rows that they count.
 */

#include "store/sqlite/writer.h"

#include <inttypes.h>
#include <stdio.h>

#include "basic/buffer.h"

#define METADATA_BYTES_MAX (64U * 1024) /* of one task */

/* Types. */

static void remember_type(SqliteStore *s, const char *name, int64_t id)
{
        StoreTypeName *t;

        if (id > STORE_TYPES_OWN || s->n_types == STORE_TYPES_OWN || strlen(name) > CALLBACK_TYPE_MAX)
                return;
        t = &s->types[s->n_types++];
        t->id = id;
        strcpy(t->name, name);
}

static int find_type(SqliteStore *s, const char *name, int64_t *ret)
{
        _cleanup_query_ Query q = store_query(s, W_FIND_TYPE);
        int r;

        query_text(&q, name);
        r = query_step(&q, "Could not look up a type in");
        if (r > 0)
                *ret = query_column(&q, 0);
        return r;
}

static int sqlite_find_type(Store *store, const char *name, int64_t *ret)
{
        SqliteStore *s = sqlite_of(store);
        Query q = store_query(s, W_ADD_TYPE);
        int r;

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

static int flush_delta(SqliteStore *s, const StoreDelta *d)
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

static int flush_deltas(SqliteStore *s)
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

static int flush_submissions(SqliteStore *s)
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

int rows_flush_counters(SqliteStore *s)
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

static int count_task(SqliteStore *s, const TaskRow *t, int64_t count)
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
                SqliteStore *s, WriterStatement statement, const char *packed, size_t size, const TaskRow *t)
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

static int get_metadata(SqliteStore *s, int64_t task, Buffer *ret)
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

static int change_metadata(
                SqliteStore *s, const TaskRow *before, const TaskRow *task, const StoreDelivery *d)
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

static int find_task(SqliteStore *s, WriterStatement statement, const char *by, TaskRow *ret)
{
        _cleanup_query_ Query q = store_query(s, statement);
        int r;

        query_text(&q, by);
        r = query_step(&q, "Could not look up a task in");
        if (r > 0)
                read_task(&q, ret);
        return r;
}

static int sqlite_find_task(Store *store, const char *task_id, TaskRow *ret)
{
        return find_task(sqlite_of(store), W_FIND_TASK, task_id, ret);
}

static int sqlite_find_task_of_ref(Store *store, const char *ref, TaskRow *ret)
{
        return find_task(sqlite_of(store), W_FIND_TASK_OF_REF, ref, ret);
}

static int sqlite_get_task(Store *store, int64_t id, TaskRow *ret)
{
        _cleanup_query_ Query q = store_query(sqlite_of(store), W_FIND_TASK_OF_NUMBER);
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

static int add_task(SqliteStore *s, const TaskRow *task, const StoreDelivery *d)
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

static int sqlite_save_task(Store *store, const TaskRow *before, const TaskRow *task, const StoreDelivery *d)
{
        SqliteStore *s = sqlite_of(store);
        Query q = store_query(s, W_CHANGE_TASK);
        int r;

        if (!before)
                return add_task(s, task, d);

        bind_task(&q, task);
        r = query_run(&q, "Could not change a task in");
        if (r >= 0 && task->described)
                r = change_metadata(s, before, task, d);
        if (r >= 0)
                r = count_task(s, before, -1);
        if (r >= 0)
                r = count_task(s, task, 1);
        return r;
}

/* The log. */

static int sqlite_add_delivery(Store *store, const DeliveryRow *row)
{
        SqliteStore *s = sqlite_of(store);
        const StoreDelivery *d = row->delivery;
        Query q = store_query(s, W_ADD_DELIVERY);
        int r;

        query_int(&q, row->n);
        query_int(&q, d->received_at);
        query_int(&q, d->source);
        query_int(&q, row->verdict);
        query_int(&q, d->status);
        query_int(&q, d->unchecked);
        query_int(&q, row->type);
        query_id(&q, row->task);
        query_int(&q, row->revision);
        query_int(&q, (int64_t)MIN(d->duration, (uint64_t)INT64_MAX));
        query_id(&q, row->fingerprint);
        query_text(&q, d->key_label);
        query_text(&q, d->remote);
        query_text(&q, d->ref);
        query_text(&q, row->task == 0 ? d->task_id : NULL);
        query_text(&q, d->problems);
        query_blob(&q, d->body, d->body_size);
        r = query_run(&q, "Could not add a delivery to");
        if (r >= 0)
                s->verdicts[row->verdict]++;
        return r;
}

static int sqlite_find_delivery(Store *store, int64_t fingerprint, Verdict verdict,
                const StoreDelivery *delivery, int64_t *ret_n, int64_t *ret_revision)
{
        _cleanup_query_ Query q = store_query(sqlite_of(store), W_FIND_ASIDE);
        int r;

        query_int(&q, fingerprint);
        query_int(&q, verdict);
        query_blob(&q, delivery->body, delivery->body_size);
        query_text(&q, delivery->task_id);
        query_text(&q, delivery->ref);
        r = query_step(&q, "Could not look for a repetition in");
        if (r > 0) {
                *ret_n = query_column(&q, 0);
                *ret_revision = query_column(&q, 1);
        }
        return r;
}

static int sqlite_is_body(Store *store, int64_t n, const void *body, size_t size)
{
        _cleanup_query_ Query q = store_query(sqlite_of(store), W_IS_BODY);

        query_int(&q, n);
        query_blob(&q, body, size);
        return query_step(&q, "Could not compare bodies in");
}

static int sqlite_get_verdict(Store *store, int64_t n, Verdict *ret)
{
        SqliteStore *s = sqlite_of(store);
        _cleanup_query_ Query q = store_query(s, W_GET_VERDICT);
        int64_t verdict;
        int r;

        query_int(&q, n);
        r = query_step(&q, "Could not look up a delivery in");
        if (r <= 0)
                return r;
        verdict = query_column(&q, 0);
        if (verdict < 0 || verdict >= _VERDICT_MAX)
                return connection_refuse(&s->connection, -EUCLEAN, "Delivery %lld of %s has no verdict.",
                                (long long)n, s->connection.path);
        *ret = (Verdict)verdict;
        return 1;
}

static int sqlite_count_repeat(Store *store, int64_t n, Verdict verdict, int64_t at)
{
        SqliteStore *s = sqlite_of(store);
        Query q = store_query(s, W_COUNT_REPEAT);
        int r;

        query_int(&q, n);
        query_int(&q, at);
        r = query_run(&q, "Could not count a repetition in");
        if (r >= 0)
                s->repeats[verdict]++;
        return r;
}

static void keep_name(char *target, size_t size, const char *name)
{
        snprintf(target, size, "%s", name ?: "");
}

static int sqlite_get_names(Store *store, int64_t n, int64_t task, int64_t type, StoreOutcome *ret)
{
        _cleanup_query_ Query q = store_query(sqlite_of(store), W_GET_NAMES);
        int r;

        query_int(&q, n);
        query_id(&q, task);
        query_id(&q, type);
        r = query_step(&q, "Could not read what a delivery is about in");
        if (r <= 0)
                return r;
        keep_name(ret->task_id, sizeof(ret->task_id), query_column_text(&q, 0));
        keep_name(ret->type, sizeof(ret->type), query_column_text(&q, 1));
        return 1;
}

/* Revisions. */

static int sqlite_find_revision(Store *store, int64_t task, const uint8_t *digest, int64_t *ret_number,
                int64_t *ret_delivery)
{
        _cleanup_query_ Query q = store_query(sqlite_of(store), W_FIND_REVISION);
        int r;

        query_int(&q, task);
        query_blob(&q, digest, CALLBACK_DIGEST_SIZE);
        r = query_step(&q, "Could not look for a response in");
        if (r > 0) {
                *ret_number = query_column(&q, 0);
                *ret_delivery = query_column(&q, 1);
        }
        return r;
}

static int sqlite_add_revision(Store *store, int64_t task, int64_t number, int64_t delivery,
                int64_t completed_at, const uint8_t *digest)
{
        Query q = store_query(sqlite_of(store), W_ADD_REVISION);

        query_int(&q, task);
        query_int(&q, number);
        query_int(&q, delivery);
        query_int(&q, completed_at);
        query_blob(&q, digest, CALLBACK_DIGEST_SIZE);
        return query_run(&q, "Could not add a revision to");
}

static int sqlite_set_revision_time(Store *store, int64_t task, int64_t number, int64_t completed_at)
{
        Query q = store_query(sqlite_of(store), W_SET_REVISION_TIME);

        query_int(&q, task);
        query_int(&q, number);
        query_int(&q, completed_at);
        return query_run(&q, "Could not write to");
}

/* Events. */

static int sqlite_add_event(Store *store, const EventRow *event)
{
        Query q = store_query(sqlite_of(store), W_ADD_EVENT);

        query_int(&q, store->event + 1);
        query_int(&q, event->time);
        query_int(&q, event->kind);
        query_int(&q, event->type);
        query_id(&q, event->task);
        query_time(&q, event->status >= 0 ? event->status : TIME_NONE);
        query_int(&q, event->revision);
        query_int(&q, event->delivery);
        query_text(&q, event->named);
        query_text(&q, event->submission);
        return query_run(&q, "Could not add an event to");
}

/* The quarantine. */

static int sqlite_add_quarantined(Store *store, int64_t n)
{
        Query q = store_query(sqlite_of(store), W_QUARANTINE);

        query_int(&q, n);
        return query_run(&q, "Could not quarantine a delivery in");
}

static int sqlite_get_quarantined(Store *store, uint64_t n, bool *ret_discarded, int64_t *ret_repeats)
{
        _cleanup_query_ Query q = store_query(sqlite_of(store), W_GET_QUARANTINE);
        int r;

        query_int(&q, (int64_t)n);
        r = query_step(&q, "Could not look into the quarantine of");
        if (r > 0) {
                *ret_discarded = query_column(&q, 0) != 0;
                *ret_repeats = query_column(&q, 1);
        }
        return r;
}

static int sqlite_discard(Store *store, uint64_t n, uint64_t superseded_by, int64_t repeats)
{
        SqliteStore *s = sqlite_of(store);
        Query q = store_query(s, W_DISCARD);
        int r;

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

/* Retention. */

/* How close marks are: a part of their age. Then their number grows with its logarithm. */
#define MARK_PART 32

static int sqlite_get_time(Store *store, uint64_t *ret_counted, int64_t *ret_noted_at)
{
        _cleanup_query_ Query q = store_query(sqlite_of(store), W_GET_RUNNING_TIME);
        int r;

        r = query_step(&q, "Could not read the time that was counted from");
        if (r > 0) {
                *ret_counted = (uint64_t)query_column(&q, 0);
                *ret_noted_at = query_column(&q, 1);
        }
        return r;
}

static int sqlite_set_time(Store *store, uint64_t counted, int64_t noted_at)
{
        SqliteStore *s = sqlite_of(store);
        Query time = store_query(s, W_SET_RUNNING_TIME), mark = store_query(s, W_ADD_MARK),
              thin = store_query(s, W_THIN_MARKS);
        int r;

        query_int(&time, (int64_t)counted);
        query_int(&time, noted_at);
        r = query_run(&time, "Could not count the time in");
        if (r < 0)
                return r;
        query_int(&mark, store->delivery);
        query_int(&mark, (int64_t)counted);
        r = query_run(&mark, "Could not note the newest delivery in");
        if (r < 0)
                return r;
        query_int(&thin, (int64_t)counted);
        query_int(&thin, MARK_PART);
        return query_run(&thin, "Could not forget a mark of");
}

static int sqlite_find_mark(Store *store, uint64_t counted, uint64_t *ret_n)
{
        _cleanup_query_ Query q = store_query(sqlite_of(store), W_FIND_MARK);
        int r;

        query_int(&q, (int64_t)counted);
        r = query_step(&q, "Could not look for marks in");
        if (r > 0)
                *ret_n = (uint64_t)query_column(&q, 0);
        return r;
}

static int sqlite_find_old(
                Store *store, uint64_t after, uint64_t upto, unsigned limit, OldRow *ret, unsigned *ret_n)
{
        SqliteStore *s = sqlite_of(store);
        _cleanup_query_ Query q = store_query(s, W_FIND_OLD);
        unsigned n = 0;
        int r;

        query_int(&q, (int64_t)MIN(after, (uint64_t)INT64_MAX));
        query_int(&q, (int64_t)MIN(upto, (uint64_t)INT64_MAX));
        query_int(&q, (int64_t)limit);
        while ((r = query_step(&q, "Could not look for old deliveries in")) > 0) {
                ret[n] = (OldRow){ query_column(&q, 0), query_column(&q, 1), query_column(&q, 2),
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

static int sqlite_drop_delivery(Store *store, const OldRow *old)
{
        static const WriterStatement statements[] = { W_DROP_DELIVERY, W_DROP_REPEAT, W_DROP_QUARANTINE };
        SqliteStore *s = sqlite_of(store);
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

const StoreRows sqlite_rows = {
        .find_type = sqlite_find_type,
        .find_task = sqlite_find_task,
        .find_task_of_ref = sqlite_find_task_of_ref,
        .get_task = sqlite_get_task,
        .save_task = sqlite_save_task,
        .find_revision = sqlite_find_revision,
        .add_revision = sqlite_add_revision,
        .set_revision_time = sqlite_set_revision_time,
        .add_delivery = sqlite_add_delivery,
        .find_delivery = sqlite_find_delivery,
        .is_body = sqlite_is_body,
        .get_verdict = sqlite_get_verdict,
        .count_repeat = sqlite_count_repeat,
        .get_names = sqlite_get_names,
        .add_event = sqlite_add_event,
        .add_quarantined = sqlite_add_quarantined,
        .get_quarantined = sqlite_get_quarantined,
        .discard = sqlite_discard,
        .get_time = sqlite_get_time,
        .set_time = sqlite_set_time,
        .find_mark = sqlite_find_mark,
        .find_old = sqlite_find_old,
        .drop_delivery = sqlite_drop_delivery,
};
