/* The stand-in's world: every endpoint, filter and error, and that nothing depends on anything but the seed.
 */

#include "test-world.h"

#include <stdio.h>

/* Creating. */

static void test_create(_unused_ void **state)
{
        World *w = make_world(NULL);
        char id[25];
        json_t *task;

        create(w, CATEGORIZATION, NOW, id);
        assert_memory_equal(id, "576ba74e", 8);
        assert_int_equal(strspn(id, "0123456789abcdef"), 24);
        task = get_task(w, id, NOW + 1);
        assert_string_equal(text_of(task, "status"), "pending");
        assert_string_equal(text_of(task, "created_at"), "2016-06-23T09:09:34.752Z");
        assert_string_equal(text_of(task, "urgency"), "day");
        assert_true(json_is_object(json_object_get(task, "metadata")));
        assert_true(json_is_false(json_object_get(json_object_get(task, "params"), "allow_multiple")));
        assert_null(json_object_get(task, "response"));
        assert_null(json_object_get(task, "completed_at"));
        assert_null(json_object_get(task, "callback_succeeded"));
        assert_null(json_object_get(task, "is_test"));
        json_decref(task);
        world_free(w);
}

static void test_errors_of_create(_unused_ void **state)
{
        static const struct {
                const char *type, *body;
                unsigned status;
                const char *error;
        } cases[] = {
                { "categorization", "{}", 400, "Please provide an attachment as a URL or plaintext." },
                { "categorization", NULL, 400, "Please provide an attachment as a URL or plaintext." },
                { "categorization", "{\"attachment\":\"car\",\"attachment_type\":\"image\"}", 400,
                                "Please provide an attachment as a URL or plaintext." },
                { "categorize",
                                "{\"attachment\":\"car\",\"attachment_type\":\"text\",\"instruction\":\"?"
                                "\"}",
                                400, NULL },
                { "comparison", "{\"attachment_type\":\"image\"}", 400,
                                "Please provide attachments for the worker to compare for the task." },
                { "datacollection",
                                "{\"attachment\":\"http://www.example.com/\",\"attachment_type\":\"moon\"}",
                                400,
                                "Invalid attachment_type - please choose one of these: text image website" },
                { "datacollection", "{\"instruction\":\"?\"}", 400,
                                "Invalid attachment_type - please choose one of these: text image website" },
                { "datacollection", "{\"attachment_type\":\"text\"}", 400,
                                "Please provide an attachment as a URL or plaintext." },
                { "categorization", "[1]", 400, "the body is not a JSON object" },
                { "unknown", CATEGORIZATION, 404, "There is no such type of task." },
        };
        World *w = make_world(NULL);

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                char path[64];
                json_t *error;

                snprintf(path, sizeof(path), "/v1/task/%s", c->type);
                error = ask(w, "POST", path, c->body, NOW, c->status);
                if (c->error)
                        assert_string_equal(text_of(error, "error"), c->error);
                if (c->status == 400)
                        assert_true(json_array_size(json_object_get(error, "problems")) > 0);
                json_decref(error);
        }
        assert_int_equal(stat_of(w, "tasks"), 0);
        world_free(w);
}

static void test_callback_url_of_the_account(_unused_ void **state)
{
        static const char body[] =
                        "{\"instruction\":\"?\",\"attachment_type\":\"text\",\"attachment\":\"car\","
                        "\"categories\":[\"a\"],\"callback_url\":null}";
        World *w = make_world(NULL);
        json_t *answer;

        answer = ask(w, "POST", "/v1/task/categorization", body, NOW, 400);
        assert_non_null(strstr(text_of(answer, "error"), "callback_url"));
        json_decref(answer);
        world_free(w);

        w = make_world(&(WorldOptions){
                        .callback_url = "http://127.0.0.1:1/default", .complete_after = UINT64_MAX });
        answer = ask(w, "POST", "/v1/task/categorization", body, NOW, 200);
        assert_string_equal(text_of(answer, "callback_url"), "http://127.0.0.1:1/default");
        json_decref(answer);
        world_free(w);
}

