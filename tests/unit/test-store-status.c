/* One rule for the status of a task that has a response: the newest time decides, in whatever order it is
 * told. */

#include "test-store-outbox.h"

#include <stdio.h>

/* What can be said of one task: response 1 was completed at T0, 2 an hour later; either was canceled
 * afterwards. And 2 was completed once more. */
static const struct Said {
        uint8_t response;
        TaskStatus status;
        int64_t completed_at;
} said[] = {
        { 1, TASK_COMPLETED, T0 },
        { 1, TASK_CANCELED, T0 },
        { 2, TASK_COMPLETED, T0 + HOUR },
        { 2, TASK_CANCELED, T0 + HOUR },
        { 2, TASK_COMPLETED, T0 + 2 * HOUR },
};

#define N_SAID ELEMENTSOF(said)

static StoreDelivery delivery_of(const char *id, const char *body, const struct Said *s, bool poll)
{
        StoreDelivery d = response_of(id, body, s->response);

        d.task_status = s->status;
        d.completed_at = s->completed_at;
        d.source = poll ? SOURCE_RECONCILE : SOURCE_CALLBACK;
        return d;
}

/* The status that the feed ended with. */
static TaskStatus told(Fixture *f, uint64_t after)
{
        Seen s = list_events(f, after);

        assert_true(s.n > 0);
        return s.statuses[s.n - 1];
}

static void try_order(Fixture *f, const unsigned *order, unsigned n, unsigned polls, unsigned try)
{
        uint64_t before = store_last_event(f->store);
        const struct Said *newest = &said[order[0]];
        char id[32], body[64], again[64];
        Seen s;

        snprintf(id, sizeof(id), "t%u", try);
        for (unsigned i = 0; i < n; i++) {
                const struct Said *now = &said[order[i]];
                StoreDelivery d;

                snprintf(body, sizeof(body), "%u says %u", try, order[i]);
                d = delivery_of(id, body, now, polls >> i & 1);
                record(f->store, &d);
                if (now->completed_at > newest->completed_at ||
                                (now->completed_at == newest->completed_at && now->status == TASK_CANCELED))
                        newest = now;

                /* Once more in other bytes, and once in the same, changes nothing. */
                s = get_task(f, id);
                snprintf(again, sizeof(again), "%u says %u again", try, order[i]);
                d = delivery_of(id, again, now, false);
                assert_int_equal(record(f->store, &d).verdict, VERDICT_DUPLICATE);
                assert_true(record(f->store, &d).repeated);
                assert_int_equal(get_task(f, id).status, s.status);
        }

        s = get_task(f, id);
        assert_int_equal(s.status, newest->status);
        assert_int_equal(s.completed_at, newest->completed_at);
        assert_int_equal(told(f, before), newest->status);
}

/* Orders of up to three, in which each may be an answer; and of four callbacks. */
static void try_all(Fixture *f, unsigned *order, unsigned n, unsigned used, unsigned *try)
{
        for (unsigned polls = 0; n > 0 && polls < (n < 4 ? 1U << n : 1); polls++)
                try_order(f, order, n, polls, (*try)++);
        for (unsigned i = 0; n < 4 && i < N_SAID; i++)
                if (!(used >> i & 1)) {
                        order[n] = i;
                        try_all(f, order, n + 1, used | 1U << i, try);
                }
}

static void test_the_newest_time_decides_in_any_order(void **state)
{
        unsigned order[4], try = 0;

        try_all(*state, order, 0, 0, &try);
        assert_int_equal(try, 5 * 2 + 20 * 4 + 60 * 8 + 120);
        check_consistency(*state);
}

/* The answer says what of the response was known; the event says what became of the task. */
static void test_what_is_answered_and_told(void **state)
{
        Fixture *f = *state;
        StoreDelivery done = delivery_of("a", "done", &said[0], false),
                      canceled = delivery_of("a", "canceled", &said[1], false),
                      other = delivery_of("a", "other, canceled", &said[3], false),
                      polled = delivery_of("b", "polled", &said[1], true), late = done;
        Seen s;

        record(f->store, &done);
        assert_outcome(record(f->store, &canceled), VERDICT_DUPLICATE, 2, 1, false);
        s = list_events(f, 1);
        assert_int_equal(s.n, 1);
        assert_int_equal(s.kinds[0], EVENT_TASK_CANCELED);
        assert_int_equal(s.statuses[0], TASK_CANCELED);
        assert_string_equal(get_task(f, "a").response, "done");
        assert_string_equal(get_task(f, "a").document, "canceled");

        /* Completed anew, later; and canceled with a response of its own: two changes. */
        done = delivery_of("a", "done anew", &said[2], false);
        assert_outcome(record(f->store, &done), VERDICT_REVISED, 3, 2, false);
        assert_int_equal(get_task(f, "a").status, TASK_COMPLETED);
        s = list_events(f, 2);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.kinds[0], EVENT_TASK_REVISED);
        assert_int_equal(s.kinds[1], EVENT_TASK_COMPLETED);
        other.digest[0] = 3;
        assert_outcome(record(f->store, &other), VERDICT_REVISED, 4, 3, false);
        s = list_events(f, 4);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.kinds[0], EVENT_TASK_REVISED);
        assert_int_equal(s.kinds[1], EVENT_TASK_CANCELED);

        /* What is asked for again and again leaves a row where it changes something, once. */
        late.task_id = "b";
        record(f->store, &late);
        assert_outcome(record(f->store, &polled), VERDICT_DUPLICATE, 6, 1, false);
        assert_outcome(record(f->store, &polled), VERDICT_DUPLICATE, 0, 1, false);
        assert_int_equal(get_task(f, "b").status, TASK_CANCELED);
        check_consistency(f);
}

/* Pending again, with its response: only who was asked can say so. */
static void test_recalled(void **state)
{
        static const struct Said pending = { 1, TASK_PENDING, T0 };
        Fixture *f = *state;
        StoreDelivery done = delivery_of("a", "done", &said[0], false),
                      old = delivery_of("a", "a task from before", &pending, false),
                      recalled = delivery_of("a", "recalled", &pending, true),
                      anew = delivery_of("a", "anew", &said[2], false);
        Seen s;

        record(f->store, &done);
        record(f->store, &old);
        assert_int_equal(get_task(f, "a").status, TASK_COMPLETED);
        record(f->store, &recalled);
        s = get_task(f, "a");
        assert_int_equal(s.status, TASK_PENDING);
        assert_string_equal(s.response, "done");
        s = list_events(f, 1);
        assert_int_equal(s.n, 1);
        assert_int_equal(s.kinds[0], EVENT_TASK_REVISED);
        assert_int_equal(s.statuses[0], TASK_PENDING);
        assert_int_equal(list_pending(f, INT64_MAX).n, 1); /* and so it is asked about */
        check_consistency(f);

        record(f->store, &anew);
        assert_int_equal(get_task(f, "a").status, TASK_COMPLETED);
        check_consistency(f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_the_newest_time_decides_in_any_order),
                TEST(test_what_is_answered_and_told),
                TEST(test_recalled),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
