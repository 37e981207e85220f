/* Forms, decoded by the tables of the types, from the text that a client sends. */

#include "test.h"

#include "task/check.h"
#include "task/params.h"

static json_t *decode(const char *type, const char *text, Problems *problems)
{
        static FormPair pairs[TASK_FORM_PAIRS_MAX];
        _cleanup_free_ char *copy = strdup(text);
        json_t *params;
        size_t n;

        assert_int_equal(form_split(copy, pairs, TASK_FORM_PAIRS_MAX, &n), 0);
        assert_int_equal(task_params_from_form(task_type_find(type), pairs, n, &params, problems), 0);
        assert_true(json_is_object(params));
        assert_false(problems->failed);
        return params;
}

static void expect(const char *type, const char *text, const char *wanted)
{
        _cleanup_free_ char *got = NULL;
        Problems problems = {};
        json_t *params = decode(type, text, &problems);

        got = json_dumps(params, JSON_COMPACT);
        if (problems.n > 0)
                fail_msg("%s: %s %s", text, problems.items[0].path, problems.items[0].message);
        if (!streq(got, wanted))
                fail_msg("%s:\n%s, expected\n%s", text, got, wanted);
        json_decref(params);
}

/* As it is, and then it passes the check. */
static void expect_good(const char *type, const char *text, const char *wanted)
{
        Problems problems = {};
        json_t *params = decode(type, text, &problems);

        expect(type, text, wanted);
        task_params_check(task_type_find(type), params, &problems);
        if (problems.n > 0)
                fail_msg("%s: %s %s", text, problems.items[0].path, problems.items[0].message);
        json_decref(params);
}

static void expect_problem(const char *type, const char *text, const char *path, const char *message)
{
        Problems problems = {};
        json_t *params = decode(type, text, &problems), *list = problems_to_json(&problems);

        assert_non_null(list);
        if (problems.n != 1)
                fail_msg("%s: %zu problems", text, problems.n);
        assert_int_equal(problems.n_errors, 1);
        assert_string_equal(problems.items[0].path, path);
        assert_string_equal(problems.items[0].message, message);
        problems_done(&problems);
        json_decref(list);
        json_decref(params);
}

/* What curl -d sends for a task of each type: nothing is encoded. */

static void test_categorization(_unused_ void **state)
{
        expect_good("categorization",
                        "callback_url=http://www.example.com/callback&instruction=Is this company listed?"
                        "&attachment_type=website&attachment=http://www.example.com/&categories=public"
                        "&categories=private",
                        "{\"callback_url\":\"http://www.example.com/callback\","
                        "\"instruction\":\"Is this company listed?\",\"attachment_type\":\"website\","
                        "\"attachment\":\"http://www.example.com/\","
                        "\"categories\":[\"public\",\"private\"]}");
}

static void test_comparison(_unused_ void **state)
{
        expect_good("comparison",
                        "callback_url=http://www.example.com/callback&instruction=Is it the same pattern?"
                        "&attachment_type=image&attachments=http://i.example.com/00/$T2eC16d~~_32.JPG"
                        "&attachments=http://images.example.com/cloth.jpg&choices=yes&choices=no",
                        "{\"callback_url\":\"http://www.example.com/callback\","
                        "\"instruction\":\"Is it the same pattern?\",\"attachment_type\":\"image\","
                        "\"attachments\":[\"http://i.example.com/00/$T2eC16d~~_32.JPG\","
                        "\"http://images.example.com/cloth.jpg\"],\"choices\":[\"yes\",\"no\"]}");
}

static void test_datacollection(_unused_ void **state)
{
        expect_good("datacollection",
                        "callback_url=http://www.example.com/callback&instruction=Find the page with jobs."
                        "&attachment_type=website&attachment=https://www.example.com/"
                        "&fields[hiring_page]=Page with jobs",
                        "{\"callback_url\":\"http://www.example.com/callback\","
                        "\"instruction\":\"Find the page with jobs.\",\"attachment_type\":\"website\","
                        "\"attachment\":\"https://www.example.com/\","
                        "\"fields\":{\"hiring_page\":\"Page with jobs\"}}");
}

