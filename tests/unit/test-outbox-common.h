#pragma once

/* What the outbox's tests share: the real store, and an API, a writer and a clock that do as they are told.
 */

#include "test-store-common.h"

#include "daemon/commit.h"
#include "submitd/api/backoff.h"
#include "submitd/outbox/outbox.h"
#include "task/type.h"

#define MINUTE  (60 * SECOND)
#define DAY     (24 * HOUR)
#define TIMEOUT (60 * SECOND)
#define SETTLE  (30 * SECOND)
#define GRACE   (TIMEOUT + SETTLE) /* what a request may still take */

#define REQUESTS_MAX 64U

/* A request that waits for its answer. */
typedef struct Asked {
        char method[8], path[256];
        char *body; /* NULL: none */
        ApiDoneFn done;
        void *userdata;
} Asked;

typedef struct Bench {
        Fixture *fixture;
        Outbox *outbox;
        OutboxOptions options;

        int64_t realtime;
        uint64_t monotonic;

        Asked asked[REQUESTS_MAX];
        unsigned n_asked;
        int refuse; /* what requests fail with */
        bool is_test;
        int64_t date; /* of the API, as it answers */
        RetryAfter retry_after;

        CommitJob *jobs, **jobs_tail;
        bool changed; /* it was told that there may be something to do, as a daemon is by its loop */
        int disk;     /* what commits fail with */
        bool kept;    /* they are stored all the same */
        int full;     /* what handing over fails with */

        unsigned n_tasks; /* told by on_task() */
        char *task;       /* the last */
} Bench;

static inline int bench_request(void *userdata, const ApiRequest *q, ApiDoneFn done, void *done_userdata)
{
        Bench *b = userdata;
        Asked *a;

        if (b->refuse < 0)
                return b->refuse;
        assert_true(b->n_asked < REQUESTS_MAX);
        a = &b->asked[b->n_asked++];
        *a = (Asked){ .done = done, .userdata = done_userdata };
        snprintf(a->method, sizeof(a->method), "%s", q->method);
        snprintf(a->path, sizeof(a->path), "%s", q->path);
        a->body = q->body ? strndup(q->body, q->body_size) : NULL;
        return 0;
}

static inline bool bench_is_test(void *userdata)
{
        return ((Bench *)userdata)->is_test;
}

static inline uint64_t bench_retry_at(void *userdata)
{
        return ((Bench *)userdata)->retry_after.until;
}

static inline int64_t bench_realtime(void *userdata)
{
        return ((Bench *)userdata)->realtime;
}

static inline uint64_t bench_monotonic(void *userdata)
{
        return ((Bench *)userdata)->monotonic;
}

static inline int bench_submit(void *userdata, CommitJob *job)
{
        Bench *b = userdata;

        if (b->full < 0)
                return b->full;
        job->next = NULL;
        *b->jobs_tail = job;
        b->jobs_tail = &job->next;
        return 0;
}

static inline void bench_on_task(const void *body, size_t size, void *userdata)
{
        Bench *b = userdata;

        b->n_tasks++;
        free(b->task);
        b->task = strndup(body, size);
}

/* Commits what was handed over. Whether there was anything. */
static inline bool bench_commit(Bench *b)
{
        static StoreChange *group[4096];
        CommitJob *jobs = b->jobs, *next;
        size_t n = 0;

        if (!jobs)
                return false;
        b->jobs = NULL;
        b->jobs_tail = &b->jobs;
        for (CommitJob *j = jobs; j; j = j->next) {
                assert_true(n < ELEMENTSOF(group));
                group[n++] = &j->change;
                j->change.result = b->disk;
        }
        if (b->disk >= 0 || b->kept)
                (void)store_write(b->fixture->store, group, n);
        for (size_t i = 0; i < n && b->disk < 0; i++)
                group[i]->result = b->disk;
        for (CommitJob *j = jobs; j; j = next) {
                next = j->next;
                j->done(j, j->change.result);
        }
        return true;
}

static inline void bench_on_change(void *userdata)
{
        ((Bench *)userdata)->changed = true;
}

