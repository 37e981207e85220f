/* Parameters as clients write them, made into what they mean; and what the API adds to them. */

#include "test.h"

#include "task/check.h"
#include "task/params.h"

static void expect(int (*fn)(const TaskType *, json_t *), const char *type, const char *before,
                const char *after)
{
        json_t *params = json_loads(before, JSON_ALLOW_NUL, NULL),
               *wanted = json_loads(after, JSON_ALLOW_NUL, NULL);
        _cleanup_free_ char *text = NULL;

        if (!params || !wanted)
                fail_msg("%s, %s", before, after);
        for (unsigned i = 0; i < 2; i++) { /* twice is as good as once */
                assert_int_equal(fn(task_type_find(type), params), 0);
                free(text);
                text = json_dumps(params, JSON_COMPACT);
                if (!json_equal(params, wanted))
                        fail_msg("%s: %s, expected %s", before, text, after);
        }
        json_decref(params);
        json_decref(wanted);
}

static void test_what_means_nothing_goes(_unused_ void **state)
{
        static const struct {
                const char *before, *after;
        } cases[] = {
                { "{}", "{}" },
                { "{\"callback_url\":null,\"attachment\":null,\"something\":null}", "{}" },
                { "{\"category_ids\":{},\"metadata\":{}}", "{}" },
                { "{\"category_ids\":[],\"metadata\":[]}", "{}" },
                { "{\"categories\":[]}", "{\"categories\":[]}" },
                { "{\"categories\":{}}", "{\"categories\":{}}" },
                { "{\"allow_multiple\":[]}", "{\"allow_multiple\":[]}" },
                { "{\"something\":[],\"else\":{}}", "{\"something\":[],\"else\":{}}" },
                { "{\"metadata\":{\"a\":null,\"b\":[]}}", "{\"metadata\":{\"a\":null,\"b\":[]}}" },
                { "{\"instruction\":\"\"}", "{\"instruction\":\"\"}" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases))
                expect(task_params_normalise, "categorization", i->before, i->after);
        expect(task_params_normalise, "annotation",
                        "{\"examples\":[],\"instruction\":null,\"min_width\":null}", "{}");
        expect(task_params_normalise, "annotation",
                        "{\"examples\":[{\"correct\":null,\"explanation\":null,\"x\":null},null,3]}",
                        "{\"examples\":[{},null,3]}");
}

static void test_texts_become_what_the_table_says(_unused_ void **state)
{
        static const struct {
                const char *before, *after;
        } cases[] = {
                { "{\"min_width\":\"30\"}", "{\"min_width\":30}" },
                { "{\"min_width\":\"30.0\"}", "{\"min_width\":30}" },
                { "{\"min_width\":\"3e1\"}", "{\"min_width\":30}" },
                { "{\"min_width\":\"+30\"}", "{\"min_width\":30}" },
                { "{\"min_width\":\"-1\"}", "{\"min_width\":-1}" },
                { "{\"min_width\":\"1.5\"}", "{\"min_width\":1.5}" },
                { "{\"min_width\":\"9007199254740993\"}", "{\"min_width\":9007199254740993}" },
                { "{\"min_width\":\"99999999999999999999\"}", "{\"min_width\":1e20}" },
                { "{\"min_width\":30}", "{\"min_width\":30}" },
                { "{\"min_width\":\"\"}", "{\"min_width\":\"\"}" },
                { "{\"min_width\":\" 30\"}", "{\"min_width\":\" 30\"}" },
                { "{\"min_width\":\"30px\"}", "{\"min_width\":\"30px\"}" },
                { "{\"min_width\":\"0x10\"}", "{\"min_width\":\"0x10\"}" },
                { "{\"min_width\":\"nan\"}", "{\"min_width\":\"nan\"}" },
                { "{\"min_width\":\"1e999\"}", "{\"min_width\":\"1e999\"}" },
                { "{\"min_width\":\"30\\u0000\"}", "{\"min_width\":\"30\\u0000\"}" },
                { "{\"min_width\":[\"30\"]}", "{\"min_width\":[\"30\"]}" },
                { "{\"with_labels\":\"true\"}", "{\"with_labels\":true}" },
                { "{\"with_labels\":\"false\"}", "{\"with_labels\":false}" },
                { "{\"with_labels\":\"True\"}", "{\"with_labels\":true}" },
                { "{\"with_labels\":\"FALSE\"}", "{\"with_labels\":false}" },
                { "{\"with_labels\":\"yes\"}", "{\"with_labels\":\"yes\"}" },
                { "{\"with_labels\":\"true\\u0000\"}", "{\"with_labels\":\"true\\u0000\"}" },
                { "{\"with_labels\":\"1\"}", "{\"with_labels\":\"1\"}" },
                { "{\"with_labels\":1}", "{\"with_labels\":1}" },
                { "{\"examples\":[{\"correct\":\"true\",\"image\":\"true\"}]}",
                                "{\"examples\":[{\"correct\":true,\"image\":\"true\"}]}" },
                { "{\"examples\":{\"correct\":\"true\"}}", "{\"examples\":{\"correct\":\"true\"}}" },
                { "{\"objects_to_annotate\":\"cow\"}", "{\"objects_to_annotate\":\"cow\"}" },
                { "{\"instruction\":\"30\",\"something\":\"30\"}",
                                "{\"instruction\":\"30\",\"something\":\"30\"}" },
                { "{\"metadata\":{\"a\":\"30\"}}", "{\"metadata\":{\"a\":\"30\"}}" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases))
                expect(task_params_normalise, "annotation", i->before, i->after);
}

static void test_defaults(_unused_ void **state)
{
        static const struct {
                const char *type, *before, *after;
        } cases[] = {
                { "categorization", "{}", "{\"allow_multiple\":false,\"urgency\":\"day\",\"metadata\":{}}" },
                { "categorization", "{\"allow_multiple\":true,\"urgency\":\"week\",\"metadata\":{\"a\":1}}",
                                "{\"allow_multiple\":true,\"urgency\":\"week\",\"metadata\":{\"a\":1}}" },
                { "comparison", "{\"urgency\":null}", "{\"urgency\":\"day\",\"metadata\":{}}" },
                { "datacollection", "{\"x\":1}", "{\"x\":1,\"urgency\":\"day\",\"metadata\":{}}" },
                { "transcription", "{}", "{\"urgency\":\"day\",\"metadata\":{}}" },
                { "annotation", "{\"min_width\":3}",
                                "{\"min_width\":3,\"attachment_type\":\"image\","
                                "\"with_labels\":false,\"urgency\":\"day\",\"metadata\":{}}" },
                { "audiotranscription", "{}",
                                "{\"instruction\":\"Please transcribe the attached audio file.\","
                                "\"attachment_type\":\"audio\",\"verbatim\":false,\"urgency\":\"day\","
                                "\"metadata\":{}}" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases))
                expect(task_params_add_defaults, i->type, i->before, i->after);
}

/* Nobody would notice a broken one until that type is used. */
static void test_defaults_of_the_tables_fit_them(_unused_ void **state)
{
        for (const TaskType *const *t = task_types; *t; t++) {
                json_t *params = json_loads((*t)->example_params, 0, NULL);
                Problems problems = {};

                json_object_set_new(params, "instruction", json_string((*t)->example_instruction));
                assert_int_equal(task_params_add_defaults(*t, params), 0);
                task_params_check(*t, params, &problems);
                assert_int_equal(problems.n, 0);
                json_decref(params);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_means_nothing_goes),
                cmocka_unit_test(test_texts_become_what_the_table_says),
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_defaults_of_the_tables_fit_them),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
