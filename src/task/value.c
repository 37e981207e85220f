/*
 * JSON values by meaning. A task's response counts as new only when it says something else, so neither the
 * order of members nor 1 for 1.0 may make a difference, and nothing that does mean something else may be
 * taken for the same. Integers are exact beyond 2^53, because they are never taken through a double.
 *
 * The digest is BLAKE2b over an unambiguous walk: a tag for each kind, lengths before what they measure,
 * members in the order of their names' bytes. Nothing is written out as text. Of a response, members that
 * are null and have a row in its type's table are passed over.
 */

#include "task/value.h"

#include <endian.h>
#include <float.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <strings.h>

#include "basic/parse.h"
#include "json/memory.h"

#define INT64_LIMIT         9223372036854775808.0 /* 2^63: the first double beyond */
#define INT64_DIGITS_MAX    19U
#define EXPONENT_DIGITS_MAX 17U
#define REAL_DIGITS_MAX     17U /* enough for any double */

/* Decimals. */

/* The exponent that a number ends with; false: it has more digits than can be reckoned with. */
static bool read_exponent(const char *text, int64_t *ret)
{
        const char *e = text + strcspn(text, "eE");
        bool negative = *e && e[1] == '-';
        size_t zeros;

        *ret = 0;
        if (*e == 0)
                return true;
        e += e[1] == '-' || e[1] == '+' ? 2 : 1;
        zeros = strspn(e, "0");
        if (strlen(e + zeros) > EXPONENT_DIGITS_MAX)
                return false;
        *ret = strtoll(e, NULL, 10) * (negative ? -1 : 1);
        return true;
}

static Decimal read_decimal(const char *text)
{
        Decimal d = { .negative = *text == '-' };
        const char *start = text + d.negative, *end = start + strcspn(start, "eE");
        bool point = false;
        size_t behind = 0; /* digits since the last one that is not zero */
        int64_t fraction = 0;

        for (const char *p = start; p < end; p++) {
                if (*p == '.') {
                        point = true;
                        continue;
                }
                fraction += point;
                if (*p != '0') {
                        d.n += d.first ? behind + 1 : 1;
                        d.first = d.first ?: p;
                        d.last = p;
                        behind = 0;
                } else
                        behind++;
        }
        if (!d.first)
                return (Decimal){};
        if (!read_exponent(text, &d.exponent))
                return (Decimal){ .first = text, .last = text + strlen(text) - 1, .beyond = true };
        d.exponent += (int64_t)behind - fraction;
        return d;
}

static bool decimal_equal(const Decimal *a, const Decimal *b)
{
        const char *x = a->first, *y = b->first;

        if (a->n != b->n || a->exponent != b->exponent || a->negative != b->negative ||
                        a->beyond != b->beyond)
                return false;
        if (a->beyond)
                return a->last - x == b->last - y && memcmp(x, y, (size_t)(a->last - x) + 1) == 0;
        for (; x && x <= a->last; x++, y++) {
                x += *x == '.';
                y += *y == '.';
                if (*x != *y)
                        return false;
        }
        return true;
}

/* Whether the double means just this: with as many digits it is written like this. So it is with what
 * programs write that have it as a double, and with nothing that only lies near one. */
static bool is_double(const Decimal *d, double nearest)
{
        char text[REAL_DIGITS_MAX + 16];
        Decimal written;

        if (d->beyond || d->n > REAL_DIGITS_MAX)
                return false;
        snprintf(text, sizeof(text), "%.*e", (int)d->n - 1, nearest);
        written = read_decimal(text);
        return decimal_equal(d, &written);
}

/* As an integer, where it is one that fits. */
static bool decimal_to_integer(const Decimal *d, int64_t *ret)
{
        char text[INT64_DIGITS_MAX + 3] = "-";
        size_t n = 1;

        if (d->beyond || d->exponent < 0 || d->n > INT64_DIGITS_MAX ||
                        d->exponent > (int64_t)(INT64_DIGITS_MAX - d->n))
                return false;
        for (const char *p = d->first; p <= d->last; p++)
                if (*p != '.')
                        text[n++] = *p;
        memset(text + n, '0', (size_t)d->exponent);
        errno = 0;
        *ret = strtoll(text + !d->negative, NULL, 10);
        return errno == 0;
}

static Number number_of_double(double d)
{
        if (d >= -INT64_LIMIT && d < INT64_LIMIT && !(trunc(d) < d) && !(trunc(d) > d))
                return (Number){ .kind = NUMBER_INTEGER, .integer = (int64_t)d };
        return (Number){ .kind = NUMBER_REAL, .real = d };
}

Number value_number(const json_t *number)
{
        const char *text = json_number_text(number);
        Number n = { .kind = NUMBER_INTEGER, .integer = json_integer_value(number) };

        if (json_is_integer(number))
                return n;
        if (!text)
                return number_of_double(json_real_value(number));

        n.decimal = read_decimal(text);
        if (!n.decimal.first || decimal_to_integer(&n.decimal, &n.integer))
                return n; /* zero is one, too */
        if (is_double(&n.decimal, json_real_value(number)))
                return number_of_double(json_real_value(number));
        n.kind = NUMBER_DECIMAL;
        return n;
}

