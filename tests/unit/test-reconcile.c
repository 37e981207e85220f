/* Reconciliation: what is asked, when, and what becomes of the answers. */

#include "test-recovery.h"

static void make_with(Fixture *f, ReconcileOptions o)
{
        o.api = fixture_api(f);
        o.clock = fixture_clock(f);
        o.ingest = fixture_ingest(f);
        assert_int_equal(reconcile_new(&o, &f->reconcile), 0);
}

static void make(Fixture *f)
{
        make_with(f, (ReconcileOptions){ .interval = 15 * MINUTE });
}

static const ReconcileReport *report_of(Fixture *f)
{
        return reconcile_report(f->reconcile);
}

static ReconcileStats figures_of(Fixture *f)
{
        ReconcileStats s;

        reconcile_get_stats(f->reconcile, &s);
        return s;
}

static const ReconcileReport *run_all(Fixture *f)
{
        reconcile_start(f->reconcile);
        settle(f);
        return report_of(f);
}

/* What is found. */

static void test_lost_callbacks_are_found_when_they_are_due(void **state)
{
        char ids[10][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++)
                make_pending(f, i < 3 ? "immediate" : "day", ids[i]);
        make(f);
        pass(f, MINUTE);
        for (unsigned i = 0; i < ELEMENTSOF(ids); i++)
                complete(f, ids[i]);

        live(f, 58 * MINUTE);
        assert_int_equal(f->n_requests, 0); /* before the hour that immediate ones have */
        assert_true(figures_of(f).rounds >= 3);
        live(f, 20 * MINUTE);
        assert_int_equal(f->n_requests, 3);
        assert_int_equal(status_of(f, ids[2]), TASK_COMPLETED);
        live(f, 22 * HOUR);
        assert_int_equal(f->n_requests, 3);
        live(f, 2 * HOUR);
        assert_int_equal(f->n_requests, ELEMENTSOF(ids));
        assert_int_equal(figures_of(f).counts.recovered, ELEMENTSOF(ids));

        FOREACH_ARRAY(id, ids, ELEMENTSOF(ids)) {
                Seen s = deliveries_of(f, *id);

                assert_int_equal(status_of(f, *id), TASK_COMPLETED);
                assert_int_equal(s.by_source[SOURCE_RECONCILE], 1);
                assert_int_equal(s.by_verdict[VERDICT_STORED], 2); /* the account, the result */
        }
        live(f, DAY);
        assert_int_equal(f->n_requests, ELEMENTSOF(ids));
}

static void test_an_interval_of_zero_is_never(void **state)
{
        char id[25];
        Fixture *f = *state;

        make_pending(f, "immediate", id);
        make_with(f, (ReconcileOptions){ .interval = 0 });
        complete(f, id);
        live(f, 30 * DAY);
        assert_int_equal(f->n_requests, 0);
        assert_int_equal(report_of(f)->state, RECOVERY_NONE);
        assert_int_equal(reconcile_next(f->reconcile), UINT64_MAX);

        assert_int_equal(run_all(f)->state, RECOVERY_DONE);
        assert_int_equal(report_of(f)->counts.recovered, 1);
        assert_int_equal(reconcile_next(f->reconcile), UINT64_MAX);
        reconcile_set_interval(f->reconcile, MINUTE);
        live(f, 5 * MINUTE);
        assert_true(figures_of(f).rounds >= 3);
}

static void test_what_was_canceled_or_is_pending(void **state)
{
        char canceled[25], pending[25];
        Fixture *f = *state;

        make_pending(f, "immediate", canceled);
        make_pending(f, "immediate", pending);
        make(f);
        at_the_api(f, canceled, "cancel", NULL);
        pass(f, 2 * HOUR);
        live(f, MINUTE);
        assert_int_equal(report_of(f)->counts.canceled, 1);
        assert_int_equal(report_of(f)->counts.pending, 1);
        assert_int_equal(report_of(f)->counts.recovered, 0);
        assert_int_equal(status_of(f, canceled), TASK_CANCELED);
        assert_int_equal(status_of(f, pending), TASK_PENDING);
        assert_int_equal(deliveries_of(f, pending).n, 1);

        live(f, HOUR); /* it is asked about in each round, and leaves no trace */
        assert_in_range(f->n_requests, 5, 7);
        assert_int_equal(deliveries_of(f, pending).n, 1);
}

