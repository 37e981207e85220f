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

static json_t *made(Reader *r, json_t *value)
{
        r->no_memory |= !value;
        return value;
}

static char peek(const Reader *r)
{
        return r->p < r->end ? *r->p : 0; /* a NUL fits nowhere, so it stands for the end */
}

static char peek_word(Reader *r)
{
        while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
                r->p++;
        return peek(r);
}

static bool take(Reader *r, char c)
{
        if (peek(r) != c)
                return false;
        r->p++;
        return true;
}

/* Texts. */

static bool is_plain(char c)
{
        return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

/* From behind the opening quotation mark to behind the closing one. The text lies between. */
static bool scan_text(Reader *r, size_t *ret_size, bool *ret_escapes)
{
        const char *start = r->p;

        *ret_escapes = false;
        for (;;) {
                size_t n;

                while (r->p < r->end && is_plain(*r->p))
                        r->p++;
                if (r->p == r->end)
                        return false;
                if (*r->p == '"')
                        break;
                if (*r->p == '\\') {
                        *ret_escapes = true;
                        n = r->end - r->p > 1 ? 2 : 0;
                } else
                        n = (unsigned char)*r->p < 0x80 ? 0 : utf8_measure(r->p, r->end);
                if (n == 0)
                        return false;
                r->p += n;
        }
        *ret_size = (size_t)(r->p++ - start);
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
static size_t read_escape(Reader *r, const char **p, const char *end, char out[static 4])
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
                if (r->findings.n_unpaired++ == 0)
                        r->findings.first_unpaired = (size_t)(*p - 6 - r->text);
                unit = HALF_A_CHARACTER;
        }
        return encode_character(unit, out);
}

/* Into the scratch buffer. */
static bool resolve_escapes(Reader *r, const char *p, size_t size)
{
        const char *end = p + size;
        Buffer *out = &r->scratch;

        out->size = 0;
        if (buffer_reserve(out, size) < 0) {
                r->no_memory = true;
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
                n = read_escape(r, &p, end, character);
                if (n == 0)
                        return false;
                memcpy(out->data + out->size, character, n);
                out->size += n;
        }
        return true;
}

/* What stands between quotation marks: where it lies, or resolved. Until the next text is read. */
static bool read_word_of_text(Reader *r, const char **ret, size_t *ret_size)
{
        const char *start = ++r->p;
        bool escapes;

        if (!scan_text(r, ret_size, &escapes))
                return false;
        *ret = start;
        if (!escapes)
                return true;
        if (!resolve_escapes(r, start, *ret_size))
                return false;
        *ret = buffer_text(&r->scratch);
        *ret_size = r->scratch.size;
        return true;
}

static json_t *read_text(Reader *r)
{
        const char *text;
        size_t size;

        return read_word_of_text(r, &text, &size) ? made(r, json_stringn_nocheck(text, size)) : NULL;
}

/* Numbers. */

typedef struct Digits {
        uint64_t value; /* of all, as if there was no point; only while they are few */
        size_t n, n_fraction;
} Digits;

static size_t take_digits(Reader *r, Digits *d)
{
        const char *start = r->p;

        for (; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++)
                d->value = d->value * 10 + (uint64_t)(*r->p - '0');
        d->n += (size_t)(r->p - start);
        return (size_t)(r->p - start);
}

/* The number as strtod() and strtoll() want it. */
static const char *copy_number(Reader *r, const char *start)
{
        Buffer *copy = &r->scratch;

        copy->size = 0;
        if (buffer_append(copy, start, (size_t)(r->p - start)) < 0) {
                r->no_memory = true;
                return NULL;
        }
        return buffer_text(copy);
}

/* Of any length. The nearest double is there for comparing; beyond all of them it is the last one. */
static json_t *keep_digits(Reader *r, const char *text)
{
        double nearest = strtod(text, NULL);

        nearest = MAX(-DBL_MAX, MIN(DBL_MAX, nearest));
        return made(r, json_number_new(nearest, text, strlen(text)));
}

/* Many digits are given back as they were, even where the double would do: finding out costs more than
 * keeping them. Few are the double's, where that is as precise as ever. */
static json_t *convert_real(Reader *r, const char *start, const Digits *d)
{
        const char *text = copy_number(r, start);
        double nearest;

        if (!text)
                return NULL;
        nearest = strtod(text, NULL);
        if (d->n > EXACT_DIGITS_MAX || !isfinite(nearest) || (d->value != 0 && fabs(nearest) < DBL_MIN))
                return keep_digits(r, text);
        return made(r, json_real(nearest));
}

