/* Backfill: that nothing of an account is missed, however its list moves and fails. */

#include "test-recovery.h"

static void make_with(Fixture *f, BackfillOptions o)
{
        o.api = fixture_api(f);
        o.clock = fixture_clock(f);
        o.ingest = fixture_ingest(f);
        assert_int_equal(backfill_new(&o, &f->backfill), 0);
}

static const BackfillReport *run_between(Fixture *f, int64_t since, int64_t until)
{
        if (!f->backfill)
                make_with(f, (BackfillOptions){});
        assert_int_equal(backfill_start(f->backfill, since, until), 0);
        live(f, 4 * HOUR);
        return backfill_report(f->backfill);
}

static const BackfillReport *run(Fixture *f)
{
        return run_between(f, TIME_NONE, TIME_NONE);
}

/* A task at the API that is not known here. */
static void make_there(Fixture *f, char ret_id[static 25])
{
        json_auto_t *task = create_task(f, "day");

        strcpy(ret_id, id_of(task));
}

/* Each a millisecond and more after the one before. */
static void make_many(Fixture *f, char (*ids)[25], unsigned n, uint64_t apart)
{
        for (unsigned i = 0; i < n; i++) {
                make_there(f, ids[i]);
                pass(f, apart);
        }
}

static void assert_all_known(Fixture *f, char (*ids)[25], unsigned n)
{
        FOREACH_ARRAY(id, ids, n)
                assert_true(status_of(f, *id) >= 0);
}

/* Everything. */

static void test_an_account_that_was_never_known(void **state)
{
        const BackfillReport *report;
        static char ids[250][25];
        Fixture *f = *state;
        StoreStats before;

        make_many(f, ids, ELEMENTSOF(ids), MINUTE);
        for (unsigned i = 0; i < 100; i++)
                complete(f, ids[i]);
        for (unsigned i = 100; i < 120; i++)
                at_the_api(f, ids[i], "cancel", NULL);

        report = run(f);
        assert_int_equal(report->state, RECOVERY_DONE);
        assert_string_equal(report->error, "");
        assert_true(report->has_total);
        assert_int_equal(report->total, 250);
        assert_int_equal(report->counts.pages, 3);
        assert_int_equal(report->counts.seen, 250);
        assert_int_equal(report->counts.stored, 250);
        assert_int_equal(report->counts.pending, 130);
        assert_int_equal(report->counts.known, 0);
        assert_int_equal(report->reached, T0);
        assert_int_equal(status_of(f, ids[0]), TASK_COMPLETED);
        assert_int_equal(status_of(f, ids[119]), TASK_CANCELED);
        assert_int_equal(status_of(f, ids[249]), TASK_PENDING);
        assert_int_equal(deliveries_of(f, ids[0]).by_source[SOURCE_BACKFILL], 1);

        /* Again: no trace. */
        before = stats_of(f);
        report = run(f);
        assert_int_equal(report->counts.known, 250);
        assert_int_equal(report->counts.stored, 0);
        assert_int_equal(stats_of(f).deliveries, before.deliveries);
        assert_int_equal(stats_of(f).events, before.events);
}

static void test_nothing_at_all(void **state)
{
        const BackfillReport *report;
        Fixture *f = *state;

        report = run(f);
        assert_int_equal(report->state, RECOVERY_DONE);
        assert_int_equal(report->counts.seen, 0);
        assert_int_equal(report->reached, TIME_NONE);
}

static void test_only_between_two_times(void **state)
{
        static char ids[50][25];
        Fixture *f = *state;

        make_many(f, ids, ELEMENTSOF(ids), MINUTE);
        run_between(f, T0 + (int64_t)(10 * MINUTE), T0 + (int64_t)(20 * MINUTE));
        assert_int_equal(backfill_report(f->backfill)->counts.stored, 11);
        assert_int_equal(status_of(f, ids[9]), _TASK_STATUS_INVALID);
        assert_int_equal(status_of(f, ids[10]), TASK_PENDING);
        assert_int_equal(status_of(f, ids[20]), TASK_PENDING);
        assert_int_equal(status_of(f, ids[21]), _TASK_STATUS_INVALID);
}