static void test_a_submission_is_said(void **state)
{
        json_auto_t *task = NULL, *metadata = NULL;
        Fixture *f = *state;

        task = create_task(f, "day");
        metadata = json_pack("{s:s}", TASK_SUBMISSION_KEY, "0123456789abcdef0123456789abcdef");
        json_object_set(task, "metadata", metadata);
        take(f, task, SOURCE_BACKFILL);
        assert_string_equal(deliveries_of(f, id_of(task)).ref, "0123456789abcdef0123456789abcdef");
}

#define SUBMISSION "0123456789abcdef0123456789abcdef"

static bool is_added;

static void on_added(_unused_ CommitJob *job, int result)
{
        assert_int_equal(result, 0);
        is_added = true;
}

/* In the log with its own id, and with all that the catalog names. */
static void test_a_second_task_is_an_event(void **state)
{
        const StoreSubmission submission = {
                .id = SUBMISSION,
                .type = "categorization",
                .created_at = T0,
                .next_at = T0,
                .expires_at = TIME_NONE,
                .params = "{}",
                .params_size = 2,
        };
        CommitJob job = { .change = { .kind = STORE_SUBMISSION, .submission = &submission },
                .done = on_added };
        json_auto_t *metadata = json_pack("{s:s}", TASK_SUBMISSION_KEY, SUBMISSION);
        Fixture *f = *state;

        is_added = false;
        assert_int_equal(commit_submit(f->port, &job), 0);
        while (!is_added)
                assert_true(sd_event_run(f->loop, 60 * USEC_PER_SEC) >= 0);

        hear_of(MESSAGE_SECOND_TASK);
        for (unsigned i = 0; i < 2; i++) {
                json_auto_t *task = create_task(f, "day");

                json_object_set(task, "metadata", metadata);
                take(f, task, SOURCE_BACKFILL);
                if (i == 0)
                        assert_int_equal(n_heard, 0);
                else
                        expect_heard("TASK_ID=", id_of(task), " SUBMISSION=" SUBMISSION);
        }
}

static void test_a_thousand_in_rounds(void **state)
{
        static char ids[1000][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++)
                make_pending(f, "immediate", ids[i]);
        make_with(f, (ReconcileOptions){ .interval = 15 * MINUTE, .per_round = 300 });
        for (unsigned i = 400; i < ELEMENTSOF(ids); i++)
                complete(f, ids[i]);
        pass(f, DAY);

        settle(f);
        assert_int_equal(report_of(f)->counts.asked, 300);
        assert_int_equal(figures_of(f).counts.pending, 300);
        live(f, 15 * MINUTE);
        settle(f);
        assert_int_equal(figures_of(f).counts.recovered, 200); /* those that stay don't hide the others */
        live(f, 30 * MINUTE);
        settle(f);
        assert_int_equal(figures_of(f).counts.recovered, 600);
        assert_true(f->most_asked <= 4);
        assert_int_equal(stats_of(f).tasks, 1000);
        FOREACH_ARRAY(id, ids, ELEMENTSOF(ids))
                assert_int_equal(deliveries_of(f, *id).by_source[SOURCE_RECONCILE], id - ids >= 400);

        /* From the beginning again. */
        live(f, 30 * MINUTE);
        assert_true(figures_of(f).counts.pending >= 800);
}

