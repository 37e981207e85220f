/* Made-up callbacks fit the rules of their types. */

#include "test.h"

#include <sodium.h>

#include "task/callback.h"
#include "task/simulate.h"

static void check(const char *type, CallbackKind kind)
{
        _cleanup_(callback_freep) Callback *c = NULL;
        _cleanup_free_ char *text = NULL;
        char id[TASK_ID_SIZE];
        json_t *body;

        simulate_task_id(INT64_C(1466673002798000), id);
        assert_int_equal(strlen(id), 24);
        assert_memory_equal(id, "576ba76a", 8);

        assert_int_equal(simulate_callback(type, id, INT64_C(1466673002798123), &body), 0);
        text = json_dumps(body, 0);
        json_decref(body);
        assert_int_equal(callback_parse(text, strlen(text), &c), 0);
        assert_int_equal(callback_check(c, NULL, CALLBACK_STRICT), 0);
        assert_int_equal(c->problems.n, 0);
        assert_int_equal(c->kind, kind);
        if (kind == CALLBACK_RESPONSE) {
                assert_string_equal(c->type, type);
                assert_false(c->unchecked);
                assert_true(c->is_test);
        }
}

static void test_every_type(_unused_ void **state)
{
        for (const TaskType *const *t = task_types; *t; t++)
                check((*t)->name, CALLBACK_RESPONSE);
}

static void test_attachment_failure(_unused_ void **state)
{
        check("attachment_failure", CALLBACK_ATTACHMENT_FAILURE);
}

static void test_unknown_type(_unused_ void **state)
{
        json_t *body;

        assert_int_equal(simulate_callback("polygon", "x", 0, &body), -ENOENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_type),
                cmocka_unit_test(test_attachment_failure),
                cmocka_unit_test(test_unknown_type),
        };

        if (sodium_init() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