/* A response of before is known: the API has another one by now. */
static void test_a_late_revision(void **state)
{
        json_auto_t *old = NULL;
        char id[25], path[64];
        Fixture *f = *state;
        WorldAnswer a;

        make_there(f, id);
        complete(f, id);
        snprintf(path, sizeof(path), "/v1/task/%s", id);
        a = ask_world(f, "GET", path, NULL);
        old = json_loads(buffer_text(&a.body), 0, NULL);
        buffer_done(&a.body);
        json_object_set_new(json_object_get(old, "response"), "category", json_string("small"));
        assert_int_equal(take(f, old, SOURCE_CALLBACK), VERDICT_STORED);

        assert_int_equal(run(f)->counts.revised, 1);
        assert_int_equal(run(f)->counts.known, 1);
        assert_int_equal(deliveries_of(f, id).by_verdict[VERDICT_REVISED], 1);
}

static void test_an_invalid_one_stands_apart(void **state)
{
        static char ids[5][25];
        Fixture *f = *state;

        make_many(f, ids, ELEMENTSOF(ids), MINUTE);
        at_the_api(f, ids[2], "complete", "{\"response\":{\"category\":\"huge\"}}");
        hear_of(MESSAGE_DELIVERY_INVALID);
        assert_int_equal(run(f)->counts.invalid, 1);
        expect_heard("DELIVERY=N TASK_ID=", ids[2], " TASK_TYPE=categorization VERDICT=invalid");
        assert_int_equal(backfill_report(f->backfill)->counts.stored, 4);
        assert_int_equal(run(f)->counts.invalid, 0);
        assert_int_equal(backfill_report(f->backfill)->counts.known, 5);
        assert_int_equal(stats_of(f).by_verdict[VERDICT_INVALID], 1); /* asking again is no repetition */
        assert_int_equal(n_heard, 1);
}

/* How the list is walked. */

static uint64_t offset_of(const char *path)
{
        return strtoull(strstr(path, "offset=") + strlen("offset="), NULL, 10);
}

static unsigned limit_of(const char *path)
{
        return (unsigned)strtoul(strstr(path, "limit=") + strlen("limit="), NULL, 10);
}

static uint64_t deepest;

static void note_offset(_unused_ Fixture *f, const char *path)
{
        deepest = MAX(deepest, offset_of(path));
}

static void test_offsets_stay_small(void **state)
{
        static char ids[500][25];
        Fixture *f = *state;

        deepest = 0;
        make_many(f, ids, ELEMENTSOF(ids), 2 * USEC_PER_SEC);
        f->before = note_offset;
        make_with(f, (BackfillOptions){ .page = 10, .window = 50 });
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_all_known(f, ids, ELEMENTSOF(ids));
        assert_int_equal(deepest, 40);
        assert_true(backfill_report(f->backfill)->counts.seen < 520);
}

/* More tasks of one moment than a window holds: there is no later place to begin at. */
static void test_ties_are_not_lost(void **state)
{
        static char ids[200][25];
        Fixture *f = *state;

        make_many(f, ids, 40, 2 * USEC_PER_SEC);
        make_many(f, ids + 40, 120, 0);
        pass(f, 2 * USEC_PER_SEC);
        make_many(f, ids + 160, 40, 300 * USEC_PER_MSEC);
        make_with(f, (BackfillOptions){ .page = 10, .window = 30 });
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_all_known(f, ids, ELEMENTSOF(ids));
        assert_int_equal(stats_of(f).tasks, ELEMENTSOF(ids));
}

static void create_another(Fixture *f, _unused_ const char *path)
{
        json_decref(create_task(f, "day"));
        pass(f, USEC_PER_MSEC);
}

static void test_new_tasks_only_shift(void **state)
{
        static char ids[300][25];
        Fixture *f = *state;

        make_many(f, ids, ELEMENTSOF(ids), USEC_PER_SEC);
        f->before = create_another;
        make_with(f, (BackfillOptions){ .page = 7, .window = 70 });
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_all_known(f, ids, ELEMENTSOF(ids));
        assert_true(backfill_report(f->backfill)->counts.known > 0);
}

