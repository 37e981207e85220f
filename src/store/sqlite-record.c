/*
 * What follows from a delivery. This is the one place that decides whether a response is new, known or
 * another one; it compares digests and bytes and never looks into a body.
 *
 * The rules:
 * - The log gets a row for every delivery, except for one that came before byte for byte: that is counted.
 * - A response that its task doesn't have becomes a revision, numbered in the order of arrival. The current
 * one is the one that was completed last, whenever it arrived; at a tie the later arrival. Nothing is
 * overwritten.
 * - The document follows the current response, and a response's absence: only a first response, a newer one,
 * or a failed attachment of a task that has no response yet may replace it.
 * - A failed attachment never touches a response, nor the state of a task that has one.
 * - Every change that others may care for is one event, with a number without gaps.
 *
 * The ordinary delivery, the first response of a task, costs five statements: a look-up and four rows at the
 * ends of their tables.
 */

#include "store/sqlite-internal.h"

typedef struct Recording {
        Store *store;
        const StoreDelivery *delivery;
        int64_t type;
        TaskRow task; /* id 0: none */
        TaskRow before;
        int64_t fingerprint;
} Recording;

/* Not against an adversary, who could only make us compare more: the bytes decide. Never 0. */
static int64_t fingerprint_of(const void *body, size_t size)
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

/* Rows. */

/* An entry in the log, with the next number. `aside`: no revision stands on it. */
static int add_delivery(Recording *x, Verdict verdict, int64_t revision, bool aside)
{
        const StoreDelivery *d = x->delivery;
        Store *s = x->store;
        Query q = store_query(s, W_ADD_DELIVERY);
        int r;

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

        s->delivery++;
        s->verdicts[verdict]++;
        return 0;
}

/* `status` may be _TASK_STATUS_INVALID: the event is not about a task's state. */
static int add_event(Recording *x, EventKind kind, int status, int64_t revision)
{
        const StoreDelivery *d = x->delivery;
        Store *s = x->store;
        Query q = store_query(s, W_ADD_EVENT);
        int r;

        query_int(&q, s->event + 1);
        query_int(&q, d->received_at);
        query_int(&q, kind);
        query_int(&q, x->task.id != 0 ? x->task.type : x->type);
        query_id(&q, x->task.id);
        query_time(&q, status >= 0 ? status : TIME_NONE);
        query_int(&q, revision);
        query_int(&q, s->delivery);
        query_text(&q, x->task.id == 0 ? d->task_id : NULL);
        query_text(&q, d->ref);
        r = query_run(&q, "Could not add an event to");
        if (r >= 0)
                s->event++;
        return r;
}

static int add_revision(Recording *x, int64_t completed_at)
{
        Query q = store_query(x->store, W_ADD_REVISION);

        query_int(&q, x->task.id);
        query_int(&q, x->task.revisions);
        query_int(&q, x->store->delivery);
        query_int(&q, completed_at);
        query_blob(&q, x->delivery->digest, CALLBACK_DIGEST_SIZE);
        return query_run(&q, "Could not add a revision to");
}

/* Writes the task with the number of the event that is to come. */
static int save_task(Recording *x)
{
        x->task.last_event = x->store->event + 1;
        return store_save_task(x->store, x->before.id != 0 ? &x->before : NULL, &x->task, x->delivery);
}

/* Repetitions. */

