/* The outbox: one test for each line of what must hold, with an API that answers as it is told. */

#include "test-outbox-common.h"

/* Sends the first one: its request is under way. */
static void send_first(Bench *b)
{
        bench_begin(b);
        assert_int_equal(b->n_asked, 1);
}

static void test_nothing_is_sent_before_the_api_showed_its_clock(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        bench_start(b);
        assert_int_equal(b->n_asked, 1);
        assert_string_equal(b->asked[0].path, "/tasks?limit=1");
        assert_state(b, ID(1), SUBMISSION_QUEUED);
        bench_answer_with(b, "GET", "/tasks", bench_failure(-ECONNREFUSED, false));
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 36 * SECOND);
        bench_probe(b);
        bench_answer(b, "POST", "/task/categorization", 200, TASK(1));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

static void test_sending_is_on_disk_before_the_request_leaves(void **state)
{
        Bench *b = *state;
        Row row;

        bench_add(b, ID(1));
        bench_start(b);
        bench_probe(b);
        assert_int_equal(b->n_asked, 1);
        row = bench_row(b, ID(1));
        assert_int_equal(row.state, SUBMISSION_SENDING);
        assert_int_equal(row.sent_at, b->realtime);
        assert_int_equal(row.floor_at, CREATED);
        assert_int_equal(row.attempts, 1);
        assert_true(row.is_test);
}

static void test_a_full_disk_keeps_requests_back(void **state)
{
        Bench *b = *state;

        bench_start(b);
        bench_add(b, ID(1));
        b->disk = -ENOSPC;
        bench_run(b);
        bench_probe(b);
        bench_pass(b, HOUR);
        assert_int_equal(b->n_asked, 0);
        assert_state(b, ID(1), SUBMISSION_QUEUED);
        b->disk = 0;
        bench_pass(b, MINUTE);
        assert_int_equal(b->n_asked, 1);
}

static void test_what_is_sent_carries_the_submission(void **state)
{
        Bench *b = *state;

        b->options.callback_url = "https://example.com/callback";
        send_first(b);
        assert_string_equal(b->asked[0].method, "POST");
        assert_string_equal(b->asked[0].path, "/task/categorization");
        assert_non_null(strstr(b->asked[0].body, "\"scale_submission_id\":\"" ID(1) "\""));
        assert_non_null(strstr(b->asked[0].body, "\"mine\":\"1\""));
        assert_non_null(strstr(b->asked[0].body, "\"callback_url\":\"https://example.com/callback/" ID(1)));
}

/* Nothing leaves before it is certain that it is written down, and nothing stays behind as if it had left.
 */
static void test_nobody_knows_whether_a_start_is_stored(void **state)
{
        Bench *b = *state;

        for (unsigned kept = 0; kept < 2; kept++) {
                void *again = b;

                bench_add(b, ID(1));
                bench_start(b);
                b->disk = -EINPROGRESS;
                b->kept = kept;
                bench_probe(b);
                bench_pass(b, MINUTE);
                assert_int_equal(bench_row(b, ID(1)).attempts, kept);
                assert_state(b, ID(1), SUBMISSION_QUEUED);
                assert_int_equal(b->n_asked, 0);
                b->disk = 0;
                bench_pass(b, MINUTE);
                assert_int_equal(b->n_asked, 1);
                bench_answer(b, "POST", "/task", 200, TASK(1));
                assert_state(b, ID(1), SUBMISSION_ACCEPTED);
                bench_tear_down(&again);
                bench_set_up(state);
                b = *state;
        }
}

#define OWN "\"" TASK_SUBMISSION_KEY "\":\"" ID(1) "\"}"
#define URL "\"callback_url\":\"https://example.com/callback/" ID(1) "\"}"

/* The id goes into the task's own metadata, and into nothing that only looks like it. */
static void test_what_is_sent(void **state)
{
        static const struct {
                const char *params, *sent, *with_url; /* NULL: it is not sent */
        } cases[] = {
                { "{}", "{\"metadata\":{" OWN "}", "{\"metadata\":{" OWN "," URL },
                { "{\"metadata\":{}}", "{\"metadata\":{" OWN "}", "{\"metadata\":{" OWN "," URL },
                { "{\"a\":[{\"metadata\":{}},\",\\\"}\"],\"metadata\":{\"b\":{}},\"c\":1}",
                                "{\"a\":[{\"metadata\":{}},\",\\\"}\"],\"metadata\":{\"b\":{}," OWN
                                ",\"c\":1}",
                                "{\"a\":[{\"metadata\":{}},\",\\\"}\"],\"metadata\":{\"b\":{}," OWN
                                ",\"c\":1," URL },
                { "{\"callback_url\":\"x\",\"a\":\"\\\\\"}",
                                "{\"callback_url\":\"x\",\"a\":\"\\\\\",\"metadata\":{" OWN "}",
                                "{\"a\":\"\\\\\",\"metadata\":{" OWN "," URL },
                { "{\"a\":{\"callback_url\":1},\"callback_url\":\",\"}",
                                "{\"a\":{\"callback_url\":1},\"callback_url\":\",\",\"metadata\":{" OWN "}",
                                "{\"a\":{\"callback_url\":1},\"metadata\":{" OWN "," URL },
                { "{\"callback_url\":\"x\"}", "{\"callback_url\":\"x\",\"metadata\":{" OWN "}",
                                "{\"metadata\":{" OWN "," URL },
                { "{\"metadatas\":{},\"metadata\\u0000\":{}}",
                                "{\"metadatas\":{},\"metadata\\u0000\":{},\"metadata\":{" OWN "}",
                                "{\"metadatas\":{},\"metadata\\u0000\":{},\"metadata\":{" OWN "," URL },
                { "{\"metadata\":7}", NULL, NULL },
                { "{\"metadata\":{]}", NULL, NULL },
                { "{\"a\":\"}", NULL, NULL },
                { "{\"a\":[}", NULL, NULL },
                { "{7}", NULL, NULL },
                { "[1]", NULL, NULL },
                { "{", NULL, NULL },
                { "x", NULL, NULL },
        };
        Bench *b = *state;

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                for (unsigned with = 0; with < 2; with++) {
                        const char *sent = with ? c->with_url : c->sent;
                        void *again = b;

                        b->options.callback_url = with ? "https://example.com/callback" : NULL;
                        bench_add_with(b, ID(1), c->params);
                        bench_start(b);
                        bench_probe(b);
                        if (sent)
                                assert_string_equal(b->asked[0].body, sent);
                        else
                                assert_state(b, ID(1), SUBMISSION_REJECTED);
                        bench_tear_down(&again);
                        bench_set_up(state);
                        b = *state;
                }
}

