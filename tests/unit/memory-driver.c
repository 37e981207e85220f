/*
 * Everything in memory. A group works on a copy of all rows, which takes their place when it is committed;
 * so a rollback is to forget the copy, and readers see what was committed. What rows point to is never
 * changed, and is kept until the test ends.
 *
 * It is written against store/driver.h alone, and by its words.
 */

#include "memory-driver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "basic/parse.h"

#define DATABASES_MAX 256U

typedef struct Revision {
        int64_t task, number, delivery, completed_at;
        uint8_t digest[CALLBACK_DIGEST_SIZE];
} Revision;

typedef struct Delivery {
        StoreDelivery d; /* texts and bodies are ours */
        int64_t n, type, task, revision, fingerprint;
        Verdict verdict;
        uint64_t repeats;
        int64_t last_repeat_at;
        bool quarantined, discarded;
        uint64_t superseded_by;
} Delivery;

typedef struct Task {
        TaskRow row;
        const char *task_id;
        const StoreMetadata *metadata;
        size_t n_metadata;
} Task;

typedef struct Event {
        EventRow row;
        uint64_t seq;
} Event;

typedef struct Outgoing {
        Submission s; /* without id, type, task */
        SubmissionRow row;
        uint8_t digest[CALLBACK_DIGEST_SIZE];
        const char *const *urls;
        size_t n_urls;
        bool open;
        const void *snapshot;
        size_t snapshot_size;
} Outgoing;

typedef struct Pair {
        int64_t key, value;
} Pair;

#define LIST(T)              \
        struct {             \
                T *items;    \
                size_t n;    \
                size_t size; \
        }

typedef struct State {
        LIST(const char *) types;
        LIST(Task) tasks;
        LIST(Revision) revisions;
        LIST(Delivery) deliveries;
        LIST(Event) events;
        LIST(Outgoing) submissions;
        LIST(Pair) live, marks;
        QueueHold hold;
        const char *reason;
        int64_t since;
        bool has_queue, has_time;
        uint64_t counted;
        int64_t noted_at;
        uint64_t version;
} State;

/* Calls f(list) for each list of a state. */
#define FOR_LISTS(f) f(types) f(tasks) f(revisions) f(deliveries) f(events) f(submissions) f(live) f(marks)

typedef struct Database {
        char *location;
        State committed;
        pthread_mutex_t writing; /* from begin to the end of a group */
        LIST(void *) kept;
} Database;

typedef struct MemoryStore {
        Store base;
        Database *database;
        State state; /* of the group */
} MemoryStore;

typedef struct MemoryReader {
        StoreReader base;
        Database *database;
        uint64_t version;
} MemoryReader;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for all databases */
static Database databases[DATABASES_MAX];
static unsigned n_failures;
static int failure;

/* Lists. */

static void *grow(void *items, size_t n, size_t *size, size_t item)
{
        if (n < *size)
                return items;
        *size = MAX(*size * 2, (size_t)16);
        items = realloc(items, *size * item);
        assert(items);
        return items;
}

#define PUSH(list, ...)                                                                                \
        ({                                                                                             \
                (list)->items = grow((list)->items, (list)->n, &(list)->size, sizeof(*(list)->items)); \
                (list)->items[(list)->n] = __VA_ARGS__;                                                \
                &(list)->items[(list)->n++];                                                           \
        })

static void *copy_of(const void *items, size_t size)
{
        void *copy = malloc(MAX(size, (size_t)1));

        assert(copy);
        if (size > 0)
                memcpy(copy, items, size);
        return copy;
}

static void state_free(State *s)
{
#define FREE(list) free(s->list.items);
        FOR_LISTS(FREE)
        *s = (State){};
}

static State state_copy(const State *s)
{
        State copy = *s;

#define COPY(list)                                                                    \
        copy.list.items = copy_of(s->list.items, s->list.n * sizeof(*s->list.items)); \
        copy.list.size = s->list.n;
        FOR_LISTS(COPY)
        return copy;
}

static void *keep(Database *d, const void *p, size_t size)
{
        void *copy = copy_of(p, size);

        PUSH(&d->kept, copy);
        return copy;
}

static const char *keep_text(Database *d, const char *text)
{
        return text ? keep(d, text, strlen(text) + 1) : NULL;
}

static Database *find_database(const char *location, bool make)
{
        FOREACH_ARRAY(d, databases, ELEMENTSOF(databases)) {
                if (d->location && streq(d->location, location))
                        return d;
                if (d->location)
                        continue;
                if (!make)
                        return NULL;
                d->location = strdup(location);
                assert(d->location);
                pthread_mutex_init(&d->writing, NULL);
                return d;
        }
        assert(false);
        return NULL;
}

void memory_driver_forget(void)
{
        FOREACH_ARRAY(d, databases, ELEMENTSOF(databases)) {
                if (!d->location)
                        continue;
                state_free(&d->committed);
                FOREACH_ARRAY(p, d->kept.items, d->kept.n)
                        free(*p);
                free(d->kept.items);
                pthread_mutex_destroy(&d->writing);
                free(d->location);
                *d = (Database){};
        }
}

void memory_driver_fail(unsigned n, int error)
{
        n_failures = n;
        failure = error;
}

/* The writer. */

static MemoryStore *memory_of(const Store *s)
{
        return container_of(s, MemoryStore, base);
}

static State *state_of(const Store *s)
{
        return &memory_of(s)->state;
}

static int memory_open(const char *location, _unused_ StoreRole role, Store **ret, _unused_ char **ret_error)
{
        MemoryStore *m = calloc(1, sizeof(MemoryStore));

        assert(m);
        pthread_mutex_lock(&lock);
        m->database = find_database(location, true);
        m->base.last_event = m->database->committed.events.n;
        pthread_mutex_unlock(&lock);
        m->base.driver = &memory_driver;
        *ret = &m->base;
        return 0;
}

static Store *memory_close(Store *s)
{
        free(memory_of(s));
        return NULL;
}

static const char *memory_error(_unused_ const Store *s)
{
        return "made up";
}

static int memory_begin(Store *s, _unused_ StoreChange *const *changes, _unused_ size_t n)
{
        MemoryStore *m = memory_of(s);

        pthread_mutex_lock(&m->database->writing);
        m->state = state_copy(&m->database->committed);
        s->delivery = m->state.deliveries.n > 0 ? m->state.deliveries.items[m->state.deliveries.n - 1].n : 0;
        s->task = (int64_t)m->state.tasks.n;
        s->event = (int64_t)m->state.events.n;
        return 0;
}