static int count_repeat(Recording *x, int64_t n)
{
        Query get = store_query(x->store, W_GET_VERDICT), q = store_query(x->store, W_COUNT_REPEAT);
        int r, verdict;

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

/* 1: it came before, byte for byte and with this verdict, and is counted there. */
static int repeat_aside(Recording *x, Verdict verdict, int64_t *ret_n, int64_t *ret_revision)
{
        const StoreDelivery *d = x->delivery;
        _cleanup_query_ Query q = store_query(x->store, W_FIND_ASIDE);
        int r;

        x->fingerprint = fingerprint_of(d->body, d->body_size);
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
        r = count_repeat(x, *ret_n);
        return r < 0 ? r : 1;
}

static int is_body_of(Recording *x, int64_t n)
{
        _cleanup_query_ Query q = store_query(x->store, W_IS_BODY);

        query_int(&q, n);
        query_blob(&q, x->delivery->body, x->delivery->body_size);
        return query_step(&q, "Could not compare bodies in");
}

/* 1: the task has this response. */
static int find_revision(Recording *x, int64_t *ret_number, int64_t *ret_n)
{
        _cleanup_query_ Query q = store_query(x->store, W_FIND_REVISION);
        int r;

        if (x->task.revisions == 0)
                return 0;
        query_int(&q, x->task.id);
        query_blob(&q, x->delivery->digest, CALLBACK_DIGEST_SIZE);
        r = query_step(&q, "Could not look for a response in");
        if (r > 0) {
                *ret_number = query_column(&q, 0);
                *ret_n = query_column(&q, 1);
        }
        return r;
}

/* Tasks. */

/* A row for a task that was not known: its key is the next. */
static void invent_task(Recording *x)
{
        const StoreDelivery *d = x->delivery;

        x->task = (TaskRow){
                .id = x->store->task + 1,
                .type = x->type,
                .status = d->task_status,
                .is_test = d->is_test,
                .created_at = d->created_at != TIME_NONE ? d->created_at : d->received_at,
                .completed_at = TIME_NONE,
        };
        x->store->task++;
}

/* The delivery that is about to be added, or was just added as `n`, gives the task its document. */
static void take_document(Recording *x, int64_t n)
{
        const StoreDelivery *d = x->delivery;

        if (!d->has_document)
                return;
        x->task.document = n;
        x->task.is_test = d->is_test;
        if (x->type != 0)
                x->task.type = x->type;
        if (d->created_at != TIME_NONE)
                x->task.created_at = d->created_at;
}

/* Responses. */

/* Whoever sends a response says that the task is done, even with a task from before. */
static int status_with_response(const StoreDelivery *d)
{
        return d->task_status == TASK_PENDING || d->task_status < 0 ? TASK_COMPLETED : (int)d->task_status;
}

static int record_duplicate(Recording *x, int64_t number, int64_t first, StoreOutcome *ret)
{
        int64_t n = first, revision = number;
        int r;

        *ret = (StoreOutcome){ .verdict = VERDICT_DUPLICATE, .revision = (unsigned)number };
        r = is_body_of(x, first);
        if (r > 0) {
                r = count_repeat(x, first);
                r = r < 0 ? r : 1;
        } else if (r == 0)
                r = repeat_aside(x, VERDICT_DUPLICATE, &n, &revision);
        if (r < 0)
                return r;
        if (r > 0) {
                ret->delivery = (uint64_t)n;
                ret->repeated = true;
                return 0;
        }

        r = add_delivery(x, VERDICT_DUPLICATE, number, true);
        if (r < 0)
                return r;
        ret->delivery = (uint64_t)x->store->delivery;
        if (x->task.document != 0 || !x->delivery->has_document)
                return 0;

        /* Nobody is told: what was not known of the task is now, but nothing changed. */
        take_document(x, x->store->delivery);
        return store_save_task(x->store, &x->before, &x->task, x->delivery);
}

static int record_revision(Recording *x, StoreOutcome *ret)
{
        const StoreDelivery *d = x->delivery;
        int64_t completed_at = d->completed_at != TIME_NONE ? d->completed_at : d->received_at;
        int64_t n = x->store->delivery + 1;
        bool first = x->task.revisions == 0;
        Verdict verdict = first ? VERDICT_STORED : VERDICT_REVISED;
        EventKind kind;
        int r;

        if (x->task.id == 0)
                invent_task(x);
        x->task.revisions++;
        if (first || completed_at >= x->task.completed_at) {
                x->task.revision = x->task.revisions;
                x->task.response = n;
                x->task.completed_at = completed_at;
                x->task.status = status_with_response(d);
                take_document(x, n);
        } else if (x->task.document == 0)
                take_document(x, n);

        kind = !first                            ? EVENT_TASK_REVISED
               : x->task.status == TASK_CANCELED ? EVENT_TASK_CANCELED
                                                 : EVENT_TASK_COMPLETED;

        r = add_delivery(x, verdict, x->task.revisions, false);
        if (r >= 0)
                r = save_task(x);
        if (r >= 0)
                r = add_revision(x, completed_at);
        if (r >= 0)
                r = add_event(x, kind, x->task.status, x->task.revisions);
        if (r < 0)
                return r;

        *ret = (StoreOutcome){
                .verdict = verdict,
                .delivery = (uint64_t)n,
                .revision = (unsigned)x->task.revisions,
        };
        return 0;
}

static int record_response(Recording *x, StoreOutcome *ret)
{
        int64_t number, n;
        int r;

        assert(x->delivery->task_id);
        r = find_revision(x, &number, &n);
        if (r < 0)
                return r;
        return r > 0 ? record_duplicate(x, number, n, ret) : record_revision(x, ret);
}

/* Attachments. */

static int record_attachment_failure(Recording *x, StoreOutcome *ret)
{
        const StoreDelivery *d = x->delivery;
        int64_t n, revision;
        int r;

        if (x->task.id == 0 && !d->task_id && d->ref) {
                r = store_find_task_of_ref(x->store, d->ref, &x->task);
                if (r < 0)
                        return r;
                x->before = x->task;
        }

        r = repeat_aside(x, VERDICT_ATTACHMENT_FAILURE, &n, &revision);
        if (r < 0)
                return r;
        if (r > 0) {
                *ret = (StoreOutcome){
                        .verdict = VERDICT_DUPLICATE, .delivery = (uint64_t)n, .repeated = true
                };
                return 0;
        }

        n = x->store->delivery + 1;
        if (x->task.id == 0 && d->task_id)
                invent_task(x);
        if (x->task.id != 0 && x->task.revisions == 0)
                x->task.status = TASK_ERROR;
        if (x->task.id != 0 && (x->task.revisions == 0 || x->task.document == 0))
                take_document(x, n);

        r = add_delivery(x, VERDICT_ATTACHMENT_FAILURE, 0, true);
        if (r >= 0 && x->task.id != 0)
                r = save_task(x);
        if (r >= 0)
                r = add_event(x, EVENT_ATTACHMENT_FAILED,
                                x->task.id != 0 ? x->task.status : _TASK_STATUS_INVALID, 0);
        if (r < 0)
                return r;
        *ret = (StoreOutcome){ .verdict = VERDICT_ATTACHMENT_FAILURE, .delivery = (uint64_t)n };
        return 0;
}

/* The quarantine. */

static int quarantine(Store *s)
{
        Query q = store_query(s, W_QUARANTINE);

        query_int(&q, s->delivery);
        return query_run(&q, "Could not quarantine a delivery in");
}

static int record_invalid(Recording *x, StoreOutcome *ret)
{
        int64_t n, revision;
        int r;

        *ret = (StoreOutcome){ .verdict = VERDICT_INVALID };
        r = repeat_aside(x, VERDICT_INVALID, &n, &revision);
        if (r < 0)
                return r;
        if (r > 0) {
                ret->delivery = (uint64_t)n;
                ret->repeated = true;
                return 0;
        }

        r = add_delivery(x, VERDICT_INVALID, 0, true);
        if (r >= 0)
                r = quarantine(x->store);
        if (r >= 0 && x->task.id != 0)
                r = save_task(x); /* it has an event more */
        if (r >= 0)
                r = add_event(x, EVENT_DELIVERY_INVALID, _TASK_STATUS_INVALID, 0);
        ret->delivery = (uint64_t)x->store->delivery;
        return r;
}

/* The verb. */

int store_record_delivery(Store *s, const StoreDelivery *d, StoreOutcome *ret)
{
        Recording x = { .store = s, .delivery = d };
        StoreOutcome outcome;
        int r;

        assert(s->in_group);
        assert(d->retry_of == 0 || d->proposed != VERDICT_INVALID); /* a retry that fails leaves nothing */

        r = store_type_id(s, d->type, &x.type);
        if (r >= 0 && d->task_id)
                r = store_find_task(s, d->task_id, &x.task);
        if (r < 0)
                return r;
        x.before = x.task;

        if (d->proposed == VERDICT_INVALID)
                r = record_invalid(&x, &outcome);
        else if (d->proposed == VERDICT_ATTACHMENT_FAILURE)
                r = record_attachment_failure(&x, &outcome);
        else
                r = record_response(&x, &outcome);
        if (r >= 0 && d->retry_of != 0)
                r = store_settle(s, d->retry_of, outcome.delivery);
        if (r < 0)
                return r;
        *ret = outcome;
        return 0;
}
