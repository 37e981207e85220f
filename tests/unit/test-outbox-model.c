/*
 * The model test: random sequences of all that can happen, and at the end of each what must hold whatever
 * happened: every submission has exactly one task, or ended for a reason and has none; none is lost; none
 * was made twice.
 *
 * The worker and the store are the real ones, the world is the stand-in's. In between everything is chance:
 * requests that never leave, arrive late, long after somebody on the way gave up, or after the process died,
 * answers that are lost, wrong or cut, lists that lag, commits that fail, processes that die between any two
 * steps (with what waits for the disk stored or not), machines that start anew, clocks that jump, callbacks
 * that come before the answer, people who hold, resume, flush, cancel, retry and drop, and backups that are
 * put back while what was sent since is at the API or on its way to it.
 *
 * A backup that is put back takes with it what was asked for since: submissions, wishes to cancel, and that
 * what had come to an end was tried again. Also of those nothing is made twice.
 *
 * MODEL_SEED is the first sequence's seed, MODEL_SEQUENCES how many follow from it, MODEL_TRACE=1 tells the
 * story.
 */

#include "test-outbox-model.h"

#include <fcntl.h>
#include <inttypes.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "daemon/commit.h"
#include "daemon/ingest.h"
#include "task/callback.h"

#define SEQUENCES 2000U

static char directory[64], template[80], copy[80];

/* What the sequences have met, all together: a test that meets nothing proves nothing. */
static struct {
        uint64_t submissions, crashes, requests, lost, never_left, after_death, late, callbacks,
                        failed_commits;
        uint64_t copies, turned_back, lost_submissions;
        uint64_t accepted, rejected, canceled, canceled_at_api;
        OutboxStats worker;
} met;

/* The way to the world. */

static int64_t get_realtime(void *userdata)
{
        return our_time(userdata);
}

static uint64_t get_monotonic(void *userdata)
{
        const Model *m = userdata;

        return (uint64_t)(m->t - m->booted + 1);
}

static bool get_is_test(void *userdata)
{
        return ((Model *)userdata)->is_test;
}

static uint64_t get_retry_at(void *userdata)
{
        return ((Model *)userdata)->left_alone.until;
}

static unsigned count_waiting(const Model *m)
{
        unsigned n = 0;

        FOREACH_ARRAY(w, m->wires, WIRES_MAX)
                n += w->used && w->done;
        return n;
}

static void wire_done(Wire *w)
{
        free(w->body);
        free(w->text);
        *w = (Wire){ 0 };
}

/* Of a request that nobody waits for any more, because we or somebody on the way gave up. */
static int64_t choose_arrival(Model *m, const Wire *w, int64_t end)
{
        return pick(m, 3) == 0 ? NEVER : end + pick_time(m, pick(m, 2) ? LATE : w->timeout + LATE);
}

/* What the network does with it. */
static void choose_fate(Model *m, Wire *w)
{
        int64_t latency = 1 + pick_time(m, 200000);
        unsigned fate = m->quiet ? 99 : pick(m, 100);

        w->timeout = m->timeout;
        w->arrives = m->t + latency;
        w->ends = m->t + w->timeout; /* unless an answer comes */
        w->end = END_TIMEOUT;
        if (m->down || fate < m->trouble / 3) {
                w->arrives = NEVER;
                w->ends = m->t + latency;
                w->end = END_NOT_SENT;
        } else if (fate < m->trouble * 2 / 3) {
                w->ends = m->t + latency;
                w->end = pick(m, 3) == 0 ? END_GATEWAY : END_RESET;
                w->arrives = choose_arrival(m, w, w->ends);
        } else if (fate < m->trouble)
                w->arrives = choose_arrival(m, w, w->ends);
        if (w->end != END_NOT_SENT && m->spell != 0) {
                w->arrives = NEVER;
                w->ends = m->t + latency;
                w->end = END_ANSWER;
                w->answer = (ApiAnswer){
                        .status = m->spell,
                        .is_json = true,
                        .date = api_time(m),
                        .retry_after = UINT64_MAX,
                };
                w->text = strdup("{\"error\":\"see to your account\"}");
        }
}

static int request(void *userdata, const ApiRequest *q, ApiDoneFn done, void *done_userdata)
{
        Model *m = userdata;
        const char *query = strchr(q->path, '?');

        if (!m->quiet && pick(m, 200) == 0)
                return -ENOMEM;
        if (count_waiting(m) >= m->max_in_flight)
                broken(m, "more than %u requests at once", (unsigned)m->max_in_flight);
        FOREACH_ARRAY(w, m->wires, WIRES_MAX) {
                if (w->used)
                        continue;
                *w = (Wire){ .used = true, .is_test = m->is_test, .done = done, .userdata = done_userdata };
                snprintf(w->method, sizeof(w->method), "%s", q->method);
                snprintf(w->path, sizeof(w->path), "/v1%.*s",
                                (int)(query ? (size_t)(query - q->path) : strlen(q->path)), q->path);
                snprintf(w->query, sizeof(w->query), "%s", query ? query + 1 : "");
                w->body = q->body ? strndup(q->body, q->body_size) : NULL;
                choose_fate(m, w);
                say(m, "ask %s %s %s%s", w->method, w->path, w->query, w->body ?: "");
                return 0;
        }
        broken(m, "too many requests");
        return -ENOBUFS;
}