static void test_without_a_callback_url_the_task_keeps_its_own(void **state)
{
        Bench *b = *state;

        send_first(b);
        assert_null(strstr(b->asked[0].body, "callback_url"));
}

static void test_200_with_our_task_is_accepted(void **state)
{
        Bench *b = *state;
        Row row;

        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        row = bench_row(b, ID(1));
        assert_int_equal(row.state, SUBMISSION_ACCEPTED);
        assert_string_equal(row.task_id, "task1");
        assert_int_equal(bench_stats(b).created, 1);
        assert_int_equal(b->n_tasks, 0);
}

static void test_a_response_in_the_answer_goes_through_the_door(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK_WITH(1, ",\"response\":{\"category\":\"a\"}"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        assert_int_equal(b->n_tasks, 1);
        assert_non_null(strstr(b->task, "\"response\":{\"category\":\"a\"}"));
}

static void test_not_sent_goes_back_and_backs_off(void **state)
{
        Bench *b = *state;
        Row row;

        send_first(b);
        bench_answer_with(b, "POST", "/task", bench_failure(-ECONNREFUSED, false));
        row = bench_row(b, ID(1));
        assert_int_equal(row.state, SUBMISSION_QUEUED);
        assert_int_equal(row.sent_at, TIME_NONE);
        assert_in_range(row.next_at - b->realtime, 24 * SECOND, 36 * SECOND);
        assert_string_equal(row.error, "nothing answers where the API should be: it broke");
        bench_pass(b, 23 * SECOND);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 13 * SECOND);
        assert_int_equal(b->n_asked, 1);
}

static void test_429_pauses_the_whole_queue(void **state)
{
        Bench *b = *state;
        ApiAnswer busy = bench_json(b, 429, "{\"error\":\"slowly\"}");

        send_first(b);
        busy.retry_after = (uint64_t)(10 * MINUTE);
        bench_answer_with(b, "POST", "/task", busy);
        assert_state(b, ID(1), SUBMISSION_QUEUED);
        assert_int_equal(bench_row(b, ID(1)).next_at, b->realtime + 10 * MINUTE);
        bench_add(b, ID(2));
        bench_pass(b, 10 * MINUTE - 1);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 1);
        assert_int_equal(b->n_asked, 2);
}

static void test_rejections_keep_the_answer(void **state)
{
        static const unsigned statuses[] = { 400, 404, 405, 413, 422, 451 };
        Bench *b = *state;
        Row row;

        bench_start(b);
        FOREACH_ARRAY(status, statuses, ELEMENTSOF(statuses)) {
                char id[SUBMISSION_ID_SIZE];

                snprintf(id, sizeof(id), "%032u", *status);
                bench_add(b, id);
                bench_run(b);
                if (status == statuses)
                        bench_probe(b);
                bench_answer(b, "POST", "/task", *status, "{\"status_code\":400,\"error\":\"No.\"}");
                row = bench_row(b, id);
                assert_int_equal(row.state, SUBMISSION_REJECTED);
                assert_int_equal(row.status, *status);
                assert_int_equal(row.sent_at, TIME_NONE);
                assert_string_equal(row.answer, "{\"status_code\":400,\"error\":\"No.\"}");
                assert_non_null(strstr(row.error, "No."));
        }
}

static void test_account_answers_hold_the_queue(void **state)
{
        static const unsigned statuses[] = { 401, 402, 403 };
        Bench *b = *state;

        FOREACH_ARRAY(status, statuses, ELEMENTSOF(statuses)) {
                if (status == statuses)
                        send_first(b);
                bench_answer(b, "POST", "/task", *status, "{\"error\":\"Pay.\"}");
                assert_state(b, ID(1), SUBMISSION_QUEUED);
                assert_int_equal(bench_queue(b).hold, QUEUE_HELD_ACCOUNT);
                assert_non_null(strstr(bench_queue(b).reason, "Pay."));
                bench_pass(b, 2 * HOUR);
                assert_int_equal(b->n_asked, 0);

                bench_crash(b); /* a restart tries again at once */
                bench_start(b);
                assert_int_equal(bench_queue(b).hold, QUEUE_RUNNING);
                bench_probe(b);
                assert_int_equal(b->n_asked, 1);
        }
}

