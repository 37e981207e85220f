/*
 * Strict parsers for settings, options and query parameters: no leading or trailing space, no sign, no
 * octal surprises, overflow noticed. What they don't take, they leave to the caller to explain.
 */

#include "basic/parse.h"

#include <strings.h>

typedef struct Unit {
        const char *name;
        uint64_t factor;
} Unit;

static const Unit size_units[] = {
        { "", 1 },
        { "K", 1024 },
        { "M", 1024 * 1024 },
        { "G", 1024UL * 1024 * 1024 },
};

static const Unit duration_units[] = {
        { "ms", USEC_PER_MSEC },
        { "s", USEC_PER_SEC },
        { "m", 60 * USEC_PER_SEC },
        { "h", 3600 * USEC_PER_SEC },
        { "d", 24 * 3600 * USEC_PER_SEC },
};

/* Reads the digits in front; *ret_rest is what follows them. */
static int parse_digits(const char *s, uint64_t *ret, const char **ret_rest)
{
        uint64_t v = 0;
        const char *p = s;

        for (; *p >= '0' && *p <= '9'; p++)
                if (__builtin_mul_overflow(v, 10U, &v) ||
                                __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
                        return -ERANGE;

        if (p == s)
                return -EINVAL;

        *ret = v;
        *ret_rest = p;
        return 0;
}

static int parse_with_unit(const char *s, const Unit *units, size_t n_units, uint64_t *ret)
{
        const char *rest;
        uint64_t v;
        int r;

        r = parse_digits(s, &v, &rest);
        if (r < 0)
                return r;

        for (size_t i = 0; i < n_units; i++) {
                uint64_t product;

                if (!streq(rest, units[i].name))
                        continue;
                if (__builtin_mul_overflow(v, units[i].factor, &product))
                        return -ERANGE;
                *ret = product;
                return 0;
        }

        return -EINVAL;
}

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
        const char *rest;
        uint64_t v;
        int r;

        r = parse_digits(s, &v, &rest);
        if (r < 0)
                return r;
        if (*rest)
                return -EINVAL;
        if (v < min || v > max)
                return -ERANGE;

        *ret = v;
        return 0;
}

int parse_boolean(const char *s, bool *ret)
{
        static const char *const words[][2] = { { "no", "yes" }, { "false", "true" }, { "off", "on" },
                { "0", "1" } };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                for (int v = 0; v < 2; v++)
                        if (streq(s, words[i][v])) {
                                *ret = v;
                                return 0;
                        }

        return -EINVAL;
}

int parse_size(const char *s, uint64_t *ret)
{
        return parse_with_unit(s, size_units, ELEMENTSOF(size_units), ret);
}

int parse_duration(const char *s, uint64_t *ret_usec)
{
        if (streq(s, "0")) {
                *ret_usec = 0;
                return 0;
        }

        return parse_with_unit(s, duration_units, ELEMENTSOF(duration_units), ret_usec);
}

size_t url_scheme_size(const char *s)
{
        static const char *const schemes[] = { "http://", "https://" };

        FOREACH_ARRAY(scheme, schemes, ELEMENTSOF(schemes))
                if (strncasecmp(s, *scheme, strlen(*scheme)) == 0)
                        return strlen(*scheme);
        return 0;
}

size_t utf8_measure(const char *p, const char *end)
{
        unsigned char a = (unsigned char)p[0], b = end - p > 1 ? (unsigned char)p[1] : 0;
        size_t n = a < 0x80 ? 1 : a < 0xe0 ? 2 : a < 0xf0 ? 3 : 4;

        if ((a >= 0x80 && a < 0xc2) || a > 0xf4 || (size_t)(end - p) < n)
                return 0;
        /* Not longer than need be, no surrogates, nothing beyond the last one. */
        if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f) || (a == 0xf0 && b < 0x90) ||
                        (a == 0xf4 && b > 0x8f))
                return 0;
        for (size_t i = 1; i < n; i++)
                if (((unsigned char)p[i] & 0xc0) != 0x80)
                        return 0;
        return n;
}

bool text_is_utf8(const char *text, size_t size)
{
        const char *end = text + size;
        size_t n;

        for (const char *p = text; p < end; p += n) {
                n = utf8_measure(p, end);
                if (n == 0)
                        return false;
        }
        return true;
}