/* Until nothing more happens at this time. It is run when it wants to be, and never besides. */
static inline void bench_run(Bench *b)
{
        for (unsigned i = 0; i < 1000; i++) {
                int r = 0;

                if (b->changed || outbox_next(b->outbox) <= b->monotonic) {
                        b->changed = false;
                        r = outbox_run(b->outbox);
                        assert_true(r == 0 || r == -ENOTRECOVERABLE);
                }
                if ((!bench_commit(b) && !b->changed && outbox_next(b->outbox) > b->monotonic) || r < 0)
                        return;
        }
        fail_msg("The outbox doesn't come to rest");
}

static inline void bench_pass(Bench *b, int64_t usec)
{
        b->realtime += usec;
        b->monotonic += (uint64_t)usec;
        b->date += usec;
        bench_run(b);
}

static inline void bench_start(Bench *b)
{
        assert_int_equal(outbox_new(&b->options, &b->outbox), 0);
        outbox_start(b->outbox);
        bench_run(b);
}

static inline void bench_drop_requests(Bench *b)
{
        for (unsigned i = 0; i < b->n_asked; i++)
                free(b->asked[i].body);
        b->n_asked = 0;
}

/* What kill -9 does. */
static inline void bench_crash(Bench *b)
{
        b->outbox = outbox_free(b->outbox);
        bench_drop_requests(b);
        b->retry_after = (RetryAfter){ 0 };
        b->jobs = NULL;
        b->jobs_tail = &b->jobs;
        store_reader_close(b->fixture->reader);
        store_close(b->fixture->store);
        b->fixture->store = open_store(b->fixture->path);
        b->fixture->reader = b->options.reader = open_reader(b->fixture->path, 0);
}

/* The oldest request, which has to be this one, gets its answer. */
static inline Asked bench_take(Bench *b, const char *method, const char *path)
{
        Asked a;

        if (b->n_asked == 0)
                fail_msg("%s %s was not asked", method, path);
        a = b->asked[0];
        memmove(b->asked, b->asked + 1, --b->n_asked * sizeof(Asked));
        assert_string_equal(a.method, method);
        if (strncmp(a.path, path, strlen(path)) != 0)
                fail_msg("%s was asked instead of %s", a.path, path);
        return a;
}

static inline void bench_hand_over(Bench *b, const char *method, const char *path, ApiAnswer answer)
{
        Asked a = bench_take(b, method, path);

        answer.body = answer.body ?: "";
        answer.body_size = strlen(answer.body);
        retry_after_note(&b->retry_after, &answer, b->monotonic);
        a.done(&answer, a.userdata);
        free(a.body);
}

static inline void bench_answer_with(Bench *b, const char *method, const char *path, ApiAnswer answer)
{
        bench_hand_over(b, method, path, answer);
        bench_run(b);
}

static inline ApiAnswer bench_json(const Bench *b, unsigned status, const char *body)
{
        return (ApiAnswer){
                .sent = true,
                .status = status,
                .body = body,
                .is_json = true,
                .date = b->date,
                .retry_after = UINT64_MAX,
        };
}

static inline ApiAnswer bench_failure(int error, bool sent)
{
        return (ApiAnswer){
                .error = error,
                .sent = sent,
                .date = TIME_NONE,
                .retry_after = UINT64_MAX,
                .message = "it broke",
        };
}

/* An answer that began well and broke off. */
static inline ApiAnswer bench_cut(void)
{
        ApiAnswer a = bench_failure(-ETIMEDOUT, true);

        a.status = 200;
        return a;
}

static inline void bench_answer(
                Bench *b, const char *method, const char *path, unsigned status, const char *body)
{
        bench_answer_with(b, method, path, bench_json(b, status, body));
}

#define ID(n)    "0000000000000000000000000000000" #n
#define NO_TASKS "{\"docs\":[],\"total\":0,\"limit\":100,\"offset\":0,\"has_more\":false}"
#define TASK_WITH(n, rest)                                                                              \
        "{\"task_id\":\"task" #n "\",\"type\":\"categorization\",\"status\":\"pending\",\"metadata\":{" \
        "\"scale_submission_id\":\"" ID(n) "\"}" rest "}"
#define TASK(n) TASK_WITH(n, "")
#define LIST(docs, number) \
        "{\"docs\":[" docs "],\"total\":" number ",\"limit\":100,\"offset\":0,\"has_more\":false}"

#define CREATED (T0 - 5 * HOUR) /* by the API, of what it had before: another clock again */

