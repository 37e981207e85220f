/*
 * The steps that are tried on a disk that fails: all that the store does, each so that it can be tried
 * again, and so that it is either done or not.
 */

#include "nth.h"

#include "store/sqlite/writer.h"
#include <unistd.h>

void session_close(Session *s)
{
        s->reader = store_reader_close(s->reader);
        s->checkpointer = checkpointer_close(s->checkpointer);
        s->store = store_close(s->store);
}

static int fail_with(Session *s, int r, const char *error)
{
        snprintf(s->error, sizeof(s->error), "%s", error ?: "");
        return r;
}

static int open_it(Session *s)
{
        _cleanup_free_ char *error = NULL;
        int r = 0;

        if (!s->store)
                r = store_open(s->path, STORE_RECEIVER, &s->store, &error);
        return r < 0 ? fail_with(s, r, error) : 0;
}

/* Groups. */

static int in_group(Session *s, int (*run)(Store *s))
{
        int r;

        r = store_begin(s->store);
        if (r < 0)
                return fail_with(s, r, store_error(s->store));
        r = run(s->store);
        if (r >= 0)
                r = store_commit(s->store);
        if (r >= 0)
                return 0;
        (void)fail_with(s, r, store_error(s->store));
        store_rollback(s->store);
        return r;
}

static int record_one(Store *s, StoreDelivery d)
{
        StoreOutcome o;

        return store_record_delivery(s, &d, &o);
}

static int write_first(Store *s)
{
        static char big[20000];
        StoreDelivery d;
        int r;

        memset(big, 'b', sizeof(big) - 1);
        r = record_one(s, response_of("first", "the first", 1));
        d = response_of("big", big, 2);
        return r < 0 ? r : record_one(s, d);
}

static int write_others(Store *s)
{
        const StoreDelivery all[] = {
                response_of("first", "another", 3),
                response_of("first", "the first", 1),
                response_of("first", "the first, otherwise", 1),
                invalid_of("what", "invalid"),
                invalid_of("what", "invalid"),
                attachment_of("failed", NULL, "a failure"),
                attachment_of(NULL, "nobody", "a failure of nobody's"),
                snapshot_of("told", DOCUMENT("told"), TASK_PENDING),
        };
        int r = 0;

        FOREACH_ARRAY(d, all, ELEMENTSOF(all))
                if (r >= 0)
                        r = record_one(s, *d);
        return r;
}

static int write_submissions(Store *s)
{
        static const char *const urls[] = { "http://www.example.com/a.jpg" };
        StoreSubmission n = submission_of("s1"), m = submission_of("s2");
        char id[SUBMISSION_ID_SIZE];
        StoreAddition a;
        int r;

        n.attachments = urls;
        n.n_attachments = 1;
        m.idempotency_key = "key";
        r = store_add_submission(s, &n, &a, id);
        return r < 0 ? r : store_add_submission(s, &m, &a, id);
}

static int move_to(Store *s, const char *id, SubmissionState to)
{
        StoreMove m = move_of(~SUBMISSION_IN(SUBMISSION_ACCEPTED), to);

        m.sent_at = T0;
        m.attempt = to == SUBMISSION_SENDING;
        m.error = to == SUBMISSION_REJECTED ? "no" : NULL;
        return store_move_submission(s, id, &m);
}

static int write_sending(Store *s)
{
        int r = move_to(s, "s1", SUBMISSION_SENDING);

        if (r >= 0)
                r = move_to(s, "s2", SUBMISSION_SENDING);
        return r < 0 ? r : store_count_live(s, 5, 2);
}

static int write_outcomes(Store *s)
{
        StoreDelivery account = snapshot_of("its-task", DOCUMENT("its-task"), TASK_PENDING);
        int r = store_accept_submission(s, "s1", &account);

        if (r >= 0)
                r = move_to(s, "s2", SUBMISSION_REJECTED);
        if (r >= 0)
                r = store_want_cancel(s, "s1", ~0U, T0);
        return r < 0 ? r : store_hold_queue(s, QUEUE_HELD, "enough", T0);
}

