/*
 * Any text as a query string: taken apart, decoded, and every value tried as every kind of parameter. What
 * must hold: nothing grows, names and values are texts, and a cursor that was read can be written and read
 * again.
 */

#include "fuzz.h"

#include "basic/form.h"
#include "basic/guess.h"
#include "query/params.h"

#define PAIRS_MAX 64U

static void try_value(const char *value)
{
        for (ParamKind kind = 0; kind < PARAM_METADATA; kind++) {
                const Param p = { "x", kind, 0, 0, 100 };
                union {
                        uint64_t number;
                        const char *text;
                        ParamCursor cursor;
                        char space[64];
                } v = {};
                char text[PARAM_CURSOR_SIZE];
                ParamCursor again;

                if (param_parse(&p, value, &v) != NULL)
                        continue;
                if (kind == PARAM_NUMBER)
                        assert(v.number <= 100);
                if (kind == PARAM_TEXT)
                        assert(v.text == value && strlen(value) <= 100);
                if (kind == PARAM_CURSOR) {
                        assert(!param_parse(&p, param_cursor_format(&v.cursor.place, text), &again));
                        assert(memcmp(&again.place, &v.cursor.place, sizeof(TaskCursor)) == 0);
                }
        }
}

static void try_name(const char *name)
{
        static const char *const known[] = { "metadata", "limit", "objects_to_annotate" };
        Guess guess = GUESS(name);

        FOREACH_ARRAY(k, known, ELEMENTSOF(known))
                guess_try(&guess, *k);
        assert(!guess.meant || guess.differences <= 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = strndup((const char *)data, size);
        size_t length = strlen(text), n = 0;
        FormPair pairs[PAIRS_MAX];

        if (form_split(text, pairs, PAIRS_MAX, &n) < 0)
                return 0;
        assert(n <= PAIRS_MAX);
        for (size_t i = 0; i < n; i++) {
                assert(pairs[i].value_size <= length);
                assert(strlen(pairs[i].value) <= pairs[i].value_size);
                assert(pairs[i].name >= text && pairs[i].name <= text + length);
                try_value(pairs[i].value);
                try_name(pairs[i].name);
        }
        return 0;
}