static void test_forms(_unused_ void **state)
{
        static const char body[] =
                        "callback_url=http://www.example.com/callback&attachment=http://www.example.com/"
                        "1.jpg"
                        "&objects_to_annotate=baby "
                        "cow&objects_to_annotate=big+cow&with_labels=true&min_width=30"
                        "&examples[0][correct]=true&examples%5B0%5D%5Bimage%5D=http://www.example.com/2.jpg";
        World *w = make_world(NULL);
        json_t *task, *params, *example;
        WorldAnswer a;

        task = ask_with(w,
                        &(WorldRequest){ .method = "POST",
                                        .path = "/v1/task/annotation",
                                        .content_type = "application/x-www-form-urlencoded; charset=utf-8",
                                        .body = body,
                                        .body_size = strlen(body),
                                        .is_test = true,
                                        .now = NOW },
                        &a);
        assert_int_equal(a.status, 200);
        assert_true(json_is_true(json_object_get(task, "is_test")));
        params = json_object_get(task, "params");
        assert_string_equal(
                        json_string_value(json_array_get(json_object_get(params, "objects_to_annotate"), 1)),
                        "big cow");
        assert_int_equal(number_of(params, "min_width"), 30);
        assert_true(json_is_true(json_object_get(params, "with_labels")));
        example = json_array_get(json_object_get(params, "examples"), 0);
        assert_true(json_is_true(json_object_get(example, "correct")));
        json_decref(task);
        world_free(w);
}

static void test_a_test_task_is_completed_at_once(_unused_ void **state)
{
        World *w = make_world(NULL);
        json_t *task, *got;
        WorldAnswer a;

        task = ask_with(w,
                        &(WorldRequest){ .method = "POST",
                                        .path = "/v1/task/categorize",
                                        .body = CATEGORIZATION,
                                        .body_size = strlen(CATEGORIZATION),
                                        .is_test = true,
                                        .now = NOW },
                        &a);
        assert_int_equal(a.status, 200);
        assert_string_equal(text_of(task, "status"), "pending");
        assert_string_equal(text_of(task, "type"), "categorization");
        got = get_task(w, text_of(task, "task_id"), NOW + 1000);
        assert_string_equal(text_of(got, "status"), "completed");
        assert_true(json_is_object(json_object_get(got, "response")));
        assert_true(strlen(text_of(got, "completed_at")) > 0);
        json_decref(task);
        json_decref(got);
        world_free(w);
}

static void test_a_live_task_is_completed_after_a_while(_unused_ void **state)
{
        World *w = make_world(&(WorldOptions){ .complete_after = 5 * USEC_PER_SEC });
        char id[25];
        json_t *task;

        create(w, CATEGORIZATION, NOW, id);
        task = get_task(w, id, NOW + 4 * SEC);
        assert_string_equal(text_of(task, "status"), "pending");
        json_decref(task);
        assert_true(world_next(w) > NOW + 4 * SEC && world_next(w) <= NOW + 5 * SEC);
        assert_int_equal(world_run(w, NOW + 5 * SEC), 0);
        task = get_task(w, id, NOW + 5 * SEC);
        assert_string_equal(text_of(task, "status"), "completed");
        json_decref(task);
        world_free(w);
}

/* One task. */

static void test_cancel(_unused_ void **state)
{
        World *w = make_world(NULL);
        char id[25], path[64];
        json_t *answer;

        create(w, CATEGORIZATION, NOW, id);
        snprintf(path, sizeof(path), "/v1/task/%s/cancel", id);
        answer = ask(w, "POST", path, NULL, NOW, 200);
        assert_string_equal(text_of(answer, "status"), "canceled");
        json_decref(answer);
        json_decref(ask(w, "POST", path, "{\"callback_url\":null}", NOW, 500));

        create(w, CATEGORIZATION, NOW, id);
        snprintf(path, sizeof(path), "/v1/task/%s/cancel", id);
        answer = ask(w, "GET", path, NULL, NOW, 200);
        assert_string_equal(text_of(answer, "status"), "canceled");
        json_decref(answer);

        create(w, CATEGORIZATION, NOW, id);
        complete(w, id, NULL, NOW);
        snprintf(path, sizeof(path), "/v1/task/%s/cancel", id);
        answer = ask(w, "POST", path, "{}", NOW, 500);
        assert_string_equal(
                        text_of(answer, "error"), "The task was already completed and cannot be canceled.");
        json_decref(answer);
        world_free(w);
}

static void test_what_is_not_there(_unused_ void **state)
{
        static const struct {
                const char *method, *path;
                unsigned status;
                const char *error;
        } cases[] = {
                { "GET", "/v1/task/576ba74eec471ff9b01557cc", 404, "Task not found" },
                { "POST", "/v1/task/576ba74eec471ff9b01557cc/cancel", 404, "Task not found" },
                { "POST", "/sandbox/task/576ba74eec471ff9b01557cc/complete", 404, "Task not found" },
                { "POST", "/sandbox/task/x/fail_attachment", 404, "Task not found" },
                { "GET", "/v1/nothing", 404, NULL },
                { "GET", "/v1/task/", 404, NULL },
                { "GET", "/v1/task/x/y", 404, NULL },
                { "GET", "/v1/task/x/cancel/", 404, NULL },
                { "GET", "", 404, NULL },
                { "DELETE", "/v1/tasks", 405, NULL },
                { "PUT", "/v1/task/x", 405, NULL },
        };
        World *w = make_world(NULL);

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                json_t *answer = ask(w, c->method, c->path, NULL, NOW, c->status);

                if (c->error)
                        assert_string_equal(text_of(answer, "error"), c->error);
                json_decref(answer);
        }
        world_free(w);
}

