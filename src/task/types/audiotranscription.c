/* audiotranscription: somebody writes down what is said, with the time of every word. */

#include <math.h>

#include "task/check.h"
#include "task/problem.h"
#include "task/rules.h"

static const char *const attachment_types[] = { "audio", NULL };

static const Field params[] = {
        { "instruction", FIELD_STRING, .default_value = "\"Please transcribe the attached audio file.\"",
                        .describe = "what to do, in markdown" },
        { "attachment_type", FIELD_STRING, FIELD_IN_PARAMS, .values = attachment_types,
                        .default_value = "\"audio\"", .describe = "what the attachment is" },
        { "attachment", FIELD_URL, FIELD_REQUIRED | FIELD_IN_PARAMS,
                        .describe = "the URL of the audio file" },
        { "verbatim", FIELD_BOOLEAN, FIELD_IN_PARAMS | FIELD_AS_TEXT, .default_value = "false",
                        .describe = "whether to write down what are no words" },
        { "phrases", FIELD_TEXTS, FIELD_IN_PARAMS, .describe = "words that are likely to be said" },
        {},
};

static const Field word[] = {
        { "word", FIELD_STRING, FIELD_REQUIRED, .describe = "the word" },
        { "start", FIELD_NUMBER, FIELD_REQUIRED, .has_min = true,
                        .describe = "the second at which it begins" },
        { "end", FIELD_NUMBER, FIELD_REQUIRED, .has_min = true, .describe = "the second at which it ends" },
        { "confidence", FIELD_NUMBER, FIELD_REQUIRED, .has_min = true, .has_max = true, .max = 1,
                        .describe = "how sure its time is" },
        {},
};

static const Field response[] = {
        { "error", FIELD_STRING, FIELD_NOT_EMPTY, .describe = "why there is no transcript, or only a part" },
        { "transcript", FIELD_STRING, .describe = "what is said" },
        { "duration", FIELD_NUMBER, .has_min = true, .describe = "the length of the file in seconds" },
        { "alignment", FIELD_OBJECTS, .members = word, .describe = "the words and their times" },
        {},
};

static const Path root = { .name = "response" };
static const Path list = { .up = &root, .name = "alignment" };

/* The values that the API is known to give. */
static bool is_known_confidence(double c)
{
        return !(c < 0.9 || c > 0.9) || !(c < 0.3 || c > 0.3);
}

static void check_word(const json_t *w, const json_t *duration, double *last_start, const Path *at,
                Problems *problems)
{
        const json_t *start = json_object_get(w, "start"), *end = json_object_get(w, "end");
        const json_t *confidence = json_object_get(w, "confidence");
        double s = json_number_value(start), e = json_number_value(end), c = json_number_value(confidence);

        if (json_is_number(start) && json_is_number(end) && e < s)
                path_problem(problems, SEVERITY_ERROR, at, "end", "%.15g lies before the start, %.15g", e,
                                s);
        if (json_is_number(end) && json_is_number(duration) && e > json_number_value(duration))
                path_problem(problems, SEVERITY_ERROR, at, "end", "%.15g lies behind the duration, %.15g", e,
                                json_number_value(duration));
        if (json_is_number(start) && s < *last_start)
                path_problem(problems, SEVERITY_ERROR, at, "start",
                                "%.15g lies before the start of the word before, %.15g", s, *last_start);
        if (json_is_number(start))
                *last_start = s;
        if (json_is_number(confidence) && c >= 0 && c <= 1 && !is_known_confidence(c))
                path_problem(problems, SEVERITY_WARNING, at, "confidence", "is %.15g, known are 0.9 and 0.3",
                                c);
}

