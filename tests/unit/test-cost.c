/* What a check costs grows with the size of a body and not with its square, whatever is in the body. */

#include "test.h"

#include <math.h>
#include <time.h>

#include "submitd/socket/accept.h"
#include "task/callback.h"

#define SIZE_LARGEST ((size_t)8 * 1024 * 1024) /* max_body of callbacks */
#define SIZE_REQUEST ((size_t)1024 * 1024)     /* of the submit socket */
#define SIZE_USUAL   ((size_t)2 * 1024)
#define SIZE_FIRST   ((size_t)128 * 1024)
#define STEP         8U
#define ROUNDS       5U
#define WORK         ((size_t)512 * 1024) /* bytes of a round: the clock has to be finer than it */

/* What a byte of a large one may cost, in bytes of an ordinary one. It is 2 to 5 where others fill the
 * processor's caches; what is quadratic is at a hundred by a mebibyte. */
#define TIMES_MAX 16.0

/* A body with lists of any length; a # in an item is its number. */
typedef struct Shape {
        const char *name, *type;
        const char *params, *param, *params_end;      /* what is before the list, an item, what is behind */
        const char *response, *answer, *response_end; /* likewise */
        int outcome;
} Shape;

#define TEXT_TASK "{\"attachment_type\":\"text\",\"attachment\":\"x\","
#define CHOSEN    "{\"category\":["

static const Shape shapes[] = {
        { "categories, all chosen", "categorization", TEXT_TASK "\"allow_multiple\":true,\"categories\":[",
                        "\"label #\"", "]}", CHOSEN, "\"label #\"", "]}", 0 },
        { "categories, all chosen, not one of them asked for", "categorization",
                        TEXT_TASK "\"allow_multiple\":true,\"categories\":[", "\"label #\"", "]}", CHOSEN,
                        "\"other #\"", "]}", CALLBACK_INVALID },
        { "categories, one of them chosen over and over", "categorization",
                        TEXT_TASK "\"allow_multiple\":true,\"categories\":[", "\"label #\"", "]}", CHOSEN,
                        "\"label 1\"", "]}", CALLBACK_INVALID },
        { "categories that are numbers", "categorization",
                        TEXT_TASK "\"allow_multiple\":true,\"categories\":[", "#", "]}", CHOSEN, "#", "]}",
                        CALLBACK_INVALID },
        { "categories that are lists", "categorization",
                        TEXT_TASK "\"allow_multiple\":true,\"categories\":[", "[\"the number #\"]", "]}",
                        CHOSEN, "[\"the number #\"]", "]}", CALLBACK_INVALID },
        { "ids of categories", "categorization", TEXT_TASK "\"allow_multiple\":true,\"category_ids\":{",
                        "\"#\":\"label #\"", "}}", "{\"category\":[\"label 1\"],\"category_id\":[", "\"#\"",
                        "]}", CALLBACK_INVALID },
        { "boxes with labels", "annotation", "{\"with_labels\":true,\"objects_to_annotate\":[",
                        "\"label #\"", "]}", "{\"annotations\":[",
                        "{\"left\":#,\"top\":2.5,\"width\":10,\"height\":10,\"label\":\"label #\"}", "]}",
                        0 },
        { "boxes with other labels", "annotation", "{\"with_labels\":true,\"objects_to_annotate\":[",
                        "\"label #\"", "]}", "{\"annotations\":[",
                        "{\"left\":#,\"top\":2.5,\"width\":10,\"height\":10,\"label\":\"other #\"}", "]}",
                        CALLBACK_INVALID },
        { "boxes that are none", "annotation", "{\"objects_to_annotate\":[", "\"label #\"", "]}",
                        "{\"annotations\":[", "[{\"left\":\"# pixels\"}]", "]}", CALLBACK_INVALID },
        { "boxes with nothing in them", "annotation", "{\"objects_to_annotate\":[", "#", "]}",
                        "{\"annotations\":[", "{\"shape\":\"box\"}", "]}", CALLBACK_INVALID },
        { "boxes that are too small", "annotation", "{\"min_width\":50,\"objects_to_annotate\":[", "#", "]}",
                        "{\"annotations\":[", "{\"left\":#,\"top\":2.5,\"width\":10,\"height\":10}", "]}",
                        0 },
        { "words", "audiotranscription", "{\"phrases\":[", "\"phrase #\"", "]}",
                        "{\"transcript\":\"x\",\"duration\":1e9,\"alignment\":[",
                        "{\"word\":\"word\",\"start\":#.25,\"end\":#.75,\"confidence\":0.9}", "]}", 0 },
        { "words that end before they begin", "audiotranscription", "{\"phrases\":[", "\"phrase #\"", "]}",
                        "{\"transcript\":\"x\",\"duration\":1e9,\"alignment\":[",
                        "{\"word\":\"word\",\"start\":#.25,\"end\":0,\"confidence\":0.8}", "]}",
                        CALLBACK_INVALID },
        { "fields", "datacollection", "{\"fields\":{", "\"key #\":\"what it is\"", "}}", "{\"fields\":{",
                        "\"key #\":\"it is this\"", "}}", 0 },
        { "fields that were not asked for", "transcription", "{\"fields\":{", "\"key #\":\"what it is\"",
                        "}}", "{\"fields\":{", "\"other #\":[]", "}}", 0 },
        { "choices", "comparison", "{\"choices\":[", "\"choice #\"", "],\"fields\":{}}",
                        "{\"choice\":\"choice 1\",\"fields\":{", "\"key #\":\"it is this\"", "}}", 0 },
        { "a type that nobody knows", "videoannotation", "{\"labels\":[", "\"label #\"", "]}",
                        "{\"frames\":[", "{\"points\":[\"the first #\",0.123456],\"of a text\":null}", "]}",
                        0 },
        { "texts with escapes", "datacollection", "{\"fields\":{", "\"\\u006bey #\":\"\\ud83d\\ude00\"",
                        "}}", "{\"fields\":{", "\"\\u006bey #\":\"\\ud83d\\ude00\"", "}}", 0 },
        { "halves of characters", "datacollection", "{\"fields\":{", "\"key #\":\"\\ud83d\"", "}}",
                        "{\"fields\":{", "\"key #\":\"\\ud83d\"", "}}", 0 },
        { "numbers of many digits", "videoannotation", "{\"numbers\":[", "#.12345678901234567890", "]}",
                        "{\"numbers\":[", "#.12345678901234567890,1e400", "]}", 0 },
        { "numbers as doubles are written", "videoannotation", "{\"numbers\":[", "#.30000000000004", "]}",
                        "{\"numbers\":[", "0.30000000000000004,#.30000000000004", "]}", 0 },
        { "attachments that could not be fetched", "annotation", "{\"objects_to_annotate\":[", "#", "]}",
                        "{\"error\":\"no\",\"attachments\":[", "{\"url\":\"x#\",\"statusCode\":\"x\"}", "]}",
                        0 },
};