static void test_complete_with_a_response_and_again(_unused_ void **state)
{
        World *w = make_world(NULL);
        char id[25];
        json_t *task;

        create(w, CATEGORIZATION, NOW, id);
        complete(w, id, "{\"response\":{\"category\":\"private\"}}", NOW);
        task = get_task(w, id, NOW);
        assert_string_equal(text_of(json_object_get(task, "response"), "category"), "private");
        json_decref(task);
        complete(w, id, "{\"category\":\"public\"}", NOW + SEC);
        task = get_task(w, id, NOW + SEC);
        assert_string_equal(text_of(json_object_get(task, "response"), "category"), "public");
        assert_string_equal(text_of(task, "completed_at"), "2016-06-23T09:09:35.752Z");
        json_decref(task);
        assert_int_equal(stat_of(w, "completed"), 1);
        world_free(w);
}

/* Lists. */

/* Seven tasks: three at NOW, two a second later, two another second later; the last is canceled, the first
 * completed. */
static World *make_list(char ids[static 7][25])
{
        static const int64_t times[7] = { NOW, NOW, NOW, NOW + SEC, NOW + SEC, NOW + 2 * SEC,
                NOW + 2 * SEC };
        World *w = make_world(NULL);
        char path[64];

        for (size_t i = 0; i < 7; i++)
                create(w, CATEGORIZATION, times[i], ids[i]);
        complete(w, ids[0], NULL, NOW + 2 * SEC);
        snprintf(path, sizeof(path), "/v1/task/%s/cancel", ids[6]);
        json_decref(ask(w, "POST", path, NULL, NOW + 2 * SEC, 200));
        return w;
}

/* `wanted`: the numbers of the tasks, in order. */
static void expect_list(World *w, char ids[static 7][25], const char *query, const char *wanted,
                unsigned total, bool has_more)
{
        json_t *list, *docs, *task;
        char path[256];
        size_t i;

        snprintf(path, sizeof(path), "/v1/tasks%s", query);
        list = ask(w, "GET", path, NULL, NOW + 3 * SEC, 200);
        docs = json_object_get(list, "docs");
        assert_int_equal(json_array_size(docs), strlen(wanted));
        json_array_foreach(docs, i, task)
                assert_string_equal(text_of(task, "task_id"), ids[wanted[i] - '0']);
        assert_int_equal(number_of(list, "total"), total);
        assert_int_equal(json_is_true(json_object_get(list, "has_more")), has_more);
        assert_int_equal(json_object_size(list), 5);
        json_decref(list);
}

static void test_list(_unused_ void **state)
{
        char ids[7][25];
        World *w = make_list(ids);

        /* Newest first, ties in the order of creation. */
        expect_list(w, ids, "", "5634012", 7, false);
        expect_list(w, ids, "?limit=2", "56", 7, true);
        expect_list(w, ids, "?limit=2&offset=2", "34", 7, true);
        expect_list(w, ids, "?limit=2&offset=5", "12", 7, false);
        expect_list(w, ids, "?offset=7", "", 7, false);
        expect_list(w, ids, "?offset=700", "", 7, false);
        expect_list(w, ids, "?status=pending", "53412", 5, false);
        expect_list(w, ids, "?status=completed", "0", 1, false);
        expect_list(w, ids, "?status=canceled", "6", 1, false);
        expect_list(w, ids, "?type=categorization", "5634012", 7, false);
        expect_list(w, ids, "?type=annotation", "", 0, false);
        expect_list(w, ids, "?type=anything", "", 0, false);
        /* Both ends are in. */
        expect_list(w, ids, "?start_time=2016-06-23T09:09:35.752Z", "5634", 4, false);
        expect_list(w, ids, "?end_time=2016-06-23T09:09:35.752Z", "34012", 5, false);
        expect_list(w, ids,
                        "?start_time=2016-06-23T09:09:35.752&end_time=2016-06-23T09%3A09%3A35.752%2B00%3A00",
                        "34", 2, false);
        expect_list(w, ids, "?start_time=2016-06-24", "", 0, false);
        expect_list(w, ids, "?start_time=2016-06-23T11:09:35.752000%2B02:00", "5634", 4, false);
        /* Valueless and unknown ones are nothing. */
        expect_list(w, ids, "?callback_url&end_time&limit=99&offset=0&start_time&status&type&foo=bar",
                        "5634012", 7, false);
        world_free(w);
}