/* The reference says newest first; its example shows the oldest first. */
static bool script_oldest_first(_unused_ Fixture *f, const char *path, Scripted *ret)
{
        uint64_t offset = offset_of(path), total = 60;
        json_t *docs = json_array();
        char id[25], created[TIME_STAMP_SIZE];

        assert_null(strstr(path, "end_time"));
        for (uint64_t i = offset; i < offset + 10 && i < total; i++) {
                snprintf(id, sizeof(id), "%024u", (unsigned)i);
                time_format(T0 + (int64_t)(i * MINUTE), created);
                json_array_append_new(docs, json_pack("{s:s,s:s,s:s,s:s}", "task_id", id, "type", "other",
                                                            "status", "pending", "created_at", created));
        }
        ret->body = malloc(8192);
        {
                json_auto_t *page = json_pack("{s:o, s:I}", "docs", docs, "total", (json_int_t)total);
                _cleanup_free_ char *text = json_dumps(page, JSON_COMPACT);

                assert_true(strlen(text) < 8192);
                strcpy(ret->body, text);
        }
        return true;
}

static void test_a_list_the_other_way_round(void **state)
{
        Fixture *f = *state;

        f->script = script_oldest_first;
        make_with(f, (BackfillOptions){ .page = 10, .window = 20 });
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_int_equal(stats_of(f).tasks, 60);
}

/* Failures. */

static void test_faults_only_take_time(void **state)
{
        static const Fault faults[] = { FAULT_ERROR_500, FAULT_ERROR_429, FAULT_HTML, FAULT_DROP_ANSWER };
        static char ids[300][25];
        Fixture *f = *state;

        make_many(f, ids, ELEMENTSOF(ids), USEC_PER_SEC);
        FOREACH_ARRAY(fault, faults, ELEMENTSOF(faults))
                world_set_fault(f->world, *fault, 0.1);
        make_with(f, (BackfillOptions){ .page = 10 });
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_true(backfill_report(f->backfill)->counts.retries > 0);
        assert_all_known(f, ids, ELEMENTSOF(ids));
}

static void test_an_api_out_of_order_is_given_up(void **state)
{
        Fixture *f = *state;

        f->script = script_500;
        assert_int_equal(run(f)->state, RECOVERY_FAILED);
        assert_non_null(strstr(backfill_report(f->backfill)->error, "500"));
        assert_int_equal(f->n_requests, 10);

        f->n_requests = 0;
        f->script = script_401;
        assert_int_equal(run(f)->state, RECOVERY_FAILED);
        assert_non_null(strstr(backfill_report(f->backfill)->error, "401"));
        assert_int_equal(f->n_requests, 1);

        f->script = NULL;
        assert_int_equal(run(f)->state, RECOVERY_DONE);
}

static const char *page_text;

static bool script_page(_unused_ Fixture *f, _unused_ const char *path, Scripted *ret)
{
        ret->body = strdup(page_text);
        return true;
}

static void test_pages_that_are_none(void **state)
{
        static const char *const pages[] = { "[]", "{}", "{\"docs\":{}}", "{\"docs\":[],\"has_more\":true}",
                "{\"docs\":[],\"total\":5}", "{\"docs\":[", "null", "" };
        Fixture *f = *state;

        f->script = script_page;
        FOREACH_ARRAY(page, pages, ELEMENTSOF(pages)) {
                page_text = *page;
                assert_int_equal(run(f)->state, RECOVERY_FAILED);
                assert_non_null(strstr(backfill_report(f->backfill)->error, "no page"));
        }
}

/* One task among many. */

static const char *strange_text; /* what stands in it */
static char strange_id[25];

/* The world's page, with something in one task that the world would not take. */
static bool script_strange(Fixture *f, const char *path, Scripted *ret)
{
        char full[600], *place, *rest;
        WorldAnswer a;

        snprintf(full, sizeof(full), "/v1%s", path);
        a = ask_world(f, "GET", full, NULL);
        place = strstr(buffer_text(&a.body), strange_id);
        assert_true(a.status == 200);
        if (place) {
                rest = strchr(place, ',');
                assert_true(asprintf(&ret->body, "%.*s,\"note\":%s%s", (int)(rest - a.body.data),
                                            a.body.data, strange_text, rest) > 0);
        } else
                ret->body = strdup(buffer_text(&a.body));
        buffer_done(&a.body);
        return true;
}