/* The world gets it. */
static void arrive(Model *m, Wire *w)
{
        const WorldRequest q = {
                .method = w->method,
                .path = w->path,
                .query = w->query,
                .content_type = w->body ? "application/json" : NULL,
                .body = w->body,
                .body_size = w->body ? strlen(w->body) : 0,
                .is_test = w->is_test,
                .now = world_time(m),
                .skew = m->created_offset,
        };
        WorldAnswer a;

        met.after_death += !w->done && w->body;
        met.late += !w->done || w->end == END_RESET || w->end == END_GATEWAY;
        w->arrives = NEVER;
        assert_int_equal(world_handle(m->world, &q, &a), 0);
        say(m, "world %s %s: %u%s %.300s", w->method, w->path, a.status, a.drop ? " dropped" : "",
                        buffer_text(&a.body));
        if (!w->done) {
                wire_done(w);
        } else if (w->end == END_TIMEOUT && (int64_t)a.delay < w->ends - m->t) {
                w->ends = m->t + (int64_t)a.delay + pick_time(m, 100000);
                w->end = a.drop ? (pick(m, 2) ? END_RESET : END_CUT) : END_ANSWER;
                w->text = strdup(buffer_text(&a.body));
                w->answer = (ApiAnswer){
                        .status = a.status,
                        .is_json = streq_ptr(a.content_type, "application/json"),
                        .date = m->dateless ? TIME_NONE : api_time(m) / SECOND * SECOND,
                        .retry_after = a.retry_after > 0 ? a.retry_after * USEC_PER_SEC : UINT64_MAX,
                };
                if (!w->answer.is_json && !m->dateless) /* a proxy with a clock of its own */
                        w->answer.date += pick_time(m, 2 * DAY) - DAY;
        }
        buffer_done(&a.body);
}

/* We hear of it. */
static void end_wire(Model *m, Wire *w)
{
        static const int errors[] = { [END_NOT_SENT] = -ECONNREFUSED,
                [END_TIMEOUT] = -ETIMEDOUT,
                [END_RESET] = -ECONNRESET,
                [END_CUT] = -EBADMSG };
        ApiAnswer a = w->answer;
        ApiDoneFn done = w->done;

        met.requests++;
        met.lost += w->end != END_ANSWER && w->end != END_NOT_SENT;
        met.never_left += w->end == END_NOT_SENT;
        if (w->end == END_CUT && pick(m, 2) == 0)
                a.error = 0; /* it looks whole, and isn't */
        else if (w->end == END_GATEWAY)
                a = (ApiAnswer){ .status = 504, .date = TIME_NONE, .retry_after = UINT64_MAX };
        else if (w->end != END_ANSWER)
                a = (ApiAnswer){ .error = errors[w->end], .date = TIME_NONE, .retry_after = UINT64_MAX };
        a.sent = w->end != END_NOT_SENT;
        a.body = w->text ?: "";
        a.body_size = strlen(a.body);
        if (w->end == END_CUT)
                a.body_size /= 2;
        say(m, "end %s %s: %d %u", w->method, w->path, a.error, a.status);
        w->done = NULL;
        w->ends = NEVER;
        retry_after_note(&m->left_alone, &a, get_monotonic(m));
        done(&a, w->userdata);
        if (w->arrives == NEVER)
                wire_done(w);
}

/* The disk. */

static int submit(void *userdata, CommitJob *job)
{
        Model *m = userdata;

        if (!m->quiet && pick(m, 50) == 0)
                return -EAGAIN;
        job->next = NULL;
        *m->jobs_tail = job;
        m->jobs_tail = &job->next;
        if (m->commit_at == NEVER)
                m->commit_at = m->t + pick_time(m, pick(m, 5) == 0 ? 2 * SECOND : 5000);
        return 0;
}

static void drop_jobs(Model *m)
{
        m->jobs = NULL;
        m->jobs_tail = &m->jobs;
        m->commit_at = NEVER;
}

static int write_jobs(Model *m, CommitJob *jobs)
{
        StoreChange *group[JOBS_MAX];
        size_t n = 0;

        for (CommitJob *j = jobs; j; j = j->next) {
                assert_true(n < JOBS_MAX);
                group[n++] = &j->change;
        }
        return store_write(m->store, group, n);
}

static void commit(Model *m)
{
        CommitJob *jobs = m->jobs, *next;
        int r = -ENOSPC;

        drop_jobs(m);
        if (!m->disk_full && (m->quiet || pick(m, 50) > 0))
                r = write_jobs(m, jobs);
        met.failed_commits += r < 0;
        m->turned_back = m->turned_back && r < 0; /* the first thing that is stored after a start */
        for (CommitJob *j = jobs; j; j = next) {
                next = j->next;
                assert_true(r < 0 || j->change.result == 0);
                j->done(j, r);
        }
}

static void begin(Model *m)
{
        assert_int_equal(store_begin(m->store), 0);
}

static void end(Model *m)
{
        assert_int_equal(store_commit(m->store), 0);
}