static void test_limit_and_offset_are_echoed(_unused_ void **state)
{
        World *w = make_world(NULL);
        json_t *list = ask(w, "GET", "/v1/tasks", NULL, NOW, 200);

        assert_int_equal(number_of(list, "limit"), 100);
        assert_int_equal(number_of(list, "offset"), 0);
        json_decref(list);
        list = ask(w, "GET", "/v1/tasks?limit=7&offset=12", NULL, NOW, 200);
        assert_int_equal(number_of(list, "limit"), 7);
        assert_int_equal(number_of(list, "offset"), 12);
        json_decref(list);
        world_free(w);
}

static void test_bad_filters(_unused_ void **state)
{
        static const char *const queries[] = { "limit=0", "limit=101", "limit=x", "limit=-1", "offset=-1",
                "offset=x", "status=lost", "start_time=yesterday", "end_time=2016-13-01" };
        World *w = make_world(NULL);

        FOREACH_ARRAY(query, queries, ELEMENTSOF(queries)) {
                char path[128];
                json_t *answer;

                snprintf(path, sizeof(path), "/v1/tasks?%s", *query);
                answer = ask(w, "GET", path, NULL, NOW, 400);
                assert_memory_equal(text_of(answer, "error"), *query, strcspn(*query, "="));
                json_decref(answer);
        }
        world_free(w);
}

/* A clock that goes back: the list stays in order. */
static void test_list_with_a_clock_that_goes_back(_unused_ void **state)
{
        World *w = make_world(NULL);
        char early[25], late[25];
        json_t *list, *docs;

        create(w, CATEGORIZATION, NOW + SEC, late);
        create(w, CATEGORIZATION, NOW, early);
        list = ask(w, "GET", "/v1/tasks", NULL, NOW, 200);
        docs = json_object_get(list, "docs");
        assert_string_equal(text_of(json_array_get(docs, 0), "task_id"), late);
        assert_string_equal(text_of(json_array_get(docs, 1), "task_id"), early);
        json_decref(list);
        world_free(w);
}

/* Many: the index and the agenda grow. */
static void test_many(_unused_ void **state)
{
        World *w = make_world(&(WorldOptions){ .complete_after = 10 * USEC_PER_SEC });
        char ids[2000][25];

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                create(w, CATEGORIZATION, NOW + (int64_t)i * 1000, ids[i]);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                json_t *task = get_task(w, ids[i], NOW + 2 * SEC);

                assert_string_equal(text_of(task, "task_id"), ids[i]);
                json_decref(task);
        }
        assert_int_equal(world_run(w, NOW + 10 * SEC + 999 * 1000), 0);
        assert_int_equal(stat_of(w, "completed"), 1000);
        assert_int_equal(stat_of(w, "tasks"), 2000);
        world_free(w);
}

static void test_duplicates_are_counted(_unused_ void **state)
{
#define REST \
        "\"instruction\":\"?\",\"attachment_type\":\"text\",\"attachment\":\"car\",\"categories\":[\"a\"]}"
#define ID "0123456789abcdef0123456789abcdef"
        World *w = make_world(NULL);
        char id[25];

        create(w, "{\"callback_url\":\"http://x.example.com/\"," REST, NOW, id);
        create(w, "{\"callback_url\":\"http://x.example.com/\"," REST, NOW, id);
        assert_int_equal(stat_of(w, "duplicate_tasks"), 0);
        create(w, "{\"callback_url\":\"http://x.example.com/" ID "\"," REST, NOW, id);
        assert_int_equal(stat_of(w, "duplicate_tasks"), 0);
        create(w,
                        "{\"callback_url\":\"http://x.example.com/\",\"metadata\":{\"" TASK_SUBMISSION_KEY
                        "\":\"" ID "\"}," REST,
                        NOW, id);
        assert_int_equal(stat_of(w, "duplicate_tasks"), 1);
        create(w, "{\"callback_url\":\"http://y.example.com/callback/" ID "\"," REST, NOW, id);
        assert_int_equal(stat_of(w, "duplicate_tasks"), 2);
        world_free(w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_create),
                cmocka_unit_test(test_errors_of_create),
                cmocka_unit_test(test_callback_url_of_the_account),
                cmocka_unit_test(test_forms),
                cmocka_unit_test(test_a_test_task_is_completed_at_once),
                cmocka_unit_test(test_a_live_task_is_completed_after_a_while),
                cmocka_unit_test(test_cancel),
                cmocka_unit_test(test_what_is_not_there),
                cmocka_unit_test(test_complete_with_a_response_and_again),
                cmocka_unit_test(test_list),
                cmocka_unit_test(test_limit_and_offset_are_echoed),
                cmocka_unit_test(test_bad_filters),
                cmocka_unit_test(test_list_with_a_clock_that_goes_back),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_duplicates_are_counted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
