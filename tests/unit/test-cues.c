/* Cues: every word in one, none too long, none too late. */

#include "test.h"

#include "export/text.h"
#include "export/words.h"

typedef struct Taken {
        Cue cues[64];
        unsigned n;
} Taken;

static void take(const Cue *cue, void *userdata)
{
        Taken *t = userdata;

        assert_true(t->n < ELEMENTSOF(t->cues));
        t->cues[t->n++] = *cue;
}

static unsigned characters(const char *s)
{
        unsigned n = 0;
        uint32_t c;

        for (size_t i = 0, size = strlen(s); i < size; n++)
                i += text_char(s + i, size - i, &c);
        return n;
}

static void check_rules(const Taken *t)
{
        for (unsigned i = 0; i < t->n; i++) {
                const Cue *c = &t->cues[i];

                assert_true(c->end > c->start && c->end - c->start <= CUE_USEC_MAX);
                assert_true(c->start % 1000 == 0 && c->end % 1000 == 0);
                assert_true(c->n_lines == 1 || c->n_lines == 2);
                for (unsigned l = 0; l < c->n_lines; l++)
                        assert_true(characters(c->lines[l]) >= 1 && characters(c->lines[l]) <= CUE_LINE_MAX);
                if (i > 0)
                        assert_true(c[-1].end <= c->start || c[-1].start == c->start);
        }
}

/* The cues of an alignment: "WORD START END, ..." in JSON's own words. */
static Taken cues_of(const char *alignment)
{
        json_auto_t *response = json_pack("{s:o}", "alignment", json_loads(alignment, JSON_ALLOW_NUL, NULL));
        const Row row = {
                .response = response, .url = "http://www.example.com/a.wav", .id = "", .type = ""
        };
        Taken t = {};

        assert_non_null(response);
        assert_int_equal(words_survey(NULL, &row), EXPORT_FITS);
        cues_each(&row, take, &t);
        check_rules(&t);
        return t;
}

#define WORD(word, start, end) "{\"word\":\"" word "\",\"start\":" #start ",\"end\":" #end "}"

static void expect(const Cue *c, int64_t start, int64_t end, const char *first, const char *second)
{
        assert_int_equal(c->start, start * 1000);
        assert_int_equal(c->end, end * 1000);
        assert_string_equal(c->lines[0], first);
        if (second)
                assert_string_equal(c->lines[1], second);
        else
                assert_int_equal(c->n_lines, 1);
}

static void test_a_gap_begins_another(_unused_ void **state)
{
        Taken t = cues_of("[" WORD("one", 0, 0.5) "," WORD("two", 0.6, 1.2) "," WORD("three", 3, 3.1) "]");

        assert_int_equal(t.n, 2);
        expect(&t.cues[0], 0, 1200, "one two", NULL);
        expect(&t.cues[1], 3000, 4000, "three", NULL); /* stays a second */
}

static void test_a_sentence_ends_one(_unused_ void **state)
{
        Taken t = cues_of(
                        "[" WORD("Yes.", 0, 0.3) "," WORD("It is.", 0.4, 1.2) "," WORD("And", 1.3, 1.5) "]");

        assert_int_equal(t.n, 2); /* the first one was too short for a cue of its own */
        expect(&t.cues[0], 0, 1200, "Yes. It is.", NULL);
        expect(&t.cues[1], 1300, 2300, "And", NULL);
}

static void test_two_lines(_unused_ void **state)
{
        Taken t = cues_of("[" WORD("aaaaaaaaaaaaaaaaaaaa", 0, 1) "," WORD("bbbbbbbbbbbbbbbbbbbbb", 1,
                        2) "," WORD("c", 2, 3) "," WORD("dddddddddddddddddddddddddddddddddddddddd", 3,
                        4) "," WORD("e", 4, 4.1) "]");

        assert_int_equal(t.n, 2);
        expect(&t.cues[0], 0, 4000, "aaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbb",
                        "c dddddddddddddddddddddddddddddddddddddddd");
        expect(&t.cues[1], 4000, 5000, "e", NULL);
}

static void test_seven_seconds(_unused_ void **state)
{
        Taken t = cues_of("[" WORD("long", 0, 4) "," WORD("longer", 4, 7.5) "," WORD("longest", 8, 20) "]");

        assert_int_equal(t.n, 3);
        expect(&t.cues[1], 4000, 7500, "longer", NULL);
        expect(&t.cues[2], 8000, 15000, "longest", NULL);
}