static void test_annotation(_unused_ void **state)
{
        expect_good("annotation",
                        "callback_url=http://www.example.com/callback"
                        "&instruction=A box around **calf** and **cow**.&attachment_type=image"
                        "&attachment=http://i.example.com/v4cBreD.jpg&objects_to_annotate=baby cow"
                        "&objects_to_annotate=big cow&with_labels=true&min_width=30&min_height=30"
                        "&examples[0][correct]=true&examples[0][image]=http://i.example.com/lj6e98s.jpg"
                        "&examples[0][explanation]=The boxes are tight&examples[1][correct]=false"
                        "&examples[1][image]=http://i.example.com/HIrvIDq.jpg"
                        "&examples[1][explanation]=The boxes are loose",
                        "{\"callback_url\":\"http://www.example.com/callback\","
                        "\"instruction\":\"A box around **calf** and **cow**.\","
                        "\"attachment_type\":\"image\",\"attachment\":\"http://i.example.com/v4cBreD.jpg\","
                        "\"objects_to_annotate\":[\"baby cow\",\"big cow\"],\"with_labels\":true,"
                        "\"min_width\":30,\"min_height\":30,\"examples\":[{\"correct\":true,"
                        "\"image\":\"http://i.example.com/lj6e98s.jpg\","
                        "\"explanation\":\"The boxes are tight\"},{\"correct\":false,"
                        "\"image\":\"http://i.example.com/HIrvIDq.jpg\","
                        "\"explanation\":\"The boxes are loose\"}]}");
}

/* Python writes True, R writes TRUE, and a form in a browser sends what wasn't filled in as well. */
static void test_forms_made_by_programs(_unused_ void **state)
{
        static const char cow[] =
                        "{\"attachment\":\"http://i.example.com/1.jpg\",\"objects_to_annotate\":[\"cow\"],"
                        "\"with_labels\":true}";

        expect_good("annotation",
                        "attachment=http://i.example.com/1.jpg&objects_to_annotate=cow&with_labels=True"
                        "&min_width=&min_height=&examples=&instruction=&urgency=&metadata=&callback_url=",
                        cow);
        expect_good("annotation",
                        "attachment=http://i.example.com/1.jpg&objects_to_annotate[]=cow&with_labels=TRUE",
                        cow);
        expect("annotation",
                        "examples[0][image]=http://i.example.com/1.jpg&examples[0][explanation]=&color=",
                        "{\"examples\":[{\"image\":\"http://i.example.com/1.jpg\"}],\"color\":\"\"}");
        expect("annotation", "with_labels=False", "{\"with_labels\":false}");
        expect("annotation", "with_labels=FALSE&attachment=", "{\"with_labels\":false,\"attachment\":\"\"}");
        expect("annotation", "with_labels=Truth&min_width=wide",
                        "{\"with_labels\":\"Truth\",\"min_width\":\"wide\"}");
}

static void test_transcription(_unused_ void **state)
{
        expect_good("transcription",
                        "callback_url=http://www.example.com/callback&instruction=Write down the fields."
                        "&attachment_type=website&attachment=http://news.example.com/"
                        "&fields[title]=Title of the page&fields[top_result]=What comes first",
                        "{\"callback_url\":\"http://www.example.com/callback\","
                        "\"instruction\":\"Write down the fields.\",\"attachment_type\":\"website\","
                        "\"attachment\":\"http://news.example.com/\","
                        "\"fields\":{\"title\":\"Title of the page\",\"top_result\":\"What comes first\"}}");
}

