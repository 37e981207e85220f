/* The stand-in's faults of answers and of lists, and that a seed means one course. */

#include "test-world.h"

static const WorldOptions on_demand = { .seed = 1, .complete_after = UINT64_MAX };

static WorldOptions with_fault(Fault f, double p)
{
        WorldOptions o = on_demand;

        o.faults[f] = p;
        o.delay = o.lag = 10 * USEC_PER_SEC;
        return o;
}

typedef struct Answered {
        unsigned status, retry_after;
        bool dropped, html;
        uint64_t delay;
        json_int_t tasks;
} Answered;

static Answered create_under(Fault f, uint64_t seed)
{
        WorldOptions o = with_fault(f, 1);
        Answered got = {};
        WorldAnswer a;
        World *w;

        o.seed = seed;
        w = make_world(&o);
        json_decref(ask_with(w,
                        &(WorldRequest){ .method = "POST",
                                        .path = "/v1/task/categorization",
                                        .body = CATEGORIZATION,
                                        .body_size = strlen(CATEGORIZATION),
                                        .now = NOW },
                        &a));
        got = (Answered){ a.status, a.retry_after, a.drop, streq(a.content_type, "text/html"), a.delay,
                stat_of(w, "tasks") };
        world_free(w);
        return got;
}

static void test_faults_of_answers(_unused_ void **state)
{
        bool done = false, not_done = false;
        Answered got;

        got = create_under(FAULT_DROP_ANSWER, 1);
        assert_true(got.dropped && got.tasks == 1);
        got = create_under(FAULT_ERROR_AFTER, 1);
        assert_true(got.status == 500 && got.tasks == 1);
        got = create_under(FAULT_ERROR_500, 1);
        assert_true(got.status == 500 && got.tasks == 0);
        got = create_under(FAULT_ERROR_429, 1);
        assert_true(got.status == 429 && got.tasks == 0 && got.retry_after > 0);
        got = create_under(FAULT_DELAY, 1);
        assert_true(got.status == 200 && got.tasks == 1 && got.delay > 0 && got.delay <= 10 * USEC_PER_SEC);
        for (uint64_t seed = 0; seed < 32; seed++) {
                got = create_under(FAULT_HTML, seed);
                assert_true(got.html && got.status == 502);
                done |= got.tasks == 1;
                not_done |= got.tasks == 0;
        }
        assert_true(done && not_done);
}

/* The first time it is only noted, the second time it is done. */
static void test_slow(_unused_ void **state)
{
        WorldOptions o = with_fault(FAULT_SLOW, 1);
        WorldRequest q = { .method = "POST",
                .path = "/v1/task/categorization",
                .body = CATEGORIZATION,
                .body_size = strlen(CATEGORIZATION),
                .now = NOW };
        World *w = make_world(&o);
        WorldAnswer a;

        assert_int_equal(world_handle(w, &q, &a), 0);
        assert_true(a.again_in > 0 && a.again_in <= 10 * USEC_PER_SEC);
        assert_int_equal(a.body.size, 0);
        assert_int_equal(stat_of(w, "tasks"), 0);
        assert_int_equal(stat_of(w, "slow"), 1);
        q.again = true;
        q.now += (int64_t)a.again_in;
        json_decref(ask_with(w, &q, &a));
        assert_true(a.status == 200 && a.again_in == 0);
        assert_int_equal(stat_of(w, "slow"), 0);
        assert_int_equal(stat_of(w, "tasks"), 1);
        world_free(w);
}

static void test_lag(_unused_ void **state)
{
        WorldOptions o = with_fault(FAULT_LAG, 1);
        World *w = make_world(&o);
        json_t *list;
        char id[25];

        create(w, CATEGORIZATION, NOW, id);
        json_decref(get_task(w, id, NOW));
        list = ask(w, "GET", "/v1/tasks", NULL, NOW, 200);
        assert_int_equal(number_of(list, "total"), 0);
        json_decref(list);
        list = ask(w, "GET", "/v1/tasks", NULL, NOW + 10 * SEC, 200);
        assert_int_equal(number_of(list, "total"), 1);
        json_decref(list);
        world_free(w);
}

static void test_faults_at_run_time(_unused_ void **state)
{
        World *w = make_world(&on_demand);
        json_t *faults;

        faults = ask(w, "POST", "/sandbox/faults", "{\"error_500\":1,\"lag\":0.25}", NOW, 200);
        assert_int_equal(json_object_size(faults), _FAULT_MAX);
        json_decref(faults);
        json_decref(ask(w, "GET", "/v1/tasks", NULL, NOW, 500));
        json_decref(ask(w, "POST", "/sandbox/faults", "{\"error_500\":0}", NOW, 200));
        json_decref(ask(w, "GET", "/v1/tasks", NULL, NOW, 200));

        /* All or none. */
        json_decref(ask(w, "POST", "/sandbox/faults", "{\"error_500\":1,\"nonsense\":1}", NOW, 400));
        json_decref(ask(w, "POST", "/sandbox/faults", "{\"error_500\":1,\"lag\":2}", NOW, 400));
        json_decref(ask(w, "POST", "/sandbox/faults", "{\"error_500\":\"1\"}", NOW, 400));
        json_decref(ask(w, "GET", "/v1/tasks", NULL, NOW, 200));
        world_free(w);
}

/* What a seed makes of a hundred requests, as text. */
static char *course(uint64_t seed, double other)
{
        WorldOptions o = { .seed = seed, .complete_after = UINT64_MAX, .delay = 1000 };
        char *text = calloc(1, 8192);
        World *w;

        o.faults[FAULT_ERROR_500] = 0.3;
        o.faults[FAULT_CALLBACK_LOST] = other;
        w = make_world(&o);
        for (unsigned i = 0; i < 100; i++) {
                WorldAnswer a = {};
                json_t *task;

                task = ask_with(w,
                                &(WorldRequest){ .method = "POST",
                                                .path = "/v1/task/categorization",
                                                .body = CATEGORIZATION,
                                                .body_size = strlen(CATEGORIZATION),
                                                .is_test = true,
                                                .now = NOW },
                                &a);
                snprintf(text + strlen(text), 8192 - strlen(text), "%u %s\n", a.status,
                                text_of(task, "task_id"));
                json_decref(task);
        }
        world_free(w);
        return text;
}

static void test_a_seed_means_one_course(_unused_ void **state)
{
        _cleanup_free_ char *a = course(7, 0), *b = course(7, 0), *other = course(8, 0),
                            *more = course(7, 1);

        assert_string_equal(a, b);
        assert_string_not_equal(a, other);
        assert_string_equal(a, more); /* one fault doesn't change when another strikes */
        assert_non_null(strstr(a, "500"));
        assert_non_null(strstr(a, "200"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_faults_of_answers),
                cmocka_unit_test(test_slow),
                cmocka_unit_test(test_lag),
                cmocka_unit_test(test_faults_at_run_time),
                cmocka_unit_test(test_a_seed_means_one_course),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
