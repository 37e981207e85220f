/*
 * JSON, case by case: a table of what must be taken and what must not (tests/data/json/cases.txt), through
 * the functions that read what strangers send. What RFC 8259 leaves to the parser is in the table as well,
 * because the receiver promises one answer for each body, and with the values that are to be the same.
 */

#include "test.h"

#include <stdio.h>

#include "scalectl/ndjson.h"
#include "submitd/socket/accept.h"
#include "task/callback.h"
#include "json/encode.h"

#define CASES_MAX 1024U
#define CASES_MIN 300U /* a table that was cut short must not pass */
#define BODY_MAX  ((size_t)1024 * 1024)

typedef struct Case {
        char verdict[8], name[64];
        Buffer body;
} Case;

static Case cases[CASES_MAX];
static size_t n_cases;
static Buffer table = BUFFER_INIT(BODY_MAX);

static bool is_one_of(const Case *c, const char *a, const char *b)
{
        return streq(c->verdict, a) || streq(c->verdict, b);
}

/* %XX, and %(N:TEXT) with %XX in the text. */
static void expand(const char *text, size_t size, Buffer *out)
{
        const char *end = text + size;

        while (text < end) {
                unsigned byte, times;
                int n = 0;
                char c = *text;

                if (*text == '%' && text[1] == '(') {
                        _cleanup_buffer_ Buffer piece = BUFFER_INIT(BODY_MAX);
                        const char *close;

                        assert_int_equal(sscanf(text, "%%(%u:%n", &times, &n), 1);
                        close = memchr(text + n, ')', (size_t)(end - text) - (size_t)n);
                        assert_non_null(close);
                        expand(text + n, (size_t)(close - text) - (size_t)n, &piece);
                        while (times-- > 0)
                                assert_int_equal(buffer_append(out, piece.data, piece.size), 0);
                        text = close + 1;
                        continue;
                }
                if (*text == '%') {
                        assert_int_equal(sscanf(text, "%%%2x%n", &byte, &n), 1);
                        assert_int_equal(n, 3);
                        c = (char)byte;
                }
                assert_int_equal(buffer_append(out, &c, 1), 0);
                text += n > 0 ? n : 1;
        }
}

static const Case *find_case(const char *name)
{
        FOREACH_ARRAY(c, cases, n_cases)
                if (streq(c->name, name))
                        return c;
        print_error("there is no case %s\n", name);
        abort();
}

static void read_case(const char *line)
{
        Case *c = &cases[n_cases];
        int n = 0;

        assert_true(n_cases < CASES_MAX);
        *c = (Case){ .body = BUFFER_INIT(BODY_MAX) };
        assert_int_equal(sscanf(line, "%7s %63s%n", c->verdict, c->name, &n), 2);
        if (line[n] == ' ')
                expand(line + n + 1, strlen(line + n + 1), &c->body);
        FOREACH_ARRAY(other, cases, n_cases)
                if (streq(other->name, c->name))
                        fail_msg("there are two cases %s", c->name);
        n_cases++;
}

static int set_up(_unused_ void **state)
{
        char path[512], line[4096];
        FILE *f;

        snprintf(path, sizeof(path), "%s/json/cases.txt", getenv("TEST_DATA") ?: "tests/data");
        f = fopen(path, "re");
        if (!f)
                return -1;
        while (fgets(line, sizeof(line), f)) {
                line[strcspn(line, "\n")] = 0;
                if (strncmp(line, "same ", 5) == 0 || strncmp(line, "differ ", 7) == 0)
                        assert_int_equal(buffer_append_f(&table, "%s\n", line), 0);
                else if (*line && *line != '#')
                        read_case(line);
        }
        fclose(f);
        return n_cases >= CASES_MIN ? 0 : -1;
}

static int tear_down(_unused_ void **state)
{
        FOREACH_ARRAY(c, cases, n_cases)
                buffer_done(&c->body);
        buffer_done(&table);
        return 0;
}

/* The bytes in memory of just that size, so that a sanitizer sees a step beyond. */
static void *exact(const Case *c)
{
        void *copy = malloc(MAX(c->body.size, 1U));

        assert_non_null(copy);
        if (c->body.size > 0)
                memcpy(copy, c->body.data, c->body.size);
        return copy;
}

static Callback *parse(const Case *c, int *ret_outcome)
{
        _cleanup_free_ void *body = exact(c);
        Callback *callback;

        *ret_outcome = callback_parse(body, c->body.size, &callback);
        assert_true(*ret_outcome >= 0);
        return callback;
}

