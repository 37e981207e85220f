/* The stand-in's callbacks: retries, revisions, bad attachments and every way to misbehave. */

#include "test-world.h"

#include "task/callback.h"

#define DAY (24 * 3600 * SEC)

static const WorldOptions on_demand = { .seed = 1, .complete_after = UINT64_MAX };

static WorldOptions with_fault(Fault f, double p)
{
        WorldOptions o = on_demand;

        o.faults[f] = p;
        o.delay = o.lag = 10 * USEC_PER_SEC;
        return o;
}

static WorldCallback take(World *w, int64_t now)
{
        WorldCallback c = {};

        assert_int_equal(world_take_callback(w, now, &c), 1);
        return c;
}

static void take_none(World *w, int64_t now)
{
        WorldCallback c;

        assert_int_equal(world_take_callback(w, now, &c), 0);
}

/* The callback's kind, and whether the receiver's own rules take it without a word. */
static bool is_right(const WorldCallback *c, CallbackKind *ret_kind)
{
        _cleanup_(callback_freep) Callback *parsed = NULL;

        if (callback_parse(c->body, c->body_size, &parsed) != 0)
                return false;
        *ret_kind = parsed->kind;
        return callback_check(parsed, NULL, true) == 0;
}

typedef enum Said { SAID_NOTHING, SAID_NO, SAID_YES } Said;

/* callback_succeeded */
static Said called(World *w, const char *id, int64_t now)
{
        json_t *task = get_task(w, id, now), *value = json_object_get(task, "callback_succeeded");
        Said said = !value ? SAID_NOTHING : json_is_true(value) ? SAID_YES : SAID_NO;

        json_decref(task);
        return said;
}

static void test_a_callback(_unused_ void **state)
{
        World *w = make_world(&on_demand);
        CallbackKind kind;
        WorldCallback c;
        char id[25];

        create(w, CATEGORIZATION, NOW, id);
        take_none(w, NOW);
        complete(w, id, NULL, NOW);
        assert_int_equal(called(w, id, NOW), SAID_NOTHING);
        c = take(w, NOW);
        assert_string_equal(c.task_id, id);
        assert_string_equal(c.url, "http://127.0.0.1:1/callback");
        assert_int_equal(c.attempt, 1);
        assert_false(c.cut);
        assert_true(is_right(&c, &kind));
        assert_int_equal(kind, CALLBACK_RESPONSE);
        assert_int_equal(world_callback_done(w, c.number, 204, NULL, NOW), 0);
        assert_int_equal(called(w, id, NOW), SAID_YES);
        assert_int_equal(stat_of(w, "callbacks"), 1);
        assert_int_equal(stat_of(w, "callbacks_succeeded"), 1);
        take_none(w, NOW + DAY);
        world_free(w);
}

/* The first and twenty more, over a day. */
static void test_retries(_unused_ void **state)
{
        World *w = make_world(&on_demand);
        int64_t now = NOW, last = NOW;
        unsigned n = 0;
        char id[25];

        create(w, CATEGORIZATION, NOW, id);
        complete(w, id, NULL, NOW);
        for (;;) {
                WorldCallback c;

                if (world_take_callback(w, now, &c) == 1) {
                        assert_int_equal(c.attempt, ++n);
                        last = now;
                        assert_int_equal(world_callback_done(w, c.number, n % 2 ? 500 : 0,
                                                         n % 2 ? NULL : "refused", now),
                                        0);
                }
                if (world_next(w) == TIME_NONE)
                        break;
                assert_true(world_next(w) > now);
                now = world_next(w);
        }
        assert_int_equal(n, 21);
        assert_int_equal(last, NOW + DAY);
        assert_int_equal(called(w, id, now), SAID_NO);
        assert_int_equal(stat_of(w, "callbacks"), 21);
        assert_int_equal(stat_of(w, "callbacks_failed"), 1);
        assert_int_equal(stat_of(w, "callbacks_under_way"), 0);
        world_free(w);
}

static void test_retries_are_sped_up(_unused_ void **state)
{
        WorldOptions o = on_demand;
        WorldCallback c;
        char id[25];
        World *w;

        o.time_scale = 1000;
        w = make_world(&o);
        create(w, CATEGORIZATION, NOW, id);
        complete(w, id, NULL, NOW);
        c = take(w, NOW);
        assert_int_equal(world_callback_done(w, c.number, 503, NULL, NOW), 0);
        take_none(w, NOW + 9999);
        c = take(w, NOW + 10000);
        assert_int_equal(c.attempt, 2);
        assert_int_equal(world_callback_done(w, c.number, 200, NULL, NOW), 0);
        assert_int_equal(called(w, id, NOW), SAID_YES);
        world_free(w);
}