static void memory_rollback(Store *s)
{
        MemoryStore *m = memory_of(s);

        state_free(&m->state);
        pthread_mutex_unlock(&m->database->writing);
}

/* -EINPROGRESS is said of a group that was kept. */
static int memory_commit(Store *s)
{
        MemoryStore *m = memory_of(s);
        State before;
        int r = 0;

        if (n_failures > 0) {
                n_failures--;
                r = failure;
        }
        if (r < 0 && r != -EINPROGRESS)
                return r;
        m->state.version++;
        pthread_mutex_lock(&lock);
        before = m->database->committed;
        m->database->committed = m->state;
        pthread_mutex_unlock(&lock);
        m->state = before;
        if (r < 0)
                return r; /* what is rolled back is the state of before */
        state_free(&m->state);
        pthread_mutex_unlock(&m->database->writing);
        return 0;
}

static bool memory_at_fault(_unused_ const Store *s)
{
        return false;
}

static int memory_nothing(_unused_ Store *s)
{
        return 0;
}

static void memory_count(_unused_ const Store *s, _unused_ StoreCounts *ret)
{
}

/* Tasks. */

static int memory_find_type(Store *s, const char *name, int64_t *ret)
{
        State *state = state_of(s);

        for (size_t i = 0; i < state->types.n; i++)
                if (streq(state->types.items[i], name)) {
                        *ret = (int64_t)i + 1;
                        return 0;
                }
        PUSH(&state->types, keep_text(memory_of(s)->database, name));
        *ret = (int64_t)state->types.n;
        return 0;
}

static Task *task_of_name(const State *state, const char *task_id)
{
        FOREACH_ARRAY(t, state->tasks.items, state->tasks.n)
                if (streq(t->task_id, task_id))
                        return t;
        return NULL;
}

static int give_row(const Task *t, TaskRow *ret)
{
        if (!t)
                return 0;
        *ret = t->row;
        ret->described = false;
        return 1;
}

static int memory_find_task(Store *s, const char *task_id, TaskRow *ret)
{
        return give_row(task_of_name(state_of(s), task_id), ret);
}

static Task *task_of_number(const State *state, int64_t id)
{
        return id > 0 && (size_t)id <= state->tasks.n ? &state->tasks.items[id - 1] : NULL;
}

static int memory_get_task(Store *s, int64_t id, TaskRow *ret)
{
        return give_row(task_of_number(state_of(s), id), ret);
}

static int64_t task_of_ref(const State *state, const char *ref)
{
        int64_t task = 0;

        FOREACH_ARRAY(d, state->deliveries.items, state->deliveries.n)
                if (d->d.ref && d->task != 0 && streq(d->d.ref, ref))
                        task = d->task;
        return task;
}

static int memory_find_task_of_ref(Store *s, const char *ref, TaskRow *ret)
{
        return memory_get_task(s, task_of_ref(state_of(s), ref), ret);
}

static const StoreMetadata *keep_metadata(Database *db, const StoreDelivery *d)
{
        StoreMetadata *m = keep(db, d->metadata, d->n_metadata * sizeof(StoreMetadata));

        for (size_t i = 0; i < d->n_metadata; i++)
                m[i] = (StoreMetadata){ keep_text(db, m[i].key), keep_text(db, m[i].value) };
        return m;
}

static int memory_save_task(Store *s, const TaskRow *before, const TaskRow *task, const StoreDelivery *d)
{
        Database *db = memory_of(s)->database;
        State *state = state_of(s);
        Task *t = before ? task_of_number(state, task->id) : NULL;

        if (!t) {
                assert(task->id == (int64_t)state->tasks.n + 1);
                t = PUSH(&state->tasks, (Task){ .task_id = keep_text(db, d->task_id) });
        }
        t->row = *task;
        if (before ? task->described : d->has_document) {
                t->metadata = keep_metadata(db, d);
                t->n_metadata = MIN(d->n_metadata, STORE_METADATA_MAX);
        }
        return 0;
}

/* Revisions. */

static int memory_find_revision(
                Store *s, int64_t task, const uint8_t *digest, int64_t *ret_number, int64_t *ret_delivery)
{
        FOREACH_ARRAY(v, state_of(s)->revisions.items, state_of(s)->revisions.n)
                if (v->task == task && memcmp(v->digest, digest, sizeof(v->digest)) == 0) {
                        *ret_number = v->number;
                        *ret_delivery = v->delivery;
                        return 1;
                }
        return 0;
}

static int memory_add_revision(Store *s, int64_t task, int64_t number, int64_t delivery,
                int64_t completed_at, const uint8_t *digest)
{
        Revision *v = PUSH(&state_of(s)->revisions, (Revision){ task, number, delivery, completed_at, {} });

        memcpy(v->digest, digest, sizeof(v->digest));
        return 0;
}

static int memory_set_revision_time(Store *s, int64_t task, int64_t number, int64_t completed_at)
{
        FOREACH_ARRAY(v, state_of(s)->revisions.items, state_of(s)->revisions.n)
                if (v->task == task && v->number == number)
                        v->completed_at = completed_at;
        return 0;
}

/* The log. */

static Delivery *delivery_of(const State *state, int64_t n)
{
        FOREACH_ARRAY(d, state->deliveries.items, state->deliveries.n)
                if (d->n == n)
                        return d;
        return NULL;
}

/* One that is there. */
static Delivery *delivery_at(const State *state, int64_t n)
{
        Delivery *d = delivery_of(state, n);

        assert(d);
        return d;
}

static int memory_add_delivery(Store *s, const DeliveryRow *row)
{
        Database *db = memory_of(s)->database;
        const StoreDelivery *from = row->delivery;
        Delivery *d;

        d = PUSH(&state_of(s)->deliveries, (Delivery){
                                                           .d = *from,
                                                           .n = row->n,
                                                           .type = row->type,
                                                           .task = row->task,
                                                           .revision = row->revision,
                                                           .fingerprint = row->fingerprint,
                                                           .verdict = row->verdict,
                                                           .last_repeat_at = TIME_NONE,
                                           });
        d->d.key_label = keep_text(db, from->key_label);
        d->d.remote = keep_text(db, from->remote);
        d->d.ref = keep_text(db, from->ref);
        d->d.task_id = keep_text(db, from->task_id);
        d->d.problems = keep_text(db, from->problems);
        d->d.body = keep(db, from->body, from->body_size);
        return 0;
}

static bool is_same_body(const Delivery *d, const void *body, size_t size)
{
        return d->d.body_size == size && (size == 0 || memcmp(d->d.body, body, size) == 0);
}