static void deliver_first(Fixture *f, const char *path)
{
        WorldAnswer a;
        json_auto_t *task = NULL;
        char full[600];

        f->before = NULL;
        snprintf(full, sizeof(full), "/v1%s", path);
        a = ask_world(f, "GET", full, NULL);
        task = json_loads(buffer_text(&a.body), 0, NULL);
        buffer_done(&a.body);
        assert_int_equal(take(f, task, SOURCE_CALLBACK), VERDICT_STORED);
}

static void test_a_callback_that_is_faster(void **state)
{
        char id[25];
        Fixture *f = *state;
        Seen s;

        make_pending(f, "immediate", id);
        make(f);
        complete(f, id);
        f->before = deliver_first;
        assert_int_equal(run_all(f)->state, RECOVERY_DONE);
        assert_int_equal(report_of(f)->counts.known, 1);
        assert_int_equal(report_of(f)->counts.recovered, 0);
        s = deliveries_of(f, id);
        assert_int_equal(s.by_source[SOURCE_RECONCILE], 0);
        assert_int_equal(s.by_verdict[VERDICT_REVISED], 0);
}

/* Failures. */

static void test_faults_only_take_time(void **state)
{
        static const Fault faults[] = { FAULT_ERROR_500, FAULT_ERROR_429, FAULT_HTML, FAULT_DROP_ANSWER };
        char ids[200][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++)
                make_pending(f, "immediate", ids[i]);
        make(f);
        FOREACH_ARRAY(id, ids, ELEMENTSOF(ids))
                complete(f, *id);
        FOREACH_ARRAY(fault, faults, ELEMENTSOF(faults))
                world_set_fault(f->world, *fault, 0.1);
        pass(f, DAY);
        live(f, 12 * HOUR);
        assert_int_equal(figures_of(f).counts.recovered, ELEMENTSOF(ids));
        assert_int_equal(figures_of(f).counts.invalid, 0);
        FOREACH_ARRAY(id, ids, ELEMENTSOF(ids))
                assert_int_equal(status_of(f, *id), TASK_COMPLETED);
}

static void test_a_key_that_is_none_ends_the_round(void **state)
{
        char ids[50][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++)
                make_pending(f, "immediate", ids[i]);
        make(f);
        f->script = script_401;
        pass(f, DAY);
        settle(f);
        assert_int_equal(report_of(f)->state, RECOVERY_FAILED);
        assert_non_null(strstr(report_of(f)->error, "401"));
        assert_true(f->n_requests <= 4);
        assert_true(report_of(f)->finished_at != TIME_NONE);

        /* 30 s, 1 m, 2 m, 4 m, 8 m, then the interval. */
        live(f, DAY);
        assert_in_range(figures_of(f).rounds_failed, 90, 105);
        assert_true(f->n_requests <= 4 * 105);

        f->script = NULL;
        FOREACH_ARRAY(id, ids, ELEMENTSOF(ids))
                complete(f, *id);
        live(f, HOUR);
        assert_int_equal(figures_of(f).counts.recovered, ELEMENTSOF(ids));
}

static void test_an_api_out_of_order_is_left_alone(void **state)
{
        char ids[50][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++)
                make_pending(f, "immediate", ids[i]);
        make(f);
        f->script = script_500;
        pass(f, DAY);
        live(f, 20 * USEC_PER_SEC);
        assert_int_equal(report_of(f)->state, RECOVERY_FAILED);
        assert_in_range(f->n_requests, 4, 16);
        assert_int_equal(figures_of(f).put_aside, 0); /* it is nobody's fault */

        /* It goes on where it came to nothing, not behind it. */
        f->script = NULL;
        FOREACH_ARRAY(id, ids, ELEMENTSOF(ids))
                complete(f, *id);
        live(f, 31 * USEC_PER_SEC);
        assert_int_equal(figures_of(f).rounds, 2);
        assert_int_equal(report_of(f)->counts.recovered, ELEMENTSOF(ids));
}