static int write_recovery(Store *s)
{
        uint64_t n;
        int r = move_to(s, "s2", SUBMISSION_SENDING);

        if (r >= 0)
                r = store_recover_submissions(s, T0, 0, 0, &n);
        if (r >= 0)
                r = store_flush_submissions(s, T0, &n);
        return r < 0 ? r : store_hold_queue(s, QUEUE_RUNNING, NULL, T0);
}

static int write_callback(Store *s)
{
        StoreDelivery d = response_of("its-task", "its response", 9);

        d.ref = "s1";
        return record_one(s, d);
}

static int write_pruning(Store *s)
{
        StoreTime time;
        uint64_t n, upto;
        bool more;
        int r;

        r = store_count_time(s, HOUR, T0, &time);
        if (r >= 0)
                r = store_find_older(s, 0, &upto);
        return r < 0 ? r : store_prune_deliveries(s, &(uint64_t){ 0 }, upto, 3, &n, &more);
}

static int record_first(Session *s)
{
        return in_group(s, write_first);
}

static int record_others(Session *s)
{
        return in_group(s, write_others);
}

static int submit(Session *s)
{
        return in_group(s, write_submissions);
}

static int send_them(Session *s)
{
        return in_group(s, write_sending);
}

static int hear_of_them(Session *s)
{
        return in_group(s, write_outcomes);
}

static int take_up(Session *s)
{
        return in_group(s, write_recovery);
}

static int call_back(Session *s)
{
        return in_group(s, write_callback);
}

static int prune(Session *s)
{
        return in_group(s, write_pruning);
}

int session_fill(Session *s)
{
        static int (*const steps[])(Session *) = { open_it, record_first, record_others, submit, send_them,
                hear_of_them };
        int r = 0;

        FOREACH_ARRAY(step, steps, ELEMENTSOF(steps))
                if (r >= 0)
                        r = (*step)(s);
        return r;
}

/* The rest. */

static int copy_back(Session *s)
{
        int r = 0;

        if (!s->checkpointer)
                r = checkpointer_open(s->path, &s->checkpointer);
        if (r >= 0)
                r = checkpointer_run(s->checkpointer);
        return r < 0 ? fail_with(s, r, NULL) : 0;
}

static int start_over(Session *s)
{
        int r = checkpoint_finish(sqlite_of(s->store), 0);

        return r < 0 ? fail_with(s, r, store_error(s->store)) : 0;
}

static int back_up(Session *s)
{
        _cleanup_(store_backup_closep) StoreBackup *b = NULL;
        _cleanup_free_ char *error = NULL;
        int r;

        (void)unlink(s->copy);
        r = store_backup_open(s->path, s->copy, &b, &error);
        if (r < 0)
                return fail_with(s, r, error);
        while ((r = store_backup_step(b, 5)) > 0)
                continue;
        s->copied = r == 0;
        return r < 0 ? fail_with(s, r, NULL) : 0;
}

static void see(Session *s, const void *data, size_t size)
{
        FOREACH_ARRAY(p, (const unsigned char *)data, size)
                s->seen = (s->seen ^ *p) * UINT64_C(0x100000001b3);
        s->seen += size;
}

static int see_a_task(const TaskDocument *t, void *userdata)
{
        see(userdata, t->task_id, strlen(t->task_id));
        see(userdata, t->document, t->document ? t->document_size : 0);
        see(userdata, t->response, t->response ? t->response_size : 0);
        return 0;
}

static int see_a_delivery(const StoredDelivery *d, void *userdata)
{
        see(userdata, &d->n, sizeof(d->n));
        see(userdata, d->body, d->body ? d->body_size : 0);
        return 0;
}

static int see_an_event(const StoredEvent *e, void *userdata)
{
        see(userdata, &e->seq, sizeof(e->seq));
        see(userdata, &e->kind, sizeof(e->kind));
        return 0;
}