static bool number_equal(const json_t *a, const json_t *b)
{
        Number x, y;

        if (streq_ptr(json_number_text(a), json_number_text(b)) && json_number_text(a))
                return true;
        x = value_number(a);
        y = value_number(b);
        if (x.kind != y.kind)
                return false;
        if (x.kind == NUMBER_INTEGER)
                return x.integer == y.integer;
        if (x.kind == NUMBER_DECIMAL)
                return decimal_equal(&x.decimal, &y.decimal);
        return !(x.real < y.real) && !(x.real > y.real);
}

static bool array_equal(const json_t *a, const json_t *b)
{
        size_t n = json_array_size(a);

        if (n != json_array_size(b))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!value_equal(json_array_get(a, i), json_array_get(b, i)))
                        return false;

        return true;
}

/* jansson's iterators take what they only read without const. */
static json_t *unconst(const json_t *value)
{
        return (json_t *)(uintptr_t)value;
}

MemberWalk member_walk(const json_t *object)
{
        return (MemberWalk){ unconst(object), json_object_iter(unconst(object)) };
}

json_t *member_walk_get(MemberWalk *walk, const char *name)
{
        json_t *value;

        if (!walk->next || !streq(json_object_iter_key(walk->next), name))
                return json_object_get(walk->object, name);
        value = json_object_iter_value(walk->next);
        walk->next = json_object_iter_next(walk->object, walk->next);
        return value;
}

static bool object_equal(const json_t *a, const json_t *b)
{
        MemberWalk others = member_walk(b);
        const char *key;
        json_t *value;

        if (json_object_size(a) != json_object_size(b))
                return false;
        json_object_foreach(unconst(a), key, value)
                if (!value_equal(value, member_walk_get(&others, key)))
                        return false;

        return true;
}

bool value_equal(const json_t *a, const json_t *b)
{
        if (a == b)
                return true;
        if (!a || !b)
                return false;
        if (json_is_number(a))
                return json_is_number(b) && number_equal(a, b);
        if (json_typeof(a) != json_typeof(b))
                return false;
        if (json_is_array(a))
                return array_equal(a, b);
        if (json_is_object(a))
                return object_equal(a, b);
        if (json_is_string(a))
                return json_string_length(a) == json_string_length(b) &&
                       memcmp(json_string_value(a), json_string_value(b), json_string_length(a)) == 0;

        return true; /* null, true, false */
}

static json_t *copy_object(const json_t *object)
{
        json_auto_t *copy = json_object();
        const char *name;
        json_t *value;

        json_object_foreach(unconst(object), name, value)
                if (json_object_set_new_nocheck(copy, name, value_copy(value)) < 0)
                        return NULL;
        return TAKE_PTR(copy);
}

static json_t *copy_array(const json_t *array)
{
        json_auto_t *copy = json_array();
        json_t *value;
        size_t i;

        json_array_foreach(unconst(array), i, value)
                if (json_array_append_new(copy, value_copy(value)) < 0)
                        return NULL;
        return TAKE_PTR(copy);
}

json_t *value_copy(const json_t *value)
{
        const char *text = json_number_text(value);

        if (text)
                return json_number_new(json_real_value(value), text, strlen(text));
        if (json_is_object(value))
                return copy_object(value);
        return json_is_array(value) ? copy_array(value) : json_deep_copy(value);
}

/* What a value says. */

bool value_read_number(const json_t *value, bool as_text, double *ret)
{
        const char *text = json_string_value(value);
        double d;
        char *end;

        if (json_is_number(value)) {
                d = json_number_value(value);
                if (json_number_text(value) && fabs(d) >= DBL_MAX)
                        return false; /* as far as doubles go, and it lies behind */
                *ret = d;
                return true;
        }
        if (!as_text || !text || *text == 0 || strspn(text, "+-.0123456789eE") != json_string_length(value))
                return false;
        d = strtod(text, &end);
        if (*end != 0 || !isfinite(d))
                return false;
        *ret = d;
        return true;
}

bool value_read_boolean(const json_t *value, bool as_text, bool *ret)
{
        const char *text = json_string_value(value);

        if (json_is_boolean(value)) {
                *ret = json_is_true(value);
                return true;
        }
        if (!as_text || !text || strlen(text) != json_string_length(value) ||
                        (strcasecmp(text, "true") != 0 && strcasecmp(text, "false") != 0))
                return false;
        *ret = strcasecmp(text, "true") == 0; /* Python writes True, R writes TRUE */
        return true;
}

bool value_is_url(const json_t *value)
{
        const char *text = json_string_value(value), *host;
        size_t scheme = text ? url_scheme_size(text) : 0;

        if (scheme == 0)
                return false;
        for (size_t i = 0; i < json_string_length(value); i++)
                if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
                        return false;
        host = text + scheme;
        return *host != 0 && *host != '/';
}

/* Digests. */

typedef crypto_generichash_state Hash;

static void hash_bytes(Hash *h, const void *data, size_t size)
{
        crypto_generichash_update(h, data, size);
}