static void test_audiotranscription(_unused_ void **state)
{
        expect_good("audiotranscription",
                        "callback_url=http://www.example.com/callback&attachment_type=audio"
                        "&attachment=https://storage.example.com/media/second-list/speaker-3.wav"
                        "&verbatim=false&phrases=avocado&phrases=stone",
                        "{\"callback_url\":\"http://www.example.com/callback\","
                        "\"attachment_type\":\"audio\","
                        "\"attachment\":\"https://storage.example.com/media/second-list/speaker-3.wav\","
                        "\"verbatim\":false,\"phrases\":[\"avocado\",\"stone\"]}");
}

/* Names. */

static void test_lists(_unused_ void **state)
{
        static const struct {
                const char *text, *params;
        } cases[] = {
                { "categories=a", "{\"categories\":[\"a\"]}" },
                { "categories=", "{\"categories\":[\"\"]}" },
                { "categories=a&categories=b", "{\"categories\":[\"a\",\"b\"]}" },
                { "categories[]=a", "{\"categories\":[\"a\"]}" },
                { "categories[]=a&categories[]=b", "{\"categories\":[\"a\",\"b\"]}" },
                { "categories%5B%5D=a&categories%5b%5d=b", "{\"categories\":[\"a\",\"b\"]}" },
                { "categories=a&categories[]=b", "{\"categories\":[\"a\",\"b\"]}" },
                { "categories[]=a&categories=b", "{\"categories\":[\"a\",\"b\"]}" },
                { "categories[0]=a", "{\"categories\":[\"a\"]}" },
                { "categories[10]=c&categories[2]=b&categories[1]=a",
                                "{\"categories\":[\"a\",\"b\",\"c\"]}" },
                { "categories[5]=a", "{\"categories\":[\"a\"]}" },
                { "categories[999999999999999999]=b&categories[0]=a", "{\"categories\":[\"a\",\"b\"]}" },
                { "categories[99999999999999999999999]=a",
                                "{\"categories\":{\"99999999999999999999999\":\"a\"}}" },
                { "categories[01]=a", "{\"categories\":{\"01\":\"a\"}}" },
                { "categories[-1]=a", "{\"categories\":{\"-1\":\"a\"}}" },
                { "categories[0]=a&categories[k]=b", "{\"categories\":{\"0\":\"a\",\"k\":\"b\"}}" },
                { "categories[0]=a&categories[0]=b", "{\"categories\":[[\"a\",\"b\"]]}" },
                { "categories[0][0]=a", "{\"categories\":[[\"a\"]]}" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases))
                expect("categorization", i->text, i->params);
}

static void test_objects_and_values(_unused_ void **state)
{
        static const struct {
                const char *text, *params;
        } cases[] = {
                { "", "{}" },
                { "category_ids[1]=Blue&category_ids[2]=Red",
                                "{\"category_ids\":{\"1\":\"Blue\",\"2\":\"Red\"}}" },
                { "category_ids[0]=Blue", "{\"category_ids\":{\"0\":\"Blue\"}}" },
                { "category_ids%5B1%5D=Blue", "{\"category_ids\":{\"1\":\"Blue\"}}" },
                { "category_ids[]=Blue", "{\"category_ids\":[\"Blue\"]}" },
                { "category_ids=Blue", "{\"category_ids\":\"Blue\"}" },
                { "category_ids[a b]=x+y%26z", "{\"category_ids\":{\"a b\":\"x y&z\"}}" },
                { "metadata[0]=a", "{\"metadata\":{\"0\":\"a\"}}" },
                { "metadata[a]=true&metadata[b]=1", "{\"metadata\":{\"a\":\"true\",\"b\":\"1\"}}" },
                { "metadata[a][b][c]=1", "{\"metadata\":{\"a\":{\"b\":{\"c\":\"1\"}}}}" },
                { "metadata[a][]=1&metadata[a][]=2", "{\"metadata\":{\"a\":[\"1\",\"2\"]}}" },
                { "metadata[a][0]=1&metadata[a][1]=2", "{\"metadata\":{\"a\":[\"1\",\"2\"]}}" },
                { "metadata[a][1]=1&metadata[a][2]=2", "{\"metadata\":{\"a\":{\"1\":\"1\",\"2\":\"2\"}}}" },
                { "metadata=1", "{\"metadata\":\"1\"}" },
                { "allow_multiple=true", "{\"allow_multiple\":true}" },
                { "allow_multiple=maybe", "{\"allow_multiple\":\"maybe\"}" },
                { "allow_multiple=", "{}" },
                { "allow_multiple=true&allow_multiple=false", "{\"allow_multiple\":[\"true\",\"false\"]}" },
                { "instruction=30", "{\"instruction\":\"30\"}" },
                { "instruction=100%+%zz+sure&attachment=%C3%A4",
                                "{\"instruction\":\"100% %zz sure\",\"attachment\":\"\xc3\xa4\"}" },
                { "instruction=a=b", "{\"instruction\":\"a=b\"}" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases))
                expect("categorization", i->text, i->params);
}