/* What the receiver does with a body: through the same checks into the same table. Kept at once: whoever
 * waits for its own queue is another process. */
static void record_body(Model *m, const void *body, size_t size, Source source, const char *ref)
{
        Metadata metadata = { 0 };
        StoreOutcome outcome;
        Callback *c;
        StoreDelivery d;

        assert_int_equal(callback_parse(body, size, &c), 0);
        assert_int_equal(
                        callback_check(c, NULL, source == SOURCE_CALLBACK ? 0 : CALLBACK_ALLOW_SNAPSHOT), 0);
        assert_int_equal(metadata_collect(c->task, &metadata), 0);
        d = (StoreDelivery){
                .source = source,
                .received_at = our_time(m),
                .ref = ref,
                .body = body,
                .body_size = size,
                .status = 200,
                .proposed = VERDICT_STORED,
                .task_id = c->task_id,
                .type = c->type,
                .task_status = c->status,
                .is_test = c->is_test,
                .has_document = true,
                .created_at = c->created_at,
                .completed_at = c->completed_at,
                .metadata = metadata.values,
                .n_metadata = metadata.n,
                .is_snapshot = c->kind == CALLBACK_SNAPSHOT,
                .due_at = our_time(m) + DAY,
        };
        memcpy(d.digest, c->digest, sizeof(d.digest));
        begin(m);
        assert_int_equal(store_record_delivery(m->store, &d, &outcome), 0);
        if (outcome.second_task)
                broken(m, "submission %s has two tasks", ref ?: "?");
        end(m);
        metadata_done(&metadata);
        callback_free(c);
}

static void on_task(const void *body, size_t size, void *userdata)
{
        Model *m = userdata;

        say(m, "told %.*s", (int)MIN(size, 200), (const char *)body);
        record_body(m, body, size, SOURCE_RECONCILE, NULL);
}

/* A callback of the world, if there is one, and if it gets through. */
static void take_callback(Model *m)
{
        WorldCallback c;

        if (world_take_callback(m->world, world_time(m), &c) <= 0)
                return;
        if (m->quiet || pick(m, 3) > 0) {
                met.callbacks++;
                say(m, "callback %s", c.url);
                record_body(m, c.body, c.body_size, SOURCE_CALLBACK, strrchr(c.url, '/') + 1);
                assert_int_equal(world_callback_done(m->world, c.number, 200, NULL, world_time(m)), 0);
        } else
                assert_int_equal(world_callback_done(m->world, c.number, 0, "lost", world_time(m)), 0);
}

/* Processes. */

static void on_change(void *userdata)
{
        Model *m = userdata;

        m->run_at = MIN(m->run_at, m->t + pick_time(m, 2000));
}

static OutboxOptions options_of(Model *m)
{
        return (OutboxOptions){
                .api = { request, get_is_test, get_retry_at, m },
                .writer = { submit, m },
                .clock = { get_realtime, get_monotonic, m },
                .reader = m->reader,
                .callback_url = "https://example.com/callback",
                .max_in_flight = (unsigned)m->max_in_flight,
                .rate = UINT64_MAX,
                .live_per_day = m->live_per_day,
                .timeout = (uint64_t)m->timeout,
                .settle = (uint64_t)SETTLE,
                .seed = m->seed,
                .on_change = on_change,
                .on_task = on_task,
                .userdata = m,
        };
}

static void start(Model *m)
{
        OutboxOptions options;

        say(m, "start");
        m->store = open_store(m->path);
        m->reader = open_reader(m->path, 0);
        options = options_of(m);
        assert_int_equal(outbox_new(&options, &m->outbox), 0);
        outbox_start(m->outbox);
        m->run_at = m->t;
}

static void collect_stats(const Model *m)
{
        OutboxStats s;

        outbox_get_stats(m->outbox, &s);
        met.worker.unknown += s.unknown;
        met.worker.resolved_found += s.resolved_found;
        met.worker.resolved_absent += s.resolved_absent;
        met.worker.retried += s.retried;
        met.worker.lists += s.lists;
}

/* Files. */

static void copy_file(const char *from, const char *to)
{
        char buf[65536];
        ssize_t n;
        int in = open(from, O_RDONLY | O_CLOEXEC),
            out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(in >= 0 && out >= 0);
        while ((n = read(in, buf, sizeof(buf))) > 0)
                assert_int_equal(write(out, buf, (size_t)n), n);
        close(in);
        close(out);
}

static void remove_database(const char *path)
{
        static const char *const files[] = { "", "-wal", "-shm", "-turn" };
        char name[128];

        FOREACH_ARRAY(f, files, ELEMENTSOF(files)) {
                snprintf(name, sizeof(name), "%s%s", path, *f);
                (void)unlink(name);
        }
}

/* As `scalectl backup` does it. */
static void copy_running(const Model *m)
{
        StoreBackup *b;
        char *error = NULL;
        int r;

        remove_database(copy);
        assert_int_equal(store_backup_open(m->path, copy, &b, &error), 0);
        while ((r = store_backup_step(b, 100)) > 0)
                ;
        assert_int_equal(r, 0);
        store_backup_close(b);
}