/* A tag and a number of eight bytes: a value, a length, a count. */
static void hash_tag(Hash *h, char tag, uint64_t v)
{
        uint8_t bytes[9] = { (uint8_t)tag };

        v = htole64(v);
        memcpy(bytes + 1, &v, sizeof(v));
        hash_bytes(h, bytes, sizeof(bytes));
}

static void hash_decimal(Hash *h, const Decimal *d)
{
        hash_tag(h, d->negative ? '-' : '+', (uint64_t)d->exponent);
        hash_tag(h, d->beyond ? 'x' : 'e', d->beyond ? (uint64_t)(d->last - d->first) : d->n);
        for (const char *p = d->first; p <= d->last; p++)
                if (*p != '.' || d->beyond)
                        hash_bytes(h, p, 1);
}

static void hash_number(Hash *h, const json_t *number)
{
        Number n = value_number(number);
        uint64_t bits;

        switch (n.kind) {
        case NUMBER_INTEGER:
                hash_tag(h, 'i', (uint64_t)n.integer);
                return;
        case NUMBER_DECIMAL:
                hash_decimal(h, &n.decimal);
                return;
        case NUMBER_REAL:
        default:
                memcpy(&bits, &n.real, sizeof(bits));
                hash_tag(h, 'd', bits);
        }
}

static void hash_text(Hash *h, const char *text, size_t size)
{
        hash_tag(h, 's', size);
        hash_bytes(h, text, size);
}

typedef struct Member {
        uint64_t start; /* of the name: what mostly decides, without a look at where that lies */
        const char *name;
        const json_t *value;
} Member;

static uint64_t read_start(const char *name)
{
        uint64_t start = 0;

        for (size_t i = 0; i < sizeof(start) && name[i]; i++)
                start |= (uint64_t)(uint8_t)name[i] << (56 - 8 * i);
        return start;
}

static int compare_members(const void *a, const void *b)
{
        const Member *x = a, *y = b;

        if (x->start != y->start)
                return x->start < y->start ? -1 : 1;
        return strcmp(x->name, y->name);
}

static int hash_value(Hash *h, const json_t *value, const Field *fields);

static const Field *find_row(const Field *fields, const char *name)
{
        for (const Field *field = fields; field && field->name; field++)
                if (streq(field->name, name))
                        return field;
        return NULL;
}

/* Most objects are small and are sorted on the stack. */
#define MEMBERS_ON_STACK 16U

static int hash_object(Hash *h, const json_t *object, const Field *fields)
{
        _cleanup_free_ Member *heap = NULL;
        Member stack[MEMBERS_ON_STACK], *members = stack;
        size_t n = json_object_size(object), i = 0;
        const char *name;
        json_t *value;
        int r;

        if (n > MEMBERS_ON_STACK) {
                members = heap = calloc(n, sizeof(Member));
                if (!heap)
                        return -ENOMEM;
        }

        json_object_foreach(unconst(object), name, value)
                if (!json_is_null(value) || !find_row(fields, name))
                        members[i++] = (Member){ read_start(name), name, value };
        n = i;
        qsort(members, n, sizeof(Member), compare_members);

        hash_tag(h, 'o', n);
        FOREACH_ARRAY(m, members, n) {
                const Field *field = json_is_array(m->value) ? find_row(fields, m->name) : NULL;

                hash_text(h, m->name, strlen(m->name));
                r = hash_value(h, m->value, field ? field->members : NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int hash_array(Hash *h, const json_t *array, const Field *fields)
{
        size_t n = json_array_size(array);
        int r;

        hash_tag(h, 'a', n);
        for (size_t i = 0; i < n; i++) {
                r = hash_value(h, json_array_get(array, i), fields);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int hash_value(Hash *h, const json_t *value, const Field *fields)
{
        switch (json_typeof(value)) {
        case JSON_OBJECT:
                return hash_object(h, value, fields);
        case JSON_ARRAY:
                return hash_array(h, value, fields);
        case JSON_STRING:
                hash_text(h, json_string_value(value), json_string_length(value));
                return 0;
        case JSON_INTEGER:
        case JSON_REAL:
                hash_number(h, value);
                return 0;
        case JSON_TRUE:
        case JSON_FALSE:
                hash_tag(h, 'b', json_is_true(value));
                return 0;
        case JSON_NULL:
        default:
                hash_tag(h, 'n', 0);
                return 0;
        }
}

int json_digest(const json_t *value, uint8_t ret[static JSON_DIGEST_SIZE])
{
        return response_digest(value, NULL, ret);
}

int response_digest(const json_t *response, const Field *fields, uint8_t ret[static JSON_DIGEST_SIZE])
{
        Hash h;
        int r;

        static_assert(JSON_DIGEST_SIZE >= crypto_generichash_BYTES_MIN, "too short for BLAKE2b");

        crypto_generichash_init(&h, NULL, 0, JSON_DIGEST_SIZE);
        r = hash_value(&h, response, fields);
        if (r < 0)
                return r;

        crypto_generichash_final(&h, ret, JSON_DIGEST_SIZE);
        return 0;
}
