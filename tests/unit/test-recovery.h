#pragma once

/* What the tests of reconciliation and backfill share: a database with its writer, the stand-in's world as
 * the API, and a clock that stands still unless it is moved. */

#include "test.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "daemon/message.h"
#include "sandbox/world.h"
#include "store/outbox.h"
#include "submitd/api/answer.h"
#include "submitd/api/backoff.h"
#include "submitd/recover/backfill.h"
#include "submitd/recover/reconcile.h"

#define T0     INT64_C(1700000000000000) /* some time in 2023 */
#define MINUTE (60 * USEC_PER_SEC)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

#define ASKED_MAX 64U

typedef struct Fixture Fixture;

/* What a script answers in place of the world. */
typedef struct Scripted {
        int error;
        unsigned status;
        char *body; /* owned */
        uint64_t retry_after;
        bool is_html, too_large;
} Scripted;

typedef struct Asked {
        char path[512];
        ApiDoneFn done;
        void *userdata;
} Asked;

struct Fixture {
        char directory[64], path[96];
        sd_event *loop;
        Commit *commit;
        CommitPort *port;
        StoreReader *reader;
        Ingest ingest;
        World *world;
        int64_t realtime;
        uint64_t monotonic;

        Asked asked[ASKED_MAX]; /* under way */
        unsigned n_asked, most_asked;
        unsigned n_requests; /* ever */
        int refuse;          /* what request() returns */
        bool hold;           /* no answers for now */
        RetryAfter retry_after;
        char last_path[512];

        /* True: it answered. */
        bool (*script)(Fixture *f, const char *path, Scripted *ret);
        /* Before each answer. */
        void (*before)(Fixture *f, const char *path);
        unsigned n_script;
        const char *poison; /* the id of a task */

        Reconcile *reconcile;
        Backfill *backfill;
};

/* The clock. */

static int64_t fixture_realtime(void *userdata)
{
        return ((Fixture *)userdata)->realtime;
}

static uint64_t fixture_monotonic(void *userdata)
{
        return ((Fixture *)userdata)->monotonic;
}

static inline OutboxClock fixture_clock(Fixture *f)
{
        return (OutboxClock){ fixture_realtime, fixture_monotonic, f };
}

static inline void pass(Fixture *f, uint64_t usec)
{
        f->realtime += (int64_t)usec;
        f->monotonic += usec;
}

/* The API. */

static int fixture_request(void *userdata, const ApiRequest *request, ApiDoneFn done, void *done_userdata)
{
        Fixture *f = userdata;

        if (f->refuse < 0)
                return f->refuse;
        assert_string_equal(request->method, "GET");
        assert_true(f->n_asked < ASKED_MAX);
        assert_true(strlen(request->path) < sizeof(f->last_path));
        f->asked[f->n_asked] = (Asked){ .done = done, .userdata = done_userdata };
        strcpy(f->asked[f->n_asked].path, request->path);
        strcpy(f->last_path, request->path);
        f->n_asked++;
        f->n_requests++;
        f->most_asked = MAX(f->most_asked, f->n_asked);
        return 0;
}

static bool fixture_is_test(_unused_ void *userdata)
{
        return false;
}

static uint64_t fixture_retry_at(void *userdata)
{
        return ((Fixture *)userdata)->retry_after.until;
}

static inline Api fixture_api(Fixture *f)
{
        return (Api){ fixture_request, fixture_is_test, fixture_retry_at, f };
}

static inline WorldAnswer ask_world(Fixture *f, const char *method, const char *path, const char *body)
{
        const char *mark = strchr(path, '?');
        _cleanup_free_ char *bare = strndup(path, strcspn(path, "?"));
        WorldAnswer a = {};

        assert_int_equal(world_handle(f->world,
                                         &(WorldRequest){ .method = method,
                                                         .path = bare,
                                                         .query = mark ? mark + 1 : NULL,
                                                         .content_type = body ? "application/json" : NULL,
                                                         .body = body,
                                                         .body_size = body ? strlen(body) : 0,
                                                         .now = f->realtime },
                                         &a),
                        0);
        return a;
}