static void note_copy(Model *m)
{
        met.copies++;
        m->copy = (Copy){ .there = true, .n_wishes = m->n_wishes };
        memcpy(m->copy.wishes, m->wishes, sizeof(m->wishes));
}

static void back_up(Model *m)
{
        say(m, "back up");
        copy_running(m);
        note_copy(m);
}

/* kill -9: what is with the writer is on disk, or it isn't; what is on the wire arrives, or it doesn't. */
static void die(Model *m)
{
        collect_stats(m);
        if (m->jobs && pick(m, 2) == 0)
                assert_int_equal(write_jobs(m, m->jobs), 0);
        drop_jobs(m);
        m->outbox = outbox_free(m->outbox);
        m->left_alone = (RetryAfter){ 0 };
        FOREACH_ARRAY(w, m->wires, WIRES_MAX) {
                if (!w->used)
                        continue;
                if (w->done && w->arrives != NEVER) /* else it died before */
                        w->arrives = choose_arrival(m, w, m->t);
                w->done = NULL;
                w->ends = NEVER;
                if (w->arrives == NEVER)
                        wire_done(w);
        }
        m->reader = store_reader_close(m->reader);
        m->store = store_close(m->store);
}

static void start_anew(Model *m)
{
        if (pick(m, 4) == 0)
                m->booted = m->t;
        m->run_at = NEVER;
        start(m);
}

static void crash(Model *m)
{
        say(m, "crash");
        met.crashes++;
        die(m);
        if (!m->quiet && pick(m, 20) == 0) { /* all files, while nobody has them */
                say(m, "copy the files");
                copy_file(m->path, copy);
                note_copy(m);
        }
        if (!m->quiet && pick(m, 3) == 0)
                m->t += pick_time(m, 2 * MINUTE); /* it stays down: what arrives meanwhile arrives at once */
        m->timeout = pick(m, 3) == 0 ? 5 * SECOND : MINUTE;
        start_anew(m);
}

/* What may be on its way was sent by who isn't in the copy: its time-out may not be shortened meanwhile. */
static int64_t longest_timeout(const Model *m)
{
        int64_t longest = m->timeout;

        FOREACH_ARRAY(w, m->wires, WIRES_MAX)
                if (w->used)
                        longest = MAX(longest, w->timeout);
        return longest;
}

static void turn_back(Model *m)
{
        static const char *const logs[] = { "-wal", "-shm" };
        char name[128];

        say(m, "put the copy back");
        met.turned_back++;
        die(m);
        FOREACH_ARRAY(log, logs, ELEMENTSOF(logs)) {
                snprintf(name, sizeof(name), "%s%s", m->path, *log);
                (void)unlink(name);
        }
        copy_file(copy, m->path);
        met.lost_submissions += m->n_wishes - m->copy.n_wishes;
        memcpy(m->wishes, m->copy.wishes, sizeof(m->wishes));
        m->n_wishes = m->copy.n_wishes;
        for (unsigned i = 0; i < m->n_wishes; i++)
                m->wishes[i].forgotten |= m->copy.tried_again[i];
        m->turned_back = true;
        m->timeout = longest_timeout(m);
        start_anew(m);
}

/* Time. */

static int64_t next_event(const Model *m)
{
        int64_t at = MIN(m->commit_at, m->run_at);

        FOREACH_ARRAY(w, m->wires, WIRES_MAX)
                if (w->used)
                        at = MIN(at, MIN(w->arrives, w->ends));
        return at;
}

static void run(Model *m)
{
        uint64_t next;
        int r;

        m->run_at = NEVER;
        r = outbox_run(m->outbox);
        if (r < 0)
                broken(m, "outbox_run: %d: %s", r, store_reader_error(m->reader));
        next = outbox_next(m->outbox);
        if (next != UINT64_MAX)
                m->run_at = MIN(m->run_at, MAX((int64_t)next - 1 + m->booted, m->t + 1));
}

static void happen(Model *m)
{
        if (++m->n_events > EVENTS_MAX)
                broken(m, "it doesn't come to rest");
        FOREACH_ARRAY(w, m->wires, WIRES_MAX) {
                if (w->used && w->arrives <= m->t)
                        arrive(m, w);
                if (w->used && w->ends <= m->t)
                        end_wire(m, w);
        }
        if (m->commit_at <= m->t)
                commit(m);
        if (pick(m, 8) == 0 || m->quiet)
                take_callback(m);
        if (m->run_at <= m->t)
                run(m);
}

static void pass(Model *m, int64_t usec)
{
        int64_t until = m->t + usec, at;

        while ((at = next_event(m)) <= until) {
                m->t = MAX(m->t, at);
                happen(m);
                if (!m->quiet && pick(m, 150) == 0)
                        crash(m); /* between any two steps */
        }
        m->t = MAX(m->t, until);
}

/* People. */

static const char good_task[] =
                "{\"instruction\":\"how "
                "big?\",\"attachment_type\":\"text\",\"attachment\":\"car\",\"categories\":[\"big\","
                "\"small\"]}";
static const char foreign_task[] = "{\"instruction\":\"x\",\"attachment_type\":\"text\",\"attachment\":"
                                   "\"car\",\"categories\":[\"big\",\"small\"],"
                                   "\"callback_url\":\"https://example.com/other\"}";