static void put(Buffer *b, const char *text)
{
        assert_int_equal(buffer_append_str(b, text), 0);
}

static void put_item(Buffer *b, const char *item, size_t i)
{
        for (; *item; item++)
                assert_int_equal(*item == '#' ? buffer_append_f(b, "%zu", i) : buffer_append(b, item, 1), 0);
}

static void put_list(Buffer *b, const char *start, const char *item, const char *end, size_t n)
{
        put(b, start);
        for (size_t i = 1; i <= n; i++) {
                put(b, i > 1 ? "," : "");
                put_item(b, item, i);
        }
        put(b, end);
}

static void make_callback(Buffer *b, const Shape *s, size_t n)
{
        put(b, "{\"task_id\":\"1\",\"response\":");
        put_list(b, s->response, s->answer, s->response_end, n);
        put(b, ",\"task\":{\"task_id\":\"1\",\"status\":\"completed\",\"type\":\"");
        put(b, s->type);
        put(b, "\",\"params\":");
        put_list(b, s->params, s->param, s->params_end, n);
        put(b, ",\"response\":");
        put_list(b, s->response, s->answer, s->response_end, n);
        put(b, "}}");
}

static void check_callback(const Shape *s, const Buffer *b)
{
        _cleanup_(callback_freep) Callback *c = NULL;

        assert_int_equal(callback_parse(b->data, b->size, &c), 0);
        assert_int_equal(callback_check(c, NULL, 0), s->outcome);
        assert_true(c->problems.n <= PROBLEMS_MAX);
}

