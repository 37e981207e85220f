/* Words. An alignment was checked when it came, perhaps by other rules than today's: before it is used every
 * time is looked at again. */

#include "export/words.h"

#include "export/text.h"

static const json_t *list_of(const Row *row)
{
        return json_object_get(row->response, "alignment");
}

static bool read_time(const json_t *word, const char *name, double *ret)
{
        const json_t *value = json_object_get(word, name);
        double v = json_number_value(value);

        if (!json_is_number(value) || v < 0 || v > WORDS_TIME_MAX)
                return false;
        *ret = v;
        return true;
}

int words_survey(_unused_ Exporter *x, const Row *row)
{
        const json_t *list = list_of(row), *word;
        double start, end, last = 0;
        size_t i;

        if (!list || json_is_null(list))
                return EXPORT_NO_ALIGNMENT;
        if (!json_is_array(list))
                return EXPORT_MALFORMED;
        if (!row->url)
                return EXPORT_NO_ATTACHMENT;

        json_array_foreach(list, i, word) {
                if (!json_is_string(json_object_get(word, "word")) || !read_time(word, "start", &start) ||
                                !read_time(word, "end", &end) || end < start || start < last)
                        return EXPORT_MALFORMED;
                last = start;
        }
        return EXPORT_FITS;
}

/* The next part without a space, from *at on; its size, 0 at the end. */
static size_t next_token(const char *s, size_t size, size_t *at)
{
        size_t begin = size, i = *at, n;

        for (; i < size; i += n) {
                uint32_t c;

                n = text_char(s + i, size - i, &c);
                if (text_is_space(c) && begin < size)
                        break;
                if (!text_is_space(c) && begin == size)
                        begin = i;
        }
        *at = MIN(begin, i);
        return i - *at;
}

static unsigned count_tokens(const char *s, size_t size)
{
        unsigned n = 0;

        for (size_t at = 0, length; (length = next_token(s, size, &at)) > 0; at += length)
                n++;
        return n;
}

static int each_of_word(const json_t *word, int (*fn)(const Token *token, void *userdata), void *userdata)
{
        const json_t *text = json_object_get(word, "word"),
                     *confidence = json_object_get(word, "confidence");
        const char *s = json_string_value(text);
        size_t size = json_string_length(text), at = 0, length;
        double start = json_number_value(json_object_get(word, "start"));
        double end = json_number_value(json_object_get(word, "end"));
        unsigned n = count_tokens(s, size), i = 0;

        for (; (length = next_token(s, size, &at)) > 0; at += length, i++) {
                const Token token = {
                        .text = s + at,
                        .size = length,
                        .start = start + (end - start) * i / n,
                        .end = i + 1 == n ? end : start + (end - start) * (i + 1) / n,
                        .confidence = json_is_number(confidence) ? json_number_value(confidence) : -1,
                };
                int r = fn(&token, userdata);

                if (r != 0)
                        return r;
        }
        return 0;
}

int words_each(const Row *row, int (*fn)(const Token *token, void *userdata), void *userdata)
{
        const json_t *word;
        size_t i;
        int r;

        json_array_foreach(list_of(row), i, word) {
                r = each_of_word(word, fn, userdata);
                if (r != 0)
                        return r;
        }
        return 0;
}

double words_duration(const Row *row)
{
        double v;

        return read_time(row->response, "duration", &v) ? v : -1;
}