static const char bad_task[] = "{\"instruction\":\"no attachment\"}";

static void enqueue(Model *m)
{
        unsigned n = m->n_wishes;
        bool again = n > 0 && pick(m, 4) == 0;
        char id[SUBMISSION_ID_SIZE], key[16], got[SUBMISSION_ID_SIZE];
        StoreSubmission s;
        StoreAddition what;

        if (n == ASKED_MAX)
                return;
        if (again)
                n = pick(m, n);
        snprintf(id, sizeof(id), "%016" PRIx64 "%016" PRIx64, model_chance(m), model_chance(m));
        snprintf(key, sizeof(key), "key-%u", n);
        if (!again)
                m->wishes[n].bad = pick(m, 12) == 0;
        s = (StoreSubmission){
                .id = id,
                .type = "categorization",
                .created_at = our_time(m),
                .next_at = our_time(m),
                .expires_at = our_time(m) + 5 * DAY,
                .idempotency_key = key,
                .digest = { (uint8_t)n },
                .params = m->wishes[n].bad ? bad_task : good_task,
                .params_size = strlen(m->wishes[n].bad ? bad_task : good_task),
        };
        begin(m);
        assert_int_equal(store_add_submission(m->store, &s, &what, got), 0);
        end(m);
        say(m, "enqueue %s%s", got, m->wishes[n].bad ? " bad" : "");
        if (again) {
                assert_int_equal(what, STORE_KNOWN);
                assert_string_equal(got, m->wishes[n].id);
                return;
        }
        assert_int_equal(what, STORE_ADDED);
        snprintf(m->wishes[n].id, sizeof(m->wishes[n].id), "%s", got);
        m->n_wishes++;
}

typedef struct Row {
        SubmissionState state;
        bool cancel_wanted, is_test;
        int64_t sent_at, floor_at, ended_at, grace, next_at;
        char task_id[64], error[300];
} Row;

static int take_row(const Submission *s, void *userdata)
{
        Row *row = userdata;

        *row = (Row){ s->state, s->cancel_wanted, s->is_test, s->sent_at, s->floor_at, s->ended_at, s->grace,
                s->next_at, "", "" };
        snprintf(row->task_id, sizeof(row->task_id), "%s", s->task_id ?: "");
        snprintf(row->error, sizeof(row->error), "%s", s->error ?: "");
        return 0;
}

static Row row_of(Model *m, const char *id)
{
        Row row;

        if (store_get_submission(m->reader, id, false, take_row, &row) != 1)
                broken(m, "submission %s is lost", id);
        return row;
}

static int move_row(Model *m, const Wish *wish, const Row *row, SubmissionState to)
{
        StoreMove move = {
                .from = SUBMISSION_IN(row->state),
                .to = to,
                .now = our_time(m),
                .next_at = our_time(m),
                .sent_at = row->sent_at,
                .floor_at = row->floor_at,
                .ended_at = row->ended_at,
                .grace = row->grace,
                .is_test = row->is_test,
                .error = to == SUBMISSION_CANCELED ? "somebody said so" : NULL,
                .expires_at = our_time(m) + 5 * DAY,
        };
        int r;

        begin(m);
        r = store_move_submission(m->store, wish->id, &move);
        assert_int_equal(r, 0);
        end(m);
        return r;
}

static void cancel(Model *m, Wish *wish, const Row *row)
{
        int r = 0;

        if (row->state == SUBMISSION_QUEUED)
                move_row(m, wish, row, SUBMISSION_CANCELED);
        else if (row->state == SUBMISSION_SENDING || row->state == SUBMISSION_UNKNOWN ||
                        row->state == SUBMISSION_ACCEPTED) {
                begin(m);
                r = store_want_cancel(m->store, wish->id, SUBMISSION_IN(row->state), our_time(m));
                end(m);
        } else
                return;
        wish->canceled = r == 0;
}

static void retry(Model *m, Wish *wish, const Row *row)
{
        if (row->state == SUBMISSION_REJECTED || row->state == SUBMISSION_EXPIRED ||
                        row->state == SUBMISSION_CANCELED) {
                move_row(m, wish, row, row->sent_at != TIME_NONE ? SUBMISSION_UNKNOWN : SUBMISSION_QUEUED);
                wish->canceled = false;
                m->copy.tried_again[wish - m->wishes] = true;
        } else if (row->state == SUBMISSION_QUEUED || row->state == SUBMISSION_UNKNOWN)
                move_row(m, wish, row, row->state);
        outbox_hurry(m->outbox);
}

static void drop(Model *m, Wish *wish, const Row *row)
{
        if (row->state != SUBMISSION_QUEUED && row->state != SUBMISSION_REJECTED &&
                        row->state != SUBMISSION_EXPIRED)
                return;
        move_row(m, wish, row, SUBMISSION_CANCELED);
        wish->canceled = true;
}

