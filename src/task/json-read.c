/*
 * jansson reads a text through one function call for every byte and puts every word together twice, and that
 * was most of what a callback cost. This reader makes the same values, of jansson's own kind, in one pass
 * over the bytes where they lie.
 *
 * It is no second opinion. It only takes what it is sure of, and whatever it meets beyond that, mistakes as
 * well as rarities (a character beyond the 16 bits of an escape, an escape in a name, more digits than fit,
 * a name that is there twice), it gives up without a word and the text is jansson's from the start. So there
 * is one parser that decides what is JSON and says what is wrong, and a fuzzer holds this one to it.
 */

#include "task/json-read.h"

#include <math.h>

#include "basic/buffer.h"
#include "basic/parse.h"

#define INTEGER_DIGITS_MAX 18U /* what every json_int_t holds */
#define EXACT_DIGITS_MAX   15U /* what every double holds */
#define NUMBER_SIZE_MAX    64U

typedef struct Reader {
        const char *p, *end;
        Buffer scratch; /* a text whose escapes are resolved */
} Reader;

/* Every function below returns NULL (or false) to give up. */

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

/* What \uXXXX stands for. Two of them for one character are jansson's business. */
static size_t encode_unit(unsigned unit, char out[static 3])
{
        if (unit < 0x80) {
                out[0] = (char)unit;
                return 1;
        }
        if (unit < 0x800) {
                out[0] = (char)(0xc0 | unit >> 6);
                out[1] = (char)(0x80 | (unit & 0x3f));
                return 2;
        }
        if (unit >= 0xd800 && unit < 0xe000)
                return 0;
        out[0] = (char)(0xe0 | unit >> 12);
        out[1] = (char)(0x80 | (unit >> 6 & 0x3f));
        out[2] = (char)(0x80 | (unit & 0x3f));
        return 3;
}

/* The escape behind a backslash at *p, which is moved behind it. */
static size_t read_escape(const char **p, const char *end, char out[static 3])
{
        static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
        const char *letter = **p ? strchr(letters, **p) : NULL;
        unsigned unit;

        if (letter) {
                (*p)++;
                out[0] = meanings[letter - letters];
                return 1;
        }
        if (**p != 'u' || !read_unit(*p + 1, end, &unit))
                return 0;
        *p += 5;
        return encode_unit(unit, out);
}

static bool resolve_escapes(Buffer *out, const char *p, size_t size)
{
        const char *end = p + size;

        out->size = 0;
        if (buffer_reserve(out, size) < 0)
                return false;
        while (p < end) {
                const char *plain = p, *backslash = memchr(p, '\\', (size_t)(end - p));
                char character[3];
                size_t n;

                p = backslash ?: end;
                if (buffer_append(out, plain, (size_t)(p - plain)) < 0)
                        return false;
                if (!backslash)
                        break;
                p++;
                n = read_escape(&p, end, character);
                if (n == 0 || buffer_append(out, character, n) < 0)
                        return false;
        }
        return true;
}

static json_t *read_text(Reader *r)
{
        const char *start = ++r->p;
        bool escapes;
        size_t size;

        if (!scan_text(r, &size, &escapes))
                return NULL;
        if (!escapes)
                return json_stringn_nocheck(start, size);
        return resolve_escapes(&r->scratch, start, size)
                               ? json_stringn_nocheck(buffer_text(&r->scratch), r->scratch.size)
                               : NULL;
}

/* Numbers. */

typedef struct Digits {
        uint64_t value; /* of all, as if there was no point; only while they are few */
        unsigned n, n_fraction;
} Digits;

static unsigned take_digits(Reader *r, Digits *d)
{
        unsigned n = 0;

        for (; r->p < r->end && *r->p >= '0' && *r->p <= '9' && n < NUMBER_SIZE_MAX; r->p++, n++)
                d->value = d->value * 10 + (uint64_t)(*r->p - '0');
        d->n += n;
        return n;
}

/* A number with more to it than digits and a point. */
static json_t *convert_real(const char *text, size_t size)
{
        char copy[NUMBER_SIZE_MAX + 1];
        double d;
        char *end;

        if (size > NUMBER_SIZE_MAX)
                return NULL;
        memcpy(copy, text, size);
        copy[size] = 0;
        errno = 0;
        d = strtod(copy, &end);
        return errno == 0 && *end == 0 && isfinite(d) ? json_real(d) : NULL;
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
        Digits d = {};
        unsigned n = take_digits(r, &d);

        if (n == 0 || (zero && n > 1))
                return NULL;
        if (peek(r) != '.' && (peek(r) | 0x20) != 'e') {
                if (n > INTEGER_DIGITS_MAX)
                        return NULL;
                return json_integer(negative ? -(json_int_t)d.value : (json_int_t)d.value);
        }

        if (take(r, '.') && (d.n_fraction = take_digits(r, &d)) == 0)
                return NULL;
        exponent = take(r, 'e') || take(r, 'E');
        if (!exponent && d.n <= EXACT_DIGITS_MAX)
                return json_real(negative ? -divide(&d) : divide(&d));
        if (exponent) {
                if (!take(r, '-'))
                        (void)take(r, '+');
                if (take_digits(r, &d) == 0)
                        return NULL;
        }
        return convert_real(start, (size_t)(r->p - start));
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
        json_auto_t *array = json_array();

        r->p++;
        if (!array)
                return NULL;
        if (peek_word(r) == ']') {
                r->p++;
                return TAKE_PTR(array);
        }
        for (;;) {
                json_t *value = read_value(r, depth);

                if (!value || json_array_append_new(array, value) < 0)
                        return NULL;
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
        size_t n = json_object_size(object), size;
        const char *name;
        json_t *value;
        bool escapes;

        if (peek_word(r) != '"')
                return false;
        name = ++r->p;
        if (!scan_text(r, &size, &escapes) || escapes || peek_word(r) != ':')
                return false;
        r->p++;
        value = read_value(r, depth);
        return value && json_object_setn_new_nocheck(object, name, size, value) == 0 &&
               json_object_size(object) == n + 1;
}

static json_t *read_object(Reader *r, unsigned depth)
{
        json_auto_t *object = json_object();

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

json_t *json_read_ordinary(const char *text, size_t size, unsigned depth)
{
        Reader r = { .p = text, .end = text + size, .scratch = BUFFER_INIT(size) };
        json_auto_t *root = NULL;

        if (peek_word(&r) == '{')
                root = read_value(&r, depth);
        (void)peek_word(&r);
        buffer_done(&r.scratch);
        return root && r.p == r.end ? TAKE_PTR(root) : NULL;
}