/* Whatever place a round of the interval's had come to. */
static void test_all_of_it_is_all(void **state)
{
        char ids[20][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++)
                make_pending(f, i < 10 ? "immediate" : "week", ids[i]);
        make_with(f, (ReconcileOptions){ .interval = 15 * MINUTE, .per_round = 7 });
        pass(f, DAY);
        settle(f);
        assert_int_equal(report_of(f)->counts.asked, 7);
        assert_int_equal(run_all(f)->counts.asked, ELEMENTSOF(ids));
}

static bool script_one_is_poison(Fixture *f, const char *path, Scripted *ret)
{
        return strstr(path, f->poison) && script_500(f, path, ret);
}

static void test_one_that_the_api_fails_at_keeps_nobody(void **state)
{
        char ids[100][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++)
                make_pending(f, "immediate", ids[i]);
        make_with(f, (ReconcileOptions){ .interval = 15 * MINUTE, .in_flight = 2 });
        FOREACH_ARRAY(id, ids, ELEMENTSOF(ids))
                complete(f, *id);
        f->poison = ids[5];
        f->script = script_one_is_poison;
        pass(f, DAY);
        live(f, MINUTE);
        assert_int_equal(report_of(f)->state, RECOVERY_DONE);
        assert_int_equal(figures_of(f).counts.recovered, ELEMENTSOF(ids) - 1);
        assert_int_equal(figures_of(f).counts.failed, 1);
        assert_int_equal(figures_of(f).put_aside, 1);

        f->script = NULL;
        live(f, 2 * HOUR);
        assert_int_equal(status_of(f, ids[5]), TASK_COMPLETED);
        assert_int_equal(figures_of(f).put_aside, 0);
}

static bool script_429(Fixture *f, _unused_ const char *path, Scripted *ret)
{
        if (f->n_script++ > 0)
                return false;
        ret->status = 429;
        ret->retry_after = 10 * MINUTE;
        ret->body = strdup("{\"status_code\":429,\"error\":\"Too many requests\"}");
        return true;
}

static void test_retry_after_is_kept(void **state)
{
        char ids[50][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++) {
                make_pending(f, "immediate", ids[i]);
                complete(f, ids[i]);
        }
        make(f);
        f->script = script_429;
        pass(f, DAY);
        settle(f);
        assert_int_equal(report_of(f)->state, RECOVERY_FAILED);
        assert_true(f->n_requests <= 4);
        f->n_requests = 0;
        live(f, 4 * MINUTE);
        assert_int_equal(report_of(f)->state, RECOVERY_FAILED); /* no round that could only wait */

        reconcile_start(f->reconcile); /* also who asks by hand has to wait */
        live(f, 5 * MINUTE);
        assert_int_equal(f->n_requests, 0);
        assert_int_equal(report_of(f)->state, RECOVERY_RUNNING);
        live(f, 2 * MINUTE);
        assert_int_equal(report_of(f)->state, RECOVERY_DONE);
        assert_int_equal(figures_of(f).counts.recovered, ELEMENTSOF(ids));
}

/* A round neither begins nor goes on while the outbox, say, is asked to leave the API alone. */
static void test_what_others_were_told_is_kept(void **state)
{
        char id[25];
        Fixture *f = *state;

        make_pending(f, "immediate", id);
        complete(f, id);
        make(f);
        pass(f, DAY);
        f->retry_after.until = f->monotonic + 10 * MINUTE;
        live(f, 4 * MINUTE);
        assert_int_equal(report_of(f)->state, RECOVERY_NONE);
        reconcile_start(f->reconcile);
        live(f, 5 * MINUTE);
        assert_int_equal(f->n_requests, 0);
        live(f, 2 * MINUTE);
        assert_int_equal(report_of(f)->state, RECOVERY_DONE);
        assert_int_equal(figures_of(f).counts.recovered, 1);
}