static void meddle(Model *m)
{
        static void (*const verbs[])(
                        Model * m, Wish * wish, const Row *row) = { cancel, retry, retry, drop };
        static const char *const names[] = { "cancel", "retry", "retry", "drop" };
        unsigned verb = pick(m, ELEMENTSOF(verbs));
        Wish *wish;
        Row row;

        if (m->n_wishes == 0 || m->turned_back) /* the daemon has stored that before it hears of wishes */
                return;
        wish = &m->wishes[pick(m, m->n_wishes)];
        row = row_of(m, wish->id);
        say(m, "%s %s, which is %s", names[verb], wish->id, submission_state_to_string(row.state));
        verbs[verb](m, wish, &row);
        on_change(m);
}

static void hold(Model *m, QueueHold hold)
{
        say(m, "queue: %s", queue_hold_to_string(hold));
        begin(m);
        assert_int_equal(store_hold_queue(m->store, hold, "somebody said so", our_time(m)), 0);
        end(m);
        outbox_hurry(m->outbox);
}

static void flush(Model *m)
{
        uint64_t n;

        say(m, "flush");
        begin(m);
        assert_int_equal(store_flush_submissions(m->store, our_time(m), &n), 0);
        end(m);
        outbox_hurry(m->outbox);
}

/* Weather. */

static void set_faults(Model *m, bool on)
{
        for (Fault f = FAULT_DROP_ANSWER; f <= FAULT_LAG; f++)
                world_set_fault(m->world, f, on ? pick(m, 4) * 0.12 : 0);
        m->trouble = on ? pick(m, 50) : 0;
}

static void change_weather(Model *m)
{
        static const unsigned spells[] = { 401, 402, 403, 302, 500, 429, 503, 0, 0, 0, 0 };

        switch (pick(m, 8)) {
        case 0:
                m->spell = spells[pick(m, ELEMENTSOF(spells))];
                say(m, "everything is answered %u", m->spell);
                break;
        case 1:
                m->down = pick(m, 3) == 0;
                say(m, "network %s", m->down ? "down" : "up");
                break;
        case 2:
                m->disk_full = pick(m, 3) == 0;
                say(m, "disk %s", m->disk_full ? "full" : "fine");
                break;
        case 3:
                m->our_offset = pick_time(m, 12 * HOUR) - 6 * HOUR;
                say(m, "our clock is %lld s off", (long long)(m->our_offset / SECOND));
                on_change(m);
                break;
        case 4:
                *(pick(m, 2) ? &m->created_offset : &m->date_offset) =
                                pick_time(m, 2 * API_STEP_MAX) - API_STEP_MAX;
                say(m, "the API's clocks are %lld s (created_at) and %lld s (Date) off",
                                (long long)(m->created_offset / SECOND),
                                (long long)(m->date_offset / SECOND));
                break;
        case 5:
                m->is_test = pick(m, 4) == 0 ? !m->is_test : m->is_test;
                break;
        default:
                set_faults(m, pick(m, 4) > 0);
                break;
        }
}

static void step(Model *m)
{
        static const int64_t times[] = { 1000, 50000, SECOND, 5 * SECOND, 15 * SECOND, 31 * SECOND,
                5 * MINUTE, HOUR };
        unsigned what = pick(m, 100);

        if (what < 18)
                enqueue(m);
        else if (what < 28)
                meddle(m);
        else if (what < 31)
                hold(m, QUEUE_HELD);
        else if (what < 38)
                hold(m, QUEUE_RUNNING);
        else if (what < 42)
                flush(m);
        else if (what < 56)
                change_weather(m);
        else if (what < 60)
                crash(m);
        else if (what < 62)
                back_up(m);
        else if (what < 64 && m->copy.there)
                turn_back(m);
        else
                pass(m, pick_time(m, times[pick(m, ELEMENTSOF(times))]));
        on_change(m);
}

/* The end. */

static bool is_at_rest(Model *m)
{
        FOREACH_ARRAY(wish, m->wishes, m->n_wishes) {
                Row row = row_of(m, wish->id);

                if (row.state == SUBMISSION_QUEUED || row.state == SUBMISSION_SENDING ||
                                row.state == SUBMISSION_UNKNOWN || row.cancel_wanted)
                        return false;
        }
        return next_event(m) == NEVER || !m->jobs;
}

/* Somebody who doesn't know that it was tried again does so. */
static void try_forgotten_again(Model *m)
{
        FOREACH_ARRAY(wish, m->wishes, m->n_wishes) {
                Row row = row_of(m, wish->id);

                if (wish->forgotten && !m->turned_back && pick(m, 4) > 0)
                        retry(m, wish, &row);
        }
}

static void come_to_rest(Model *m)
{
        OutboxOptions options;
        bool hurry = pick(m, 2) == 0;

        say(m, "from here on nothing goes wrong");
        m->quiet = true;
        m->spell = 0;
        m->down = m->disk_full = false;
        m->live_per_day = UINT64_MAX;
        set_faults(m, false);
        options = options_of(m);
        assert_int_equal(outbox_set_options(m->outbox, &options), 0);
        if (pick(m, 4) == 0)
                crash(m);
        pass(m, MINUTE);
        try_forgotten_again(m);
        for (unsigned i = 0; !is_at_rest(m); i++) {
                if (i > 24 * 60)
                        broken(m, "it doesn't come to rest in a day");
                if (i % 60 == 0)
                        hold(m, QUEUE_RUNNING);
                if (i % 60 == 30)
                        m->is_test = !m->is_test; /* who waits for the other kind of key gets it */
                if (hurry)
                        flush(m);
                on_change(m);
                pass(m, MINUTE);
        }
        pass(m, 2 * MINUTE); /* and what is still on a wire arrives */
}

