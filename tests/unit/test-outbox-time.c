/* The outbox and time: five days in a moment, Retry-After, days of UTC, rates, clocks that jump. */

#include "test-outbox-common.h"

/* Lets time pass until something is to be done, as a loop with a timer does. */
static void sleep_on(Bench *b)
{
        bench_pass(b, MAX((int64_t)(MIN(outbox_next(b->outbox), b->monotonic + (uint64_t)HOUR) -
                                          b->monotonic),
                                      1));
}

/* Fails until it expires, and says when each try was. */
static unsigned fail_for_days(Bench *b, int64_t *tries, unsigned max)
{
        int64_t begin = b->realtime, until = begin + 6 * DAY;
        unsigned n = 0;

        while (b->realtime < until) {
                if (b->n_asked == 0) {
                        sleep_on(b);
                        continue;
                }
                assert_true(n < max);
                tries[n++] = b->realtime - begin;
                bench_answer_with(b, "POST", "/task", bench_failure(-ECONNREFUSED, false));
        }
        return n;
}

static void test_five_days_of_trying(void **state)
{
        static const int64_t steps[] = { 30, 120, 600, 1800, 3600, 7200, 14400 };
        Bench *b = *state;
        int64_t tries[64];
        unsigned n;
        Row row;

        bench_begin(b);
        n = fail_for_days(b, tries, ELEMENTSOF(tries));

        assert_int_equal(tries[0], 0);
        for (unsigned i = 1; i < n; i++) {
                int64_t step = steps[MIN(i - 1, ELEMENTSOF(steps) - 1)] * SECOND,
                        took = tries[i] - tries[i - 1];

                /* The last is tried at the end. */
                if ((took < step * 8 / 10 && i < n - 1) || took > step * 12 / 10 + 2 * SECOND)
                        fail_msg("try %u after %lld s", i, (long long)(took / SECOND));
        }
        assert_in_range(n, 7 + 20, 7 + 40);
        assert_in_range(tries[n - 1], 5 * DAY, 5 * DAY + SECOND);
        row = bench_row(b, ID(1));
        assert_int_equal(row.state, SUBMISSION_EXPIRED);
        assert_int_equal(row.sent_at, TIME_NONE);
        assert_string_equal(row.error, "nothing answers where the API should be: it broke");
        assert_int_equal(bench_stats(b).expired, 1);
}

