/* Problems: bounded, errors first, quotes that end at a character, paths in words. */

#include "test.h"

#include "task/problem.h"

static void test_errors_push_warnings_out(_unused_ void **state)
{
        Problems p = {};

        for (unsigned i = 0; i < PROBLEMS_MAX + 5; i++)
                problems_add(&p, SEVERITY_WARNING, "w", "%u", i);
        assert_int_equal(p.n, PROBLEMS_MAX);
        assert_int_equal(p.n_beyond, 5);
        assert_int_equal(p.n_errors, 0);

        problems_add(&p, SEVERITY_ERROR, "e", "late");
        assert_int_equal(p.n, PROBLEMS_MAX);
        assert_int_equal(p.n_errors, 1);
        assert_string_equal(p.items[PROBLEMS_MAX - 1].path, "e");
        problems_done(&p);
}

static void test_escalate(_unused_ void **state)
{
        Problems p = {};

        problems_escalate(&p);
        assert_int_equal(p.n_errors, 0);
        problems_add(&p, SEVERITY_WARNING, "w", "x");
        problems_escalate(&p);
        assert_int_equal(p.n_errors, 1);
        assert_int_equal(p.items[0].severity, SEVERITY_ERROR);
        problems_done(&p);
}

static void test_quotes(_unused_ void **state)
{
        char buf[PROBLEM_QUOTE_SIZE], text[200];
        json_t *value;

        value = json_pack("[i, s]", 1, "a\"b");
        assert_string_equal(problem_quote(value, buf), "[1,\"a\\\"b\"]");
        json_decref(value);

        /* Eighty bytes end in the middle of an e with an accent: it goes as a whole. */
        text[0] = 'x';
        for (size_t i = 1; i + 1 < sizeof(text); i += 2)
                memcpy(text + i, "\xc3\xa9", 2);
        text[sizeof(text) - 1] = 0;
        value = json_string(text);
        assert_non_null(value);
        problem_quote(value, buf);
        assert_true(strlen(buf) <= 83);
        assert_string_equal(buf + strlen(buf) - 3, "...");
        json_decref(value);
        value = json_string(buf);
        assert_non_null(value); /* still UTF-8 */
        json_decref(value);
}

/* As it reads in a problem. Returns buf. */
static const char *path_of(const Path *path, char buf[static PATH_SIZE])
{
        Problems problems = {};

        path_problem(&problems, SEVERITY_ERROR, path, NULL, "x");
        assert_int_equal(problems.n, 1);
        snprintf(buf, PATH_SIZE, "%s", problems.items[0].path);
        problems_done(&problems);
        return buf;
}

static void test_paths(_unused_ void **state)
{
        const Path root = { .name = "response" }, list = { .up = &root, .name = "annotations" };
        const Path element = { .up = &list, .index = 3 }, left = { .up = &element, .name = "left" };
        const Path odd = { .up = &root, .name = "a.b" }, empty = { .up = &root, .name = "" };
        char buf[PATH_SIZE];

        assert_string_equal(path_of(&root, buf), "response");
        assert_string_equal(path_of(&left, buf), "response.annotations[3].left");
        assert_string_equal(path_of(&odd, buf), "response[\"a.b\"]");
        assert_string_equal(path_of(&empty, buf), "response[\"\"]");
}

static void test_a_path_too_long_ends_early(_unused_ void **state)
{
        char name[200], buf[PATH_SIZE];
        Path frames[20];

        memset(name, 'n', 40);
        name[40] = 0;
        for (size_t i = 0; i < ELEMENTSOF(frames); i++)
                frames[i] = (Path){ .up = i > 0 ? &frames[i - 1] : NULL, .name = name };
        path_of(&frames[ELEMENTSOF(frames) - 1], buf);
        assert_true(strlen(buf) < PATH_SIZE && strlen(buf) > PATH_SIZE / 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_errors_push_warnings_out),
                cmocka_unit_test(test_escalate),
                cmocka_unit_test(test_quotes),
                cmocka_unit_test(test_paths),
                cmocka_unit_test(test_a_path_too_long_ends_early),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