/* Tasks of the world that carry the id, one of them, and how many of them are alive. */
typedef struct Tasks {
        unsigned n, living;
        char task_id[64];
} Tasks;

/* All that it has, as one page. */
static json_t *list_world(Model *m)
{
        json_t *all = json_array();
        bool more = true;

        while (more) {
                char query[64];
                const WorldRequest q = {
                        .method = "GET", .path = "/v1/tasks", .query = query, .now = world_time(m)
                };
                json_auto_t *page = NULL;
                WorldAnswer a;

                snprintf(query, sizeof(query), "limit=100&offset=%zu", json_array_size(all));
                assert_int_equal(world_handle(m->world, &q, &a), 0);
                page = json_loadb(a.body.data, a.body.size, 0, NULL);
                buffer_done(&a.body);
                assert_non_null(page);
                assert_int_equal(json_array_extend(all, json_object_get(page, "docs")), 0);
                more = json_is_true(json_object_get(page, "has_more"));
        }
        return json_pack("{s:o}", "docs", all);
}

static Tasks tasks_of(const json_t *page, const char *id)
{
        const json_t *task;
        Tasks t = { 0 };
        size_t i;

        json_array_foreach(json_object_get(page, "docs"), i, task) {
                const char *carried = json_string_value(
                                json_object_get(json_object_get(task, "metadata"), TASK_SUBMISSION_KEY));
                const char *status = json_string_value(json_object_get(task, "status"));

                if (!streq_ptr(carried, id))
                        continue;
                t.n++;
                t.living += !streq(status, "canceled");
                snprintf(t.task_id, sizeof(t.task_id), "%s",
                                json_string_value(json_object_get(task, "task_id")));
        }
        return t;
}

static bool is_completed(const json_t *page, const char *task_id)
{
        const json_t *task;
        size_t i;

        json_array_foreach(json_object_get(page, "docs"), i, task)
                if (streq_ptr(json_string_value(json_object_get(task, "task_id")), task_id))
                        return streq(json_string_value(json_object_get(task, "status")), "completed");
        return false;
}

static void check_wish(Model *m, const Wish *wish, const json_t *page)
{
        Tasks tasks = tasks_of(page, wish->id);
        Row row = row_of(m, wish->id);
        const char *state = submission_state_to_string(row.state);

        if (tasks.n > 1)
                broken(m, "submission %s, %s, has %u tasks", wish->id, state, tasks.n);
        if (row.state == SUBMISSION_ACCEPTED) {
                if (tasks.n != 1)
                        broken(m, "submission %s is accepted and has no task", wish->id);
                if (!streq(tasks.task_id, row.task_id))
                        broken(m, "submission %s: task %s instead of %s", wish->id, row.task_id,
                                        tasks.task_id);
                met.accepted++;
                met.canceled_at_api += tasks.living == 0;
                if (wish->canceled && tasks.living > 0 && !is_completed(page, tasks.task_id))
                        broken(m, "submission %s was to be canceled", wish->id);
                return;
        }
        if (tasks.n > 0 && !wish->forgotten)
                broken(m, "submission %s is %s and has a task", wish->id, state);
        if (row.state == SUBMISSION_REJECTED && !wish->bad)
                broken(m, "submission %s is rejected: %s", wish->id, row.error);
        if (row.state == SUBMISSION_CANCELED && !wish->canceled)
                broken(m, "submission %s is canceled, and nobody asked for it", wish->id);
        if (row.state != SUBMISSION_REJECTED && row.state != SUBMISSION_CANCELED)
                broken(m, "submission %s is %s", wish->id, state);
        met.rejected += row.state == SUBMISSION_REJECTED;
        met.canceled += row.state == SUBMISSION_CANCELED;
        if (row.error[0] == 0)
                broken(m, "submission %s is %s without a reason", wish->id, state);
}

static void check_all(Model *m)
{
        json_auto_t *page = list_world(m), *stats = world_stats(m->world);
        OutboxStats s;

        FOREACH_ARRAY(wish, m->wishes, m->n_wishes)
                check_wish(m, wish, page);
        outbox_get_stats(m->outbox, &s);
        if (json_integer_value(json_object_get(stats, "duplicate_tasks")) != 0 || s.duplicates != 0)
                broken(m, "tasks were made twice");
        if (s.in_flight != 0 || !outbox_is_idle(m->outbox))
                broken(m, "it says that it isn't idle");
}

/* One sequence. */

/* Tasks of others, of the last weeks: more than a page of them, so that a listing has where to end. */
static void populate(Model *m)
{
        unsigned n = pick(m, 400);

        for (unsigned i = 0; i < n; i++) {
                const WorldRequest q = {
                        .method = "POST",
                        .path = "/v1/task/categorization",
                        .content_type = "application/json",
                        .body = foreign_task,
                        .body_size = strlen(foreign_task),
                        .now = world_time(m),
                        .skew = m->created_offset - pick_time(m, pick(m, 3) == 0 ? 20 * DAY : DAY),
                };
                WorldAnswer a;

                assert_int_equal(world_handle(m->world, &q, &a), 0);
                assert_int_equal(a.status, 200);
                buffer_done(&a.body);
        }
}