static void test_a_task_that_others_would_not_read_is_read(void **state)
{
        static const char *const texts[] = { "\"\\ud83d\"", "1e400", "18446744073709551617" };
        static char ids[150][25];
        Fixture *f = *state;

        make_many(f, ids, ELEMENTSOF(ids), USEC_PER_SEC);
        strcpy(strange_id, ids[77]);
        f->script = script_strange;
        FOREACH_ARRAY(text, texts, ELEMENTSOF(texts)) {
                strange_text = *text;
                assert_int_equal(run(f)->state, RECOVERY_DONE);
                assert_int_equal(backfill_report(f->backfill)->counts.invalid, 0);
                assert_all_known(f, ids, ELEMENTSOF(ids));
        }
}

static void test_a_task_that_nobody_can_read_is_passed_over(void **state)
{
        static char ids[150][25];
        Fixture *f = *state;

        make_many(f, ids, ELEMENTSOF(ids), USEC_PER_SEC);
        strcpy(strange_id, ids[77]);
        strange_text = "\"\xff\"";
        f->script = script_strange;
        hear_of(MESSAGE_DELIVERY_INVALID);
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_int_equal(backfill_report(f->backfill)->counts.invalid, 1);
        assert_int_equal(backfill_report(f->backfill)->counts.seen, 150);
        assert_int_equal(n_heard, 1);
        assert_int_equal(status_of(f, ids[77]), _TASK_STATUS_INVALID);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                assert_int_equal(status_of(f, ids[i]) >= 0, i != 77);

        /* Its bytes lie in the quarantine, and once. */
        assert_int_equal(run(f)->counts.invalid, 0);
        assert_int_equal(stats_of(f).by_verdict[VERDICT_INVALID], 1);

        /* It was mended. */
        f->script = NULL;
        assert_int_equal(run(f)->counts.stored, 1);
        assert_all_known(f, ids, ELEMENTSOF(ids));
}

static bool script_one_too_large(Fixture *f, const char *path, Scripted *ret)
{
        uint64_t offset = offset_of(path);

        if (offset > 30 || offset + limit_of(path) <= 30)
                return false;
        ret->error = -EPROTO;
        ret->status = 200;
        ret->too_large = true;
        (void)f;
        return true;
}

static void test_a_task_that_is_too_large_is_passed_over(void **state)
{
        static char ids[100][25];
        Fixture *f = *state;

        make_many(f, ids, ELEMENTSOF(ids), USEC_PER_SEC);
        f->script = script_one_too_large;
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_int_equal(backfill_report(f->backfill)->counts.invalid, 1);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                assert_int_equal(status_of(f, ids[i]) >= 0, i != 100 - 1 - 30);
}

static bool script_many_values(Fixture *f, const char *path, Scripted *ret)
{
        if (limit_of(path) <= 3)
                return false;
        ret->body = malloc(4 * 1024 * 1024);
        assert_non_null(ret->body);
        strcpy(ret->body, "{\"docs\":[");
        for (char *p = ret->body + 9, *end = p + 2 * CALLBACK_VALUES_MAX + 2; p < end;)
                p = stpcpy(p, "0,");
        strcpy(strrchr(ret->body, ','), "],\"has_more\":false}");
        (void)f;
        return true;
}

static void test_pages_of_too_many_values_are_halved(void **state)
{
        static char ids[50][25];
        Fixture *f = *state;

        make_many(f, ids, ELEMENTSOF(ids), USEC_PER_SEC);
        f->script = script_many_values;
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_int_equal(backfill_report(f->backfill)->counts.invalid, 0);
        assert_all_known(f, ids, ELEMENTSOF(ids));
}

/* Where every page is like that, it is no list. */
static void test_a_list_that_nobody_can_read_is_given_up(void **state)
{
        Fixture *f = *state;

        f->script = script_page;
        page_text = "{\"docs\":[{\"a\":\"\xff\"}],\"has_more\":true}";
        assert_int_equal(run(f)->state, RECOVERY_FAILED);
        assert_non_null(strstr(backfill_report(f->backfill)->error, "no page"));
        assert_int_equal(stats_of(f).by_verdict[VERDICT_INVALID], 1); /* the same bytes each time */
}