static void test_lists_of_objects(_unused_ void **state)
{
        static const struct {
                const char *text, *params;
        } cases[] = {
                { "examples[][image]=a&examples[][correct]=true&examples[][image]=b&examples[][correct]=no",
                                "{\"examples\":[{\"image\":\"a\",\"correct\":true},"
                                "{\"image\":\"b\",\"correct\":\"no\"}]}" },
                { "examples[7][image]=b&examples[3][image]=a&examples[7][correct]=false",
                                "{\"examples\":[{\"image\":\"a\"},{\"image\":\"b\",\"correct\":false}]}" },
                { "examples[][image][]=a&examples[][image][]=b",
                                "{\"examples\":[{\"image\":[\"a\",\"b\"]}]}" },
                { "examples[][x][y]=a&examples[][x][z]=b&examples[][x][y]=c",
                                "{\"examples\":[{\"x\":{\"y\":\"a\",\"z\":\"b\"}},{\"x\":{\"y\":\"c\"}}]}" },
                { "examples[][x]=a&examples[][x][y]=b",
                                "{\"examples\":[{\"x\":\"a\"},{\"x\":{\"y\":\"b\"}}]}" },
                { "examples[image]=a", "{\"examples\":{\"image\":\"a\"}}" },
                { "examples=a", "{\"examples\":[\"a\"]}" },
                { "examples[]=a&examples[][image]=b", "{\"examples\":[\"a\",{\"image\":\"b\"}]}" },
                { "min_width=30&min_height=3e1&with_labels=1",
                                "{\"min_width\":30,\"min_height\":30,\"with_labels\":\"1\"}" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases))
                expect("annotation", i->text, i->params);
}

static void test_unknown_parameters_are_kept_as_written(_unused_ void **state)
{
        static const struct {
                const char *text, *params;
        } cases[] = {
                { "x=1", "{\"x\":\"1\"}" },
                { "x", "{\"x\":\"\"}" },
                { "=1", "{\"\":\"1\"}" },
                { "x=1&x=2", "{\"x\":[\"1\",\"2\"]}" },
                { "x[]=1", "{\"x\":[\"1\"]}" },
                { "x[0]=1&x[1]=2", "{\"x\":[\"1\",\"2\"]}" },
                { "x[1]=1&x[2]=2", "{\"x\":{\"1\":\"1\",\"2\":\"2\"}}" },
                { "x[k]=1", "{\"x\":{\"k\":\"1\"}}" },
                { "x[0][k]=1", "{\"x\":[{\"k\":\"1\"}]}" },
                { "x[][k]=1&x[][k]=2", "{\"x\":[{\"k\":\"1\"},{\"k\":\"2\"}]}" },
                { "x[k=1", "{\"x[k\":\"1\"}" },
                { "x]=1", "{\"x]\":\"1\"}" },
                { "x[k]y=1", "{\"x[k]y\":\"1\"}" },
                { "x[][]=1", "{\"x[][]\":\"1\"}" },
                { "[k]=1", "{\"\":{\"k\":\"1\"}}" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases))
                expect("categorization", i->text, i->params);
}