static void test_attempts_are_shown(_unused_ void **state)
{
        World *w = make_world(&on_demand);
        json_t *list, *docs;
        WorldCallback c;
        char id[25];

        create(w, CATEGORIZATION, NOW, id);
        complete(w, id, NULL, NOW);
        c = take(w, NOW);
        assert_int_equal(world_callback_done(w, c.number, 0, "refused", NOW), 0);
        c = take(w, NOW + 10 * SEC);
        assert_int_equal(world_callback_done(w, c.number, 200, NULL, NOW + 10 * SEC), 0);

        list = ask(w, "GET", "/sandbox/callbacks", NULL, NOW + 10 * SEC, 200);
        docs = json_object_get(list, "docs");
        assert_int_equal(number_of(list, "total"), 2);
        assert_int_equal(json_array_size(docs), 2);
        assert_string_equal(text_of(json_array_get(docs, 0), "task_id"), id);
        assert_string_equal(text_of(json_array_get(docs, 0), "error"), "refused");
        assert_true(json_is_null(json_object_get(json_array_get(docs, 0), "status")));
        assert_int_equal(number_of(json_array_get(docs, 1), "status"), 200);
        assert_int_equal(number_of(json_array_get(docs, 1), "attempt"), 2);
        assert_string_equal(text_of(json_array_get(docs, 1), "time"), "2016-06-23T09:09:44.752123Z");
        json_decref(list);
        world_free(w);
}

/* Each completion is told with its own response, also when the earlier one is told later. */
static void test_a_revision(_unused_ void **state)
{
        World *w = make_world(&on_demand);
        WorldCallback first, second;
        char id[25];

        create(w, CATEGORIZATION, NOW, id);
        complete(w, id, "{\"category\":\"public\"}", NOW);
        complete(w, id, "{\"category\":\"private\"}", NOW + SEC);
        first = take(w, NOW + SEC);
        second = take(w, NOW + SEC);
        assert_non_null(strstr(first.body, "\"response\":{\"category\":\"public\"}"));
        assert_null(strstr(first.body, "\"category\":\"private\""));
        assert_non_null(strstr(second.body, "\"response\":{\"category\":\"private\"}"));
        world_free(w);
}

static void test_a_bad_attachment(_unused_ void **state)
{
        static const char *const forms[] = { "{\"form\":\"bare\",\"status_code\":500}",
                "{\"form\":\"envelope\",\"urls\":[\"http://www.example.com/\"]}" };
        World *w = make_world(&on_demand);

        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                CallbackKind kind;
                WorldCallback c;
                char id[25], path[64];
                json_t *task;

                create(w, CATEGORIZATION, NOW, id);
                snprintf(path, sizeof(path), "/sandbox/task/%s/fail_attachment", id);
                task = ask(w, "POST", path, forms[i], NOW, 200);
                assert_string_equal(text_of(task, "status"), "error");
                json_decref(task);
                c = take(w, NOW);
                assert_true(is_right(&c, &kind));
                assert_int_equal(kind, CALLBACK_ATTACHMENT_FAILURE);
                assert_non_null(strstr(c.body, "http://www.example.com/"));
                assert_int_equal(strstr(c.body, "task_id") != NULL, i == 1);
                assert_int_equal(strstr(c.body, "\"statusCode\":500") != NULL, i == 0);
        }
        world_free(w);
}

static void test_what_fail_attachment_refuses(_unused_ void **state)
{
        static const char *const bodies[] = { "{\"form\":\"x\"}", "{\"status_code\":\"x\"}", "{\"urls\":1}",
                "{\"urls\":[]}", "{\"urls\":[\"http://other.example.com/\"]}", "[]", "{" };
        World *w = make_world(&on_demand);
        char id[25], path[64];

        create(w, CATEGORIZATION, NOW, id);
        snprintf(path, sizeof(path), "/sandbox/task/%s/fail_attachment", id);
        FOREACH_ARRAY(body, bodies, ELEMENTSOF(bodies))
                json_decref(ask(w, "POST", path, *body, NOW, 400));
        assert_int_equal(stat_of(w, "pending"), 1);
        world_free(w);
}

/* Faults of callbacks. */

static void test_lost(_unused_ void **state)
{
        WorldOptions o = with_fault(FAULT_CALLBACK_LOST, 1);
        World *w = make_world(&o);
        char id[25];

        create(w, CATEGORIZATION, NOW, id);
        complete(w, id, NULL, NOW);
        take_none(w, NOW + DAY);
        assert_int_equal(called(w, id, NOW), SAID_NO);
        assert_int_equal(stat_of(w, "callbacks_lost"), 1);
        world_free(w);
}

static void test_duplicate(_unused_ void **state)
{
        WorldOptions o = with_fault(FAULT_CALLBACK_DUPLICATE, 1);
        World *w = make_world(&o);
        _cleanup_free_ char *body = NULL;
        WorldCallback c;
        char id[25];

        create(w, CATEGORIZATION, NOW, id);
        complete(w, id, NULL, NOW);
        c = take(w, NOW);
        body = strdup(c.body);
        assert_int_equal(world_callback_done(w, c.number, 200, NULL, NOW), 0);
        c = take(w, NOW);
        assert_string_equal(c.body, body);
        /* What comes of it changes nothing, and it isn't tried again. */
        assert_int_equal(world_callback_done(w, c.number, 500, NULL, NOW), 0);
        assert_int_equal(called(w, id, NOW), SAID_YES);
        take_none(w, NOW + DAY);
        world_free(w);
}

