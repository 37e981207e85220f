#pragma once

/* Submissions in few words, and what readers give of them. */

#include <sqlite3.h>

#include "store-rules.h"
#include "store/outbox.h"
#include "test-store-seen.h"

#define WEEK         INT64_C(604800000000)
#define DOCUMENT(id) "{\"task_id\":\"" id "\",\"task\":{}}"

static inline StoreSubmission submission_of(const char *id)
{
        return (StoreSubmission){
                .id = id,
                .type = "categorization",
                .created_at = T0,
                .next_at = T0,
                .expires_at = T0 + 5 * 24 * HOUR,
                .params = "{\"a\":1}",
                .params_size = 7,
        };
}

static inline StoreMove move_of(unsigned from, SubmissionState to)
{
        return (StoreMove){
                .from = from,
                .to = to,
                .now = T0 + SECOND,
                .next_at = T0 + HOUR,
                .sent_at = TIME_NONE,
                .floor_at = TIME_NONE,
                .ended_at = TIME_NONE,
                .grace = TIME_NONE,
                .expires_at = TIME_NONE,
        };
}

/* What the API says of a task that has no response. */
static inline StoreDelivery snapshot_of(const char *task_id, const char *body, TaskStatus status)
{
        StoreDelivery d = response_of(task_id, body, 0);

        d.source = SOURCE_RECONCILE;
        d.key_label = d.remote = NULL;
        d.type = "categorization";
        d.task_status = status;
        d.completed_at = TIME_NONE;
        d.due_at = T0 + HOUR;
        d.is_snapshot = true;
        return d;
}

/* Its task says which submission it was made by. */
static inline StoreDelivery with_submission(StoreDelivery d, StoreMetadata *metadata, const char *id)
{
        metadata[0] = (StoreMetadata){ "color", "blue" };
        metadata[1] = (StoreMetadata){ TASK_SUBMISSION_KEY, id };
        d.metadata = metadata;
        d.n_metadata = 2;
        d.submission = id;
        return d;
}

#define IN_GROUP(f, call)                                                \
        ({                                                               \
                int _r, _c;                                              \
                assert_int_equal(store_begin((f)->store), 0);            \
                _r = (call);                                             \
                if (_r < 0)                                              \
                        fail_msg("%d: %s", _r, store_error((f)->store)); \
                _c = store_commit((f)->store);                           \
                if (_c < 0)                                              \
                        fail_msg("%d: %s", _c, store_error((f)->store)); \
                _r;                                                      \
        })

static inline StoreAddition add(Fixture *f, const StoreSubmission *n, char ret_id[static SUBMISSION_ID_SIZE])
{
        StoreAddition a = _STORE_ADDITION_MAX;

        assert_int_equal(IN_GROUP(f, store_add_submission(f->store, n, &a, ret_id)), 0);
        return a;
}

static inline void add_one(Fixture *f, const char *id)
{
        StoreSubmission n = submission_of(id);
        char got[SUBMISSION_ID_SIZE];

        assert_int_equal(add(f, &n, got), STORE_ADDED);
        assert_string_equal(got, id);
}

static inline void add_with(Fixture *f, const char *id, const char *const *urls, size_t n_urls)
{
        StoreSubmission n = submission_of(id);
        char got[SUBMISSION_ID_SIZE];

        n.attachments = urls;
        n.n_attachments = n_urls;
        assert_int_equal(add(f, &n, got), STORE_ADDED);
}

static inline int move(Fixture *f, const char *id, const StoreMove *m)
{
        return IN_GROUP(f, store_move_submission(f->store, id, m));
}

/* To any state that is reached by a move, from wherever it is. */
static inline void put(Fixture *f, const char *id, SubmissionState state)
{
        StoreMove m = move_of(~SUBMISSION_IN(SUBMISSION_ACCEPTED), state);

        if (state == SUBMISSION_SENDING || state == SUBMISSION_UNKNOWN)
                m.sent_at = T0;
        assert_int_equal(move(f, id, &m), 0);
}

static inline int accept(Fixture *f, const char *id, const StoreDelivery *account)
{
        return IN_GROUP(f, store_accept_submission(f->store, id, account));
}

/* Submissions as read, copied: the texts of the last one stand beside it, "" for none. */
typedef struct Outgoing {
        size_t n;
        char ids[64][SUBMISSION_ID_SIZE];
        Submission last;
        char type[64], task_id[64], error[64], answer[64], problems[64], key[64], params[64];
} Outgoing;

static inline void keep(char to[static 64], const char **from)
{
        snprintf(to, 64, "%s", *from ?: "");
        *from = NULL;
}

static inline int see_submission(const Submission *s, void *userdata)
{
        Outgoing *o = userdata;

        assert_true(o->n < 64);
        snprintf(o->ids[o->n++], SUBMISSION_ID_SIZE, "%s", s->id);
        o->params[0] = '\0';
        if (s->params)
                copy(o->params, sizeof(o->params), s->params, s->params_size);
        o->last = *s;
        o->last.id = NULL;
        o->last.params = NULL;
        keep(o->type, &o->last.type);
        keep(o->task_id, &o->last.task_id);
        keep(o->error, &o->last.error);
        keep(o->answer, &o->last.answer);
        keep(o->problems, &o->last.problems);
        keep(o->key, &o->last.idempotency_key);
        return 0;
}

static inline Outgoing get_submission(Fixture *f, const char *id)
{
        Outgoing o = { 0 };

        assert_int_equal(store_get_submission(f->reader, id, true, see_submission, &o), 1);
        assert_int_equal(o.n, 1);
        return o;
}

static inline SubmissionState state_of(Fixture *f, const char *id)
{
        return get_submission(f, id).last.state;
}

static inline StoreQueue get_queue_at(Fixture *f, int64_t now)
{
        StoreQueue q;

        assert_int_equal(store_get_queue(f->reader, now, &q), 0);
        return q;
}

static inline StoreQueue get_queue(Fixture *f)
{
        return get_queue_at(f, T0);
}

typedef struct Pending {
        size_t n;
        char task_ids[64][32], submissions[64][SUBMISSION_ID_SIZE];
        int64_t due_at;
        uint64_t id; /* of the last one */
} Pending;

static inline int see_pending(const PendingTask *t, void *userdata)
{
        Pending *p = userdata;

        assert_true(p->n < 64);
        snprintf(p->task_ids[p->n], 32, "%s", t->task_id);
        snprintf(p->submissions[p->n++], SUBMISSION_ID_SIZE, "%s", t->submission ?: "none");
        p->due_at = t->due_at;
        p->id = t->id;
        return 0;
}

static inline Pending list_pending(Fixture *f, int64_t before)
{
        Pending p = { 0 };

        assert_int_equal(store_list_pending_tasks(f->reader, before, TIME_NONE, 0, 64, see_pending, &p), 0);
        return p;
}

/* One number, asked of the file itself. */
static inline int64_t ask_file(Fixture *f, const char *sql)
{
        sqlite3_stmt *statement;
        sqlite3 *db;
        int64_t v;

        if (in_memory)
                skip();
        assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        v = sqlite3_column_int64(statement, 0);
        sqlite3_finalize(statement);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return v;
}

/* Counters, references, and what hangs on a submission, against what there is. */
static inline void check_consistency(Fixture *f)
{
        char why[512];
        sqlite3 *db;

        if (in_memory)
                return;
        assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        if (!store_obeys_rules(db, why, sizeof(why)))
                fail_msg("%s", why);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}