static int memory_find_delivery(Store *s, int64_t fingerprint, Verdict verdict,
                const StoreDelivery *delivery, int64_t *ret_n, int64_t *ret_revision)
{
        FOREACH_ARRAY(d, state_of(s)->deliveries.items, state_of(s)->deliveries.n)
                if (d->fingerprint == fingerprint && d->verdict == verdict && !d->discarded &&
                                is_same_body(d, delivery->body, delivery->body_size) &&
                                (delivery->task_id || streq_ptr(d->d.ref, delivery->ref))) {
                        *ret_n = d->n;
                        *ret_revision = d->revision;
                        return 1;
                }
        return 0;
}

static int memory_is_body(Store *s, int64_t n, const void *body, size_t size)
{
        const Delivery *d = delivery_of(state_of(s), n);

        return d && is_same_body(d, body, size);
}

static int memory_get_verdict(Store *s, int64_t n, Verdict *ret)
{
        const Delivery *d = delivery_of(state_of(s), n);

        if (d)
                *ret = d->verdict;
        return d != NULL;
}

static int memory_count_repeat(Store *s, int64_t n, _unused_ Verdict verdict, int64_t at)
{
        Delivery *d = delivery_at(state_of(s), n);

        d->repeats++;
        d->last_repeat_at = at;
        return 0;
}

static const char *type_name(const State *state, int64_t id)
{
        return id > 0 && (size_t)id <= state->types.n ? state->types.items[id - 1] : NULL;
}

static int memory_get_names(Store *s, int64_t n, int64_t task, int64_t type, StoreOutcome *ret)
{
        const State *state = state_of(s);
        const Delivery *d = delivery_of(state, n);
        const Task *t;

        if (!d)
                return 0;
        t = task_of_number(state, task != 0 ? task : d->task);
        snprintf(ret->task_id, sizeof(ret->task_id), "%s", t ? t->task_id : "");
        snprintf(ret->type, sizeof(ret->type), "%s", type_name(state, type != 0 ? type : d->type) ?: "");
        return 1;
}

static int memory_add_event(Store *s, const EventRow *row)
{
        Database *db = memory_of(s)->database;
        Event *e = PUSH(&state_of(s)->events, (Event){ *row, (uint64_t)s->event + 1 });

        e->row.named = keep_text(db, row->named);
        e->row.submission = keep_text(db, row->submission);
        return 0;
}

/* The quarantine. */

static int memory_add_quarantined(Store *s, int64_t n)
{
        delivery_at(state_of(s), n)->quarantined = true;
        return 0;
}

static int memory_get_quarantined(Store *s, uint64_t n, bool *ret_discarded, int64_t *ret_repeats)
{
        const Delivery *d = delivery_of(state_of(s), (int64_t)n);

        if (!d || !d->quarantined)
                return 0;
        *ret_discarded = d->discarded;
        *ret_repeats = (int64_t)d->repeats;
        return 1;
}

static int memory_discard(Store *s, uint64_t n, uint64_t superseded_by, _unused_ int64_t repeats)
{
        Delivery *d = delivery_at(state_of(s), (int64_t)n);

        d->discarded = true;
        d->superseded_by = superseded_by;
        return 0;
}

/* Submissions. */

static Outgoing *outgoing_of(const State *state, int64_t n)
{
        return n > 0 && (size_t)n <= state->submissions.n ? &state->submissions.items[n - 1] : NULL;
}

static Outgoing *outgoing_at(const State *state, int64_t n)
{
        Outgoing *o = outgoing_of(state, n);

        assert(o);
        return o;
}

static Outgoing *outgoing_of_id(const State *state, const char *id)
{
        FOREACH_ARRAY(o, state->submissions.items, state->submissions.n)
                if (streq(o->row.id, id))
                        return o;
        return NULL;
}

static int give_submission_row(const Outgoing *o, SubmissionRow *ret)
{
        if (o)
                *ret = o->row;
        return o != NULL;
}

static int memory_find_submission(Store *s, const char *id, SubmissionRow *ret)
{
        return give_submission_row(outgoing_of_id(state_of(s), id), ret);
}

static int memory_get_submission(Store *s, int64_t n, SubmissionRow *ret)
{
        return give_submission_row(outgoing_of(state_of(s), n), ret);
}

static int memory_find_key(Store *s, const char *key, char ret_id[static SUBMISSION_ID_SIZE],
                uint8_t ret_digest[static CALLBACK_DIGEST_SIZE])
{
        FOREACH_ARRAY(o, state_of(s)->submissions.items, state_of(s)->submissions.n)
                if (streq_ptr(o->s.idempotency_key, key)) {
                        snprintf(ret_id, SUBMISSION_ID_SIZE, "%s", o->row.id);
                        memcpy(ret_digest, o->digest, CALLBACK_DIGEST_SIZE);
                        return 1;
                }
        return 0;
}

static int memory_add_submission(Store *s, const StoreSubmission *from, int64_t type)
{
        Database *db = memory_of(s)->database;
        State *state = state_of(s);
        const char **urls = keep(db, from->attachments, from->n_attachments * sizeof(char *));
        Outgoing *o;

        for (size_t i = 0; i < from->n_attachments; i++)
                urls[i] = keep_text(db, urls[i]);
        o = PUSH(&state->submissions,
                        (Outgoing){
                                        .s = { .created_at = from->created_at,
                                                        .changed_at = from->created_at,
                                                        .expires_at = from->expires_at,
                                                        .next_at = from->next_at,
                                                        .sent_at = TIME_NONE,
                                                        .floor_at = TIME_NONE,
                                                        .ended_at = TIME_NONE,
                                                        .grace = TIME_NONE,
                                                        .idempotency_key =
                                                                        keep_text(db, from->idempotency_key),
                                                        .problems = keep_text(db, from->problems),
                                                        .params = keep(db, from->params, from->params_size),
                                                        .params_size = from->params_size },
                                        .row = { .n = (int64_t)state->submissions.n + 1,
                                                        .type = type,
                                                        .expires_at = from->expires_at },
                                        .urls = urls,
                                        .n_urls = MIN(from->n_attachments, SUBMISSION_ATTACHMENTS_MAX),
                        });
        snprintf(o->row.id, sizeof(o->row.id), "%s", from->id);
        memcpy(o->digest, from->digest, sizeof(o->digest));
        return 0;
}