static void test_contradictions_are_problems(_unused_ void **state)
{
        static const struct {
                const char *text, *path, *message;
        } cases[] = {
                { "metadata=1&metadata[k]=2", "metadata",
                                "\"metadata[k]\" contradicts how it was given before" },
                { "metadata[k]=1&metadata=2", "metadata",
                                "\"metadata\" contradicts how it was given before" },
                { "categories[]=1&categories[k]=2", "categories",
                                "\"categories[k]\" contradicts how it was given before" },
                { "categories[0]=1&categories[]=2", "categories",
                                "\"categories[]\" contradicts how it was given before" },
                { "x[a]=1&x[a][b]=2", "x", "\"x[a][b]\" contradicts how it was given before" },
                { "x[0][k]=1&x[][k]=2", "x", "\"x[][k]\" contradicts how it was given before" },
                { "fields[x=1&categories[=2", "categories",
                                "\"categories[\" can't be read: expected name, name[], name[0] or "
                                "name[key]" },
                { "categories[0]x=2", "categories",
                                "\"categories[0]x\" can't be read: expected name, name[], name[0] or "
                                "name[key]" },
                { "metadata[1][2][3][4][5][6][7][8][9]=x", "metadata",
                                "\"metadata[1][2][3][4][5][6][7][8][9]\" has more than 8 pairs of "
                                "brackets" },
                { "x=%ff", "x", "is not UTF-8" },
                { "x%ff=1", "[?]", "is not UTF-8" },
                { "odd%20name=1&odd%20name[k]=1", "[\"odd name\"]",
                                "\"odd name[k]\" contradicts how it was given before" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases))
                expect_problem("categorization", i->text, i->path, i->message);

        expect("categorization", "metadata[1][2][3][4][5][6][7][8]=x",
                        "{\"metadata\":{\"1\":{\"2\":{\"3\":{\"4\":{\"5\":{\"6\":{\"7\":{\"8\":\"x\"}}}}}}}}"
                        "}");
}

/* A value may hold a NUL, and stays whole. */
static void test_nul_in_a_value(_unused_ void **state)
{
        Problems problems = {};
        json_t *params = decode("categorization", "instruction=a%00b", &problems);

        assert_int_equal(json_string_length(json_object_get(params, "instruction")), 3);
        json_decref(params);
}

static void test_a_long_name_is_cut_in_messages(_unused_ void **state)
{
        char text[2 * 3000 + 16] = "";
        Problems problems = {};
        json_t *params;

        for (unsigned i = 0; i < 2; i++) {
                memset(text + strlen(text), 'x', 2900);
                strcat(text, i == 0 ? "=1&" : "[k]=2");
        }
        params = decode("categorization", text, &problems);
        assert_int_equal(problems.n, 1);
        assert_true(strlen(problems.items[0].path) < PROBLEM_QUOTE_SIZE);
        assert_true(strlen(problems.items[0].message) < 160);
        problems_done(&problems);
        json_decref(params);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_categorization),
                cmocka_unit_test(test_comparison),
                cmocka_unit_test(test_datacollection),
                cmocka_unit_test(test_annotation),
                cmocka_unit_test(test_forms_made_by_programs),
                cmocka_unit_test(test_transcription),
                cmocka_unit_test(test_audiotranscription),
                cmocka_unit_test(test_lists),
                cmocka_unit_test(test_objects_and_values),
                cmocka_unit_test(test_lists_of_objects),
                cmocka_unit_test(test_unknown_parameters_are_kept_as_written),
                cmocka_unit_test(test_contradictions_are_problems),
                cmocka_unit_test(test_nul_in_a_value),
                cmocka_unit_test(test_a_long_name_is_cut_in_messages),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
