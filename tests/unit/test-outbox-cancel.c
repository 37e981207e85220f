/* The outbox and wishes to cancel: in the queue, while nobody knows, and at the API. */

#include "test-outbox-common.h"

static void want_cancel(Bench *b, const char *id)
{
        assert_int_equal(store_begin(b->fixture->store), 0);
        assert_int_equal(store_want_cancel(b->fixture->store, id, ~0U, b->realtime), 0);
        assert_int_equal(store_commit(b->fixture->store), 0);
        bench_run(b);
}

static void want(Bench *b)
{
        want_cancel(b, ID(1));
}

static void send_first(Bench *b)
{
        bench_begin(b);
}

/* What the daemon does with on_task(): the end of the task ends the wish. */
static void end_task(Bench *b)
{
        StoreDelivery d = response_of("task1", "{\"task_id\":\"task1\",\"task\":{}}", 0);

        d.source = SOURCE_RECONCILE;
        d.account = true;
        d.task_status = TASK_CANCELED;
        d.completed_at = TIME_NONE;
        record(b->fixture->store, &d);
}

#define CANCELED \
        "{\"task_id\":\"task1\",\"type\":\"categorization\",\"status\":\"canceled\",\"metadata\":{}}"
#define PENDING "{\"task_id\":\"task1\",\"type\":\"categorization\",\"status\":\"pending\",\"metadata\":{}}"
#define COMPLETED                                                                                   \
        "{\"task_id\":\"task1\",\"type\":\"categorization\",\"status\":\"completed\",\"response\":" \
        "{\"category\":\"a\"},\"metadata\":{}}"

static void test_accepted_is_canceled_at_the_api(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        want(b);
        assert_null(b->asked[0].body);
        bench_answer(b, "POST", "/task/task1/cancel", 200, CANCELED);
        assert_int_equal(b->n_tasks, 1);
        assert_non_null(strstr(b->task, "\"status\":\"canceled\""));
        end_task(b);
        bench_pass(b, DAY);
        assert_int_equal(b->n_asked, 0);
        assert_false(bench_row(b, ID(1)).cancel_wanted);
}

static void test_wished_for_while_it_is_sent(void **state)
{
        Bench *b = *state;

        send_first(b);
        want(b);
        assert_state(b, ID(1), SUBMISSION_SENDING);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        bench_answer(b, "POST", "/task/task1/cancel", 200, CANCELED);
        assert_int_equal(b->n_tasks, 1);
}

static void test_unknown_and_absent_is_canceled(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        want(b);
        bench_pass(b, GRACE);
        bench_answer(b, "GET", "/tasks", 200, NO_TASKS);
        assert_state(b, ID(1), SUBMISSION_CANCELED);
        bench_pass(b, DAY);
        assert_int_equal(b->n_asked, 0);
        assert_int_equal(bench_stats(b).canceled, 1);
}