static inline void bench_probe(Bench *b)
{
        char stamp[TIME_STAMP_SIZE], page[256];

        snprintf(page, sizeof(page), LIST("{\"task_id\":\"other\",\"created_at\":\"%s\"}", "1"),
                        time_format(CREATED, stamp));
        bench_answer(b, "GET", "/tasks?limit=1", 200, page);
}

static inline void bench_add_with(Bench *b, const char *id, const char *params)
{
        StoreSubmission s = {
                .id = id,
                .type = "categorization",
                .created_at = b->realtime,
                .next_at = b->realtime,
                .expires_at = b->realtime + 5 * DAY,
                .params = params,
                .params_size = strlen(params),
        };
        char known[SUBMISSION_ID_SIZE];
        StoreAddition what;

        assert_int_equal(store_begin(b->fixture->store), 0);
        assert_int_equal(store_add_submission(b->fixture->store, &s, &what, known), 0);
        assert_int_equal(store_commit(b->fixture->store), 0);
        b->changed = true; /* whoever accepts it says so */
}

static inline void bench_add(Bench *b, const char *id)
{
        bench_add_with(b, id, "{\"instruction\":\"x\",\"metadata\":{\"mine\":\"1\"}}");
}

/* One submission, and an API that is there: the next thing is its request. */
static inline void bench_begin(Bench *b)
{
        bench_add(b, ID(1));
        bench_start(b);
        bench_probe(b);
}

typedef struct Row {
        SubmissionState state;
        unsigned attempts, status;
        int64_t next_at, sent_at, floor_at, ended_at, grace;
        bool is_test, cancel_wanted;
        char task_id[64], error[300], answer[300];
} Row;

static inline int bench_take_row(const Submission *s, void *userdata)
{
        Row *row = userdata;

        *row = (Row){
                .state = s->state,
                .attempts = s->attempts,
                .status = s->status,
                .next_at = s->next_at,
                .sent_at = s->sent_at,
                .floor_at = s->floor_at,
                .ended_at = s->ended_at,
                .grace = s->grace,
                .is_test = s->is_test,
                .cancel_wanted = s->cancel_wanted,
        };
        snprintf(row->task_id, sizeof(row->task_id), "%s", s->task_id ?: "");
        snprintf(row->error, sizeof(row->error), "%s", s->error ?: "");
        snprintf(row->answer, sizeof(row->answer), "%s", s->answer ?: "");
        return 0;
}

static inline Row bench_row(Bench *b, const char *id)
{
        Row row;

        assert_int_equal(store_get_submission(b->fixture->reader, id, false, bench_take_row, &row), 1);
        return row;
}

#define assert_state(b, id, s) \
        assert_string_equal(   \
                        submission_state_to_string(bench_row(b, id).state), submission_state_to_string(s))

static inline StoreQueue bench_queue(Bench *b)
{
        StoreQueue q;

        assert_int_equal(store_get_queue(b->fixture->reader, b->realtime, &q), 0);
        return q;
}

static inline OutboxStats bench_stats(Bench *b)
{
        OutboxStats s;

        outbox_get_stats(b->outbox, &s);
        return s;
}

static inline int bench_set_up(void **state)
{
        Bench *b = calloc(1, sizeof(Bench));
        void *fixture;

        assert_non_null(b);
        setup(&fixture);
        b->fixture = fixture;
        b->realtime = T0;
        b->monotonic = 1000000;
        b->date = T0 - 3 * HOUR; /* whatever: it is another clock */
        b->is_test = true;
        b->jobs_tail = &b->jobs;
        b->options = (OutboxOptions){
                .api = { bench_request, bench_is_test, bench_retry_at, b },
                .writer = { bench_submit, b },
                .clock = { bench_realtime, bench_monotonic, b },
                .reader = b->fixture->reader,
                .max_in_flight = 8,
                .rate = UINT64_MAX,
                .live_per_day = UINT64_MAX,
                .timeout = (uint64_t)TIMEOUT,
                .settle = (uint64_t)SETTLE,
                .seed = 1,
                .on_task = bench_on_task,
                .on_change = bench_on_change,
                .userdata = b,
        };
        *state = b;
        return 0;
}

static inline int bench_tear_down(void **state)
{
        Bench *b = *state;
        void *fixture = b->fixture;

        outbox_free(b->outbox);
        bench_drop_requests(b);
        free(b->task);
        teardown(&fixture);
        free(b);
        return 0;
}
