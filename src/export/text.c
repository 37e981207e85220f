/* Texts, character by character. The classes of characters are written out here: they must not depend on a
 * locale, because what comes out has to be the same everywhere. */

#include "export/text.h"

#define REPLACEMENT 0xfffdU

/* The bytes that a character has by its first one, and the least that it may be. */
static size_t length_of(uint8_t first, uint32_t *ret_least)
{
        *ret_least = first < 0xe0 ? 0x80 : first < 0xf0 ? 0x800 : 0x10000;
        return first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
}

size_t text_char(const char *s, size_t size, uint32_t *ret)
{
        const uint8_t *p = (const uint8_t *)s;
        uint32_t c, least;
        size_t n;

        *ret = REPLACEMENT;
        if (p[0] < 0x80) {
                *ret = p[0];
                return 1;
        }
        n = length_of(p[0], &least);
        if (n == 0 || n > size)
                return 1;
        c = p[0] & (0x7fU >> n);
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 1;
                c = c << 6 | (p[i] & 0x3f);
        }
        if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 1;
        *ret = c;
        return n;
}

bool text_is_control(uint32_t c)
{
        return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
}

bool text_is_space(uint32_t c)
{
        return text_is_control(c) || c == 0x20 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
               c == 0x202f || c == 0x205f || c == 0x3000 || c == 0xfeff;
}

uint64_t text_hash(const void *data, size_t size)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        FOREACH_ARRAY(byte, (const uint8_t *)data, size)
                h = (h ^ *byte) * UINT64_C(0x100000001b3);
        h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
        h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
        return h ^ h >> 33;
}