static int memory_move_submission(Store *s, const SubmissionRow *row, const StoreMove *move)
{
        bool waits = move->to == SUBMISSION_QUEUED || move->to == SUBMISSION_UNKNOWN;
        Database *db = memory_of(s)->database;
        Outgoing *o = outgoing_at(state_of(s), row->n);
        Submission *to = &o->s;

        o->row.state = move->to;
        to->changed_at = move->now;
        to->next_at = waits ? move->next_at : TIME_NONE;
        to->sent_at = move->sent_at;
        to->floor_at = move->floor_at;
        to->ended_at = move->ended_at;
        to->grace = move->grace;
        to->is_test = move->is_test;
        to->attempts += move->attempt;
        to->status = move->status;
        to->error = keep_text(db, move->error);
        to->answer = keep_text(db, move->answer);
        if (move->expires_at != TIME_NONE)
                o->row.expires_at = to->expires_at = move->expires_at;
        if (move->to > SUBMISSION_ACCEPTED)
                to->cancel_wanted = false;
        if (move->sent_at == TIME_NONE)
                o->row.failure = 0;
        return 0;
}

static int memory_accept_submission(
                Store *s, const SubmissionRow *row, int64_t task, unsigned status, int64_t now)
{
        Outgoing *o = outgoing_at(state_of(s), row->n);

        o->row.state = SUBMISSION_ACCEPTED;
        o->row.task = task;
        o->s.changed_at = now;
        o->s.next_at = TIME_NONE;
        o->s.status = status != 0 ? status : o->s.status;
        o->s.error = o->s.answer = NULL;
        return 0;
}

static int memory_set_failure(Store *s, int64_t n, int64_t delivery)
{
        outgoing_at(state_of(s), n)->row.failure = delivery;
        return 0;
}

static int memory_set_cancel(Store *s, int64_t n, bool wanted, int64_t now)
{
        Outgoing *o = outgoing_at(state_of(s), n);

        o->s.cancel_wanted = wanted;
        o->s.changed_at = now;
        return 0;
}

static int memory_end_cancel(Store *s, int64_t n)
{
        outgoing_at(state_of(s), n)->s.cancel_wanted = false;
        return 0;
}

static int memory_flush_submissions(Store *s, SubmissionState state, int64_t now, uint64_t *ret_n)
{
        uint64_t n = 0;

        FOREACH_ARRAY(o, state_of(s)->submissions.items, state_of(s)->submissions.n)
                if (o->row.state == state) {
                        o->s.next_at = now;
                        n++;
                }
        *ret_n = n;
        return 0;
}

static int memory_recover_submissions(
                Store *s, int64_t now, int64_t ended_at, int64_t grace, uint64_t *ret_n)
{
        uint64_t n = 0;

        FOREACH_ARRAY(o, state_of(s)->submissions.items, state_of(s)->submissions.n) {
                int64_t own = o->s.grace != TIME_NONE ? o->s.grace : grace;

                if (o->row.state == SUBMISSION_SENDING) {
                        o->row.state = SUBMISSION_UNKNOWN;
                        o->s.changed_at = now;
                        o->s.next_at = now + own;
                        n++;
                } else if (o->row.state != SUBMISSION_UNKNOWN || o->s.ended_at != TIME_NONE)
                        continue;
                o->s.ended_at = ended_at;
                o->s.grace = own;
        }
        *ret_n = n;
        return 0;
}

/* Copies are files, and here are none. */
static int memory_doubt_submissions(
                _unused_ Store *s, _unused_ const StoreDoubt *doubt, _unused_ uint64_t *ret_n)
{
        return -EOPNOTSUPP;
}

static int memory_take_copied(_unused_ Store *s, _unused_ int64_t *ret_at)
{
        return 0;
}

static int memory_open_attachments(Store *s, int64_t submission, bool open)
{
        outgoing_at(state_of(s), submission)->open = open;
        return 0;
}

static int memory_drop_attachments(Store *s, int64_t submission)
{
        outgoing_at(state_of(s), submission)->n_urls = 0;
        return 0;
}

static bool has_url(const Outgoing *o, const char *url)
{
        FOREACH_ARRAY(u, o->urls, o->n_urls)
                if (streq(*u, url))
                        return true;
        return false;
}

static int memory_find_attachments(Store *s, const char *const *urls, size_t n, SubmissionRow *ret)
{
        FOREACH_ARRAY(o, state_of(s)->submissions.items, state_of(s)->submissions.n) {
                bool all = o->open;

                FOREACH_ARRAY(u, urls, n)
                        all = all && has_url(o, *u);
                if (all)
                        return give_submission_row(o, ret);
        }
        return 0;
}

static int memory_keep_snapshot(Store *s, int64_t submission, const void *body, size_t size)
{
        Outgoing *o = outgoing_at(state_of(s), submission);

        o->snapshot = keep(memory_of(s)->database, body, size);
        o->snapshot_size = size;
        return 0;
}

static int memory_drop_snapshot(Store *s, int64_t submission)
{
        outgoing_at(state_of(s), submission)->snapshot = NULL;
        return 0;
}

/* The queue. */

static int memory_get_queue(Store *s, QueueHold *ret, int64_t *ret_since)
{
        const State *state = state_of(s);

        if (!state->has_queue)
                return 0;
        *ret = state->hold;
        *ret_since = state->since;
        return 1;
}

static int memory_set_queue(Store *s, QueueHold hold, const char *reason, int64_t since)
{
        State *state = state_of(s);

        state->has_queue = true;
        state->hold = hold;
        state->reason = keep_text(memory_of(s)->database, reason);
        state->since = since;
        return 0;
}

static int memory_count_live(Store *s, int64_t day, int by)
{
        FOREACH_ARRAY(l, state_of(s)->live.items, state_of(s)->live.n)
                if (l->key == day) {
                        l->value = MAX(l->value + by, 0);
                        return 0;
                }
        if (by > 0)
                PUSH(&state_of(s)->live, (Pair){ day, by });
        return 0;
}

/* Retention. */

static int memory_get_time(Store *s, uint64_t *ret_counted, int64_t *ret_noted_at)
{
        const State *state = state_of(s);

        if (!state->has_time)
                return 0;
        *ret_counted = state->counted;
        *ret_noted_at = state->noted_at;
        return 1;
}

static int memory_set_time(Store *s, uint64_t counted, int64_t noted_at)
{
        State *state = state_of(s);

        state->has_time = true;
        state->counted = counted;
        state->noted_at = noted_at;
        FOREACH_ARRAY(m, state->marks.items, state->marks.n)
                if (m->key == s->delivery)
                        return 0;
        PUSH(&state->marks, (Pair){ s->delivery, (int64_t)counted });
        return 0;
}