static void test_unknown_and_found_is_canceled_at_the_api(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        want(b);
        bench_pass(b, GRACE);
        bench_answer(b, "GET", "/tasks", 200, LIST(TASK(1), "1"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
        bench_answer(b, "POST", "/task/task1/cancel", 200, CANCELED);
}

/* The wish came while it was sent, and then it turns out that nothing left. */
static void test_wished_for_and_not_sent(void **state)
{
        Bench *b = *state;

        send_first(b);
        want(b);
        bench_answer_with(b, "POST", "/task", bench_failure(-ECONNREFUSED, false));
        bench_pass(b, MINUTE);
        assert_int_equal(b->n_asked, 0);
        assert_state(b, ID(1), SUBMISSION_CANCELED);
        assert_string_equal(bench_row(b, ID(1)).error, "canceled before there was a task");
}

/* It can't be canceled any more: then the API is asked what became of it. */
static void test_completed_meanwhile(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        want(b);
        bench_answer(b, "POST", "/task/task1/cancel", 500, "{\"error\":\"completed\"}");
        bench_answer(b, "GET", "/task/task1", 200, COMPLETED);
        assert_int_equal(b->n_tasks, 1);
        assert_non_null(strstr(b->task, "\"response\":{\"category\":\"a\"}"));
}

/* Whatever becomes of what the API says, as of a response that breaks the rules: it can't be canceled. */
static void test_the_apis_word_of_an_end_ends_the_wish(void **state)
{
        static const char *const ends[] = { "canceled", "completed", "error" };
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        FOREACH_ARRAY(status, ends, ELEMENTSOF(ends)) {
                char body[200];

                want(b);
                bench_answer(b, "POST", "/task/task1/cancel", 500, "{\"error\":\"no\"}");
                snprintf(body, sizeof(body),
                                "{\"task_id\":\"task1\",\"type\":\"categorization\",\"status\":\"%s\"}",
                                *status);
                bench_answer(b, "GET", "/task/task1", 200, body);
                assert_false(bench_row(b, ID(1)).cancel_wanted);
                bench_pass(b, DAY);
                assert_int_equal(b->n_asked, 0);
        }
        assert_int_equal(b->n_tasks, 3);
        assert_int_equal(bench_stats(b).canceled, 1);
}

static void test_it_is_tried_until_it_is_done(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        want(b);
        for (unsigned i = 0; i < 10; i++) {
                bench_answer_with(b, "POST", "/task/task1/cancel", bench_failure(-ETIMEDOUT, true));
                if (i % 2 == 0)
                        bench_answer(b, "GET", "/task/task1", 200, PENDING);
                else
                        bench_answer(b, "GET", "/task/task1", 500, "{}");
                assert_int_equal(b->n_asked, 0);
                bench_pass(b, 5 * HOUR);
        }
        bench_crash(b); /* also by the next process */
        bench_start(b);
        bench_answer(b, "POST", "/task/task1/cancel", 200, CANCELED);
        assert_int_equal(b->n_tasks, 1);
}

static void test_a_task_that_the_api_does_not_know(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        want(b);
        bench_answer(b, "POST", "/task/task1/cancel", 404, "{}");
        bench_answer(b, "GET", "/task/task1", 404, "{}");
        bench_pass(b, DAY);
        assert_int_equal(b->n_asked, 0);
        assert_false(bench_row(b, ID(1)).cancel_wanted);
}

/* A page for people is not the API's word: the wish stays. */
static void test_a_proxys_404_forgets_no_wish(void **state)
{
        Bench *b = *state;
        ApiAnswer page = bench_json(b, 404, "<html>Not Found");

        page.is_json = false;
        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        want(b);
        bench_answer_with(b, "POST", "/task/task1/cancel", page);
        bench_answer_with(b, "GET", "/task/task1", page);
        assert_true(bench_row(b, ID(1)).cancel_wanted);
        bench_pass(b, MINUTE);
        bench_answer(b, "POST", "/task/task1/cancel", 200, CANCELED);
        assert_int_equal(b->n_tasks, 1);
}

static void test_another_task_in_the_answer_is_not_believed(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        want(b);
        bench_answer(b, "POST", "/task/task1/cancel", 200,
                        "{\"task_id\":\"task2\",\"status\":\"canceled\",\"type\":\"x\"}");
        assert_int_equal(b->n_tasks, 0);
        bench_pass(b, HOUR);
        assert_int_equal(b->n_asked, 1);
}

static void test_a_bad_key_holds_the_queue(void **state)
{
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        want(b);
        bench_answer(b, "POST", "/task/task1/cancel", 401, "{\"error\":\"Who?\"}");
        assert_int_equal(bench_queue(b).hold, QUEUE_HELD_ACCOUNT);
        bench_pass(b, DAY);
        assert_int_equal(b->n_asked, 0);
}

#define MANY 100 /* more than are in hand at once */

/* Number n has the task t0...n. */
static void answer_create(Bench *b)
{
        const char *key = strstr(b->asked[0].body, TASK_SUBMISSION_KEY "\":\"");
        char id[SUBMISSION_ID_SIZE], body[300];

        assert_non_null(key);
        snprintf(id, sizeof(id), "%.32s", key + strlen(TASK_SUBMISSION_KEY "\":\""));
        snprintf(body, sizeof(body),
                        "{\"task_id\":\"t%s\",\"type\":\"categorization\",\"metadata\":{"
                        "\"" TASK_SUBMISSION_KEY "\":\"%s\"}}",
                        id, id);
        bench_answer(b, "POST", "/task/categorization", 200, body);
}

/* The first hundred can't be canceled, and stay pending. The number that was asked about. */
static int answer_cancel(Bench *b, unsigned *n_tried)
{
        bool looks = streq(b->asked[0].method, "GET");
        char task[40], body[200];
        int n;

        snprintf(task, sizeof(task), "%.33s", b->asked[0].path + strlen("/task/"));
        n = atoi(task + strlen("t"));
        *n_tried += n < MANY && !looks;
        snprintf(body, sizeof(body), "{\"task_id\":\"%s\",\"type\":\"categorization\",\"status\":\"%s\"}",
                        task, n < MANY ? "pending" : "canceled");
        bench_answer(b, looks ? "GET" : "POST", "/task/t", n < MANY && !looks ? 500 : 200, body);
        return n;
}

/* Wishes that come to nothing keep nobody else from his turn, nor for long one that comes later. */
static void test_wishes_that_fail_keep_nobody(void **state)
{
        Bench *b = *state;
        char id[SUBMISSION_ID_SIZE];
        unsigned n_tried = 0, n_done = 0;

        for (unsigned i = 0; i < MANY + 2; i++) {
                snprintf(id, sizeof(id), "%032u", i);
                bench_add(b, id);
        }
        bench_start(b);
        bench_probe(b);
        while (b->n_asked > 0)
                answer_create(b);
        for (unsigned i = 0; i < MANY + 1; i++) {
                snprintf(id, sizeof(id), "%032u", i);
                want_cancel(b, id);
        }
        for (int64_t until = b->realtime + DAY; b->realtime < until;) {
                if (b->n_asked > 0)
                        n_done += answer_cancel(b, &n_tried) >= MANY;
                else
                        bench_pass(b, (int64_t)MIN(MAX(outbox_next(b->outbox), b->monotonic + 1) -
                                                                      b->monotonic,
                                                      (uint64_t)HOUR));
        }
        assert_int_equal(n_done, 1);
        snprintf(id, sizeof(id), "%032u", MANY + 1);
        want_cancel(b, id);
        for (int64_t until = b->realtime + 2 * HOUR; b->realtime < until && n_done < 2;) {
                if (b->n_asked > 0)
                        n_done += answer_cancel(b, &n_tried) >= MANY;
                else
                        bench_pass(b, MINUTE);
        }
        assert_int_equal(n_done, 2);
        /* Each again and again, and none as fast as the API answers. */
        assert_in_range(n_tried, MANY * 6, MANY * 60);
}

/* A sending's hold is stored while that of a cancel waits for room, and then another cancel is told the
 * same. */
static void test_holds_of_two_kinds_on_a_full_disk(void **state)
{
        Bench *b = *state;
        ApiAnswer no = bench_json(b, 401, "{\"error\":\"Who?\"}");
        Asked post, cancels[2];

        no.body_size = strlen(no.body);
        bench_add(b, ID(1));
        bench_add(b, ID(2));
        bench_start(b);
        bench_probe(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        bench_answer(b, "POST", "/task", 200, TASK(2));
        want_cancel(b, ID(1));
        want_cancel(b, ID(2));
        bench_add(b, ID(3));
        bench_run(b);
        FOREACH_ARRAY(c, cancels, 2)
                *c = bench_take(b, "POST", "/task/task");
        post = bench_take(b, "POST", "/task/categorization");
        free(post.body);

        b->disk = -ENOSPC;
        cancels[0].done(&no, cancels[0].userdata);
        bench_run(b);
        b->disk = 0;
        post.done(&no, post.userdata);
        bench_run(b);
        b->disk = -ENOSPC;
        cancels[1].done(&no, cancels[1].userdata);
        bench_run(b);
        b->disk = 0;
        outbox_stop(b->outbox);
        bench_pass(b, SECOND);
        assert_int_equal(bench_queue(b).hold, QUEUE_HELD_ACCOUNT);
        assert_true(outbox_is_idle(b->outbox));
}

#define T(f) cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(test_accepted_is_canceled_at_the_api),
                T(test_wished_for_while_it_is_sent),
                T(test_unknown_and_absent_is_canceled),
                T(test_unknown_and_found_is_canceled_at_the_api),
                T(test_wished_for_and_not_sent),
                T(test_completed_meanwhile),
                T(test_the_apis_word_of_an_end_ends_the_wish),
                T(test_it_is_tried_until_it_is_done),
                T(test_a_task_that_the_api_does_not_know),
                T(test_a_proxys_404_forgets_no_wish),
                T(test_another_task_in_the_answer_is_not_believed),
                T(test_a_bad_key_holds_the_queue),
                T(test_wishes_that_fail_keep_nobody),
                T(test_holds_of_two_kinds_on_a_full_disk),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