static void run_sequence(uint64_t seed, bool trace)
{
        Model *m = calloc(1, sizeof(Model));
        WorldOptions world = {
                .seed = seed,
                .complete_after = UINT64_MAX,
                .delay = (uint64_t)(90 * SECOND), /* also beyond our time-out */
                .lag = (uint64_t)LAG,
        };
        unsigned steps;

        assert_non_null(m);
        m->seed = m->chance = seed;
        m->trace = trace;
        snprintf(m->path, sizeof(m->path), "%s/%s", directory, "model.db");
        copy_file(template, m->path);
        m->run_at = NEVER;
        m->timeout = MINUTE;
        drop_jobs(m);
        m->created_offset = pick(m, 3) == 0 ? 0 : pick_time(m, 20 * HOUR) - 10 * HOUR;
        m->date_offset = pick(m, 2) == 0 ? m->created_offset : pick_time(m, 20 * HOUR) - 10 * HOUR;
        m->dateless = pick(m, 10) == 0;
        m->is_test = pick(m, 3) == 0;
        m->max_in_flight = 1 + pick(m, 4);
        m->live_per_day = pick(m, 4) == 0 ? 3 : UINT64_MAX;
        assert_int_equal(world_new(&world, &m->world), 0);
        if (pick(m, 4) == 0)
                populate(m);
        set_faults(m, true);

        start(m);
        steps = 10 + pick(m, 60);
        for (unsigned i = 0; i < steps; i++)
                step(m);
        come_to_rest(m);
        check_all(m);
        met.submissions += m->n_wishes;
        collect_stats(m);

        outbox_free(m->outbox);
        FOREACH_ARRAY(w, m->wires, WIRES_MAX)
                wire_done(w);
        store_reader_close(m->reader);
        store_close(m->store);
        world_free(m->world);
        remove_database(m->path);
        free(m);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
        const char *text = getenv(name);
        uint64_t n = otherwise;

        if (text && parse_u64(text, 0, UINT64_MAX, &n) < 0)
                fail_msg("%s: expected a number", name);
        return n;
}

static void print_met(void)
{
        const struct {
                const char *name;
                uint64_t n;
        } rows[] = {
                { "submissions", met.submissions },
                { "crashes", met.crashes },
                { "requests", met.requests },
                { "answers lost", met.lost },
                { "never left", met.never_left },
                { "arrived after an end", met.late },
                { "arrived after a death", met.after_death },
                { "callbacks", met.callbacks },
                { "failed commits", met.failed_commits },
                { "backups", met.copies },
                { "backups put back", met.turned_back },
                { "submissions lost with that", met.lost_submissions },
                { "unknown", met.worker.unknown },
                { "found", met.worker.resolved_found },
                { "absent", met.worker.resolved_absent },
                { "sent again", met.worker.retried },
                { "pages", met.worker.lists },
                { "accepted", met.accepted },
                { "rejected", met.rejected },
                { "canceled", met.canceled },
                { "canceled at the API", met.canceled_at_api },
        };

        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows))
                print_message("%10" PRIu64 " %s\n", row->n, row->name);
}

static void test_exactly_once(_unused_ void **state)
{
        uint64_t seed = number_of("MODEL_SEED", 1), n = number_of("MODEL_SEQUENCES", SEQUENCES);
        bool trace = number_of("MODEL_TRACE", 0) > 0;

        print_message("MODEL_SEED=%" PRIu64 " MODEL_SEQUENCES=%" PRIu64 "\n", seed, n);
        for (uint64_t i = 0; i < n; i++)
                run_sequence(seed + i, trace);
        print_met();
        if (n < SEQUENCES)
                return;
        assert_true(met.crashes > n && met.lost > n && met.never_left > n && met.after_death > n / 10);
        assert_true(met.worker.resolved_found > n / 2 && met.worker.resolved_absent > n / 2);
        assert_true(met.accepted > n && met.rejected > n / 10 && met.canceled > n / 10);
        assert_true(met.canceled_at_api > n / 10 && met.callbacks > n / 10 && met.failed_commits > n);
        assert_true(met.turned_back > n / 10 && met.lost_submissions > n / 10);
}

static int make_template(_unused_ void **state)
{
        snprintf(directory, sizeof(directory), "%s/test-outbox-XXXXXX",
                        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (!mkdtemp(directory))
                return -1;
        snprintf(template, sizeof(template), "%s/template.db", directory);
        snprintf(copy, sizeof(copy), "%s/copy.db", directory);
        store_close(open_store(template));
        log_set_max_level(LOG_EMERG);
        return 0;
}

static int remove_template(_unused_ void **state)
{
        char path[96];

        snprintf(path, sizeof(path), "%s/model.db", directory);
        remove_database(path);
        remove_database(template);
        remove_database(copy);
        return rmdir(directory);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_exactly_once) };

        return cmocka_run_group_tests(tests, make_template, remove_template);
}