static inline void answer_with(Fixture *f, const Asked *q, const ApiAnswer *answer)
{
        retry_after_note(&f->retry_after, answer, f->monotonic);
        q->done(answer, q->userdata);
}

static inline void answer_by_script(Fixture *f, const Asked *q, Scripted *s)
{
        const char *body = s->body ? s->body : "";

        answer_with(f, q,
                        &(ApiAnswer){ .error = s->error,
                                        .sent = true,
                                        .status = s->status,
                                        .body = body,
                                        .body_size = strlen(body),
                                        .is_json = !s->is_html,
                                        .too_large = s->too_large,
                                        .date = TIME_NONE,
                                        .retry_after = s->retry_after });
        free(s->body);
}

static inline void answer_by_world(Fixture *f, const Asked *q)
{
        char path[600];
        WorldAnswer a;

        snprintf(path, sizeof(path), "/v1%s", q->path);
        a = ask_world(f, "GET", path, NULL);
        answer_with(f, q,
                        &(ApiAnswer){ .error = a.drop ? -EPROTO : 0,
                                        .sent = true,
                                        .status = a.drop ? 0 : a.status,
                                        .body = buffer_text(&a.body),
                                        .body_size = a.body.size,
                                        .is_json = streq(a.content_type, "application/json"),
                                        .date = f->realtime,
                                        .retry_after = a.retry_after ? a.retry_after * USEC_PER_SEC
                                                                     : UINT64_MAX });
        buffer_done(&a.body);
}

static inline void answer_one(Fixture *f)
{
        Scripted s = { .status = 200, .retry_after = UINT64_MAX };
        Asked q = f->asked[0];

        f->n_asked--;
        memmove(f->asked, f->asked + 1, f->n_asked * sizeof(Asked));
        if (f->before)
                f->before(f, q.path);
        if (f->script && f->script(f, q.path, &s))
                answer_by_script(f, &q, &s);
        else
                answer_by_world(f, &q);
}

/* The one answer for everything. */
static inline bool script_401(_unused_ Fixture *f, _unused_ const char *path, Scripted *ret)
{
        ret->status = 401;
        ret->body = strdup("{\"status_code\":401,\"error\":\"Your API key is not a key.\"}");
        return true;
}

static inline bool script_500(_unused_ Fixture *f, _unused_ const char *path, Scripted *ret)
{
        ret->status = 500;
        ret->body = strdup("{\"status_code\":500,\"error\":\"Out of order.\"}");
        return true;
}

/* Set-up. */

static inline void open_commit(Fixture *f, unsigned max_jobs)
{
        _cleanup_free_ char *error = NULL;
        CommitOptions options = { .location = f->path, .max_jobs = max_jobs };

        assert_int_equal(commit_new(&options, &f->commit, &error), 0);
        assert_int_equal(commit_port_new(f->commit, f->loop, &f->port), 0);
        assert_int_equal(store_reader_open(f->path, 0, &f->reader, &error), 0);
}

static inline void close_commit(Fixture *f)
{
        f->port = commit_port_free(f->port);
        f->reader = store_reader_close(f->reader);
        f->commit = commit_free(f->commit);
}

