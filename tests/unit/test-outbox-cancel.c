/* The outbox and wishes to cancel: in the queue, while nobody knows, and at the API. */

#include "test-outbox-common.h"

static void want_cancel(Bench *b, const char *id)
{
        assert_int_equal(store_begin(b->fixture->store), 0);
        assert_int_equal(store_want_cancel(b->fixture->store, id, ~0U, b->realtime), 0);
        assert_int_equal(store_commit(b->fixture->store), 0);
        b->changed = true; /* the socket says so */
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
        d.is_snapshot = true;
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

/* Somebody who waits for a cancel, and what he was told. */
typedef struct Client {
        CancelWaiter waiter;
        unsigned n, status;
        int error;
        char words[200]; /* the API's, or why not */
} Client;

static void on_told(CancelWaiter *waiter, const ApiAnswer *answer)
{
        Client *client = container_of(waiter, Client, waiter);

        client->n++;
        client->error = answer->error;
        client->status = answer->status;
        if (answer->error < 0)
                snprintf(client->words, sizeof(client->words), "%s", answer->message);
        else
                snprintf(client->words, sizeof(client->words), "%.*s", (int)answer->body_size, answer->body);
}

#define CLIENT                                 \
        {                                      \
                .waiter = { .done = on_told }, \
        }

static void assert_told(const Client *client, unsigned status, const char *words)
{
        assert_int_equal(client->n, 1);
        assert_int_equal(client->error, 0);
        assert_int_equal(client->status, status);
        assert_string_equal(client->words, words);
}

static void assert_put_off(const Client *client, const char *why)
{
        assert_int_equal(client->n, 1);
        assert_true(client->error < 0);
        assert_non_null(strstr(client->words, why));
}

/* A task at the API, and the wish to cancel it, which is being asked for. */
static void ask_for_first(Bench *b)
{
        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        want(b);
        assert_int_equal(b->n_asked, 1);
}

static void test_all_who_wait_get_the_apis_words(void **state)
{
        Client clients[] = { CLIENT, CLIENT };
        Bench *b = *state;

        ask_for_first(b);
        FOREACH_ARRAY(client, clients, 2)
                outbox_cancel(b->outbox, ID(1), "task1", &client->waiter);
        assert_int_equal(b->n_asked, 1);
        bench_hand_over(b, "POST", "/task/task1/cancel", bench_json(b, 200, CANCELED));
        assert_int_equal(clients[0].n, 0); /* not before it is stored */
        bench_run(b);
        FOREACH_ARRAY(client, clients, 2)
                assert_told(client, 200, CANCELED);
        assert_int_equal(b->n_tasks, 1);
        assert_false(bench_row(b, ID(1)).cancel_wanted);
}

/* Who waits is told so, and doesn't wish any more; nobody has to look for it. */
static void test_what_the_api_refuses_is_no_wish_any_more(void **state)
{
        static const char no[] = "{\"error\":\"Task not found\"}";
        Client client = CLIENT;
        Bench *b = *state;

        ask_for_first(b);
        outbox_cancel(b->outbox, ID(1), "task1", &client.waiter);
        bench_answer(b, "POST", "/task/task1/cancel", 404, no);
        assert_told(&client, 404, no);
        assert_false(bench_row(b, ID(1)).cancel_wanted);
        bench_pass(b, DAY);
        assert_int_equal(b->n_asked, 0);
}

/* A 500 is looked behind: it is the answer, but where the task was canceled all the same. */
static void test_who_waits_for_a_500(void **state)
{
        static const char no[] = "{\"error\":\"no\"}";
        static const struct {
                const char *task, *words;
                unsigned status;
        } cases[] = {
                { COMPLETED, no, 500 },
                { CANCELED, CANCELED, 200 },
        };
        Bench *b = *state;

        send_first(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                Client client = CLIENT;

                outbox_cancel(b->outbox, "", "task1", &client.waiter);
                bench_answer(b, "POST", "/task/task1/cancel", 500, no);
                bench_answer(b, "GET", "/task/task1", 200, c->task);
                assert_told(&client, c->status, c->words);
                assert_int_equal(b->n_asked, 0);
        }
        assert_int_equal(b->n_tasks, 2);
}

/* Once a cancel that somebody waited for was told that the key is bad, and the queue went on with it. */
static void test_a_bad_key_holds_the_queue_whoever_waits(void **state)
{
        Client client = CLIENT, stranger = CLIENT;
        Bench *b = *state;

        ask_for_first(b);
        outbox_cancel(b->outbox, ID(1), "task1", &client.waiter);
        bench_answer(b, "POST", "/task/task1/cancel", 401, "{\"error\":\"Who?\"}");
        assert_put_off(&client, "401: Who?");
        assert_true(bench_row(b, ID(1)).cancel_wanted);
        assert_int_equal(bench_queue(b).hold, QUEUE_HELD_ACCOUNT);

        bench_crash(b); /* the next process tries again */
        bench_start(b);
        outbox_cancel(b->outbox, "", "task9", &stranger.waiter);
        bench_answer(b, "POST", "/task/task1/cancel", 200, CANCELED);
        bench_answer(b, "POST", "/task/task9/cancel", 403, "{\"error\":\"You?\"}");
        assert_put_off(&stranger, "403: You?");
        assert_int_equal(bench_queue(b).hold, QUEUE_HELD_ACCOUNT);
}

/* Without a submission there is nothing to remember a wish by. */
static void test_without_a_wish_there_is_one_try(void **state)
{
        Client clients[] = { CLIENT, CLIENT, CLIENT };
        Bench *b = *state;

        bench_start(b);
        outbox_cancel(b->outbox, "", "task9", &clients[0].waiter);
        bench_answer_with(b, "POST", "/task/task9/cancel", bench_failure(-ETIMEDOUT, true));
        assert_put_off(&clients[0], "no answer");
        b->retry_after.until = b->monotonic + MINUTE;
        outbox_cancel(b->outbox, "", "task9", &clients[1].waiter);
        assert_put_off(&clients[1], "left alone");
        b->retry_after.until = 0;
        b->refuse = -ENOBUFS;
        outbox_cancel(b->outbox, "", "task9", &clients[2].waiter);
        assert_put_off(&clients[2], strerror(ENOBUFS));
        b->refuse = 0;
        bench_pass(b, DAY);
        assert_int_equal(b->n_asked, 0);
        assert_true(outbox_is_idle(b->outbox));
}

/* Who waits is told what the API said, also where that can't be stored; the wish stands until it is. */
static void test_who_waits_waits_for_no_disk(void **state)
{
        Client client = CLIENT;
        Bench *b = *state;

        ask_for_first(b);
        outbox_cancel(b->outbox, ID(1), "task1", &client.waiter);
        b->disk = -ENOSPC;
        bench_answer(b, "POST", "/task/task1/cancel", 200, CANCELED);
        assert_told(&client, 200, CANCELED);
        assert_true(bench_row(b, ID(1)).cancel_wanted);
        b->disk = 0;
        bench_pass(b, HOUR);
        bench_answer(b, "POST", "/task/task1/cancel", 200, CANCELED);
        assert_false(bench_row(b, ID(1)).cancel_wanted);
        assert_int_equal(client.n, 1);
}

/* Whom nobody can answer any more is told that. */
static void test_who_waits_at_the_end(void **state)
{
        Client client = CLIENT;
        Bench *b = *state;

        ask_for_first(b);
        outbox_cancel(b->outbox, ID(1), "task1", &client.waiter);
        b->outbox = outbox_free(b->outbox);
        assert_put_off(&client, "stopping");
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
                T(test_all_who_wait_get_the_apis_words),
                T(test_what_the_api_refuses_is_no_wish_any_more),
                T(test_who_waits_for_a_500),
                T(test_a_bad_key_holds_the_queue_whoever_waits),
                T(test_without_a_wish_there_is_one_try),
                T(test_who_waits_waits_for_no_disk),
                T(test_who_waits_at_the_end),
                T(test_wishes_that_fail_keep_nobody),
                T(test_holds_of_two_kinds_on_a_full_disk),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