/* What the submitter is sent: the parameters alone. */
static const Shape requests[] = {
        { "ids of categories", "categorization", TEXT_TASK "\"instruction\":\"?\",\"category_ids\":{",
                        "\"#\":\"label #\"", "},", "\"categories\":[", "\"label #\"", "]}", 0 },
        { "ids of other categories", "categorization", TEXT_TASK "\"instruction\":\"?\",\"category_ids\":{",
                        "\"#\":\"label #\"", "},", "\"categories\":[", "\"other #\"", "]}", ACCEPT_INVALID },
        { "choices that are none", "comparison", TEXT_TASK "\"instruction\":\"?\",\"choices\":[",
                        "[\"the number #\"]", "],", "\"attachments\":[", "\"number #\"", "]}",
                        ACCEPT_INVALID },
        { "unknown parameters", "datacollection", TEXT_TASK "\"instruction\":\"?\",", "\"key #\":\"x\"", ",",
                        "\"fields\":{", "\"key #\":\"x\"", "}}", 0 },
};

static void make_request(Buffer *b, const Shape *s, size_t n)
{
        put_list(b, s->params, s->param, s->params_end, n);
        put_list(b, s->response, s->answer, s->response_end, n);
}

static void check_request(const Shape *s, const Buffer *b)
{
        json_auto_t *params = NULL;
        Problems problems = {};

        assert_int_equal(accept_parse(task_type_find(s->type), BODY_JSON, b->data, b->size, NULL, &params,
                                         &problems),
                        s->outcome);
        problems_done(&problems);
}

/* Measuring: the processor's time of this thread, of several rounds the least, so that what else the machine
 * does is left out. What is quadratic is dearer by hundreds of times. */

typedef struct Kind {
        void (*make)(Buffer *b, const Shape *s, size_t n);
        void (*check)(const Shape *s, const Buffer *b);
        size_t largest;
} Kind;

static const Kind callbacks = { make_callback, check_callback, SIZE_LARGEST };
static const Kind requests_made = { make_request, check_request, SIZE_REQUEST };

static double seconds(void)
{
        struct timespec t;

        assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A byte of this body; no longer than until it is at most `enough`. */
static double measure(const Kind *kind, const Shape *s, const Buffer *body, double enough)
{
        const size_t times = MAX(WORK / body->size, 1U);
        double best = INFINITY;

        for (unsigned round = 0; round < ROUNDS && best > enough; round++) {
                double start = seconds();

                for (size_t i = 0; i < times; i++)
                        kind->check(s, body);
                best = MIN(best, (seconds() - start) / (double)(times * body->size));
        }
        return best;
}

/* One of about that size, and not more. */
static double measure_of_size(const Kind *kind, const Shape *s, size_t size, double enough)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(2 * SIZE_LARGEST);
        size_t n = 8;

        kind->make(&body, s, n);
        do {
                n = n * size / body.size * 9 / 10;
                body.size = 0;
                kind->make(&body, s, n);
        } while (body.size > size);
        return measure(kind, s, &body, enough);
}

/* What the type's first shape takes. */
static double measure_usual(const Kind *kind, const Shape *all, const char *type)
{
        while (!streq(all->type, type))
                all++;
        return measure_of_size(kind, all, SIZE_USUAL, 0);
}

static void expect_linear(const Kind *kind, const Shape *all, size_t n)
{
        FOREACH_ARRAY(s, all, n) {
                double ordinary = measure_usual(kind, all, s->type), largest = 0;

                /* In steps, so that what is not linear is noticed before it takes hours. */
                for (size_t size = SIZE_FIRST; size <= kind->largest; size *= STEP) {
                        largest = measure_of_size(kind, s, size, TIMES_MAX * ordinary);
                        if (largest > TIMES_MAX * ordinary)
                                fail_msg("%s: a byte of %zu KiB costs %.1f ns, one of 2 KiB %.1f ns",
                                                s->name, size / 1024, largest * 1e9, ordinary * 1e9);
                }
                print_message("%-54s %5.1f ns a byte, of 2 KiB %5.1f\n", s->name, largest * 1e9,
                                ordinary * 1e9);
        }
}

static void test_a_callback_costs_what_its_size_says(_unused_ void **state)
{
        expect_linear(&callbacks, shapes, ELEMENTSOF(shapes));
}

static void test_a_request_costs_what_its_size_says(_unused_ void **state)
{
        expect_linear(&requests_made, requests, ELEMENTSOF(requests));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_callback_costs_what_its_size_says),
                cmocka_unit_test(test_a_request_costs_what_its_size_says),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
