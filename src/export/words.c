/* Words. An alignment was checked when it came, perhaps by other rules than today's: before it is used every
 * time is looked at again. */

#include "export/words.h"

#include <math.h>

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

int words_survey(_unused_ Exporter *exporter, const Row *row)
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

/*
 * Cues by the rules of thumb of subtitling: at most two lines of 42 characters, at most seven seconds, a new
 * one after a silence and after the end of a sentence, and where there is room on screen for a second at
 * least. Every word is in exactly one cue; one that is longer than a line is broken.
 */

typedef struct Builder {
        Cue cue, waiting; /* `waiting` is whole, and only its end depends on what follows */
        bool has_cue, has_waiting;
        int64_t last; /* where the piece before begins: words may overlap, cues don't go back */
        void (*fn)(const Cue *cue, void *userdata);
        void *userdata;
} Builder;

static int64_t usec_of(double seconds)
{
        return (int64_t)llround(seconds * 1000) * 1000;
}

/* Hands on the cue that waits; the next one begins at `limit`. */
static void emit(Builder *builder, int64_t limit)
{
        Cue *cue = &builder->waiting;

        if (!builder->has_waiting)
                return;
        cue->end = MAX(cue->end, cue->start + CUE_USEC_LEAST);
        cue->end = MIN(cue->end, MIN(limit, cue->start + CUE_USEC_MAX));
        cue->end = MAX(cue->end, cue->start + 1000);
        builder->fn(cue, builder->userdata);
        builder->has_waiting = false;
}

static void close_cue(Builder *builder)
{
        if (!builder->has_cue)
                return;
        emit(builder, builder->cue.start);
        builder->waiting = builder->cue;
        builder->has_waiting = true;
        builder->has_cue = false;
}

static bool ends_sentence(const char *s, size_t size)
{
        return size > 0 && memchr(".?!", s[size - 1], 3);
}

static void append(Cue *cue, unsigned line, const char *s, size_t size, unsigned length)
{
        bool space = cue->lengths[line] > 0;
        size_t used = strlen(cue->lines[line]);

        if (space)
                cue->lines[line][used++] = ' ';
        memcpy(cue->lines[line] + used, s, size);
        cue->lines[line][used + size] = 0;
        cue->lengths[line] += length + space;
        cue->n_lines = line + 1;
}

/* Whether a piece of a word went into the cue. */
static bool try_append(Cue *cue, const char *s, size_t size, unsigned length)
{
        unsigned line = cue->n_lines - 1;

        if (cue->lengths[line] + (cue->lengths[line] > 0) + length > CUE_LINE_MAX)
                line++;
        if (line == CUE_LINES_MAX)
                return false;
        append(cue, line, s, size, length);
        return true;
}

static bool is_apart(const Cue *cue, int64_t start, int64_t end)
{
        return start - cue->end >= CUE_GAP || end - cue->start > CUE_USEC_MAX ||
               (cue->sentence && cue->end - cue->start >= CUE_USEC_LEAST);
}

static void add_piece(
                Builder *builder, const char *s, size_t size, unsigned length, int64_t start, int64_t end)
{
        Cue *cue = &builder->cue;

        builder->last = start = MAX(start, builder->last);
        end = MAX(end, start);
        if (builder->has_cue && is_apart(cue, start, end))
                close_cue(builder);
        if (!builder->has_cue || !try_append(cue, s, size, length)) {
                close_cue(builder);
                *cue = (Cue){ .start = start, .end = start, .n_lines = 1 };
                builder->has_cue = true;
                (void)try_append(cue, s, size, length);
        }
        cue->end = MAX(cue->end, end);
        cue->sentence = ends_sentence(s, size);
}

/* The first bytes of a text that are no more than a line. */
static size_t first_piece(const char *s, size_t size, unsigned *ret_length)
{
        size_t i = 0;
        uint32_t c;

        for (*ret_length = 0; i < size && *ret_length < CUE_LINE_MAX; ++*ret_length)
                i += text_char(s + i, size - i, &c);
        return i;
}

static int add_token(const Token *token, void *userdata)
{
        double length = token->end - token->start;
        Builder *builder = userdata;
        unsigned n;

        for (size_t at = 0, size; at < token->size; at += size) {
                double whole = (double)token->size;

                size = first_piece(token->text + at, token->size - at, &n);
                add_piece(builder, token->text + at, size, n,
                                usec_of(token->start + length * (double)at / whole),
                                usec_of(token->start + length * (double)(at + size) / whole));
        }
        return 0;
}

void cues_each(const Row *row, void (*fn)(const Cue *cue, void *userdata), void *userdata)
{
        Builder b = { .fn = fn, .userdata = userdata };

        (void)words_each(row, add_token, &b);
        close_cue(&b);
        emit(&b, INT64_MAX);
}
