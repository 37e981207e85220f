/* The rules of every type, from files: a body, and beside it the problems that it must have, word for word.
 */

#include "test.h"

#include <dirent.h>
#include <stdio.h>

#include "task/callback.h"

#define CASES_MIN 12U /* a folder */
#define BODY_MAX  (64U * 1024)

static char *read_file(const char *path, size_t *ret_size)
{
        char *text = malloc(BODY_MAX);
        FILE *f = fopen(path, "re");

        assert_non_null(text);
        if (!f)
                fail_msg("%s can't be opened", path);
        *ret_size = fread(text, 1, BODY_MAX, f);
        assert_true(*ret_size < BODY_MAX);
        fclose(f);
        return text;
}

/* What the name of a case promises. */
static int outcome_of_name(const char *name)
{
        if (strncmp(name, "invalid-", 8) == 0)
                return CALLBACK_INVALID;
        if (strncmp(name, "valid", 5) != 0 && strncmp(name, "warning-", 8) != 0)
                fail_msg("%s: a case is called valid, warning-... or invalid-...", name);
        return 0;
}

static void check_case(const char *folder, const char *name)
{
        char path[512], expected_path[sizeof(path) + 16];
        _cleanup_(callback_freep) Callback *c = NULL;
        _cleanup_free_ char *body = NULL;
        json_t *expected, *got;
        json_error_t error;
        size_t size;
        int r;

        snprintf(path, sizeof(path), "%.200s/%.200s", folder, name);
        snprintf(expected_path, sizeof(expected_path), "%.*s.problems.json", (int)(strlen(path) - 5), path);
        body = read_file(path, &size);
        expected = json_load_file(expected_path, 0, &error);
        if (!expected)
                fail_msg("%s: %s", expected_path, error.text);

        assert_int_equal(callback_parse(body, size, &c), 0);
        r = callback_check(c, NULL, 0);
        got = problems_to_json(&c->problems);
        if (r != outcome_of_name(name) || !json_equal(got, expected)) {
                char *text = json_dumps(got, JSON_INDENT(2));

                fail_msg("%s: outcome %d, problems %s", path, r, text);
        }
        if (strncmp(name, "valid", 5) == 0)
                assert_int_equal(json_array_size(got), 0);
        if (strncmp(name, "warning-", 8) == 0) {
                assert_true(json_array_size(got) > 0);
                assert_int_equal(callback_check(c, NULL, CALLBACK_STRICT), CALLBACK_INVALID);
        }
        json_decref(got);
        json_decref(expected);
}

static bool ends_with(const char *s, const char *end)
{
        size_t n = strlen(s), k = strlen(end);

        return n >= k && streq(s + n - k, end);
}

static unsigned check_folder(const char *folder)
{
        struct dirent *e;
        unsigned n = 0;
        DIR *d;

        d = opendir(folder);
        assert_non_null(d);
        while ((e = readdir(d))) {
                if (!ends_with(e->d_name, ".json") || ends_with(e->d_name, ".problems.json"))
                        continue;
                check_case(folder, e->d_name);
                n++;
        }
        closedir(d);
        return n;
}

static void check_cases(const char *name)
{
        const char *data = getenv("TEST_DATA");
        char path[512];
        unsigned n;

        assert_non_null(data);
        snprintf(path, sizeof(path), "%s/%s", data, name);
        n = check_folder(path);
        if (n < CASES_MIN)
                fail_msg("%s: %u cases, expected at least %u", name, n, CASES_MIN);
}

static void test_types(_unused_ void **state)
{
        for (const TaskType *const *t = task_types; *t; t++)
                check_cases((*t)->name);
}

static void test_what_has_no_type(_unused_ void **state)
{
        static const char *const folders[] = { "envelope", "attachment-failure", "unknown-type" };

        FOREACH_ARRAY(f, folders, ELEMENTSOF(folders))
                check_cases(*f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_types),
                cmocka_unit_test(test_what_has_no_type),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