static int memory_find_mark(Store *s, uint64_t counted, uint64_t *ret_n)
{
        int found = 0;

        FOREACH_ARRAY(m, state_of(s)->marks.items, state_of(s)->marks.n)
                if ((uint64_t)m->value <= counted && (found == 0 || (uint64_t)m->key > *ret_n)) {
                        *ret_n = (uint64_t)m->key;
                        found = 1;
                }
        return found;
}

static bool stands_on(const State *state, const Delivery *d)
{
        const Task *t = task_of_number(state, d->task);

        FOREACH_ARRAY(o, state->submissions.items, state->submissions.n)
                if (o->row.failure == d->n)
                        return true;
        return t && (t->row.document == d->n || t->row.response == d->n);
}

static int memory_find_old(
                Store *s, uint64_t after, uint64_t upto, unsigned limit, OldRow *ret, unsigned *ret_n)
{
        const State *state = state_of(s);
        unsigned n = 0;

        FOREACH_ARRAY(d, state->deliveries.items, state->deliveries.n)
                if (d->fingerprint != 0 && (uint64_t)d->n > after && (uint64_t)d->n <= upto && n < limit)
                        ret[n++] = (OldRow){ d->n, d->discarded ? VERDICT_DISCARDED : d->verdict,
                                (int64_t)d->repeats, stands_on(state, d) };
        *ret_n = n;
        return 0;
}

static int memory_drop_delivery(Store *s, const OldRow *old)
{
        State *state = state_of(s);
        Delivery *d = delivery_at(state, old->n);
        size_t i = (size_t)(d - state->deliveries.items);

        memmove(d, d + 1, (--state->deliveries.n - i) * sizeof(Delivery));
        return 0;
}

/* Reading. */

static const State *reader_state(const StoreReader *r)
{
        return &container_of(r, MemoryReader, base)->database->committed;
}

static int memory_reader_open(const char *location, _unused_ uint64_t time_limit, StoreReader **ret,
                _unused_ char **ret_error)
{
        MemoryReader *m = calloc(1, sizeof(MemoryReader));

        assert(m);
        pthread_mutex_lock(&lock);
        m->database = find_database(location, false);
        pthread_mutex_unlock(&lock);
        if (!m->database) {
                free(m);
                return -ENOENT;
        }
        m->base.reading = memory_driver.reading;
        *ret = &m->base;
        return 0;
}

static StoreReader *memory_reader_close(StoreReader *r)
{
        free(container_of(r, MemoryReader, base));
        return NULL;
}

static const char *memory_reader_error(_unused_ const StoreReader *r)
{
        return "made up";
}

static void memory_interrupt(_unused_ StoreReader *r)
{
}

static int memory_changed(StoreReader *r)
{
        MemoryReader *m = container_of(r, MemoryReader, base);
        uint64_t before = m->version;

        m->version = reader_state(r)->version + 1;
        return m->version != before;
}

static int give_task(const State *state, const Task *t, StoreTaskFn fn, void *userdata)
{
        const Outgoing *o = outgoing_of(state, t->row.submission);
        const Delivery *document = delivery_of(state, t->row.document);
        const Delivery *response = delivery_of(state, t->row.response);
        TaskDocument d = {
                .task_id = t->task_id,
                .type = type_name(state, t->row.type),
                .status = (TaskStatus)t->row.status,
                .created_at = t->row.created_at,
                .completed_at = t->row.completed_at,
                .is_test = t->row.is_test,
        };

        if (document) {
                d.document = document->d.body;
                d.document_size = document->d.body_size;
        } else if (o && o->snapshot) {
                d.document = o->snapshot;
                d.document_size = o->snapshot_size;
        }
        if (response) {
                d.response = response->d.body;
                d.response_size = response->d.body_size;
        }
        return fn(&d, userdata);
}

static int memory_read_task(StoreReader *r, const char *task_id, StoreTaskFn fn, void *userdata)
{
        const Task *t = task_of_name(reader_state(r), task_id);
        int k = t ? give_task(reader_state(r), t, fn, userdata) : 0;

        return k < 0 ? k : t != NULL;
}

static bool has_metadata(const Task *t, const StoreMetadata *wanted)
{
        FOREACH_ARRAY(m, t->metadata, t->n_metadata)
                if (streq(m->key, wanted->key) && streq(m->value, wanted->value))
                        return true;
        return false;
}

static bool matches(const State *state, const Task *t, const TaskFilter *f)
{
        bool along_feed = f->after_seq > 0;
        uint64_t seq = (uint64_t)t->row.last_event;

        FOREACH_ARRAY(m, f->metadata, f->n_metadata)
                if (!has_metadata(t, m))
                        return false;
        return (f->start_time == TIME_NONE || t->row.created_at >= f->start_time) &&
               (f->end_time == TIME_NONE || t->row.created_at <= f->end_time) &&
               ((int)f->status < 0 || (int)f->status == t->row.status) &&
               (!f->type || streq_ptr(f->type, type_name(state, t->row.type))) &&
               (f->is_test < 0 || f->is_test == t->row.is_test) &&
               (!along_feed || (seq > f->after_seq && seq <= f->until_seq));
}

/* In the order of the list. */
static int compare_tasks(const void *a, const void *b, void *userdata)
{
        const TaskRow *x = &(*(const Task *const *)a)->row, *y = &(*(const Task *const *)b)->row;

        if (*(bool *)userdata)
                return x->last_event < y->last_event ? -1 : 1;
        if (x->created_at != y->created_at)
                return x->created_at > y->created_at ? -1 : 1;
        return x->id > y->id ? -1 : 1;
}

static bool is_behind(const Task *t, const TaskFilter *f)
{
        const TaskCursor *c = &f->cursor;

        if (!f->has_cursor)
                return true;
        if (f->after_seq > 0)
                return t->row.last_event > c->created_at;
        return t->row.created_at < c->created_at ||
               (t->row.created_at == c->created_at && t->row.id < (int64_t)c->id);
}