/* What is no task is kept where somebody looks at it, and stops nothing. */
static void test_tasks_that_are_none(void **state)
{
        Fixture *f = *state;

        f->script = script_page;
        page_text = "{\"docs\":[null,1,\"x\",[],{},{\"task_id\":7},{\"task_id\":\"a\\u0000b\"}],"
                    "\"total\":7,\"has_more\":false}";
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_int_equal(backfill_report(f->backfill)->counts.seen, 7);
        assert_int_equal(backfill_report(f->backfill)->counts.invalid, 7);
        assert_int_equal(stats_of(f).tasks, 0);
}

static bool script_too_large(_unused_ Fixture *f, const char *path, Scripted *ret)
{
        if (limit_of(path) <= 12)
                return false;
        ret->error = -EPROTO;
        ret->status = 200;
        return true;
}

static void test_pages_that_are_too_large_are_halved(void **state)
{
        static char ids[100][25];
        Fixture *f = *state;

        make_many(f, ids, ELEMENTSOF(ids), USEC_PER_SEC);
        f->script = script_too_large;
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_int_equal(limit_of(f->last_path), 12);
        assert_in_range(backfill_report(f->backfill)->counts.retries, 3, 3 + 100 / 12 + 1);
        assert_all_known(f, ids, ELEMENTSOF(ids));
}

/* A network that broke a few pages off has not made every later page a page of one task. */
static bool script_broken_at_first(Fixture *f, _unused_ const char *path, Scripted *ret)
{
        if (f->n_script++ >= 7)
                return false;
        ret->error = -EPROTO;
        ret->status = 200;
        return true;
}

static void test_halves_are_doubled_again(void **state)
{
        static char ids[100][25];
        Fixture *f = *state;

        make_many(f, ids, ELEMENTSOF(ids), USEC_PER_SEC);
        f->script = script_broken_at_first;
        f->n_script = 0;
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_true(backfill_report(f->backfill)->counts.pages <= 7); /* 1, 2, 4... */
        assert_all_known(f, ids, ELEMENTSOF(ids));
}

static bool script_429(Fixture *f, _unused_ const char *path, Scripted *ret)
{
        if (f->n_script++ > 0)
                return false;
        ret->status = 429;
        ret->retry_after = 30 * MINUTE;
        return true;
}

static void test_retry_after_is_kept(void **state)
{
        char id[25];
        Fixture *f = *state;

        make_there(f, id);
        f->script = script_429;
        make_with(f, (BackfillOptions){});
        assert_int_equal(backfill_start(f->backfill, TIME_NONE, TIME_NONE), 0);
        live(f, 29 * MINUTE);
        assert_int_equal(f->n_requests, 1);
        live(f, 2 * MINUTE);
        assert_int_equal(backfill_report(f->backfill)->state, RECOVERY_DONE);
        assert_true(status_of(f, id) >= 0);
}

static void test_what_others_were_told_is_kept(void **state)
{
        char id[25];
        Fixture *f = *state;

        make_there(f, id);
        f->retry_after.until = f->monotonic + 30 * MINUTE;
        make_with(f, (BackfillOptions){});
        assert_int_equal(backfill_start(f->backfill, TIME_NONE, TIME_NONE), 0);
        live(f, 29 * MINUTE);
        assert_int_equal(f->n_requests, 0);
        live(f, 2 * MINUTE);
        assert_int_equal(backfill_report(f->backfill)->state, RECOVERY_DONE);
}

static void test_a_full_queue_is_waited_for(void **state)
{
        static char ids[200][25];
        Fixture *f = *state;

        make_many(f, ids, ELEMENTSOF(ids), USEC_PER_SEC);
        close_commit(f);
        open_commit(f, 1);
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_int_equal(backfill_report(f->backfill)->counts.stored, ELEMENTSOF(ids));
}

/* One at a time. */

static void cancel_answers(Fixture *f)
{
        while (f->n_asked > 0) {
                Asked q = f->asked[--f->n_asked];

                q.done(&(ApiAnswer){ .error = -ECANCELED, .sent = true, .body = "" }, q.userdata);
        }
}