static void test_reorder(_unused_ void **state)
{
        WorldOptions o = with_fault(FAULT_CALLBACK_REORDER, 1);
        char first[25], second[25];
        World *w = make_world(&o);
        WorldCallback later;

        create(w, CATEGORIZATION, NOW, first);
        create(w, CATEGORIZATION, NOW, second);
        complete(w, first, NULL, NOW);
        take_none(w, NOW);
        world_set_fault(w, FAULT_CALLBACK_REORDER, 0);
        complete(w, second, NULL, NOW);
        later = take(w, NOW);
        assert_string_equal(later.task_id, second);
        take_none(w, NOW);
        assert_int_equal(world_callback_done(w, later.number, 200, NULL, NOW), 0);
        assert_string_equal(take(w, NOW).task_id, first);

        /* When there is no later one it is sent after a minute. */
        world_set_fault(w, FAULT_CALLBACK_REORDER, 1);
        complete(w, first, NULL, NOW);
        assert_int_equal(world_next(w), NOW + 60 * SEC);
        take_none(w, NOW + 59 * SEC);
        assert_string_equal(take(w, NOW + 60 * SEC).task_id, first);
        world_free(w);
}

static void test_cut(_unused_ void **state)
{
        WorldOptions o = with_fault(FAULT_CALLBACK_CUT, 1);
        World *w = make_world(&o);
        WorldCallback c;
        char id[25];

        create(w, CATEGORIZATION, NOW, id);
        complete(w, id, NULL, NOW);
        c = take(w, NOW);
        assert_true(c.cut);
        assert_int_equal(world_callback_done(w, c.number, 0, "cut", NOW), 0);
        assert_false(take(w, NOW + DAY).cut);
        world_free(w);
}

/* For each type the first attempt breaks its rules, and the second doesn't. */
static void test_invalid(_unused_ void **state)
{
        for (const TaskType *const *t = task_types; *t; t++)
                for (uint64_t seed = 0; seed < 16; seed++) {
                        WorldOptions o = with_fault(FAULT_CALLBACK_INVALID, 1);
                        json_t *params = json_loads((*t)->example_params, 0, NULL), *task;
                        _cleanup_free_ char *body = NULL;
                        CallbackKind kind;
                        WorldCallback c;
                        char path[64];
                        World *w;

                        json_object_set_new(params, "callback_url", json_string("http://127.0.0.1:1/"));
                        json_object_set_new(params, "instruction", json_string("?"));
                        body = json_dumps(params, 0);
                        json_decref(params);
                        o.seed = seed;
                        w = make_world(&o);
                        snprintf(path, sizeof(path), "/v1/task/%s", (*t)->name);
                        task = ask(w, "POST", path, body, NOW, 200);
                        complete(w, text_of(task, "task_id"), NULL, NOW);
                        json_decref(task);

                        c = take(w, NOW);
                        assert_false(is_right(&c, &kind));
                        assert_int_equal(world_callback_done(w, c.number, 422, NULL, NOW), 0);
                        c = take(w, NOW + DAY);
                        assert_true(is_right(&c, &kind));
                        world_free(w);
                }
}

static void test_delayed(_unused_ void **state)
{
        WorldOptions o = with_fault(FAULT_CALLBACK_DELAY, 1);
        World *w = make_world(&o);
        char id[25];

        create(w, CATEGORIZATION, NOW, id);
        complete(w, id, NULL, NOW);
        take_none(w, NOW);
        assert_true(world_next(w) > NOW && world_next(w) <= NOW + 10 * SEC);
        assert_string_equal(take(w, NOW + 10 * SEC).task_id, id);
        world_free(w);
}

static void test_attachment_failure(_unused_ void **state)
{
        WorldOptions o = with_fault(FAULT_ATTACHMENT_FAILURE, 1);
        World *w = make_world(&o);
        CallbackKind kind;
        WorldCallback c;
        char id[25];
        json_t *task;

        create(w, CATEGORIZATION, NOW, id);
        task = get_task(w, id, NOW);
        assert_string_equal(text_of(task, "status"), "error");
        json_decref(task);
        c = take(w, NOW);
        assert_true(is_right(&c, &kind));
        assert_int_equal(kind, CALLBACK_ATTACHMENT_FAILURE);
        world_free(w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_callback),
                cmocka_unit_test(test_retries),
                cmocka_unit_test(test_retries_are_sped_up),
                cmocka_unit_test(test_attempts_are_shown),
                cmocka_unit_test(test_a_revision),
                cmocka_unit_test(test_a_bad_attachment),
                cmocka_unit_test(test_what_fail_attachment_refuses),
                cmocka_unit_test(test_lost),
                cmocka_unit_test(test_duplicate),
                cmocka_unit_test(test_reorder),
                cmocka_unit_test(test_cut),
                cmocka_unit_test(test_invalid),
                cmocka_unit_test(test_delayed),
                cmocka_unit_test(test_attachment_failure),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