static int memory_list_tasks(
                StoreReader *r, const TaskFilter *filter, StoreTaskFn fn, void *userdata, TaskPage *ret)
{
        const State *state = reader_state(r);
        TaskFilter f = *filter;
        bool along_feed = f.after_seq > 0;
        _cleanup_free_ const Task **found = calloc(state->tasks.n + 1, sizeof(Task *));
        size_t n = 0, given = 0, skipped = 0;
        int k;

        assert(found);
        if (along_feed && f.until_seq == 0)
                f.until_seq = state->events.n;
        FOREACH_ARRAY(t, state->tasks.items, state->tasks.n)
                if (matches(state, t, &f))
                        found[n++] = t;
        qsort_r(found, n, sizeof(Task *), compare_tasks, &along_feed);
        *ret = (TaskPage){ .total = f.without_total ? 0 : n, .until_seq = f.until_seq };
        FOREACH_ARRAY(t, found, n) {
                if (!is_behind(*t, &f) || skipped++ < f.offset)
                        continue;
                if (given == f.limit) {
                        ret->has_more = true;
                        break;
                }
                given++;
                ret->next = (TaskCursor){ along_feed ? (*t)->row.last_event : (*t)->row.created_at,
                        (uint64_t)(*t)->row.id, n };
                k = give_task(state, *t, fn, userdata);
                if (k < 0)
                        return k;
        }
        return 0;
}

static int memory_list_revisions(StoreReader *r, const char *task_id, unsigned after, unsigned limit,
                StoreRevisionFn fn, void *userdata)
{
        const State *state = reader_state(r);
        const Task *t = task_of_name(state, task_id);
        unsigned n = 0;
        int k;

        if (!t)
                return 0;
        FOREACH_ARRAY(v, state->revisions.items, state->revisions.n) {
                const Delivery *d = delivery_at(state, v->delivery);

                if (v->task != t->row.id || v->number <= after || n++ >= limit)
                        continue;
                k = fn(&(StoredRevision){ (unsigned)v->number, v->number == t->row.revision,
                                       (uint64_t)v->delivery, d->d.received_at, v->completed_at, d->d.source,
                                       d->d.body, d->d.body_size },
                                userdata);
                if (k < 0)
                        return k;
        }
        return 1;
}

static int give_delivery(
                const State *state, const Delivery *d, bool with_body, StoreDeliveryFn fn, void *userdata)
{
        const Task *t = task_of_number(state, d->task);

        return fn(
                        &(StoredDelivery){
                                        .n = (uint64_t)d->n,
                                        .received_at = d->d.received_at,
                                        .source = d->d.source,
                                        .verdict = d->discarded ? VERDICT_DISCARDED : d->verdict,
                                        .status = d->d.status,
                                        .key_label = d->d.key_label,
                                        .remote = d->d.remote,
                                        .ref = d->d.ref,
                                        .task_id = t ? t->task_id : d->d.task_id,
                                        .type = type_name(state, d->type),
                                        .revision = (unsigned)d->revision,
                                        .duration = d->d.duration,
                                        .repeats = d->repeats,
                                        .last_repeat_at = d->last_repeat_at,
                                        .superseded_by = d->superseded_by,
                                        .unchecked = d->d.unchecked,
                                        .problems = d->d.problems,
                                        .body_size = d->d.body_size,
                                        .body = with_body ? d->d.body : NULL,
                        },
                        userdata);
}

static bool is_of_task(const State *state, const Delivery *d, const char *task_id)
{
        const Task *t = task_of_name(state, task_id);
        const Outgoing *o = t ? outgoing_of(state, t->row.submission) : NULL;

        if (o && o->row.failure == d->n)
                return true;
        return d->task != 0 ? t && d->task == t->row.id : streq_ptr(d->d.task_id, task_id);
}

static int memory_list_deliveries(StoreReader *r, Verdict verdict, const char *task_id, uint64_t after,
                unsigned limit, StoreDeliveryFn fn, void *userdata)
{
        const State *state = reader_state(r);
        unsigned n = 0;
        int k;

        FOREACH_ARRAY(d, state->deliveries.items, state->deliveries.n) {
                Verdict decided = d->discarded ? VERDICT_DISCARDED : d->verdict;

                if ((uint64_t)d->n <= after || ((int)verdict >= 0 && decided != verdict) ||
                                (task_id && !is_of_task(state, d, task_id)) || n++ >= limit)
                        continue;
                k = give_delivery(state, d, false, fn, userdata);
                if (k < 0)
                        return k;
        }
        return 0;
}

static int memory_list_deliveries_back(StoreReader *r, Verdict verdict, const char *task_id, uint64_t before,
                unsigned limit, StoreDeliveryFn fn, void *userdata)
{
        const State *state = reader_state(r);
        unsigned n = 0;
        int k;

        for (size_t i = state->deliveries.n; i-- > 0;) {
                const Delivery *d = &state->deliveries.items[i];
                Verdict decided = d->discarded ? VERDICT_DISCARDED : d->verdict;

                if ((before != 0 && (uint64_t)d->n >= before) || ((int)verdict >= 0 && decided != verdict) ||
                                (task_id && !is_of_task(state, d, task_id)) || n++ >= limit)
                        continue;
                k = give_delivery(state, d, false, fn, userdata);
                if (k < 0)
                        return k;
        }
        return 0;
}

static int memory_read_delivery(
                StoreReader *r, uint64_t n, bool with_body, StoreDeliveryFn fn, void *userdata)
{
        const State *state = reader_state(r);
        const Delivery *d = n <= INT64_MAX ? delivery_of(state, (int64_t)n) : NULL;
        int k = d ? give_delivery(state, d, with_body, fn, userdata) : 0;

        return k < 0 ? k : d != NULL;
}

typedef struct WithTask {
        StoredEvent *event;
        StoreEventFn fn;
        void *userdata;
} WithTask;

static int give_with_task(const TaskDocument *task, void *userdata)
{
        WithTask *with = userdata;

        with->event->task = task;
        return with->fn(with->event, with->userdata);
}

static int give_event(const State *state, const Event *e, bool with_task, StoreEventFn fn, void *userdata)
{
        const Task *t = task_of_number(state, e->row.task);
        const Outgoing *o = t ? outgoing_of(state, t->row.submission) : NULL;
        StoredEvent event = {
                .seq = e->seq,
                .time = e->row.time,
                .kind = e->row.kind,
                .task_id = t ? t->task_id : e->row.named,
                .type = type_name(state, e->row.type),
                .status = (TaskStatus)e->row.status,
                .revision = (unsigned)e->row.revision,
                .delivery = (uint64_t)e->row.delivery,
                .submission = o ? o->row.id : e->row.submission,
        };
        WithTask with = { &event, fn, userdata };

        return with_task && t ? give_task(state, t, give_with_task, &with) : fn(&event, userdata);
}

