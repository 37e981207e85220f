/*
 * jansson reads a text through one function call for every byte and puts every word together twice, and that
 * was most of what a callback cost. This reader makes the same values, of jansson's own kind, in one pass
 * over the bytes where they lie.
 *
 * It takes what jansson takes, which a fuzzer holds it to, and two things besides that people send and mean:
 * a text that was cut in the middle of a character (JavaScript counts an emoji as two), and numbers that
 * neither 64 bits nor a double hold. What is no JSON it refuses without a word: what is wrong with it is
 * jansson's to say (json.c).
 */

#include "json/read.h"

#include <float.h>
#include <math.h>

#include "basic/buffer.h"
#include "basic/parse.h"
#include "json/memory.h"

#define INTEGER_DIGITS_MAX 18U /* what every json_int_t holds */
#define EXACT_DIGITS_MAX   15U /* what every double holds */

typedef struct Reader {
        const char *text, *p, *end;
        bool reject_duplicates;
        bool no_memory;
        Buffer scratch; /* a text whose escapes are resolved, a number that needs a NUL behind it */
        JsonFindings findings;
} Reader;

/* Every function below returns NULL (or false) to give up: the text is wrong, unless there is no memory. */

static json_t *made(Reader *reader, json_t *value)
{
        reader->no_memory |= !value;
        return value;
}

static char peek(const Reader *reader)
{
        return reader->p < reader->end ? *reader->p : 0; /* a NUL fits nowhere, so it stands for the end */
}

static char peek_word(Reader *reader)
{
        while (reader->p < reader->end && (*reader->p == ' ' || *reader->p == '\n' || *reader->p == '\r' ||
                                                          *reader->p == '\t'))
                reader->p++;
        return peek(reader);
}

static bool take(Reader *reader, char c)
{
        if (peek(reader) != c)
                return false;
        reader->p++;
        return true;
}

/* Texts. */