/* Nothing can be sent before the first answer: what comes when the API is back doesn't wait for hours. */
static void test_a_start_in_an_outage_waits_no_longer_than_it(void **state)
{
        Bench *b = *state;
        unsigned n = 0;
        int64_t until;

        bench_add(b, ID(1));
        bench_start(b);
        for (until = b->realtime + 4 * HOUR; b->realtime < until;) {
                if (b->n_asked == 0) {
                        sleep_on(b);
                        continue;
                }
                n++;
                bench_answer_with(b, "GET", "/tasks", bench_failure(-ECONNREFUSED, false));
        }
        assert_in_range(n, 4 * 60, 4 * 60 * 3);
        while (b->n_asked == 0)
                sleep_on(b);
        assert_in_range(b->realtime - until, 0, MINUTE);
        bench_probe(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

/* The list fails for five days: it expires, but what left stays in mind. */
static void test_unknown_expires_and_keeps_that_it_was_sent(void **state)
{
        Bench *b = *state;
        unsigned lists = 0;
        int64_t until;
        Row row;

        bench_begin(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        for (until = b->realtime + 6 * DAY; b->realtime < until;) {
                if (b->n_asked == 0) {
                        sleep_on(b);
                        continue;
                }
                if (b->realtime < T0 + 5 * DAY)
                        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
                lists++;
                bench_answer_with(b, "GET", "/tasks", bench_failure(-ETIMEDOUT, true));
        }
        assert_in_range(lists, 7 + 20, 7 + 40);
        row = bench_row(b, ID(1));
        assert_int_equal(row.state, SUBMISSION_EXPIRED);
        assert_true(row.sent_at != TIME_NONE && row.floor_at != TIME_NONE);
}

/* A machine without a clock gets the time when its network comes up: that is no reason to give up anything.
 */
static void test_a_clock_that_jumps_forth_expires_nothing_untried(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        bench_add(b, ID(2));
        bench_start(b);
        b->realtime += 400 * DAY;
        bench_probe(b);
        assert_int_equal(b->n_asked, 2);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);

        bench_answer_with(b, "POST", "/task", bench_failure(-ECONNREFUSED, false));
        assert_state(b, ID(2), SUBMISSION_EXPIRED);
        assert_int_equal(bench_row(b, ID(2)).attempts, 1);
        assert_int_equal(bench_row(b, ID(2)).sent_at, TIME_NONE);
        assert_int_equal(bench_stats(b).expired, 1);
}

/* What was never asked for was no try: nothing left this machine, or it was about the account. */
static void test_what_is_no_try_expires_nothing(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        bench_start(b);
        b->realtime += 6 * DAY;
        b->refuse = -ENOMEM;
        bench_run(b);
        b->refuse = 0;
        bench_pass(b, SECOND);
        bench_probe(b);
        bench_answer_with(b, "POST", "/task", bench_failure(-ECANCELED, false));
        assert_state(b, ID(1), SUBMISSION_QUEUED);

        b->refuse = -ENOMEM;
        bench_pass(b, MINUTE);
        assert_state(b, ID(1), SUBMISSION_QUEUED);
        b->refuse = 0;
        bench_pass(b, 5 * HOUR);
        bench_answer(b, "POST", "/task", 401, "{\"error\":\"Who?\"}");
        assert_state(b, ID(1), SUBMISSION_QUEUED);
        assert_int_equal(bench_queue(b).hold, QUEUE_HELD_ACCOUNT);
}

/* A queue that was held for six days is sent when it is resumed. */
static void test_a_hold_expires_nothing(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        bench_start(b);
        bench_answer(b, "GET", "/tasks", 401, "{\"error\":\"Who?\"}");
        bench_pass(b, 6 * DAY);
        assert_state(b, ID(1), SUBMISSION_QUEUED);
        assert_int_equal(store_begin(b->fixture->store), 0);
        assert_int_equal(store_hold_queue(b->fixture->store, QUEUE_RUNNING, NULL, b->realtime), 0);
        assert_int_equal(store_commit(b->fixture->store), 0);
        outbox_hurry(b->outbox);
        bench_run(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

/* The same for what nobody answered: it is sent once more, and given up when there is no task for that. */
static void test_absent_behind_its_time_is_tried_once_more(void **state)
{
        Bench *b = *state;

        bench_begin(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        b->realtime += 6 * DAY;
        bench_pass(b, GRACE);
        bench_answer(b, "GET", "/tasks", 200, NO_TASKS);
        assert_state(b, ID(1), SUBMISSION_QUEUED);
        bench_pass(b, MINUTE);
        bench_answer(b, "POST", "/task", 500, "{}");
        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
        bench_pass(b, GRACE);
        bench_answer(b, "GET", "/tasks", 200, NO_TASKS);
        assert_state(b, ID(1), SUBMISSION_EXPIRED);
        assert_int_equal(bench_row(b, ID(1)).sent_at, TIME_NONE);
        assert_int_equal(bench_stats(b).resolved_absent, 2);
        assert_int_equal(bench_stats(b).expired, 1);
}

/* Down for six days: it is looked for once more before it is given up. */
static void test_unknown_is_looked_for_before_it_expires(void **state)
{
        Bench *b = *state;

        bench_begin(b);
        bench_crash(b);
        b->realtime += 6 * DAY;
        bench_start(b);
        bench_pass(b, GRACE);
        assert_state(b, ID(1), SUBMISSION_UNKNOWN);
        bench_answer(b, "GET", "/tasks", 200, LIST(TASK(1), "1"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

/* Not known again after five days, and then tried again: it is looked for before it is sent. */
static void test_what_was_expired_is_looked_for_before_it_is_sent(void **state)
{
        Bench *b = *state;
        StoreMove retry = {
                .from = SUBMISSION_IN(SUBMISSION_EXPIRED),
                .to = SUBMISSION_UNKNOWN,
                .is_test = true,
        };

        bench_begin(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        b->realtime += 6 * DAY; /* our clock went wrong */
        b->monotonic += GRACE;
        bench_run(b);
        bench_answer_with(b, "GET", "/tasks", bench_failure(-ETIMEDOUT, true));
        assert_state(b, ID(1), SUBMISSION_EXPIRED);

        retry.now = retry.next_at = b->realtime;
        retry.expires_at = b->realtime + 5 * DAY;
        retry.sent_at = bench_row(b, ID(1)).sent_at;
        retry.floor_at = bench_row(b, ID(1)).floor_at;
        retry.ended_at = bench_row(b, ID(1)).ended_at;
        retry.grace = bench_row(b, ID(1)).grace;
        assert_int_equal(store_begin(b->fixture->store), 0);
        assert_int_equal(store_move_submission(b->fixture->store, ID(1), &retry), 0);
        assert_int_equal(store_commit(b->fixture->store), 0);
        outbox_hurry(b->outbox);
        bench_run(b);
        bench_answer(b, "GET", "/tasks?limit=100", 200, LIST(TASK(1), "1"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

/* The connection breaks at once; the API makes the task all the same, as late as somebody could have waited.
 */
static void test_a_request_that_broke_may_still_be_worked_on(void **state)
{
        Bench *b = *state;

        bench_begin(b);
        bench_pass(b, SECOND);
        bench_answer_with(b, "POST", "/task", bench_failure(-ECONNRESET, true));
        outbox_hurry(b->outbox);
        bench_pass(b, GRACE - 1);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 1);
        bench_answer(b, "GET", "/tasks", 200, LIST(TASK(1), "1"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

/* No start begins the waiting anew, whatever time of day it is. */
static void test_a_submitter_that_dies_every_second_comes_to_an_end(void **state)
{
        Bench *b = *state;
        int64_t waited = 0;

        bench_begin(b);
        for (; b->n_asked == 0 || waited == 0; waited += SECOND) {
                bench_crash(b);
                b->realtime += 5 * MINUTE - (waited / SECOND % 3) * 10 * MINUTE;
                bench_start(b);
                bench_pass(b, SECOND);
                assert_true(waited < 2 * GRACE);
        }
        assert_int_equal(waited, GRACE);
        bench_answer(b, "GET", "/tasks", 200, LIST(TASK(1), "1"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

static void test_the_timeout_that_it_was_sent_with_counts(void **state)
{
        Bench *b = *state;

        bench_begin(b);
        bench_crash(b);
        b->options.timeout = b->options.settle = (uint64_t)SECOND;
        bench_start(b);
        bench_pass(b, GRACE - 1);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 1);
        bench_answer(b, "GET", "/tasks", 200, LIST(TASK(1), "1"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

/* A reload with a longer time-out, between what is written down and the request. */
static void test_nothing_leaves_that_may_take_longer_than_was_written_down(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        bench_start(b);
        bench_hand_over(b, "GET", "/tasks?limit=1", bench_json(b, 200, NO_TASKS));
        assert_int_equal(outbox_run(b->outbox), 0);
        b->options.timeout += (uint64_t)SECOND;
        assert_int_equal(outbox_set_options(b->outbox, &b->options), 0);
        bench_commit(b);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, MINUTE);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

/* What counts from there counts from zero again: all that has passed since is certain to have passed. */
static void test_a_machine_that_was_started_anew(void **state)
{
        Bench *b = *state;

        bench_begin(b);
        bench_pass(b, SECOND);
        bench_answer_with(b, "POST", "/task", bench_failure(-ECONNRESET, true));
        bench_crash(b);
        b->monotonic = 1;
        bench_start(b);
        bench_pass(b, GRACE - 2);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 1);
        bench_answer(b, "GET", "/tasks", 200, LIST(TASK(1), "1"));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

static void test_retry_after_has_a_maximum(void **state)
{
        Bench *b = *state;
        ApiAnswer busy = bench_json(b, 429, "{}");

        bench_begin(b);
        busy.retry_after = UINT64_MAX - 1;
        bench_answer_with(b, "POST", "/task", busy);
        bench_pass(b, DAY - 1);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 1);
        assert_int_equal(b->n_asked, 1);
}

/* Of a list, and of a 503, which may have made a task all the same. */
static void test_retry_after_holds_for_every_request(void **state)
{
        Bench *b = *state;
        ApiAnswer busy = bench_json(b, 503, "{}");

        bench_begin(b);
        busy.retry_after = (uint64_t)HOUR;
        bench_answer_with(b, "POST", "/task", busy);
        bench_add(b, ID(2));
        outbox_hurry(b->outbox);
        bench_pass(b, HOUR - 1);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 1);
        assert_int_equal(b->n_asked, 2);
        busy.status = 429;
        bench_answer_with(b, "GET", "/tasks", busy);
        bench_answer(b, "POST", "/task", 200, TASK(2));
        bench_add(b, ID(3));
        bench_pass(b, HOUR - 1);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 1);
        assert_int_equal(b->n_asked, 2);
}

/* What others who ask were told holds here, too. */
static void test_what_others_were_told_is_kept(void **state)
{
        Bench *b = *state;

        bench_begin(b);
        bench_answer(b, "POST", "/task", 500, "{}");
        b->retry_after.until = b->monotonic + (uint64_t)HOUR;
        bench_add(b, ID(2));
        outbox_hurry(b->outbox);
        bench_pass(b, HOUR - 1);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 1);
        assert_int_equal(b->n_asked, 2);
        bench_answer(b, "GET", "/tasks", 200,
                        "{\"docs\":[" TASK(3) "],\"total\":2,\"limit\":100,\"offset\":0,\"has_more\":true}");
        assert_int_equal(b->n_asked, 2);

        /* In the middle of a listing: it goes on where it was. */
        b->retry_after.until = b->monotonic + (uint64_t)HOUR;
        bench_answer(b, "POST", "/task", 200, TASK(2));
        bench_answer(b, "GET", "/tasks?limit=100&offset=1", 200,
                        "{\"docs\":[" TASK(3) "],\"total\":3,\"limit\":100,\"offset\":1,\"has_more\":true}");
        bench_pass(b, HOUR - 1);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 1);
        bench_answer(b, "GET", "/tasks?limit=100&offset=2", 200,
                        "{\"docs\":[" TASK(
                                        1) "],\"total\":3,\"limit\":100,\"offset\":2,\"has_more\":false}");
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

static void test_429_without_a_time_pauses_as_well(void **state)
{
        Bench *b = *state;

        bench_begin(b);
        bench_answer(b, "POST", "/task", 429, "{}");
        bench_add(b, ID(2));
        bench_pass(b, 29 * SECOND);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 8 * SECOND);
        assert_int_equal(b->n_asked, 2);
}

/* Live tasks cost money. */

static void answer_all(Bench *b, unsigned status)
{
        while (b->n_asked > 0) {
                char body[200], id[SUBMISSION_ID_SIZE];
                const char *at = strstr(b->asked[0].body, TASK_SUBMISSION_KEY);

                snprintf(id, sizeof(id), "%.32s", at + strlen(TASK_SUBMISSION_KEY "\":\""));
                snprintf(body, sizeof(body),
                                "{\"task_id\":\"t%s\",\"type\":\"x\",\"metadata\":{\"" TASK_SUBMISSION_KEY
                                "\":\"%s\"}}",
                                id, id);
                bench_answer(b, "POST", "/task", status, body);
        }
}

static void add_many(Bench *b, unsigned n)
{
        static unsigned number = 1000;
        char id[SUBMISSION_ID_SIZE];

        while (n-- > 0) {
                snprintf(id, sizeof(id), "%032u", number++);
                bench_add(b, id);
        }
}

static uint64_t count(Bench *b, SubmissionState state)
{
        return bench_queue(b).by_state[state];
}

static void test_the_cap_holds_until_midnight(void **state)
{
        int64_t midnight = (T0 / DAY + 1) * DAY;
        Bench *b = *state;

        b->is_test = false;
        b->options.live_per_day = 5;
        b->realtime = midnight - HOUR;
        add_many(b, 12);
        bench_start(b);
        bench_probe(b);
        assert_int_equal(b->n_asked, 5);
        answer_all(b, 200);
        assert_int_equal(bench_queue(b).live_sent, 5);
        bench_pass(b, HOUR - 1);
        assert_int_equal(b->n_asked, 0);
        bench_crash(b); /* what was sent today stays counted */
        bench_start(b);
        bench_probe(b);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, 1);
        bench_pass(b, MINUTE);
        assert_int_equal(b->n_asked, 5);
        answer_all(b, 200);
        bench_pass(b, DAY);
        answer_all(b, 200);
        assert_int_equal(count(b, SUBMISSION_ACCEPTED), 12);
}

static void test_what_made_no_task_is_not_counted(void **state)
{
        Bench *b = *state;

        b->is_test = false;
        b->options.live_per_day = 2;
        add_many(b, 4);
        bench_start(b);
        bench_probe(b);
        assert_int_equal(b->n_asked, 2);
        assert_int_equal(bench_queue(b).live_sent, 2);
        bench_answer(b, "POST", "/task", 400, "{}");
        assert_int_equal(b->n_asked, 2); /* the next may */
        bench_answer(b, "POST", "/task", 500, "{}");
        assert_int_equal(bench_queue(b).live_sent, 2); /* it may have made one */
        assert_int_equal(b->n_asked, 1);
        answer_all(b, 200);
        assert_int_equal(b->n_asked, 0);
        bench_pass(b, GRACE);
        bench_answer(b, "GET", "/tasks", 200, NO_TASKS);
        assert_int_equal(b->n_asked, 1);
        assert_int_equal(bench_queue(b).live_sent, 2);
}

static void test_test_tasks_are_not_counted(void **state)
{
        Bench *b = *state;

        b->options.live_per_day = 1;
        add_many(b, 4);
        bench_start(b);
        bench_probe(b);
        assert_int_equal(b->n_asked, 4);
        assert_int_equal(bench_queue(b).live_sent, 0);
}

/* One that goes back and forth between dates gives each of them once, and no more. */
static void test_each_date_has_its_cap_once(void **state)
{
        Bench *b = *state;

        b->is_test = false;
        b->options.live_per_day = 3;
        add_many(b, 12);
        bench_start(b);
        bench_probe(b);
        answer_all(b, 200);
        for (unsigned i = 0; i < 4; i++) {
                b->realtime += i % 2 == 0 ? -DAY : DAY;
                add_many(b, 3);
                bench_pass(b, MINUTE);
                answer_all(b, 200);
                assert_int_equal(b->n_asked, 0);
                assert_int_equal(count(b, SUBMISSION_ACCEPTED), 6);
        }
}

/* The clock was ahead for a moment: the days before that date go on as ever. */
static void test_a_day_in_the_future_stops_nothing(void **state)
{
        Bench *b = *state;

        b->is_test = false;
        b->options.live_per_day = 3;
        add_many(b, 9);
        b->realtime += 400 * DAY;
        bench_start(b);
        bench_probe(b);
        answer_all(b, 200);
        assert_int_equal(count(b, SUBMISSION_ACCEPTED), 3);
        b->realtime -= 400 * DAY;
        bench_pass(b, MINUTE);
        answer_all(b, 200);
        assert_int_equal(count(b, SUBMISSION_ACCEPTED), 6);
        bench_pass(b, DAY);
        answer_all(b, 200);
        assert_int_equal(count(b, SUBMISSION_ACCEPTED), 9);
}

static void test_in_flight_is_capped(void **state)
{
        Bench *b = *state;

        b->options.max_in_flight = 3;
        add_many(b, 20);
        bench_start(b);
        bench_probe(b);
        for (unsigned i = 0; i < 17; i++) {
                assert_int_equal(b->n_asked, 3);
                bench_answer(b, "POST", "/task", 400, "{}");
        }
        answer_all(b, 200);
        assert_int_equal(count(b, SUBMISSION_ACCEPTED), 3);
}

static void test_the_rate_is_capped(void **state)
{
        Bench *b = *state;
        int64_t began = b->realtime;

        b->options.rate = 2;
        add_many(b, 21);
        bench_start(b);
        bench_probe(b);
        while (count(b, SUBMISSION_ACCEPTED) < 21) {
                assert_true(b->n_asked <= 1);
                answer_all(b, 200);
                bench_pass(b, 10000);
        }
        assert_in_range(b->realtime - began, 10 * SECOND, 10 * SECOND + 300000);
}

/* An API that answers nobody isn't flooded with what waits. */
static void test_trouble_slows_down(void **state)
{
        Bench *b = *state;
        unsigned n = 0;

        add_many(b, 500);
        bench_start(b);
        bench_probe(b);
        for (unsigned i = 0; i < 600; i++) {
                while (b->n_asked > 0) {
                        n++;
                        bench_answer_with(b, "POST", "/task", bench_failure(-ECONNREFUSED, false));
                }
                bench_pass(b, SECOND);
        }
        assert_in_range(n, 50, 250);
        for (unsigned i = 0; i < 3600 && count(b, SUBMISSION_ACCEPTED) < 500; i++) {
                answer_all(b, 200);
                bench_pass(b, 10 * SECOND);
        }
        assert_int_equal(count(b, SUBMISSION_ACCEPTED), 500);
}

/* So many unknown ones, and no more. */
static void test_unknown_ones_are_bounded(void **state)
{
        Bench *b = *state;

        b->options.max_in_flight = 32;
        add_many(b, 1500);
        bench_start(b);
        bench_probe(b);
        for (unsigned i = 0; i < 2000 && count(b, SUBMISSION_UNKNOWN) < 1500; i++) {
                while (b->n_asked > 0)
                        bench_answer(b, b->asked[0].body ? "POST" : "GET", "/task", 500, "{}");
                bench_pass(b, 20 * SECOND);
        }
        assert_in_range(count(b, SUBMISSION_UNKNOWN), 900, 1024);
        bench_crash(b);
        bench_start(b);
        bench_pass(b, GRACE);
        while (count(b, SUBMISSION_UNKNOWN) > 0) {
                if (b->n_asked == 0)
                        bench_pass(b, SECOND);
                else if (b->asked[0].body)
                        bench_answer_with(b, "POST", "/task", bench_failure(-ECONNREFUSED, false));
                else
                        bench_answer(b, "GET", "/tasks", 200, NO_TASKS);
        }
        assert_int_equal(count(b, SUBMISSION_QUEUED) + count(b, SUBMISSION_SENDING), 1500);
}

/* What waits for hours by a clock that was wrong for years doesn't wait for years. */
static void test_a_clock_that_went_back_for_years(void **state)
{
        Bench *b = *state;

        bench_add(b, ID(1));
        b->realtime -= 1000 * DAY;
        bench_start(b);
        bench_probe(b);
        bench_answer(b, "POST", "/task", 200, TASK(1));
        assert_state(b, ID(1), SUBMISSION_ACCEPTED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(test_five_days_of_trying),
                T(test_a_start_in_an_outage_waits_no_longer_than_it),
                T(test_unknown_expires_and_keeps_that_it_was_sent),
                T(test_a_clock_that_jumps_forth_expires_nothing_untried),
                T(test_what_is_no_try_expires_nothing),
                T(test_a_hold_expires_nothing),
                T(test_absent_behind_its_time_is_tried_once_more),
                T(test_unknown_is_looked_for_before_it_expires),
                T(test_what_was_expired_is_looked_for_before_it_is_sent),
                T(test_a_request_that_broke_may_still_be_worked_on),
                T(test_a_submitter_that_dies_every_second_comes_to_an_end),
                T(test_the_timeout_that_it_was_sent_with_counts),
                T(test_nothing_leaves_that_may_take_longer_than_was_written_down),
                T(test_a_machine_that_was_started_anew),
                T(test_retry_after_has_a_maximum),
                T(test_retry_after_holds_for_every_request),
                T(test_what_others_were_told_is_kept),
                T(test_429_without_a_time_pauses_as_well),
                T(test_the_cap_holds_until_midnight),
                T(test_what_made_no_task_is_not_counted),
                T(test_test_tasks_are_not_counted),
                T(test_each_date_has_its_cap_once),
                T(test_a_day_in_the_future_stops_nothing),
                T(test_in_flight_is_capped),
                T(test_the_rate_is_capped),
                T(test_trouble_slows_down),
                T(test_unknown_ones_are_bounded),
                T(test_a_clock_that_went_back_for_years),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