static int memory_list_events(StoreReader *r, uint64_t after, unsigned limit, bool with_task,
                StoreEventFn fn, void *userdata)
{
        const State *state = reader_state(r);
        unsigned n = 0;
        int k;

        FOREACH_ARRAY(e, state->events.items, state->events.n) {
                if (e->seq <= after || n++ >= limit)
                        continue;
                k = give_event(state, e, with_task, fn, userdata);
                if (k < 0)
                        return k;
        }
        return 0;
}

static int memory_get_event_time(StoreReader *r, uint64_t seq, int64_t *ret)
{
        const State *state = reader_state(r);

        if (seq == 0 || seq > state->events.n)
                return 0;
        *ret = state->events.items[seq - 1].row.time;
        return 1;
}

static void count_task(StoreStats *stats, const State *state, const Task *t)
{
        const char *type = t->row.type > STORE_TYPES_OWN ? STORE_TYPES_OTHERS : type_name(state, t->row.type) ?: "";
        StoreTypeCount *c;

        stats->tasks++;
        FOREACH_ARRAY(i, stats->by_type, stats->n_by_type)
                if (streq(i->type, type) && (int)i->status == t->row.status &&
                                i->is_test == t->row.is_test) {
                        i->n++;
                        return;
                }
        c = &stats->by_type[stats->n_by_type++];
        *c = (StoreTypeCount){ .status = (TaskStatus)t->row.status, .is_test = t->row.is_test, .n = 1 };
        snprintf(c->type, sizeof(c->type), "%s", type);
}

static int compare_counts(const void *a, const void *b)
{
        const StoreTypeCount *x = a, *y = b;

        return x->n > y->n ? -1 : x->n < y->n;
}

static int memory_get_stats(StoreReader *r, StoreStats *ret)
{
        const State *state = reader_state(r);

        *ret = (StoreStats){ .events = state->events.n };
        FOREACH_ARRAY(t, state->tasks.items, state->tasks.n)
                count_task(ret, state, t);
        qsort(ret->by_type, ret->n_by_type, sizeof(StoreTypeCount), compare_counts);
        FOREACH_ARRAY(d, state->deliveries.items, state->deliveries.n) {
                ret->deliveries = (uint64_t)d->n;
                ret->by_verdict[d->discarded ? VERDICT_DISCARDED : d->verdict]++;
                if (!d->quarantined)
                        ret->by_verdict[VERDICT_DUPLICATE] += d->repeats;
        }
        return 0;
}

static int give_submission(const State *state, const Outgoing *o, bool with_params, StoreSubmissionFn fn,
                void *userdata)
{
        const Task *t = task_of_number(state, o->row.task);
        Submission s = o->s;

        s.n = (uint64_t)o->row.n;
        s.id = o->row.id;
        s.type = type_name(state, o->row.type);
        s.state = o->row.state;
        s.task_id = t ? t->task_id : NULL;
        if (!with_params) {
                s.params = NULL;
                s.params_size = 0;
        }
        return fn(&s, userdata);
}

static int memory_read_submission(
                StoreReader *r, const char *id, bool with_params, StoreSubmissionFn fn, void *userdata)
{
        const State *state = reader_state(r);
        const Outgoing *o = outgoing_of_id(state, id);
        int k = o ? give_submission(state, o, with_params, fn, userdata) : 0;

        return k < 0 ? k : o != NULL;
}

static int memory_list_submissions(StoreReader *r, SubmissionState wanted, uint64_t after, unsigned limit,
                StoreSubmissionFn fn, void *userdata)
{
        const State *state = reader_state(r);
        unsigned n = 0;
        int k;

        FOREACH_ARRAY(o, state->submissions.items, state->submissions.n) {
                if ((uint64_t)o->row.n <= after || ((int)wanted >= 0 && o->row.state != wanted) ||
                                n++ >= limit)
                        continue;
                k = give_submission(state, o, false, fn, userdata);
                if (k < 0)
                        return k;
        }
        return 0;
}

static int memory_list_submissions_back(StoreReader *r, SubmissionState wanted, uint64_t before,
                unsigned limit, StoreSubmissionFn fn, void *userdata)
{
        const State *state = reader_state(r);
        unsigned n = 0;
        int k;

        for (size_t i = state->submissions.n; i-- > 0;) {
                const Outgoing *o = &state->submissions.items[i];

                if ((before != 0 && (uint64_t)o->row.n >= before) ||
                                ((int)wanted >= 0 && o->row.state != wanted) || n++ >= limit)
                        continue;
                k = give_submission(state, o, true, fn, userdata);
                if (k < 0)
                        return k;
        }
        return 0;
}

/* The first of a state that is due behind a place. */
static const Outgoing *next_due(const State *state, SubmissionState wanted, int64_t after, int64_t after_n)
{
        const Outgoing *first = NULL;

        FOREACH_ARRAY(o, state->submissions.items, state->submissions.n) {
                bool behind = o->s.next_at > after || (o->s.next_at == after && o->row.n > after_n);

                if (o->row.state == wanted && o->s.next_at != TIME_NONE && behind &&
                                (!first || o->s.next_at < first->s.next_at))
                        first = o;
        }
        return first;
}

static int memory_list_due(StoreReader *r, SubmissionState wanted, int64_t now, unsigned limit,
                StoreSubmissionFn fn, void *userdata)
{
        const State *state = reader_state(r);
        int64_t after = INT64_MIN, after_n = 0;
        const Outgoing *o;
        int k;

        while (limit-- > 0 && (o = next_due(state, wanted, after, after_n)) && o->s.next_at <= now) {
                after = o->s.next_at;
                after_n = o->row.n;
                k = give_submission(state, o, true, fn, userdata);
                if (k < 0)
                        return k;
        }
        return 0;
}

static int memory_get_next_due(StoreReader *r, SubmissionState wanted, int64_t *ret)
{
        const Outgoing *o = next_due(reader_state(r), wanted, INT64_MIN, 0);

        *ret = o ? o->s.next_at : TIME_NONE;
        return 0;
}

static int memory_list_cancel_wanted(
                StoreReader *r, uint64_t after, unsigned limit, StoreSubmissionFn fn, void *userdata)
{
        const State *state = reader_state(r);
        unsigned n = 0;
        int k;

        FOREACH_ARRAY(o, state->submissions.items, state->submissions.n) {
                if ((uint64_t)o->row.n <= after || o->row.state != SUBMISSION_ACCEPTED ||
                                !o->s.cancel_wanted || n++ >= limit)
                        continue;
                k = give_submission(state, o, false, fn, userdata);
                if (k < 0)
                        return k;
        }
        return 0;
}