/* Either why it failed, perhaps with what there is of it, or all of it. */
static void check_members(const json_t *r, Problems *problems)
{
        static const char *const members[] = { "transcript", "duration", "alignment" };
        bool failed = member_get(r, "error");

        FOREACH_ARRAY(m, members, ELEMENTSOF(members)) {
                bool there = member_get(r, *m);

                if (!failed && !there)
                        path_problem(problems, SEVERITY_ERROR, &root, *m,
                                        "is missing, and there is no error either");
                if (failed && there && !streq(*m, "transcript"))
                        path_problem(problems, SEVERITY_ERROR, &root, *m,
                                        "with an error there is a transcript at most");
        }
}

static void check_response(_unused_ const json_t *task, const json_t *r, Problems *problems)
{
        json_t *duration = member_get(r, "duration"), *w;
        double last_start = -INFINITY; /* whatever the first one is, it lies behind */
        size_t i;

        check_members(r, problems);
        json_array_foreach(member_get(r, "alignment"), i, w) {
                const Path at = { .up = &list, .index = i };

                check_word(w, duration, &last_start, &at, problems);
        }
}

#define WORD_MSEC    350U /* from the start of a word to that of the next */
#define SPOKEN_MSEC  300U
#define SILENCE_MSEC 250U /* before the first word and behind the last */

/* Milliseconds as the nearest number of seconds: 0.35 and not what adding up gives. */
static json_t *make_seconds(unsigned msec)
{
        return json_real((double)msec / 1000);
}

/* One word of a made-up transcript; every fifth one is less sure. */
static json_t *make_word(const char *text, unsigned i)
{
        const unsigned start = SILENCE_MSEC + i * WORD_MSEC;

        return json_pack("{s:s, s:o, s:o, s:f}", "word", text, "start", make_seconds(start), "end",
                        make_seconds(start + SPOKEN_MSEC), "confidence", i % 5 == 4 ? 0.3 : 0.9);
}

static int make_response(_unused_ const json_t *p, uint64_t n, json_t **ret)
{
        static const struct {
                const char *transcript, *words[8];
        } made_up[] = {
                { "This is a test transcript.", { "This", "is", "a", "test", "transcript" } },
                { "Nobody has listened to this file.",
                                { "Nobody", "has", "listened", "to", "this", "file" } },
                { "One, two, three.", { "One", "two", "three" } },
        };
        const char *const *words = made_up[n % ELEMENTSOF(made_up)].words;
        json_auto_t *alignment = json_array();
        json_t *made;
        unsigned i = 0;

        for (; words[i]; i++)
                if (json_array_append_new(alignment, make_word(words[i], i)) < 0)
                        return -ENOMEM;
        made = json_pack("{s:s, s:o, s:O}", "transcript", made_up[n % ELEMENTSOF(made_up)].transcript,
                        "duration", make_seconds(2 * SILENCE_MSEC + i * WORD_MSEC), "alignment", alignment);
        if (!made)
                return -ENOMEM;

        *ret = made;
        return 0;
}

const TaskType task_type_audiotranscription = {
        .name = "audiotranscription",
        .params = params,
        .response = response,
        .check_response = check_response,
        .make_response = make_response,
        .example_instruction = "Please transcribe the attached audio file.",
        .example_params = "{\"verbatim\":false,\"attachment_type\":\"audio\","
                          "\"attachment\":\"http://www.example.com/"
                          "speaker.wav\",\"phrases\":[\"avocado\",\"stone\"]}",
        .example_response = "{\"transcript\":\"The avocado has a stone.\",\"duration\":2.1,\"alignment\":["
                            "{\"word\":\"The\",\"start\":0.3,\"end\":0.37,\"confidence\":0.9},"
                            "{\"word\":\"avocado\",\"start\":0.37,\"end\":0.79,\"confidence\":0.9},"
                            "{\"word\":\"has\",\"start\":0.79,\"end\":0.94,\"confidence\":0.9},"
                            "{\"word\":\"a\",\"start\":0.94,\"end\":1,\"confidence\":0.3},"
                            "{\"word\":\"stone\",\"start\":1.1,\"end\":1.6,\"confidence\":0.9}]}",
};