static void test_a_long_word_is_broken(_unused_ void **state)
{
        char text[512] = "[{\"start\":0,\"end\":3,\"word\":\"";
        Taken t;

        for (unsigned i = 0; i < 100; i++)
                strcat(text, "\xc3\xbc");
        strcat(text, "\"}]");
        t = cues_of(text);
        assert_int_equal(t.n, 2);
        assert_int_equal(characters(t.cues[0].lines[0]), 42);
        assert_int_equal(characters(t.cues[0].lines[1]), 42);
        assert_int_equal(characters(t.cues[1].lines[0]), 16);
        assert_int_equal(t.cues[0].end, t.cues[1].start);
}

static void test_spaces_are_no_words(_unused_ void **state)
{
        Taken t = cues_of("[" WORD(" \\n\\u2028\\u0000 ", 0, 1) "," WORD("new\\n\\nyork", 1, 3) "," WORD(
                        "", 3, 3) "]");

        assert_int_equal(t.n, 1);
        expect(&t.cues[0], 1000, 3000, "new york", NULL);
        assert_int_equal(cues_of("[]").n, 0);
}

static void test_words_that_overlap(_unused_ void **state)
{
        Taken t = cues_of("[" WORD("a b. c", 0, 60) "," WORD("d", 1, 1) "," WORD("e", 1, 70) "]");

        assert_true(t.n >= 3);
}

/* Whatever the words, the rules hold, and no word is lost. */
static void test_any_words(_unused_ void **state)
{
        uint32_t seed = 1;

        for (unsigned round = 0; round < 300; round++) {
                char text[4096] = "[", all[2048] = "", got[4096] = "";
                double time = 0;
                Taken t;

                for (unsigned i = 0; i < 30; i++) {
                        char word[64] = "", piece[160];
                        double end;

                        seed = seed * 1103515245 + 12345;
                        memset(word, 'a' + (int)(i % 26), 1 + (seed >> 16) % 50);
                        if (seed >> 28 == 3)
                                strcat(word, ".");
                        time += (double)(seed >> 8 & 0xff) / 100;
                        end = time + (double)(seed >> 12 & 0xff) / (seed >> 30 ? 200 : 10);
                        snprintf(piece, sizeof(piece), "%s{\"word\":\"%s\",\"start\":%.3f,\"end\":%.3f}",
                                        i > 0 ? "," : "", word, time, end);
                        strcat(text, piece);
                        strcat(all, word);
                }
                strcat(text, "]");
                t = cues_of(text);
                for (unsigned i = 0; i < t.n; i++)
                        for (unsigned l = 0; l < t.cues[i].n_lines; l++)
                                for (const char *p = t.cues[i].lines[l]; *p; p++)
                                        if (*p != ' ')
                                                strncat(got, p, 1);
                assert_string_equal(got, all);
        }
}

static void test_surveys(_unused_ void **state)
{
        static const struct {
                const char *response;
                ExportReason reason;
        } cases[] = {
                { "{}", EXPORT_NO_ALIGNMENT },
                { "{\"alignment\":null}", EXPORT_NO_ALIGNMENT },
                { "{\"alignment\":{}}", EXPORT_MALFORMED },
                { "{\"alignment\":[1]}", EXPORT_MALFORMED },
                { "{\"alignment\":[{\"word\":1,\"start\":0,\"end\":1}]}", EXPORT_MALFORMED },
                { "{\"alignment\":[" WORD("a", 1, 0.5) "]}", EXPORT_MALFORMED },
                { "{\"alignment\":[" WORD("a", -1, 0.5) "]}", EXPORT_MALFORMED },
                { "{\"alignment\":[" WORD("a", 1, 1e300) "]}", EXPORT_MALFORMED },
                { "{\"alignment\":[" WORD("a", 1, 2) "," WORD("b", 0, 3) "]}", EXPORT_MALFORMED },
                { "{\"alignment\":[" WORD("a", 1, 1) "]}", EXPORT_FITS },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                json_auto_t *response = json_loads(c->response, 0, NULL);
                const Row row = { .response = response, .url = "u", .id = "", .type = "" };

                assert_non_null(response);
                assert_int_equal(words_survey(NULL, &row), c->reason);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_gap_begins_another),
                cmocka_unit_test(test_a_sentence_ends_one),
                cmocka_unit_test(test_two_lines),
                cmocka_unit_test(test_seven_seconds),
                cmocka_unit_test(test_a_long_word_is_broken),
                cmocka_unit_test(test_spaces_are_no_words),
                cmocka_unit_test(test_words_that_overlap),
                cmocka_unit_test(test_any_words),
                cmocka_unit_test(test_surveys),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