/* A POST that made a task, then a 303 to it: after the hold it is looked for and not sent again. */
static void test_a_redirect_may_have_made_a_task(void **state)
{
        static const unsigned statuses[] = { 301, 302, 303, 307 };
        Bench *b = *state;

        send_first(b);
        FOREACH_ARRAY(status, statuses, ELEMENTSOF(statuses)) {
                bench_answer(b, "POST", "/task", *status, "");
                assert_state(b, ID(1), SUBMISSION_UNKNOWN);
                assert_int_equal(bench_queue(b).hold, QUEUE_HELD_ACCOUNT);
                assert_non_null(strstr(bench_queue(b).reason, "redirect"));
                bench_crash(b);
                bench_start(b);
                bench_pass(b, GRACE);
                bench_answer(b, "GET", "/tasks", 200, NO_TASKS);
                assert_state(b, ID(1), SUBMISSION_QUEUED);
                bench_pass(b, 5 * HOUR);
        }
        bench_answer(b, "POST", "/task", 303, "");
        bench_pass(b, GRACE);
        bench_answer(b, "GET", "/tasks", 200, LIST(TASK(1), "1"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        assert_int_equal(b->n_asked, 0);
}

static void test_a_bad_key_is_found_by_the_first_question(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        bench_start(b);
        bench_answer(b, "GET", "/tasks", 401, "{\"error\":\"Who?\"}");
        assert_int_equal(bench_queue(b).hold, QUEUE_HELD_ACCOUNT);
        assert_int_equal(bench_row(b, ID(1)).attempts, 0);
        bench_pass(b, HOUR);
        assert_int_equal(b->n_asked, 0);
}

static void test_an_administrators_hold_survives(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        assert_int_equal(store_begin(b->fixture->store), 0);
        assert_int_equal(store_hold_queue(b->fixture->store, QUEUE_HELD, "stop", T0), 0);
        assert_int_equal(store_commit(b->fixture->store), 0);
        bench_start(b);
        bench_pass(b, HOUR);
        assert_int_equal(b->n_asked, 0);
        bench_crash(b);
        bench_start(b);
        assert_int_equal(bench_queue(b).hold, QUEUE_HELD);
        assert_int_equal(b->n_asked, 0);
}

static void expect_unknown(Bench *b)
{
        Row row = bench_row(b, ID(1));

        assert_int_equal(row.state, SUBMISSION_UNKNOWN);
        assert_true(row.sent_at != TIME_NONE);
        assert_true(row.floor_at != TIME_NONE);
        assert_int_equal(b->n_asked, 0);
}

/* Nobody answered, or nobody can say what the answer means: it is looked for, and not sent again. */
static void test_what_is_not_certain_is_unknown(void **state)
{
        static const struct {
                unsigned status;
                const char *body;
                int error;
        } cases[] = {
                { 500, "{\"error\":\"Oops\"}", 0 },
                { 502, "<html>", 0 },
                { 503, "", 0 },
                { 504, "", 0 },
                { 599, "", 0 },
                { 408, "{}", 0 },
                { 409, "{}", 0 },
                { 425, "{}", 0 },
                { 201, TASK(1), 0 },
                { 204, "", 0 },
                { 200, "", 0 },
                { 200, "{\"task_id\":\"ta", 0 },
                { 200, "[]", 0 },
                { 200, "{}", 0 },
                { 200, "{\"task_id\":7}", 0 },
                { 200, "<html>", 0 },
                { 0, NULL, -ETIMEDOUT },
                { 0, NULL, -ECONNRESET },
        };
        Bench *b = *state;

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                if (c == cases)
                        send_first(b);
                bench_answer_with(b, "POST", "/task",
                                c->error < 0 ? bench_failure(c->error, true)
                                             : bench_json(b, c->status, c->body));
                expect_unknown(b);
                assert_int_equal(bench_queue(b).hold, QUEUE_RUNNING);

                bench_pass(b, GRACE - 1);
                assert_int_equal(b->n_asked, 0);
                bench_pass(b, 1);
                bench_answer(b, "GET", "/tasks?limit=100&offset=0", 200, NO_TASKS);
                assert_state(b, ID(1), SUBMISSION_QUEUED);
                assert_int_equal(bench_row(b, ID(1)).sent_at, TIME_NONE);
                bench_pass(b, 5 * HOUR);
        }
        assert_int_equal(bench_stats(b).resolved_absent, ELEMENTSOF(cases));
}

static void test_somebody_elses_task_is_unknown_and_holds_the_queue(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK(2));
        expect_unknown(b);
        assert_int_equal(bench_queue(b).hold, QUEUE_HELD_ACCOUNT);
}