static bool is_plain(char c)
{
        return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

/* From behind the opening quotation mark to behind the closing one. The text lies between. */
static bool scan_text(Reader *reader, size_t *ret_size, bool *ret_escapes)
{
        const char *start = reader->p;

        *ret_escapes = false;
        for (;;) {
                size_t n;

                while (reader->p < reader->end && is_plain(*reader->p))
                        reader->p++;
                if (reader->p == reader->end)
                        return false;
                if (*reader->p == '"')
                        break;
                if (*reader->p == '\\') {
                        *ret_escapes = true;
                        n = reader->end - reader->p > 1 ? 2 : 0;
                } else
                        n = (unsigned char)*reader->p < 0x80 ? 0 : utf8_measure(reader->p, reader->end);
                if (n == 0)
                        return false;
                reader->p += n;
        }
        *ret_size = (size_t)(reader->p++ - start);
        return true;
}

/* Four hexadecimal digits. */
static bool read_unit(const char *p, const char *end, unsigned *ret)
{
        unsigned unit = 0;

        if (end - p < 4)
                return false;
        for (size_t i = 0; i < 4; i++) {
                char c = p[i];

                if (c >= '0' && c <= '9')
                        unit = unit * 16 + (unsigned)(c - '0');
                else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                        unit = unit * 16 + (unsigned)((c | 0x20) - 'a') + 10;
                else
                        return false;
        }
        *ret = unit;
        return true;
}

/* A character as UTF-8. */
static size_t encode_character(unsigned c, char out[static 4])
{
        static const unsigned char firsts[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

        for (size_t i = n; i-- > 1; c >>= 6)
                out[i] = (char)(0x80 | (c & 0x3f));
        out[0] = (char)(firsts[n] | c);
        return n;
}

#define IS_FIRST_HALF(unit)  ((unit) >= 0xd800 && (unit) < 0xdc00)
#define IS_SECOND_HALF(unit) ((unit) >= 0xdc00 && (unit) < 0xe000)
#define HALF_A_CHARACTER     0xfffdU /* is shown as this */

/* The escape behind a backslash at *p, which is moved behind it: of two, where they are one character. */
static size_t read_escape(Reader *reader, const char **p, const char *end, char out[static 4])
{
        static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
        const char *letter = **p ? strchr(letters, **p) : NULL;
        unsigned unit, second;

        if (letter) {
                (*p)++;
                out[0] = meanings[letter - letters];
                return 1;
        }
        if (**p != 'u' || !read_unit(*p + 1, end, &unit))
                return 0;
        *p += 5;
        if (IS_FIRST_HALF(unit) && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' &&
                        read_unit(*p + 2, end, &second) && IS_SECOND_HALF(second)) {
                *p += 6;
                return encode_character(0x10000 + ((unit - 0xd800) << 10 | (second - 0xdc00)), out);
        }
        if (IS_FIRST_HALF(unit) || IS_SECOND_HALF(unit)) {
                if (reader->findings.n_unpaired++ == 0)
                        reader->findings.first_unpaired = (size_t)(*p - 6 - reader->text);
                unit = HALF_A_CHARACTER;
        }
        return encode_character(unit, out);
}

/* Into the scratch buffer. */
static bool resolve_escapes(Reader *reader, const char *p, size_t size)
{
        const char *end = p + size;
        Buffer *out = &reader->scratch;

        out->size = 0;
        if (buffer_reserve(out, size) < 0) {
                reader->no_memory = true;
                return false;
        }
        while (p < end) {
                const char *plain = p, *backslash = memchr(p, '\\', (size_t)(end - p));
                char character[4];
                size_t n;

                p = backslash ?: end;
                memcpy(out->data + out->size, plain, (size_t)(p - plain)); /* no escape is shorter than it */
                out->size += (size_t)(p - plain);
                if (!backslash)
                        break;
                p++;
                n = read_escape(reader, &p, end, character);
                if (n == 0)
                        return false;
                memcpy(out->data + out->size, character, n);
                out->size += n;
        }
        return true;
}

/* What stands between quotation marks: where it lies, or resolved. Until the next text is read. */
static bool read_word_of_text(Reader *reader, const char **ret, size_t *ret_size)
{
        const char *start = ++reader->p;
        bool escapes;

        if (!scan_text(reader, ret_size, &escapes))
                return false;
        *ret = start;
        if (!escapes)
                return true;
        if (!resolve_escapes(reader, start, *ret_size))
                return false;
        *ret = buffer_text(&reader->scratch);
        *ret_size = reader->scratch.size;
        return true;
}

static json_t *read_text(Reader *reader)
{
        const char *text;
        size_t size;

        return read_word_of_text(reader, &text, &size) ? made(reader, json_stringn_nocheck(text, size))
                                                       : NULL;
}

/* Numbers. */

typedef struct Digits {
        uint64_t value; /* of all, as if there was no point; only while they are few */
        size_t n, n_fraction;
} Digits;

static size_t take_digits(Reader *reader, Digits *d)
{
        const char *start = reader->p;

        for (; reader->p < reader->end && *reader->p >= '0' && *reader->p <= '9'; reader->p++)
                d->value = d->value * 10 + (uint64_t)(*reader->p - '0');
        d->n += (size_t)(reader->p - start);
        return (size_t)(reader->p - start);
}

/* The number as strtod() and strtoll() want it. */
static const char *copy_number(Reader *reader, const char *start)
{
        Buffer *copy = &reader->scratch;

        copy->size = 0;
        if (buffer_append(copy, start, (size_t)(reader->p - start)) < 0) {
                reader->no_memory = true;
                return NULL;
        }
        return buffer_text(copy);
}

/* Of any length. The nearest double is there for comparing; beyond all of them it is the last one. */
static json_t *keep_digits(Reader *reader, const char *text)
{
        double nearest = strtod(text, NULL);

        nearest = MAX(-DBL_MAX, MIN(DBL_MAX, nearest));
        return made(reader, json_number_new(nearest, text, strlen(text)));
}

/* Many digits are given back as they were, even where the double would do: finding out costs more than
 * keeping them. Few are the double's, where that is as precise as ever. */
static json_t *convert_real(Reader *reader, const char *start, const Digits *d)
{
        const char *text = copy_number(reader, start);
        double nearest;

        if (!text)
                return NULL;
        nearest = strtod(text, NULL);
        if (d->n > EXACT_DIGITS_MAX || !isfinite(nearest) || (d->value != 0 && fabs(nearest) < DBL_MIN))
                return keep_digits(reader, text);
        return made(reader, json_real(nearest));
}

static json_t *convert_integer(Reader *reader, const char *start)
{
        const char *text = copy_number(reader, start);
        long long integer;

        if (!text)
                return NULL;
        errno = 0;
        integer = strtoll(text, NULL, 10);
        return errno == 0 ? made(reader, json_integer(integer)) : keep_digits(reader, text);
}

/* Both are exact as doubles, so one division rounds as it should. */
static double divide(const Digits *d)
{
        static const double powers[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
                1e13, 1e14, 1e15 };

        return (double)d->value / powers[d->n_fraction];
}

static json_t *read_number(Reader *reader)
{
        const char *start = reader->p;
        bool negative = take(reader, '-'), exponent;
        bool zero = peek(reader) == '0';
        Digits d = {}, of_exponent = {};
        size_t n = take_digits(reader, &d);

        if (n == 0 || (zero && n > 1))
                return NULL;
        if (peek(reader) != '.' && (peek(reader) | 0x20) != 'e') {
                if (n > INTEGER_DIGITS_MAX)
                        return convert_integer(reader, start);
                return made(reader, json_integer(negative ? -(json_int_t)d.value : (json_int_t)d.value));
        }

        if (take(reader, '.') && (d.n_fraction = take_digits(reader, &d)) == 0)
                return NULL;
        exponent = take(reader, 'e') || take(reader, 'E');
        if (!exponent && d.n <= EXACT_DIGITS_MAX)
                return made(reader, json_real(negative ? -divide(&d) : divide(&d)));
        if (exponent) {
                if (!take(reader, '-'))
                        (void)take(reader, '+');
                if (take_digits(reader, &of_exponent) == 0)
                        return NULL;
        }
        return convert_real(reader, start, &d);
}

json_t *json_read_number(const char *text, size_t size)
{
        Reader r = { .text = text, .p = text, .end = text + size, .scratch = BUFFER_INIT(size) };
        json_auto_t *number = read_number(&r);

        buffer_done(&r.scratch);
        return r.p == r.end ? TAKE_PTR(number) : NULL;
}

/* Values. */

static json_t *read_word(Reader *reader, const char *word, json_t *value)
{
        size_t n = strlen(word);

        if ((size_t)(reader->end - reader->p) < n || memcmp(reader->p, word, n) != 0)
                return NULL;
        reader->p += n;
        return value;
}

static json_t *read_value(Reader *reader, unsigned depth);

static json_t *read_array(Reader *reader, unsigned depth)
{
        json_auto_t *array = made(reader, json_array());

        reader->p++;
        if (!array)
                return NULL;
        if (peek_word(reader) == ']') {
                reader->p++;
                return TAKE_PTR(array);
        }
        for (;;) {
                json_t *value = read_value(reader, depth);

                if (!value)
                        return NULL;
                if (json_array_append_new(array, value) < 0) {
                        reader->no_memory = true;
                        return NULL;
                }
                if (peek_word(reader) == ']') {
                        reader->p++;
                        return TAKE_PTR(array);
                }
                if (!take(reader, ','))
                        return NULL;
        }
}

/* A name and its value. A name that is there already would not add to the members. */
static bool read_member(Reader *reader, json_t *object, unsigned depth)
{
        const size_t n = json_object_size(object);
        _cleanup_free_ char *copy = NULL;
        const char *name;
        json_t *value;
        size_t size;

        if (peek_word(reader) != '"' || !read_word_of_text(reader, &name, &size) || memchr(name, 0, size))
                return false;
        if (name == buffer_text(&reader->scratch)) { /* which the value may need */
                name = copy = strndup(name, size);
                reader->no_memory |= !copy;
        }
        if (!name || peek_word(reader) != ':')
                return false;
        reader->p++;
        value = read_value(reader, depth);
        if (!value)
                return false;
        if (json_object_setn_new_nocheck(object, name, size, value) < 0) {
                reader->no_memory = true;
                return false;
        }
        return !reader->reject_duplicates || json_object_size(object) == n + 1;
}

static json_t *read_object(Reader *reader, unsigned depth)
{
        json_auto_t *object = made(reader, json_object());

        reader->p++;
        if (!object)
                return NULL;
        if (peek_word(reader) == '}') {
                reader->p++;
                return TAKE_PTR(object);
        }
        while (read_member(reader, object, depth)) {
                if (peek_word(reader) == '}') {
                        reader->p++;
                        return TAKE_PTR(object);
                }
                if (!take(reader, ','))
                        break;
        }
        return NULL;
}

/* `depth`: how many arrays and objects may yet lie within each other. */
static json_t *read_value(Reader *reader, unsigned depth)
{
        switch (peek_word(reader)) {
        case '{':
                return depth > 0 ? read_object(reader, depth - 1) : NULL;
        case '[':
                return depth > 0 ? read_array(reader, depth - 1) : NULL;
        case '"':
                return read_text(reader);
        case 't':
                return read_word(reader, "true", json_true());
        case 'f':
                return read_word(reader, "false", json_false());
        case 'n':
                return read_word(reader, "null", json_null());
        default:
                return read_number(reader);
        }
}

int json_read(const char *text, size_t size, unsigned depth, size_t flags, json_t **ret,
                JsonFindings *ret_findings)
{
        Reader r = {
                .text = text,
                .p = text,
                .end = text + size,
                .reject_duplicates = flags & JSON_REJECT_DUPLICATES,
                .scratch = BUFFER_INIT(size),
        };
        json_auto_t *root = NULL;
        char first = peek_word(&r);

        if (flags & JSON_DECODE_ANY || first == '{' || first == '[')
                root = read_value(&r, depth);
        (void)peek_word(&r);
        buffer_done(&r.scratch);
        *ret_findings = r.findings;
        ret_findings->end = (size_t)(r.p - text);
        if (r.no_memory)
                return -ENOMEM;
        if (!root || r.p < r.end)
                return -EBADMSG;

        *ret = TAKE_PTR(root);
        return 0;
}