static void test_one_at_a_time_until_it_stops(void **state)
{
        Fixture *f = *state;

        make_with(f, (BackfillOptions){});
        assert_int_equal(backfill_next(f->backfill), UINT64_MAX);
        assert_int_equal(backfill_start(f->backfill, TIME_NONE, TIME_NONE), 0);
        assert_int_equal(backfill_start(f->backfill, TIME_NONE, TIME_NONE), -EBUSY);
        work(f);
        assert_false(backfill_is_idle(f->backfill));
        backfill_stop(f->backfill);
        cancel_answers(f);
        assert_true(backfill_is_idle(f->backfill));
        settle(f);
        assert_int_equal(backfill_report(f->backfill)->state, RECOVERY_FAILED);
        assert_int_equal(backfill_start(f->backfill, TIME_NONE, TIME_NONE), -ESHUTDOWN);
}

/* A crash in the middle, and once more. */
static void test_one_that_is_cut_is_run_again(void **state)
{
        static char ids[250][25];
        Fixture *f = *state;

        make_many(f, ids, ELEMENTSOF(ids), USEC_PER_SEC);
        make_with(f, (BackfillOptions){ .in_flight = 16 });
        assert_int_equal(backfill_start(f->backfill, TIME_NONE, TIME_NONE), 0);
        for (unsigned i = 0; i < 8; i++) {
                work(f);
                if (f->n_asked > 0)
                        answer_one(f);
                else
                        assert_true(sd_event_run(f->loop, 60 * USEC_PER_SEC) >= 0);
        }
        work(f);
        cancel_answers(f);
        close_commit(f);
        assert_int_equal(backfill_report(f->backfill)->state, RECOVERY_RUNNING);
        f->backfill = backfill_free(f->backfill);
        open_commit(f, 1000);

        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_true(backfill_report(f->backfill)->counts.known > 0);
        assert_int_equal(stats_of(f).tasks, ELEMENTSOF(ids));
        assert_int_equal(stats_of(f).deliveries, ELEMENTSOF(ids));
}

/* Beside a reconciliation of the same tasks: each result once. */
static void test_beside_a_reconciliation(void **state)
{
        static char ids[150][25];
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++) {
                make_pending(f, "immediate", ids[i]);
                complete(f, ids[i]);
                pass(f, USEC_PER_SEC);
        }
        assert_int_equal(reconcile_new(&(ReconcileOptions){ .api = fixture_api(f),
                                                       .clock = fixture_clock(f),
                                                       .ingest = fixture_ingest(f) },
                                         &f->reconcile),
                        0);
        make_with(f, (BackfillOptions){ .page = 20 });
        reconcile_start(f->reconcile);
        assert_int_equal(run(f)->state, RECOVERY_DONE);
        assert_int_equal(reconcile_report(f->reconcile)->state, RECOVERY_DONE);
        assert_int_equal(backfill_report(f->backfill)->counts.stored +
                                         reconcile_report(f->reconcile)->counts.recovered,
                        ELEMENTSOF(ids));
        FOREACH_ARRAY(id, ids, ELEMENTSOF(ids)) {
                Seen s = deliveries_of(f, *id);

                assert_int_equal(s.n, 2);
                assert_int_equal(s.by_verdict[VERDICT_STORED], 2);
        }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_an_account_that_was_never_known),
                TEST(test_nothing_at_all),
                TEST(test_only_between_two_times),
                TEST(test_a_late_revision),
                TEST(test_an_invalid_one_stands_apart),
                TEST(test_offsets_stay_small),
                TEST(test_ties_are_not_lost),
                TEST(test_new_tasks_only_shift),
                TEST(test_a_list_the_other_way_round),
                TEST(test_faults_only_take_time),
                TEST(test_an_api_out_of_order_is_given_up),
                TEST(test_pages_that_are_none),
                TEST(test_a_task_that_others_would_not_read_is_read),
                TEST(test_a_task_that_nobody_can_read_is_passed_over),
                TEST(test_a_task_that_is_too_large_is_passed_over),
                TEST(test_pages_of_too_many_values_are_halved),
                TEST(test_a_list_that_nobody_can_read_is_given_up),
                TEST(test_tasks_that_are_none),
                TEST(test_pages_that_are_too_large_are_halved),
                TEST(test_halves_are_doubled_again),
                TEST(test_retry_after_is_kept),
                TEST(test_what_others_were_told_is_kept),
                TEST(test_a_full_queue_is_waited_for),
                TEST(test_one_at_a_time_until_it_stops),
                TEST(test_one_that_is_cut_is_run_again),
                TEST(test_beside_a_reconciliation),
        };

        log_set_sink(hear);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