static json_t *convert_integer(Reader *r, const char *start)
{
        const char *text = copy_number(r, start);
        long long integer;

        if (!text)
                return NULL;
        errno = 0;
        integer = strtoll(text, NULL, 10);
        return errno == 0 ? made(r, json_integer(integer)) : keep_digits(r, text);
}

/* Both are exact as doubles, so one division rounds as it should. */
static double divide(const Digits *d)
{
        static const double powers[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
                1e13, 1e14, 1e15 };

        return (double)d->value / powers[d->n_fraction];
}

static json_t *read_number(Reader *r)
{
        const char *start = r->p;
        bool negative = take(r, '-'), exponent;
        bool zero = peek(r) == '0';
        Digits d = {}, of_exponent = {};
        size_t n = take_digits(r, &d);

        if (n == 0 || (zero && n > 1))
                return NULL;
        if (peek(r) != '.' && (peek(r) | 0x20) != 'e') {
                if (n > INTEGER_DIGITS_MAX)
                        return convert_integer(r, start);
                return made(r, json_integer(negative ? -(json_int_t)d.value : (json_int_t)d.value));
        }

        if (take(r, '.') && (d.n_fraction = take_digits(r, &d)) == 0)
                return NULL;
        exponent = take(r, 'e') || take(r, 'E');
        if (!exponent && d.n <= EXACT_DIGITS_MAX)
                return made(r, json_real(negative ? -divide(&d) : divide(&d)));
        if (exponent) {
                if (!take(r, '-'))
                        (void)take(r, '+');
                if (take_digits(r, &of_exponent) == 0)
                        return NULL;
        }
        return convert_real(r, start, &d);
}

json_t *json_read_number(const char *text, size_t size)
{
        Reader r = { .text = text, .p = text, .end = text + size, .scratch = BUFFER_INIT(size) };
        json_auto_t *number = read_number(&r);

        buffer_done(&r.scratch);
        return r.p == r.end ? TAKE_PTR(number) : NULL;
}

/* Values. */

static json_t *read_word(Reader *r, const char *word, json_t *value)
{
        size_t n = strlen(word);

        if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
                return NULL;
        r->p += n;
        return value;
}

static json_t *read_value(Reader *r, unsigned depth);

static json_t *read_array(Reader *r, unsigned depth)
{
        json_auto_t *array = made(r, json_array());

        r->p++;
        if (!array)
                return NULL;
        if (peek_word(r) == ']') {
                r->p++;
                return TAKE_PTR(array);
        }
        for (;;) {
                json_t *value = read_value(r, depth);

                if (!value)
                        return NULL;
                if (json_array_append_new(array, value) < 0) {
                        r->no_memory = true;
                        return NULL;
                }
                if (peek_word(r) == ']') {
                        r->p++;
                        return TAKE_PTR(array);
                }
                if (!take(r, ','))
                        return NULL;
        }
}

/* A name and its value. A name that is there already would not add to the members. */
static bool read_member(Reader *r, json_t *object, unsigned depth)
{
        const size_t n = json_object_size(object);
        _cleanup_free_ char *copy = NULL;
        const char *name;
        json_t *value;
        size_t size;

        if (peek_word(r) != '"' || !read_word_of_text(r, &name, &size) || memchr(name, 0, size))
                return false;
        if (name == buffer_text(&r->scratch)) { /* which the value may need */
                name = copy = strndup(name, size);
                r->no_memory |= !copy;
        }
        if (!name || peek_word(r) != ':')
                return false;
        r->p++;
        value = read_value(r, depth);
        if (!value)
                return false;
        if (json_object_setn_new_nocheck(object, name, size, value) < 0) {
                r->no_memory = true;
                return false;
        }
        return !r->reject_duplicates || json_object_size(object) == n + 1;
}

static json_t *read_object(Reader *r, unsigned depth)
{
        json_auto_t *object = made(r, json_object());

        r->p++;
        if (!object)
                return NULL;
        if (peek_word(r) == '}') {
                r->p++;
                return TAKE_PTR(object);
        }
        while (read_member(r, object, depth)) {
                if (peek_word(r) == '}') {
                        r->p++;
                        return TAKE_PTR(object);
                }
                if (!take(r, ','))
                        break;
        }
        return NULL;
}

/* `depth`: how many arrays and objects may yet lie within each other. */
static json_t *read_value(Reader *r, unsigned depth)
{
        switch (peek_word(r)) {
        case '{':
                return depth > 0 ? read_object(r, depth - 1) : NULL;
        case '[':
                return depth > 0 ? read_array(r, depth - 1) : NULL;
        case '"':
                return read_text(r);
        case 't':
                return read_word(r, "true", json_true());
        case 'f':
                return read_word(r, "false", json_false());
        case 'n':
                return read_word(r, "null", json_null());
        default:
                return read_number(r);
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