static inline int set_up(void **state)
{
        Fixture *f = calloc(1, sizeof(Fixture));

        assert_non_null(f);
        strcpy(f->directory, "/tmp/test-recovery-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        snprintf(f->path, sizeof(f->path), "%s/scale.db", f->directory);
        f->realtime = T0;
        f->monotonic = 1000 * USEC_PER_SEC;
        assert_int_equal(sd_event_new(&f->loop), 0);
        assert_int_equal(
                        world_new(&(WorldOptions){ .seed = 1, .complete_after = UINT64_MAX }, &f->world), 0);
        open_commit(f, 1000);
        *state = f;
        return 0;
}

static inline int tear_down(void **state)
{
        Fixture *f = *state;
        struct dirent *entry;
        DIR *d;

        close_commit(f);
        reconcile_free(f->reconcile);
        backfill_free(f->backfill);
        world_free(f->world);
        sd_event_unref(f->loop);
        d = opendir(f->directory);
        assert_non_null(d);
        while ((entry = readdir(d)))
                if (entry->d_name[0] != '.')
                        assert_int_equal(unlinkat(dirfd(d), entry->d_name, 0), 0);
        closedir(d);
        assert_int_equal(rmdir(f->directory), 0);
        free(f);
        return 0;
}

static inline const Ingest *fixture_ingest(Fixture *f)
{
        f->ingest.port = f->port;
        f->ingest.reader = f->reader;
        f->ingest.invalid_status = 422;
        return &f->ingest;
}

/* Going round. */

static inline void work(Fixture *f)
{
        if (f->reconcile && reconcile_next(f->reconcile) <= f->monotonic)
                reconcile_run(f->reconcile);
        if (f->backfill && backfill_next(f->backfill) <= f->monotonic)
                backfill_run(f->backfill);
}

static inline bool is_due(const Fixture *f)
{
        return (f->reconcile && reconcile_next(f->reconcile) <= f->monotonic) ||
               (f->backfill && backfill_next(f->backfill) <= f->monotonic);
}

static inline bool is_idle(const Fixture *f)
{
        return (!f->reconcile || reconcile_is_idle(f->reconcile)) &&
               (!f->backfill || backfill_is_idle(f->backfill));
}

/* All that can be done at this moment of the clock. */
static inline void settle(Fixture *f)
{
        while (is_due(f) || (f->n_asked > 0 && !f->hold) || !is_idle(f)) {
                work(f);
                if (f->n_asked > 0 && !f->hold)
                        answer_one(f);
                else if (f->n_asked > 0 && !is_due(f))
                        break;
                else if (!is_due(f) && !is_idle(f))
                        assert_true(sd_event_run(f->loop, 60 * USEC_PER_SEC) >= 0);
                else
                        assert_true(sd_event_run(f->loop, 0) >= 0);
        }
}

/* Lets time pass, doing what comes due at its time. */
static inline void live(Fixture *f, uint64_t usec)
{
        uint64_t until = f->monotonic + usec;

        for (;;) {
                uint64_t next;

                settle(f);
                next = MIN(f->reconcile ? reconcile_next(f->reconcile) : UINT64_MAX,
                                f->backfill ? backfill_next(f->backfill) : UINT64_MAX);
                if (next > until)
                        break;
                pass(f, next - f->monotonic);
        }
        pass(f, until - f->monotonic);
}

/* Tasks. */

static inline json_t *create_task(Fixture *f, const char *urgency)
{
        char body[512];
        json_t *task;
        WorldAnswer a;

        snprintf(body, sizeof(body),
                        "{\"callback_url\":\"http://127.0.0.1:1/callback\",\"instruction\":\"?\","
                        "\"attachment_type\":\"text\",\"attachment\":\"ant\",\"urgency\":\"%s\","
                        "\"categories\":[\"big\",\"small\"]}",
                        urgency);
        a = ask_world(f, "POST", "/v1/task/categorization", body);
        assert_int_equal(a.status, 200);
        task = json_loads(buffer_text(&a.body), 0, NULL);
        assert_non_null(task);
        buffer_done(&a.body);
        return task;
}

static inline const char *id_of(const json_t *task)
{
        return json_string_value(json_object_get(task, "task_id"));
}

/* The last event of the log with this id, as "NAME=value NAME=value"; a number is one when it is not 0. */
static const char *heard_id;
static char heard[256];
static unsigned n_heard;

static inline bool hear(_unused_ int level, const char *id, const LogField *fields, size_t n,
                _unused_ const char *text)
{
        if (!heard_id || !streq_ptr(id, heard_id))
                return false;
        n_heard++;
        *heard = 0;
        FOREACH_ARRAY(field, fields, n)
                snprintf(heard + strlen(heard), sizeof(heard) - strlen(heard), "%s%s=%s", *heard ? " " : "",
                                field->name,
                                field->is_text      ? strna(field->text)
                                : field->number > 0 ? "N"
                                                    : "0");
        return false;
}

static inline void hear_of(const char *id)
{
        heard_id = id;
        n_heard = 0;
}

static inline void expect_heard(const char *before, const char *id, const char *behind)
{
        char expected[256];

        snprintf(expected, sizeof(expected), "%s%s%s", before, id, behind);
        assert_int_equal(n_heard, 1);
        assert_string_equal(heard, expected);
}

static unsigned n_taken;
static Verdict last_verdict;

static void on_taken(const Receipt *receipt, _unused_ void *userdata)
{
        assert_int_not_equal(receipt->status, 503);
        last_verdict = receipt->outcome.verdict;
        n_taken++;
}

/* Makes a task known here, as it stands in `task`. */
static inline Verdict take(Fixture *f, const json_t *task, Source source)
{
        unsigned before = n_taken;

        assert_int_equal(ingest_task(fixture_ingest(f), task, source, outcome_task_submission(task),
                                         on_taken, NULL),
                        0);
        while (n_taken == before)
                assert_true(sd_event_run(f->loop, 60 * USEC_PER_SEC) >= 0);
        return last_verdict;
}

/* One that is pending here and there. */
static inline void make_pending(Fixture *f, const char *urgency, char ret_id[static 25])
{
        json_auto_t *task = create_task(f, urgency);

        assert_int_equal(take(f, task, SOURCE_BACKFILL), VERDICT_STORED);
        assert_int_equal(strlen(id_of(task)), 24);
        strcpy(ret_id, id_of(task));
}

static inline void at_the_api(Fixture *f, const char *id, const char *what, const char *body)
{
        char path[96];
        WorldAnswer a;

        snprintf(path, sizeof(path), "%s/task/%.24s/%s", streq(what, "cancel") ? "/v1" : "/sandbox", id,
                        what);
        a = ask_world(f, "POST", path, body);
        assert_int_equal(a.status, 200);
        buffer_done(&a.body);
}

static inline void complete(Fixture *f, const char *id)
{
        at_the_api(f, id, "complete", "{\"response\":{\"category\":\"big\"}}");
}

/* What the store has. */

typedef struct Seen {
        TaskStatus status;
        unsigned n, by_source[_SOURCE_MAX], by_verdict[_VERDICT_MAX];
        char ref[64];
} Seen;

static int see_task(const TaskDocument *task, void *userdata)
{
        ((Seen *)userdata)->status = task->status;
        return 0;
}

static int see_delivery(const StoredDelivery *d, void *userdata)
{
        Seen *s = userdata;

        s->n++;
        s->by_source[d->source]++;
        s->by_verdict[d->verdict]++;
        snprintf(s->ref, sizeof(s->ref), "%s", d->ref ? d->ref : "");
        return 0;
}

static inline TaskStatus status_of(Fixture *f, const char *id)
{
        Seen s = {};

        if (store_get_task(f->reader, id, see_task, &s) == 0)
                return _TASK_STATUS_INVALID;
        return s.status;
}

static inline Seen deliveries_of(Fixture *f, const char *id)
{
        Seen s = {};

        assert_int_equal(store_list_deliveries(f->reader, _VERDICT_ERRNO, id, 0, 1000, see_delivery, &s), 0);
        return s;
}

static inline StoreStats stats_of(Fixture *f)
{
        StoreStats s;

        assert_int_equal(store_get_stats(f->reader, &s), 0);
        return s;
}