static int see_a_submission(const Submission *x, void *userdata)
{
        see(userdata, x->id, strlen(x->id));
        see(userdata, &x->state, sizeof(x->state));
        return 0;
}

static int read_all(Session *s)
{
        const TaskFilter filter = {
                .start_time = TIME_NONE,
                .end_time = TIME_NONE,
                .status = _TASK_STATUS_INVALID,
                .is_test = -1,
                .limit = 50,
        };
        StoreReader *reader = s->reader;
        StoreStats stats;
        StoreQueue queue;
        TaskPage page;
        int r;

        r = store_list_tasks(reader, &filter, see_a_task, s, &page);
        if (r >= 0)
                r = store_get_task(reader, "big", see_a_task, s);
        if (r >= 0)
                r = store_list_deliveries(reader, _VERDICT_ERRNO, NULL, 0, 50, see_a_delivery, s);
        if (r >= 0)
                r = store_get_delivery(reader, 2, true, see_a_delivery, s);
        if (r >= 0)
                r = store_list_events(reader, 0, 50, true, see_an_event, s);
        if (r >= 0)
                r = store_list_submissions(reader, _SUBMISSION_STATE_ERRNO, 0, 50, see_a_submission, s);
        if (r >= 0)
                r = store_get_queue(reader, T0, &queue);
        if (r >= 0)
                r = store_get_stats(reader, &stats);
        if (r < 0)
                return r;
        see(s, &stats.tasks, sizeof(stats.tasks));
        see(s, &stats.by_verdict, sizeof(stats.by_verdict));
        see(s, &queue.by_state, sizeof(queue.by_state));
        return store_reader_changed(reader);
}

static int read_it(Session *s)
{
        _cleanup_free_ char *error = NULL;
        int r = 0;

        s->seen = 0;
        if (!s->reader)
                r = store_reader_open(s->path, 0, &s->reader, &error);
        if (r < 0)
                return fail_with(s, r, error);
        r = read_all(s);
        return r < 0 ? fail_with(s, r, store_reader_error(s->reader)) : 0;
}

const Scenario scenarios[] = {
        { "a new database", BEGIN_EMPTY,
                        { { "open", open_it }, { "record", record_first }, { "read", read_it } } },
        { "a database of the first schema", BEGIN_OLD,
                        { { "open", open_it }, { "record", record_first },
                                        { "record others", record_others } } },
        { "a database whose process was killed", BEGIN_KILLED,
                        { { "open", open_it }, { "take up", take_up }, { "start over", start_over } } },
        { "deliveries", BEGIN_EMPTY,
                        { { "open", open_it }, { "record", record_first },
                                        { "record others", record_others }, { "prune", prune } } },
        { "the outbox", BEGIN_EMPTY,
                        { { "open", open_it }, { "submit", submit }, { "send", send_them },
                                        { "hear", hear_of_them }, { "call back", call_back },
                                        { "take up", take_up } } },
        { "the outbox, by many processes", BEGIN_EMPTY,
                        { { "open", open_it }, { "submit", submit }, { "send", send_them },
                                        { "hear", hear_of_them }, { "call back", call_back } },
                        .afresh = true },
        { "deliveries, by many processes", BEGIN_CLEAN,
                        { { "open", open_it }, { "record others", record_others }, { "read", read_it },
                                        { "prune", prune } },
                        .afresh = true },
        { "checkpoints", BEGIN_CLEAN,
                        { { "open", open_it }, { "call back", call_back }, { "copy back", copy_back },
                                        { "take up", take_up }, { "start over", start_over },
                                        { "prune", prune }, { "copy back", copy_back },
                                        { "start over", start_over } } },
        { "reading", BEGIN_CLEAN, { { "open", open_it }, { "call back", call_back }, { "read", read_it } } },
        { "a backup", BEGIN_CLEAN,
                        { { "open", open_it }, { "call back", call_back }, { "back up", back_up } } },
};

const size_t n_scenarios = ELEMENTSOF(scenarios);