static int memory_read_queue(StoreReader *r, int64_t now, StoreQueue *ret)
{
        const State *state = reader_state(r);

        *ret = (StoreQueue){ .hold = state->hold, .held_since = TIME_NONE, .oldest = TIME_NONE };
        if (state->hold != QUEUE_RUNNING)
                ret->held_since = state->since;
        snprintf(ret->reason, sizeof(ret->reason), "%s", state->reason ?: "");
        FOREACH_ARRAY(l, state->live.items, state->live.n)
                if (l->key == now / (int64_t)USEC_PER_DAY)
                        ret->live_sent = (uint64_t)l->value;
        FOREACH_ARRAY(o, state->submissions.items, state->submissions.n) {
                ret->by_state[o->row.state]++;
                if (o->row.state <= SUBMISSION_UNKNOWN &&
                                (ret->oldest == TIME_NONE || o->s.created_at < ret->oldest))
                        ret->oldest = o->s.created_at;
        }
        return 0;
}

static int memory_find_task_of_submission(
                StoreReader *r, const char *id, char ret_task_id[static CALLBACK_ID_MAX + 1])
{
        const StoreMetadata by_metadata = { TASK_SUBMISSION_KEY, id };
        const State *state = reader_state(r);
        const Outgoing *o = outgoing_of_id(state, id);
        const Task *found =
                        task_of_number(state, o && o->row.task != 0 ? o->row.task : task_of_ref(state, id));

        FOREACH_ARRAY(t, state->tasks.items, state->tasks.n)
                if (!found && has_metadata(t, &by_metadata))
                        found = t;
        if (found)
                snprintf(ret_task_id, CALLBACK_ID_MAX + 1, "%s", found->task_id);
        return found != NULL;
}

/* The first pending task that is due behind a place. */
static const Task *next_pending(const State *state, int64_t after_due, int64_t after_id)
{
        const Task *first = NULL;

        FOREACH_ARRAY(t, state->tasks.items, state->tasks.n) {
                const TaskRow *row = &t->row;
                bool behind = row->due_at > after_due || (row->due_at == after_due && row->id > after_id);

                if (row->status == TASK_PENDING && row->due_at != TIME_NONE && behind &&
                                (!first || row->due_at < first->row.due_at))
                        first = t;
        }
        return first;
}

static int memory_list_pending_tasks(StoreReader *r, int64_t due_before, int64_t after_due,
                uint64_t after_id, unsigned limit, StorePendingFn fn, void *userdata)
{
        const State *state = reader_state(r);
        const Task *t;
        int k;

        if (after_due == TIME_NONE)
                after_due = INT64_MIN;
        while (limit-- > 0 && (t = next_pending(state, after_due, (int64_t)after_id)) &&
                        t->row.due_at < due_before) {
                const Outgoing *o = outgoing_of(state, t->row.submission);

                after_due = t->row.due_at;
                after_id = (uint64_t)t->row.id;
                k = fn(&(PendingTask){ t->task_id, o ? o->row.id : NULL, t->row.created_at, t->row.due_at,
                                       after_id },
                                userdata);
                if (k < 0)
                        return k;
        }
        return 0;
}

static const StoreReading reading = {
        .open = memory_reader_open,
        .close = memory_reader_close,
        .error = memory_reader_error,
        .interrupt = memory_interrupt,
        .changed = memory_changed,
        .get_stats = memory_get_stats,
        .get_task = memory_read_task,
        .list_tasks = memory_list_tasks,
        .list_revisions = memory_list_revisions,
        .list_deliveries = memory_list_deliveries,
        .list_deliveries_back = memory_list_deliveries_back,
        .get_delivery = memory_read_delivery,
        .list_events = memory_list_events,
        .get_event_time = memory_get_event_time,
        .get_submission = memory_read_submission,
        .list_submissions = memory_list_submissions,
        .list_submissions_back = memory_list_submissions_back,
        .list_due = memory_list_due,
        .get_next_due = memory_get_next_due,
        .list_cancel_wanted = memory_list_cancel_wanted,
        .get_queue = memory_read_queue,
        .find_task_of_submission = memory_find_task_of_submission,
        .list_pending_tasks = memory_list_pending_tasks,
};

static const StoreRows rows = {
        .find_type = memory_find_type,
        .find_task = memory_find_task,
        .find_task_of_ref = memory_find_task_of_ref,
        .get_task = memory_get_task,
        .save_task = memory_save_task,
        .find_revision = memory_find_revision,
        .add_revision = memory_add_revision,
        .set_revision_time = memory_set_revision_time,
        .add_delivery = memory_add_delivery,
        .find_delivery = memory_find_delivery,
        .is_body = memory_is_body,
        .get_verdict = memory_get_verdict,
        .count_repeat = memory_count_repeat,
        .get_names = memory_get_names,
        .add_event = memory_add_event,
        .add_quarantined = memory_add_quarantined,
        .get_quarantined = memory_get_quarantined,
        .discard = memory_discard,
        .get_time = memory_get_time,
        .set_time = memory_set_time,
        .find_mark = memory_find_mark,
        .find_old = memory_find_old,
        .drop_delivery = memory_drop_delivery,
};

static const StoreOutboxRows outbox_rows = {
        .find_submission = memory_find_submission,
        .get_submission = memory_get_submission,
        .find_key = memory_find_key,
        .add_submission = memory_add_submission,
        .move_submission = memory_move_submission,
        .accept_submission = memory_accept_submission,
        .set_failure = memory_set_failure,
        .set_cancel = memory_set_cancel,
        .end_cancel = memory_end_cancel,
        .flush_submissions = memory_flush_submissions,
        .recover_submissions = memory_recover_submissions,
        .doubt_submissions = memory_doubt_submissions,
        .open_attachments = memory_open_attachments,
        .drop_attachments = memory_drop_attachments,
        .find_attachments = memory_find_attachments,
        .keep_snapshot = memory_keep_snapshot,
        .drop_snapshot = memory_drop_snapshot,
        .get_queue = memory_get_queue,
        .set_queue = memory_set_queue,
        .count_live = memory_count_live,
};

const StoreDriver memory_driver = {
        .open = memory_open,
        .close = memory_close,
        .error = memory_error,
        .begin = memory_begin,
        .commit = memory_commit,
        .rollback = memory_rollback,
        .at_fault = memory_at_fault,
        .check = memory_nothing,
        .probe = memory_nothing,
        .tend = memory_nothing,
        .count = memory_count,
        .take_copied = memory_take_copied,
        .rows = &rows,
        .outbox = &outbox_rows,
        .reading = &reading,
};