static void test_no_way_to_ask(void **state)
{
        char id[25];
        Fixture *f = *state;

        make_pending(f, "immediate", id);
        make(f);
        complete(f, id);
        f->refuse = -EAGAIN;
        pass(f, DAY);
        live(f, 20 * USEC_PER_SEC);
        assert_int_equal(report_of(f)->state, RECOVERY_FAILED);
        f->refuse = 0;
        live(f, HOUR);
        assert_int_equal(figures_of(f).counts.recovered, 1);
}

/* Answers that will be the same again. */

static bool script_404(_unused_ Fixture *f, _unused_ const char *path, Scripted *ret)
{
        ret->status = 404;
        ret->body = strdup("{\"status_code\":404,\"error\":\"Task not found\"}");
        return true;
}

static void test_a_task_that_the_api_does_not_know(void **state)
{
        char id[25];
        Fixture *f = *state;

        make_pending(f, "immediate", id);
        make(f);
        f->script = script_404;
        pass(f, DAY);
        live(f, 50 * MINUTE);
        assert_int_equal(f->n_requests, 1);
        assert_int_equal(figures_of(f).counts.unknown, 1);
        assert_int_equal(figures_of(f).rounds_failed, 0);
        live(f, 10 * DAY);
        assert_in_range(f->n_requests, 10, 16); /* 1, 2, 4, 8, 16 h, then once a day */
        assert_int_equal(figures_of(f).put_aside, 1);

        f->n_requests = 0;
        assert_int_equal(run_all(f)->counts.unknown, 1);
        assert_int_equal(f->n_requests, 1);
}

static bool script_404_of_a_proxy(Fixture *f, const char *path, Scripted *ret)
{
        ret->is_html = true;
        return script_404(f, path, ret);
}

static void test_a_proxys_404_says_nothing(void **state)
{
        char id[25];
        Fixture *f = *state;

        make_pending(f, "immediate", id);
        make(f);
        f->script = script_404_of_a_proxy;
        pass(f, DAY);
        live(f, MINUTE);
        assert_int_equal(figures_of(f).counts.unknown, 0);
        assert_true(figures_of(f).rounds_failed >= 1);
}

static bool script_invalid(_unused_ Fixture *f, const char *path, Scripted *ret)
{
        json_auto_t *task = NULL;

        task = json_pack("{s:s, s:s, s:s, s:s, s:{s:[s,s], s:s, s:s}, s:{s:s}, s:{}}", "task_id",
                        path + strlen("/task/"), "type", "categorization", "status", "completed",
                        "instruction", "?", "params", "categories", "big", "small", "attachment_type",
                        "text", "attachment", "ant", "response", "category", "huge", "metadata");
        assert_non_null(task);
        ret->body = json_dumps(task, 0);
        return true;
}

static void test_an_invalid_result_goes_to_the_quarantine_once(void **state)
{
        char id[25];
        Fixture *f = *state;

        make_pending(f, "immediate", id);
        make(f);
        f->script = script_invalid;
        hear_of(MESSAGE_DELIVERY_INVALID);
        pass(f, DAY);
        live(f, 50 * MINUTE);
        expect_heard("DELIVERY=N TASK_ID=", id, " TASK_TYPE=categorization VERDICT=invalid");
        assert_int_equal(f->n_requests, 1);
        assert_int_equal(figures_of(f).counts.invalid, 1);
        assert_int_equal(status_of(f, id), TASK_PENDING);
        assert_int_equal(stats_of(f).by_verdict[VERDICT_INVALID], 1);
        live(f, 3 * DAY);
        assert_in_range(f->n_requests, 5, 10);
        assert_int_equal(deliveries_of(f, id).by_verdict[VERDICT_INVALID], 1);
        assert_int_equal(n_heard, 1);

        f->script = NULL; /* it is mended */
        complete(f, id);
        live(f, 2 * DAY);
        assert_int_equal(status_of(f, id), TASK_COMPLETED);
        assert_int_equal(figures_of(f).counts.recovered, 1);
}

