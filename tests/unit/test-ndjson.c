/* Files of tasks: lines, what is wrong with them, and names that stay. */

#include "test.h"

#include "scalectl/ndjson.h"

static FILE *open_text(const char *text, size_t size)
{
        FILE *f = fmemopen((void *)(uintptr_t)text, size, "r");

        assert_non_null(f);
        return f;
}

static void test_lines(_unused_ void **state)
{
        static const char text[] = "{\"a\":1}\n\n \t\r\n{\"b\":2}";
        FILE *f = open_text(text, sizeof(text) - 1);
        Ndjson n = NDJSON_INIT(f);

        assert_int_equal(ndjson_next(&n), 1);
        assert_string_equal(buffer_text(&n.line), "{\"a\":1}");
        assert_int_equal(n.number, 1);
        assert_int_equal(ndjson_next(&n), 1);
        assert_string_equal(buffer_text(&n.line), "{\"b\":2}");
        assert_int_equal(n.number, 4);
        assert_int_equal(n.bytes, sizeof(text) - 1);
        assert_int_equal(ndjson_next(&n), 0);
        ndjson_done(&n);
        fclose(f);
}

/* A line that is too long is told and passed over; the next one is read as it is. */
static void test_too_long(_unused_ void **state)
{
        size_t size = NDJSON_LINE_MAX + 16;
        _cleanup_free_ char *text = malloc(size);
        FILE *f;
        Ndjson n;

        assert_non_null(text);
        memset(text, 'x', size);
        text[NDJSON_LINE_MAX + 5] = '\n';
        f = open_text(text, size);
        n = NDJSON_INIT(f);
        assert_int_equal(ndjson_next(&n), -EMSGSIZE);
        assert_int_equal(n.number, 1);
        assert_int_equal(ndjson_next(&n), 1);
        assert_int_equal(n.line.size, 10);
        assert_int_equal(n.number, 2);
        ndjson_done(&n);
        fclose(f);
}

static void test_what_a_line_must_be(_unused_ void **state)
{
        static const struct {
                const char *line, *wanted;
        } cases[] = {
                { "{\"type\":\"categorization\",\"a\":1}", NULL },
                { "{\"type\":\"x\",\"idempotency_key\":\"k\",\"a\":1}", NULL },
                { "{\"type\":\"x\"", "one JSON object, without names that come twice" },
                { "{\"type\":\"x\",\"type\":\"y\"}", "one JSON object, without names that come twice" },
                { "[1]", "a JSON object" },
                { "{\"a\":1}", "a member type, as \"categorization\"" },
                { "{\"type\":5}", "a member type, as \"categorization\"" },
                { "{\"type\":\"x\",\"idempotency_key\":5}", "a text as idempotency_key" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                json_auto_t *line = NULL, *params = NULL;
                const char *type = NULL, *key = NULL, *wanted = NULL;
                int r;

                r = ndjson_parse(c->line, strlen(c->line), &line, &params, &type, &key, &wanted);
                assert_int_equal(r, c->wanted ? -EBADMSG : 0);
                if (c->wanted) {
                        assert_string_equal(wanted, c->wanted);
                        continue;
                }
                assert_int_equal(json_object_size(params), 1);
                assert_int_equal(json_integer_value(json_object_get(params, "a")), 1);
                assert_true(strlen(type) > 0);
                assert_int_equal(key != NULL, json_object_size(line) == 3);
        }
}

static void name(NdjsonNames *n, const char *text, char ret[static NDJSON_KEY_SIZE])
{
        json_auto_t *line = json_loads(text, 0, NULL);
        NdjsonName made;

        assert_non_null(line);
        assert_int_equal(ndjson_name(n, line, &made), 0);
        strcpy(ret, made.key);
}

/* The same lines get the same names again, equal ones are told apart, and order does not matter. */
static void test_names(_unused_ void **state)
{
        char a1[NDJSON_KEY_SIZE], a2[NDJSON_KEY_SIZE], b1[NDJSON_KEY_SIZE], again[NDJSON_KEY_SIZE];
        NdjsonNames *n;

        assert_int_equal(ndjson_names_new("tasks.ndjson", &n), 0);
        name(n, "{\"type\":\"x\",\"a\":1}", a1);
        name(n, "{\"a\":1.0,\"type\":\"x\"}", a2);
        name(n, "{\"type\":\"x\",\"a\":2}", b1);
        ndjson_names_free(n);
        assert_true(strncmp(a1, "tasks.ndjson:", 13) == 0);
        assert_string_not_equal(a1, a2);
        assert_memory_equal(a1, a2, strlen(a1) - 1);
        assert_string_not_equal(a1, b1);

        assert_int_equal(ndjson_names_new("tasks.ndjson", &n), 0);
        name(n, "{\"type\":\"x\",\"a\":2}", again);
        assert_string_equal(again, b1);
        name(n, "{\"type\":\"x\",\"a\":1}", again);
        assert_string_equal(again, a1);
        ndjson_names_free(n);

        assert_int_equal(ndjson_names_new("other", &n), 0);
        name(n, "{\"type\":\"x\",\"a\":1}", again);
        assert_string_not_equal(again, a1);
        ndjson_names_free(n);
}

/* More than the table begins with: each name is there once. */
static void test_many_names(_unused_ void **state)
{
        NdjsonNames *n;
        NdjsonName made;

        assert_int_equal(ndjson_names_new("b", &n), 0);
        for (int round = 1; round <= 2; round++)
                for (int i = 0; i < 3000; i++) {
                        json_auto_t *line = json_pack("{s:i}", "i", i);

                        assert_int_equal(ndjson_name(n, line, &made), 0);
                        assert_int_equal(made.place.count, round);
                        assert_int_equal(made.key[strlen(made.key) - 1], '0' + round);
                }
        ndjson_names_free(n);
}

static void test_batches(_unused_ void **state)
{
        assert_true(ndjson_batch_is_valid("tasks-2016.ndjson"));
        assert_false(ndjson_batch_is_valid(""));
        assert_false(ndjson_batch_is_valid("two words"));
        assert_false(ndjson_batch_is_valid("gr\xc3\xbcn"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_too_long),
                cmocka_unit_test(test_what_a_line_must_be),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_many_names),
                cmocka_unit_test(test_batches),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
