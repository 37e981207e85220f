/* Groups of changes, over any driver: what becomes of each, and how it stands afterwards. */

#include "test-store-seen.h"

#include <time.h>

#define N 5U

typedef struct Group {
        StoreDelivery deliveries[N];
        char ids[N][16], bodies[N][16];
        StoreChange changes[N], *pointers[N];
} Group;

/* First responses of tasks that nobody has seen. */
static void fill(Group *g, char prefix)
{
        for (unsigned i = 0; i < N; i++) {
                snprintf(g->ids[i], sizeof(g->ids[i]), "%c%u", prefix, i);
                snprintf(g->bodies[i], sizeof(g->bodies[i]), "body %c%u", prefix, i);
                g->deliveries[i] = response_of(g->ids[i], g->bodies[i], (uint8_t)(i + 1));
                g->changes[i] = (StoreChange){ .kind = STORE_DELIVERY, .delivery = &g->deliveries[i] };
                g->pointers[i] = &g->changes[i];
        }
}

static void assert_results(const Group *g, int expected)
{
        FOREACH_ARRAY(change, g->changes, N)
                assert_int_equal(change->result, expected);
}

static void test_a_group(void **state)
{
        Fixture *f = *state;
        Group g;

        fill(&g, 'a');
        assert_int_equal(store_write(f->store, g.pointers, N), 0);
        assert_results(&g, 0);
        for (unsigned i = 0; i < N; i++)
                assert_outcome(g.changes[i].outcome, VERDICT_STORED, i + 1, 1, false);
        assert_int_equal(store_last_event(f->store), N);
        assert_int_equal(get_stats(f).tasks, N);
        assert_int_equal(store_health(f->store).state, STORE_WELL);

        /* The same again, within one group and of another. */
        assert_int_equal(store_write(f->store, g.pointers, N), 0);
        for (unsigned i = 0; i < N; i++)
                assert_outcome(g.changes[i].outcome, VERDICT_DUPLICATE, i + 1, 1, true);
        assert_int_equal(store_write(f->store, g.pointers, 0), 0);
}

/* Whatever fails by itself takes nobody with it, be it first, last or all. */
static void test_failures_of_their_own(void **state)
{
        Fixture *f = *state;

        for (unsigned failing = 0; failing < 1U << N; failing += 3) {
                uint64_t before = get_stats(f).tasks, kept = 0;
                Group g;

                fill(&g, (char)('!' + failing));
                for (unsigned i = 0; i < N; i++)
                        if (failing & 1U << i)
                                g.changes[i] = (StoreChange){ .kind = STORE_DISCARD, .number = 99999 };
                assert_int_equal(store_write(f->store, g.pointers, N), 0);
                for (unsigned i = 0; i < N; i++) {
                        assert_int_equal(g.changes[i].result, failing & 1U << i ? -ENOENT : 0);
                        kept += g.changes[i].result == 0;
                }
                assert_int_equal(get_stats(f).tasks, before + kept);
                assert_int_equal(store_health(f->store).state, STORE_WELL);
        }
}

static void assert_filled(const void *table, size_t size)
{
        void *const *functions = table;

        for (size_t i = 0; i < size / sizeof(void *); i++)
                if (!functions[i])
                        fail_msg("function %zu is missing", i);
}

static void test_every_function_is_there(_unused_ void **state)
{
        assert_filled(TEST_DRIVER, sizeof(*TEST_DRIVER));
        assert_filled(TEST_DRIVER->rows, sizeof(*TEST_DRIVER->rows));
        assert_filled(TEST_DRIVER->outbox, sizeof(*TEST_DRIVER->outbox));
        assert_filled(TEST_DRIVER->reading, sizeof(*TEST_DRIVER->reading));
}

#ifdef MEMORY_DRIVER

/* A driver may ask for a group to be done again as it was, and is not asked for ever. */
static void test_done_again(void **state)
{
        Fixture *f = *state;
        Group g;

        fill(&g, 'a');
        memory_driver_fail(3, -EAGAIN);
        assert_int_equal(store_write(f->store, g.pointers, N), 0);
        assert_results(&g, 0);
        assert_int_equal(get_stats(f).tasks, N);

        fill(&g, 'b');
        memory_driver_fail(100, -EAGAIN);
        assert_int_equal(store_write(f->store, g.pointers, N), -EBUSY);
        memory_driver_fail(0, 0);
        assert_results(&g, -EBUSY);
        assert_int_equal(get_stats(f).tasks, N);
        assert_int_equal(store_health(f->store).state, STORE_WAITING);
}

/* Nobody knows of this group; of those behind it everybody does, until it goes on. */
static void test_not_known_whether_kept(void **state)
{
        Fixture *f = *state;
        Group g, h;

        fill(&g, 'a');
        fill(&h, 'b');
        memory_driver_fail(1, -EINPROGRESS);
        assert_int_equal(store_write(f->store, g.pointers, N), -EINPROGRESS);
        assert_results(&g, -EINPROGRESS);
        assert_int_equal(store_health(f->store).state, STORE_WAITING);
        assert_int_equal(store_health(f->store).error, -EINPROGRESS);

        assert_int_equal(store_write(f->store, h.pointers, N), -EBUSY);
        assert_results(&h, -EBUSY);

        f->store = store_close(f->store);
        f->store = open_store(f->path);
        assert_int_equal(store_write(f->store, g.pointers, N), 0);
        for (unsigned i = 0; i < N; i++)
                assert_outcome(g.changes[i].outcome, VERDICT_DUPLICATE, i + 1, 1, true);
}

static void test_fatal(void **state)
{
        Fixture *f = *state;
        Group g;

        fill(&g, 'a');
        memory_driver_fail(1, -ENOTRECOVERABLE);
        assert_int_equal(store_write(f->store, g.pointers, N), -ENOTRECOVERABLE);
        store_tend(f->store);
        store_check(f->store);
        assert_int_equal(store_health(f->store).state, STORE_FATAL);
        assert_int_equal(store_write(f->store, g.pointers, N), -ENOTRECOVERABLE);
        assert_int_equal(get_stats(f).tasks, 0);
}

/* It is the store that tries whether it goes on, once a second. */
static void test_it_goes_on_by_itself(void **state)
{
        Fixture *f = *state;
        Group g;

        fill(&g, 'a');
        memory_driver_fail(1, -EIO);
        assert_int_equal(store_write(f->store, g.pointers, N), -EIO);
        store_tend(f->store);
        assert_int_equal(store_health(f->store).state, STORE_WAITING);
        nanosleep(&(struct timespec){ .tv_sec = 1, .tv_nsec = 1000000 }, NULL);
        store_tend(f->store);
        assert_int_equal(store_health(f->store).state, STORE_WELL);
        assert_int_equal(store_write(f->store, g.pointers, N), 0);
}

#endif

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_group),
                TEST(test_failures_of_their_own),
                cmocka_unit_test(test_every_function_is_there),
#ifdef MEMORY_DRIVER
                TEST(test_done_again),
                TEST(test_not_known_whether_kept),
                TEST(test_fatal),
                TEST(test_it_goes_on_by_itself),
#endif
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