static bool script_another(Fixture *f, _unused_ const char *path, Scripted *ret)
{
        return script_invalid(f, "/task/another", ret);
}

static bool script_array(_unused_ Fixture *f, _unused_ const char *path, Scripted *ret)
{
        ret->body = strdup("[]");
        return true;
}

static bool script_cut(_unused_ Fixture *f, _unused_ const char *path, Scripted *ret)
{
        ret->body = strdup("{\"task_id\":\"");
        return true;
}

static bool script_strange_status(_unused_ Fixture *f, const char *path, Scripted *ret)
{
        ret->body = malloc(256);
        snprintf(ret->body, 256, "{\"task_id\":\"%s\",\"status\":\"in_review\",\"response\":null}",
                        path + 6);
        return true;
}

static void test_answers_that_are_not_the_task(void **state)
{
        bool (*const scripts[])(
                        Fixture *, const char *, Scripted *) = { script_another, script_array, script_cut };
        char id[25];
        Fixture *f = *state;

        make_pending(f, "day", id);
        make_with(f, (ReconcileOptions){});
        FOREACH_ARRAY(script, scripts, ELEMENTSOF(scripts)) {
                f->script = *script;
                reconcile_start(f->reconcile);
                live(f, MINUTE);
                assert_int_equal(report_of(f)->state, RECOVERY_FAILED);
                assert_int_equal(report_of(f)->counts.failed, 1);
        }
        assert_int_equal(stats_of(f).tasks, 1);
        assert_int_equal(stats_of(f).by_verdict[VERDICT_INVALID], 0);

        f->script = script_strange_status;
        assert_int_equal(run_all(f)->counts.pending, 1);
}

static char large_id[25];

/* What is in the task doesn't keep others from being asked about, one at a time or not. */
static bool script_unreadable_or_too_large(Fixture *f, const char *path, Scripted *ret)
{
        if (strstr(path, f->poison)) {
                ret->body = strdup(" {\"task_id\":\"x\",\"note\":\"\xff\"}\n");
                return true;
        }
        ret->too_large = strstr(path, large_id);
        if (ret->too_large) {
                ret->error = -EPROTO;
                ret->status = 200;
        }
        return ret->too_large;
}

static void test_one_that_nobody_can_read_holds_nobody_up(void **state)
{
        char ids[4][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++) {
                make_pending(f, "immediate", ids[i]);
                complete(f, ids[i]);
        }
        f->poison = ids[0];
        strcpy(large_id, ids[1]);
        f->script = script_unreadable_or_too_large;
        make_with(f, (ReconcileOptions){ .in_flight = 1 });
        reconcile_start(f->reconcile);
        live(f, 5 * MINUTE);
        assert_int_equal(report_of(f)->state, RECOVERY_DONE);
        assert_int_equal(report_of(f)->counts.invalid, 1);
        assert_int_equal(report_of(f)->counts.failed, 1);
        assert_int_equal(status_of(f, ids[0]), TASK_PENDING);
        assert_int_equal(status_of(f, ids[1]), TASK_PENDING);
        assert_int_equal(status_of(f, ids[2]), TASK_COMPLETED);
        assert_int_equal(status_of(f, ids[3]), TASK_COMPLETED);
        assert_int_equal(stats_of(f).by_verdict[VERDICT_INVALID], 1);
}

/* Clocks, crashes. */

static void test_clocks_may_jump(void **state)
{
        char id[25];
        Fixture *f = *state;
        uint64_t rounds;

        make_pending(f, "day", id);
        make(f);
        live(f, 2 * MINUTE);
        f->realtime -= (int64_t)(365 * DAY);
        live(f, 3 * HOUR);
        rounds = figures_of(f).rounds;
        assert_in_range(rounds, 12, 14); /* as often as ever, */
        assert_int_equal(f->n_requests, 0);

        f->realtime += (int64_t)(2 * 365 * DAY);
        live(f, HOUR);
        assert_in_range(figures_of(f).rounds - rounds, 3, 5);
        assert_true(f->n_requests > 0); /* and too early at worst */
        assert_int_equal(status_of(f, id), TASK_PENDING);
}