static void test_unknown_is_found_in_the_list(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        bench_pass(b, GRACE);
        assert_string_equal(
                        b->asked[0].path, "/tasks?limit=100&offset=0"); /* without a bound by any clock */
        bench_answer(b, "GET", "/tasks", 200, LIST(TASK(2) "," TASK(1), "2"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        assert_string_equal(bench_row(b, ID(1)).task_id, "task1");
        assert_int_equal(bench_stats(b).resolved_found, 1);
        bench_pass(b, DAY);
        assert_int_equal(b->n_asked, 0);
}

/* Whether there is another page behind `n` tasks that were made `before` what the floor says, all in one. */
static bool goes_on_behind(Bench *b, uint64_t offset, unsigned n, int64_t before)
{
        char stamp[TIME_STAMP_SIZE], path[64], *page = NULL;
        size_t size;
        FILE *f = open_memstream(&page, &size);
        bool more;

        assert_non_null(f);
        fprintf(f, "{\"docs\":[");
        for (unsigned i = 0; i < n; i++)
                fprintf(f, "%s{\"task_id\":\"other\",\"created_at\":\"%s\"}", i > 0 ? "," : "",
                                time_format(bench_row(b, ID(1)).floor_at - before, stamp));
        fprintf(f, "],\"total\":100000,\"limit\":100,\"offset\":%llu,\"has_more\":true}",
                        (unsigned long long)offset);
        assert_int_equal(fclose(f), 0);
        snprintf(path, sizeof(path), "/tasks?limit=100&offset=%llu", (unsigned long long)offset);
        bench_answer(b, "GET", path, 200, page);
        free(page);
        more = bench_row(b, ID(1)).state == SUBMISSION_UNKNOWN;
        assert_int_equal(b->n_asked, more);
        return more;
}

/* The clock by which the API lists may have gone back by hours since it told us of its last task, or by
 * days. */
static void test_absence_is_not_concluded_from_clocks(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        bench_pass(b, GRACE);
        assert_true(goes_on_behind(b, 0, 100, 11 * MINUTE));
        assert_true(goes_on_behind(b, 100, 100, 2 * HOUR));
        assert_true(goes_on_behind(b, 200, 100, 7 * DAY));
        assert_true(goes_on_behind(b, 300, 99, 365 * DAY)); /* some from when the clock was wrong */
        assert_true(goes_on_behind(b, 399, 1, 0));
        assert_true(goes_on_behind(b, 400, 1, 8 * DAY));
        bench_answer(b, "GET", "/tasks?limit=100&offset=401", 200,
                        "{\"docs\":[" TASK(1) "],\"total\":500,\"limit\":100,\"offset\":401,\"has_more\":"
                                              "true}");
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        assert_int_equal(b->n_asked, 0); /* nobody is left to be looked for */
}

/* But it isn't read back to the first task that there ever was. */
static void test_a_listing_ends_where_it_can_not_be(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        bench_pass(b, GRACE);
        assert_true(goes_on_behind(b, 0, 50, 7 * DAY + 1));
        assert_false(goes_on_behind(b, 50, 50, 7 * DAY + 1));
        assert_state(b, ID(1), SUBMISSION_QUEUED);
        assert_int_equal(bench_stats(b).resolved_absent, 1);
}

/* The last task that we were told of was made while the API's clock was years ahead. */
static void test_one_wrong_created_at_shortens_no_listing(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        bench_start(b);
        bench_answer(b, "GET", "/tasks?limit=1", 200,
                        LIST("{\"task_id\":\"other\",\"created_at\":\"2038-01-19T03:14:07Z\"}", "1"));
        assert_int_equal(bench_row(b, ID(1)).floor_at, b->date);
}

/* Of an account without tasks nothing is known: the list is read to its end. */
static void test_an_api_that_told_of_no_task_is_listed_to_its_end(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        bench_start(b);
        bench_answer(b, "GET", "/tasks?limit=1", 200, NO_TASKS);
        assert_int_equal(bench_row(b, ID(1)).floor_at, TIME_NONE);
        bench_answer(b, "POST", "/task", 500, "{}");
        bench_pass(b, GRACE);
        for (unsigned i = 0; i < 10; i++) {
                char page[512], path[64];

                snprintf(path, sizeof(path), "/tasks?limit=100&offset=%u", i);
                snprintf(page, sizeof(page),
                                "{\"docs\":[{\"task_id\":\"x\",\"created_at\":\"1999-01-01\"}],\"total\":11,"
                                "\"limit\":100,\"offset\":%u,\"has_more\":true}",
                                i);
                bench_answer(b, "GET", path, 200, page);
        }
        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
        assert_int_equal(b->n_asked, 1);
}

static void test_an_api_without_dates_is_known_by_its_tasks(void **state)
{
        Bench *b = *state;

        b->date = TIME_NONE;
        send_first(b);
        assert_int_equal(bench_row(b, ID(1)).floor_at, CREATED);
}

static void test_an_error_page_tells_no_time(void **state)
{
        Bench *b = *state;
        ApiAnswer page = bench_json(b, 502, "<html>");
        int64_t floor;

        send_first(b);
        floor = bench_row(b, ID(1)).floor_at;
        page.is_json = false;
        page.date = b->date + DAY;
        bench_answer_with(b, "POST", "/task", page);
        bench_add(b, ID(2));
        bench_run(b);
        assert_int_equal(bench_row(b, ID(2)).floor_at, floor);
}

#define BARE_TASK(n) \
        "{\"task_id\":\"task" #n "\",\"callback_url\":\"https://example.com/callback/" ID(n) "\"}"

/* Not every list and not every answer hands metadata back. */
static void test_a_task_without_metadata_is_known_by_its_callback_url(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        bench_pass(b, GRACE);
        bench_answer(b, "GET", "/tasks", 200, LIST(BARE_TASK(2) "," BARE_TASK(1), "2"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        assert_string_equal(bench_row(b, ID(1)).task_id, "task1");
        bench_add(b, ID(2));
        bench_run(b);
        bench_answer(b, "POST", "/task", 200, BARE_TASK(2));
        assert_state(b, ID(2), SUBMISSION_ACCEPTED);
        assert_int_equal(bench_queue(b).hold, QUEUE_RUNNING);
}

/* Only a listing that begins after all that may come has come says that there is nothing. */
static void test_a_listing_speaks_only_of_what_had_settled(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        bench_add(b, ID(2));
        bench_start(b);
        bench_probe(b);
        assert_int_equal(b->n_asked, 2);
        bench_answer(b, "POST", "/task", 500, "{}");
        bench_pass(b, GRACE - 1);
        bench_answer(b, "POST", "/task", 500, "{}");
        bench_pass(b, 1);
        bench_pass(b, GRACE); /* while the list is under way */
        bench_answer(b, "GET", "/tasks", 200, NO_TASKS);
        assert_int_equal(bench_queue(b).by_state[SUBMISSION_QUEUED], 1);
        assert_int_equal(bench_queue(b).by_state[SUBMISSION_UNKNOWN], 1);
        bench_answer(b, "GET", "/tasks", 200, NO_TASKS);
        assert_int_equal(bench_queue(b).by_state[SUBMISSION_UNKNOWN], 0);
}

/* But what a list does show is taken from whatever list. */
static void test_a_listing_finds_also_what_had_not_settled(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        bench_add(b, ID(2));
        bench_start(b);
        bench_probe(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        bench_pass(b, GRACE - 1);
        bench_answer(b, "POST", "/task", 500, "{}");
        bench_pass(b, 1);
        bench_answer(b, "GET", "/tasks", 200, LIST(TASK(1) "," TASK(2), "2"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        assert_state(b, ID(2), SUBMISSION_ACCEPTED);
}

static void make_unknown(Bench *b)
{
        send_first(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        bench_pass(b, GRACE);
}

#define PAGE(docs, offset, total, more) \
        "{\"docs\":[" docs "],\"total\":" total ",\"limit\":100,\"offset\":" offset ",\"has_more\":" more "}"

static void test_all_pages_are_turned(void **state)
{
        Bench *b = *state;

        make_unknown(b);
        bench_answer(b, "GET", "/tasks?limit=100&offset=0", 200,
                        PAGE(TASK(2) "," TASK(3), "0", "4", "true"));
        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
        bench_answer(b, "GET", "/tasks?limit=100&offset=2", 200,
                        PAGE(TASK(4) "," TASK(1), "2", "4", "false"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

/* An account's other tasks are anybody's; with one of them unreadable no listing would ever come to its end.
 */
static void test_a_nul_in_another_task_voids_no_listing(void **state)
{
        Bench *b = *state;

        make_unknown(b);
        bench_answer(b, "GET", "/tasks?limit=100&offset=0", 200,
                        PAGE(TASK_WITH(2, ",\"instruction\":\"a\\u0000b\"") "," TASK(1), "0", "2", "false"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

#define PAGE_TRIES 6

#define UNREADABLE(id)                                            \
        "{\"docs\":[{\"metadata\":{\"scale_submission_id\":\"" id \
        "\"},\"note\":\"\xff\"}],\"total\":3,\"limit\":1,"        \
        "\"offset\":1,\"has_more\":true}"

/* As all pages that have it on them, down to the page of nothing else. */
static void narrow_down(Bench *b, const char *unreadable)
{
        static const char *const narrower[] = { "100", "50", "25", "12", "6", "3" };
        char path[64];

        FOREACH_ARRAY(limit, narrower, ELEMENTSOF(narrower)) {
                snprintf(path, sizeof(path), "/tasks?limit=%s&offset=0", *limit);
                bench_answer(b, "GET", path, 200, unreadable);
        }
        bench_answer(b, "GET", "/tasks?limit=1&offset=0", 200, PAGE(TASK(2), "0", "3", "true"));
        bench_answer(b, "GET", "/tasks?limit=2&offset=1", 200, unreadable);
        for (unsigned i = 0; i < 3; i++) {
                bench_answer(b, "GET", "/tasks?limit=1&offset=1", 200, unreadable);
                bench_pass(b, 10 * SECOND);
        }
}

static void test_a_task_that_nobody_can_read_is_not_ours(void **state)
{
        Bench *b = *state;

        make_unknown(b);
        narrow_down(b, UNREADABLE("00000000000000000000000000000009\\u00e9\\u003c\\u003E\\u0060\\u0067\\u0"
                                  "0"));
        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
        bench_answer(b, "GET", "/tasks?limit=2&offset=2", 200, PAGE(TASK(3), "2", "3", "false"));
        assert_state(b, ID(1), SUBMISSION_QUEUED); /* again, as there is no task for it */
}

static void test_what_may_be_ours_stays_unknown(void **state)
{
        static const char *const tasks[] = { UNREADABLE(ID(1)), UNREADABLE("\\u0030"),
                UNREADABLE("\\u00e9\\u0066") };
        Bench *b = *state;

        make_unknown(b);
        FOREACH_ARRAY(task, tasks, ELEMENTSOF(tasks)) {
                narrow_down(b, *task);
                bench_answer(b, "GET", "/tasks?limit=2&offset=2", 200, PAGE(TASK(3), "2", "3", "false"));
                assert_state(b, ID(1), SUBMISSION_UNKNOWN);
                assert_int_equal(b->n_asked, 0); /* not at once */
                outbox_hurry(b->outbox);
                bench_run(b);
        }
        /* It was mended. */
        bench_answer(b, "GET", "/tasks?limit=100&offset=0", 200, PAGE(TASK(1), "0", "1", "false"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

/* A page that failed again and again, or that isn't whole, makes the listing void: it is begun anew, later.
 */
static void test_a_failed_page_proves_nothing(void **state)
{
        static const struct {
                unsigned status;
                const char *body;
                bool again; /* it is asked for a few times more */
        } pages[] = {
                { 500, "{}", true },
                { 404, "{}" },
                { 400, "{}" },
                { 200, "", true },
                { 200, "<html>", true },
                { 200, "{}" },
                { 200, "[]" },
                { 200, "{\"docs\":[]", true },
                { 200, "{\"docs\":[],\"offset\":1,\"total\":1}" },
                { 200, PAGE("", "1", "1", "\"no\"") },
                { 200, PAGE("", "1", "\"1\"", "false") },
                { 200, PAGE("", "0", "1", "false") }, /* not the page that was asked for */
                { 200, PAGE("", "1", "2", "true") },  /* it would never end */
                { 200, PAGE("", "1", "2", "false") }, /* less than it says */
                { 200, PAGE("{\"task_id\":\"\",\"metadata\":{\"scale_submission_id\":\"" ID(1) "\"}}", "1",
                                       "2", "false") },
        };
        Bench *b = *state;

        make_unknown(b);
        FOREACH_ARRAY(page, pages, ELEMENTSOF(pages)) {
                bench_answer(b, "GET", "/tasks?limit=100&offset=0", 200, PAGE(TASK(2), "0", "2", "true"));
                for (unsigned i = 0; i < (page->again ? PAGE_TRIES : 1); i++) {
                        if (i > 0)
                                bench_pass(b, 10 * SECOND);
                        bench_answer(b, "GET", "/tasks?limit=100&offset=1", page->status, page->body);
                        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
                        assert_int_equal(b->n_asked, 0);
                }
                outbox_hurry(b->outbox);
                bench_run(b);
        }
        bench_answer_with(b, "GET", "/tasks", bench_failure(-ETIMEDOUT, true));
        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
        outbox_hurry(b->outbox);
        bench_run(b);
        bench_answer_with(b, "GET", "/tasks", bench_failure(-ECONNREFUSED, false));
        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
        bench_pass(b, 36 * SECOND);
        bench_answer(b, "GET", "/tasks", 200, NO_TASKS);
        assert_state(b, ID(1), SUBMISSION_QUEUED);
}

/* A listing goes on where it was when a page comes at last. */
static void test_a_page_is_asked_for_again(void **state)
{
        Bench *b = *state;

        make_unknown(b);
        bench_answer(b, "GET", "/tasks?limit=100&offset=0", 200, PAGE(TASK(2), "0", "2", "true"));
        bench_answer(b, "GET", "/tasks?limit=100&offset=1", 502, "<html>");
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 10 * SECOND);
        bench_answer(b, "GET", "/tasks?limit=100&offset=1", 200, PAGE(TASK(3), "1", "2", "false"));
        assert_state(b, ID(1), SUBMISSION_QUEUED);
}

/* A hundred tasks may be too large to get through in one piece. */
static void test_a_page_that_breaks_off_is_asked_for_in_halves(void **state)
{
        Bench *b = *state;
        const ApiAnswer cut = bench_cut();

        make_unknown(b);
        bench_answer_with(b, "GET", "/tasks?limit=100&offset=0", cut);
        bench_answer_with(b, "GET", "/tasks?limit=50&offset=0", cut);
        bench_answer(b, "GET", "/tasks?limit=25&offset=0", 200, PAGE(TASK(2), "0", "3", "true"));
        bench_answer_with(b, "GET", "/tasks?limit=50&offset=1", cut);
        bench_answer(b, "GET", "/tasks?limit=25&offset=1", 200, PAGE(TASK(3), "1", "3", "true"));
        bench_answer(b, "GET", "/tasks?limit=50&offset=2", 200, PAGE(TASK(1), "2", "3", "false"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

/* One that breaks off however little is asked for is one that failed. */
static void test_a_page_of_one_that_breaks_off_proves_nothing(void **state)
{
        Bench *b = *state;
        const ApiAnswer cut = bench_cut();

        make_unknown(b);
        for (unsigned i = 0; i < 7; i++)
                bench_answer_with(b, "GET", "/tasks", cut);
        assert_int_equal(b->n_asked, 0);
        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
        bench_pass(b, 36 * SECOND);
        bench_answer(b, "GET", "/tasks?limit=100&offset=0", 200, NO_TASKS);
        assert_state(b, ID(1), SUBMISSION_QUEUED);
}

static void test_a_list_with_a_bad_key_holds_the_queue(void **state)
{
        Bench *b = *state;

        make_unknown(b);
        bench_answer(b, "GET", "/tasks", 401, "{\"error\":\"Who?\"}");
        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
        assert_int_equal(bench_queue(b).hold, QUEUE_HELD_ACCOUNT);
}

/* Lists may show test tasks to test keys alone. */
static void test_the_other_kind_of_key_proves_nothing(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        b->is_test = false;
        bench_pass(b, 2 * GRACE);
        assert_int_equal(b->n_asked, 0);
        b->is_test = true;
        bench_pass(b, MINUTE);
        assert_int_equal(b->n_asked, 1);
        b->is_test = false;
        bench_answer(b, "GET", "/tasks", 200, NO_TASKS);
        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
}

static void test_a_process_that_died_left_it_unknown(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_crash(b);
        bench_start(b);
        expect_unknown(b);
        bench_pass(b, GRACE - 1);
        assert_int_equal(b->n_asked, 0);
        b->realtime += 12 * HOUR; /* the clock jumps: that settles nothing */
        bench_run(b);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 1);
        bench_answer(b, "GET", "/tasks", 200, LIST(TASK(1), "1"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

/* Before the request, after its answer: whatever was not on disk. */
static void test_a_process_may_die_anywhere(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        bench_start(b);
        bench_answer(b, "GET", "/tasks", 200, NO_TASKS);
        b->disk = -ENOSPC; /* the answer comes, and never gets to the disk */
        bench_answer(b, "POST", "/task", 200, TASK(1));
        assert_state(b, ID(1), SUBMISSION_SENDING);
        b->disk = 0;
        bench_crash(b);
        bench_start(b);
        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
        bench_pass(b, GRACE);
        bench_answer(b, "GET", "/tasks", 200, LIST(TASK(1), "1"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        assert_int_equal(b->n_asked, 0);
}

/* Copies the database, as `scalectl backup` does. */
static void make_copy(Bench *b, const char *to)
{
        StoreBackup *backup;
        char *error = NULL;
        int r;

        assert_int_equal(store_backup_open(b->fixture->path, to, &backup, &error), 0);
        while ((r = store_backup_step(backup, 100)) > 0)
                ;
        assert_int_equal(r, 0);
        store_backup_close(backup);
}

/* What was queued when a backup was made may have been sent since: it is looked for first. */
static void test_a_restored_backup_sends_nothing_again(void **state)
{
        Bench *b = *state;
        char copy[160], name[200];

        b->realtime = now_realtime(); /* a copy holds when it was made */
        snprintf(copy, sizeof(copy), "%s.copy", b->fixture->path);
        bench_add(b, ID(1));
        bench_add(b, ID(2));
        make_copy(b, copy);
        bench_start(b);
        bench_probe(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        bench_crash(b);
        store_reader_close(b->fixture->reader);
        store_close(b->fixture->store);
        snprintf(name, sizeof(name), "%s-wal", b->fixture->path);
        (void)unlink(name);
        snprintf(name, sizeof(name), "%s-shm", b->fixture->path);
        (void)unlink(name);
        assert_int_equal(rename(copy, b->fixture->path), 0);
        b->fixture->store = open_store(b->fixture->path);
        b->fixture->reader = b->options.reader = open_reader(b->fixture->path, 0);

        assert_state(b, ID(1), SUBMISSION_QUEUED);
        bench_start(b);
        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
        assert_state(b, ID(2), SUBMISSION_UNKNOWN);
        bench_pass(b, GRACE - 1);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 1);
        bench_answer(b, "GET", "/tasks?limit=100", 200, LIST(TASK(1), "1"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        bench_answer(b, "POST", "/task", 200, TASK(2));
        assert_state(b, ID(2), SUBMISSION_ACCEPTED);

        /* It is seen to once. */
        bench_crash(b);
        bench_add(b, ID(3));
        bench_start(b);
        assert_state(b, ID(3), SUBMISSION_QUEUED);
}

static void test_what_was_decided_is_stored_in_the_end(void **state)
{
        static const int errors[] = { -ENOSPC, -EROFS, -EIO, -EBUSY, -ENOMEM };
        Bench *b = *state;

        send_first(b);
        b->disk = errors[0];
        bench_answer(b, "POST", "/task", 200, TASK(1));
        FOREACH_ARRAY(error, errors, ELEMENTSOF(errors)) {
                b->disk = *error;
                bench_pass(b, HOUR);
                assert_state(b, ID(1), SUBMISSION_SENDING);
        }
        b->disk = 0;
        b->full = -EAGAIN;
        bench_pass(b, HOUR);
        b->full = 0;
        bench_pass(b, MINUTE);
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        assert_int_equal(b->n_asked, 0);
}

static void test_a_failed_sync_stops_everything(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_add(b, ID(2));
        b->disk = -ENOTRECOVERABLE;
        bench_answer(b, "POST", "/task", 500, "{}");
        b->disk = 0;
        bench_pass(b, HOUR);
        assert_int_equal(b->n_asked, 0);
        assert_int_equal(outbox_run(b->outbox), -ENOTRECOVERABLE);
        assert_true(outbox_is_idle(b->outbox));
        assert_state(b, ID(1), SUBMISSION_SENDING);
}

static void test_stopping_waits_for_what_is_under_way(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_add(b, ID(2));
        outbox_stop(b->outbox);
        bench_run(b);
        assert_int_equal(b->n_asked, 1);
        assert_false(outbox_is_idle(b->outbox));
        bench_answer(b, "POST", "/task", 200, TASK(1));
        assert_true(outbox_is_idle(b->outbox));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        assert_state(b, ID(2), SUBMISSION_QUEUED);
}

static void test_what_could_not_leave_is_put_back(void **state)
{
        Bench *b = *state;

        bench_start(b);
        bench_add(b, ID(1));
        bench_run(b);
        b->refuse = 0;
        bench_answer(b, "GET", "/tasks", 200, NO_TASKS);
        assert_int_equal(b->n_asked, 1);
        bench_answer_with(b, "POST", "/task", bench_failure(-ECONNREFUSED, false));
        b->refuse = -ENOMEM;
        bench_pass(b, MINUTE);
        assert_state(b, ID(1), SUBMISSION_QUEUED);
        assert_int_equal(bench_row(b, ID(1)).sent_at, TIME_NONE);
}

static void test_a_callback_accepts_what_is_unknown(void **state)
{
        Bench *b = *state;
        StoreDelivery d = response_of("task1", "{\"task_id\":\"task1\",\"task\":{}}", 1);

        send_first(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        d.ref = ID(1);
        record(b->fixture->store, &d);
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        bench_pass(b, GRACE);
        assert_int_equal(b->n_asked, 0);
}

static void test_a_callback_before_the_answer(void **state)
{
        Bench *b = *state;
        StoreDelivery d = response_of("task1", "{\"task_id\":\"task1\",\"task\":{}}", 1);

        send_first(b);
        d.ref = ID(1);
        record(b->fixture->store, &d);
        bench_answer_with(b, "POST", "/task", bench_failure(-ETIMEDOUT, true));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        bench_pass(b, DAY);
        assert_int_equal(b->n_asked, 0);
        assert_int_equal(bench_stats(b).duplicates, 0);
}

static void test_a_second_task_is_said(void **state)
{
        Bench *b = *state;
        StoreDelivery d = response_of("another", "{\"task_id\":\"another\",\"task\":{}}", 1);

        send_first(b);
        d.ref = ID(1);
        record(b->fixture->store, &d);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        assert_int_equal(bench_stats(b).duplicates, 1);
        assert_string_equal(bench_row(b, ID(1)).task_id, "another");
}

#define T(f) cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(test_nothing_is_sent_before_the_api_showed_its_clock),
                T(test_sending_is_on_disk_before_the_request_leaves),
                T(test_a_full_disk_keeps_requests_back),
                T(test_what_is_sent_carries_the_submission),
                T(test_nobody_knows_whether_a_start_is_stored),
                T(test_what_is_sent),
                T(test_without_a_callback_url_the_task_keeps_its_own),
                T(test_200_with_our_task_is_accepted),
                T(test_a_response_in_the_answer_goes_through_the_door),
                T(test_not_sent_goes_back_and_backs_off),
                T(test_429_pauses_the_whole_queue),
                T(test_rejections_keep_the_answer),
                T(test_account_answers_hold_the_queue),
                T(test_a_redirect_may_have_made_a_task),
                T(test_a_bad_key_is_found_by_the_first_question),
                T(test_an_administrators_hold_survives),
                T(test_what_is_not_certain_is_unknown),
                T(test_somebody_elses_task_is_unknown_and_holds_the_queue),
                T(test_unknown_is_found_in_the_list),
                T(test_absence_is_not_concluded_from_clocks),
                T(test_a_listing_ends_where_it_can_not_be),
                T(test_one_wrong_created_at_shortens_no_listing),
                T(test_an_api_that_told_of_no_task_is_listed_to_its_end),
                T(test_an_api_without_dates_is_known_by_its_tasks),
                T(test_an_error_page_tells_no_time),
                T(test_a_task_without_metadata_is_known_by_its_callback_url),
                T(test_a_listing_speaks_only_of_what_had_settled),
                T(test_a_listing_finds_also_what_had_not_settled),
                T(test_all_pages_are_turned),
                T(test_a_nul_in_another_task_voids_no_listing),
                T(test_a_task_that_nobody_can_read_is_not_ours),
                T(test_what_may_be_ours_stays_unknown),
                T(test_a_failed_page_proves_nothing),
                T(test_a_page_is_asked_for_again),
                T(test_a_page_that_breaks_off_is_asked_for_in_halves),
                T(test_a_page_of_one_that_breaks_off_proves_nothing),
                T(test_a_list_with_a_bad_key_holds_the_queue),
                T(test_the_other_kind_of_key_proves_nothing),
                T(test_a_process_that_died_left_it_unknown),
                T(test_a_process_may_die_anywhere),
                T(test_a_restored_backup_sends_nothing_again),
                T(test_what_was_decided_is_stored_in_the_end),
                T(test_a_failed_sync_stops_everything),
                T(test_stopping_waits_for_what_is_under_way),
                T(test_what_could_not_leave_is_put_back),
                T(test_a_callback_accepts_what_is_unknown),
                T(test_a_callback_before_the_answer),
                T(test_a_second_task_is_said),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