static void check_round_trip(const Case *c, const Callback *callback)
{
        uint8_t before[CALLBACK_DIGEST_SIZE], after[CALLBACK_DIGEST_SIZE];
        _cleanup_buffer_ Buffer text = BUFFER_INIT(BODY_MAX);
        Callback *again;

        assert_int_equal(json_encode(callback->root, &text), 0);
        if (callback_parse(text.data, text.size, &again) != 0)
                fail_msg("%s: is not taken when it was written out: %s", c->name, buffer_text(&text));
        assert_int_equal(json_digest(callback->root, before), 0);
        assert_int_equal(json_digest(again->root, after), 0);
        assert_memory_equal(before, after, sizeof(before));
        callback_free(again);
}

static void test_the_receiver(_unused_ void **state)
{
        FOREACH_ARRAY(c, cases, n_cases) {
                int outcome;
                Callback *callback = parse(c, &outcome);

                assert_true(is_one_of(c, "accept", "take") || is_one_of(c, "reject", "refuse"));
                if (is_one_of(c, "accept", "take") != (outcome == 0))
                        fail_msg("%s %s: %s", c->verdict, c->name,
                                        outcome == 0 ? "was taken" : callback->problems.items[0].message);
                if (outcome == 0) {
                        assert_int_equal(callback->problems.n, strncmp(c->name, "surrogate-", 10) == 0);
                        check_round_trip(c, callback);
                } else {
                        assert_int_equal(callback->problems.n_errors, 1);
                        assert_null(callback->root);
                }
                callback_free(callback);
        }
}

/* It takes no NUL in a text, and how deep a parameter may be is a question of its own. */
static void test_the_submitter(_unused_ void **state)
{
        FOREACH_ARRAY(c, cases, n_cases) {
                _cleanup_free_ void *body = exact(c);
                Problems problems = {};
                json_t *params = NULL;
                int r;

                if (strncmp(c->name, "nul-", 4) == 0 || strncmp(c->name, "deep-", 5) == 0)
                        continue;
                r = accept_parse(task_type_find("categorization"), BODY_JSON, body, c->body.size, NULL,
                                &params, &problems);
                if (r != (is_one_of(c, "accept", "take") ? ACCEPT_INVALID : ACCEPT_UNREADABLE))
                        fail_msg("%s %s: the outcome is %d", c->verdict, c->name, r);
                assert_true(problems.n_errors > 0);
                problems_done(&problems);
        }
}

/* The same of a line of a file of tasks. A line has no line end in it, and needs a type. */
static void test_lines(_unused_ void **state)
{
        FOREACH_ARRAY(c, cases, n_cases) {
                const char *type, *key, *wanted = NULL;
                json_t *line, *params;

                if (strncmp(c->name, "nul-", 4) == 0 || strncmp(c->name, "deep-", 5) == 0)
                        continue;
                assert_int_equal(ndjson_parse(buffer_text(&c->body), c->body.size, &line, &params, &type,
                                                 &key, &wanted),
                                -EBADMSG);
                if (is_one_of(c, "accept", "take") != (strstr(wanted, "a member type") != NULL))
                        fail_msg("%s %s: expected %s", c->verdict, c->name, wanted);
        }
}

/* Cut short anywhere, no case is taken: an object ends with its brace. */
static void test_cut_short(_unused_ void **state)
{
        FOREACH_ARRAY(c, cases, n_cases) {
                size_t size = c->body.size;

                while (size > 0 && strchr(" \t\r\n", c->body.data[size - 1]))
                        size--;
                if (!is_one_of(c, "accept", "take") || size > 400)
                        continue;
                for (size_t n = 0; n < size; n++) {
                        Callback *callback;

                        if (callback_parse(buffer_text(&c->body), n, &callback) != CALLBACK_NOT_JSON)
                                fail_msg("%s: its first %zu bytes were taken", c->name, n);
                        callback_free(callback);
                }
        }
}

static void digest_of(const char *name, uint8_t ret[static CALLBACK_DIGEST_SIZE])
{
        Callback *callback;
        int outcome;

        callback = parse(find_case(name), &outcome);
        assert_int_equal(outcome, 0);
        assert_int_equal(json_digest(callback->root, ret), 0);
        callback_free(callback);
}

static void test_values(_unused_ void **state)
{
        char relation[8], a[64], b[64];
        unsigned n_lines = 0;
        int n;

        for (const char *p = buffer_text(&table); sscanf(p, "%7s %63s %63s%n", relation, a, b, &n) == 3;
                        p += n, n_lines++) {
                uint8_t x[CALLBACK_DIGEST_SIZE], y[CALLBACK_DIGEST_SIZE];

                digest_of(a, x);
                digest_of(b, y);
                if (streq(relation, "same") != (memcmp(x, y, sizeof(x)) == 0))
                        fail_msg("%s and %s: they should be %s", a, b, relation);
        }
        assert_true(n_lines >= 30);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_receiver),
                cmocka_unit_test(test_the_submitter),
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_cut_short),
                cmocka_unit_test(test_values),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