static void cancel_answers(Fixture *f)
{
        while (f->n_asked > 0) {
                Asked q = f->asked[--f->n_asked];

                q.done(&(ApiAnswer){ .error = -ECANCELED, .sent = true, .body = "" }, q.userdata);
        }
}

static void test_a_round_that_a_crash_cuts_loses_nothing(void **state)
{
        char ids[30][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++) {
                make_pending(f, "immediate", ids[i]);
                complete(f, ids[i]);
        }
        make(f);
        pass(f, DAY);
        for (unsigned i = 0; i < 12; i++) {
                work(f);
                if (f->n_asked > 0)
                        answer_one(f);
                else
                        assert_true(sd_event_run(f->loop, 60 * USEC_PER_SEC) >= 0);
        }
        work(f);
        assert_int_equal(report_of(f)->state, RECOVERY_RUNNING);
        /* What is at the port comes to its end or not, as in a crash; nobody hears of it. */
        cancel_answers(f);
        close_commit(f);
        f->reconcile = reconcile_free(f->reconcile);
        open_commit(f, 1000);

        make(f);
        live(f, 2 * MINUTE);
        FOREACH_ARRAY(id, ids, ELEMENTSOF(ids)) {
                Seen s = deliveries_of(f, *id);

                assert_int_equal(status_of(f, *id), TASK_COMPLETED);
                assert_int_equal(s.by_source[SOURCE_RECONCILE], 1);
        }
}

static void test_a_full_queue_is_waited_for(void **state)
{
        char ids[40][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++) {
                make_pending(f, "immediate", ids[i]);
                complete(f, ids[i]);
        }
        close_commit(f);
        open_commit(f, 1);
        make_with(f, (ReconcileOptions){ .interval = 15 * MINUTE, .in_flight = 16 });
        pass(f, DAY);
        live(f, MINUTE);
        assert_int_equal(report_of(f)->state, RECOVERY_DONE);
        assert_int_equal(report_of(f)->counts.recovered, ELEMENTSOF(ids));
}

static void test_stopping(void **state)
{
        char ids[40][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++)
                make_pending(f, "immediate", ids[i]);
        make(f);
        pass(f, DAY);
        work(f);
        assert_true(f->n_asked > 0);
        reconcile_stop(f->reconcile);
        assert_false(reconcile_is_idle(f->reconcile));
        cancel_answers(f);
        assert_true(reconcile_is_idle(f->reconcile));
        settle(f);
        assert_int_equal(report_of(f)->state, RECOVERY_FAILED);
        f->n_requests = 0;
        reconcile_start(f->reconcile);
        live(f, DAY);
        assert_int_equal(f->n_requests, 0);
}

/* By hand. */

typedef struct Wait {
        ReconcileWaiter waiter;
        unsigned n;
        bool finished;
} Wait;

static void on_waited(ReconcileWaiter *w, bool finished)
{
        Wait *x = container_of(w, Wait, waiter);

        x->n++;
        x->finished = finished;
}

static void wait_for(Fixture *f, Wait *w, uint64_t usec)
{
        *w = (Wait){ .waiter = { .done = on_waited, .deadline = f->monotonic + usec } };
        reconcile_wait(f->reconcile, &w->waiter);
}

static void test_waiting_for_the_end(void **state)
{
        Wait one, two, three;
        char id[25];
        Fixture *f = *state;

        make_pending(f, "week", id);
        make(f);
        complete(f, id);
        f->hold = true;
        reconcile_start(f->reconcile);
        wait_for(f, &one, USEC_PER_SEC);
        wait_for(f, &two, MINUTE);
        wait_for(f, &three, MINUTE);
        live(f, 2 * USEC_PER_SEC);
        assert_int_equal(one.n, 1);
        assert_false(one.finished);
        assert_int_equal(two.n, 0);
        reconcile_unwait(&three.waiter);
        assert_int_equal(report_of(f)->state, RECOVERY_RUNNING);

        reconcile_start(f->reconcile); /* joins */
        f->hold = false;
        settle(f);
        assert_int_equal(two.n, 1);
        assert_true(two.finished);
        assert_int_equal(three.n, 0);
        assert_int_equal(figures_of(f).rounds, 1);
        assert_int_equal(report_of(f)->counts.recovered, 1);

        /* Nobody waits beyond the end. */
        f->hold = true;
        reconcile_start(f->reconcile);
        wait_for(f, &one, MINUTE);
        reconcile_stop(f->reconcile);
        assert_int_equal(one.n, 1);
        assert_false(one.finished);
}

static void test_all_of_it_behind_a_round_that_is_running(void **state)
{
        char due[25], later[25];
        Fixture *f = *state;
        Wait w;

        make_pending(f, "immediate", due);
        make_pending(f, "week", later);
        make(f);
        pass(f, DAY);
        f->hold = true;
        settle(f);
        assert_int_equal(f->n_asked, 1);
        complete(f, later);
        reconcile_start(f->reconcile);
        wait_for(f, &w, MINUTE);
        f->hold = false;
        settle(f);
        assert_int_equal(w.n, 1);
        assert_true(w.finished);
        assert_int_equal(figures_of(f).rounds, 2);
        assert_true(report_of(f)->all);
        assert_int_equal(report_of(f)->counts.recovered, 1);
        assert_int_equal(report_of(f)->counts.pending, 1);
}

/* Ids are the API's, and go into a URL. */
static void test_an_id_of_any_characters(void **state)
{
        json_auto_t *task = NULL;
        Fixture *f = *state;

        task = create_task(f, "day");
        json_object_set_new(task, "task_id", json_string("a/../b?c=d&e#f g%\xc3\xa9"));
        assert_int_equal(take(f, task, SOURCE_BACKFILL), VERDICT_STORED);
        make(f);
        assert_int_equal(run_all(f)->counts.unknown, 1);
        assert_string_equal(f->last_path, "/task/a%2F%2E%2E%2Fb%3Fc%3Dd%26e%23f%20g%25%C3%A9");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_lost_callbacks_are_found_when_they_are_due),
                TEST(test_an_interval_of_zero_is_never),
                TEST(test_what_was_canceled_or_is_pending),
                TEST(test_a_submission_is_said),
                TEST(test_a_second_task_is_an_event),
                TEST(test_a_thousand_in_rounds),
                TEST(test_a_callback_that_is_faster),
                TEST(test_faults_only_take_time),
                TEST(test_a_key_that_is_none_ends_the_round),
                TEST(test_an_api_out_of_order_is_left_alone),
                TEST(test_all_of_it_is_all),
                TEST(test_one_that_the_api_fails_at_keeps_nobody),
                TEST(test_retry_after_is_kept),
                TEST(test_no_way_to_ask),
                TEST(test_what_others_were_told_is_kept),
                TEST(test_a_task_that_the_api_does_not_know),
                TEST(test_a_proxys_404_says_nothing),
                TEST(test_an_invalid_result_goes_to_the_quarantine_once),
                TEST(test_answers_that_are_not_the_task),
                TEST(test_one_that_nobody_can_read_holds_nobody_up),
                TEST(test_clocks_may_jump),
                TEST(test_a_round_that_a_crash_cuts_loses_nothing),
                TEST(test_a_full_queue_is_waited_for),
                TEST(test_stopping),
                TEST(test_waiting_for_the_end),
                TEST(test_all_of_it_behind_a_round_that_is_running),
                TEST(test_an_id_of_any_characters),
        };

        log_set_sink(hear);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
