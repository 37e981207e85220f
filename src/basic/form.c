/*
 * Forms and query strings, read the way they are written in the wild: what can't be decoded stays as it is,
 * because a client that sends a bare per cent sign means one. Everything happens in place, so nothing grows.
 */

#include "basic/form.h"

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

static size_t decode(char *text, bool plus, bool nul)
{
        char *out = text;

        for (const char *in = text; *in; in++) {
                if (*in == '%' && hex_value(in[1]) >= 0 && hex_value(in[2]) >= 0 &&
                                (nul || in[1] != '0' || in[2] != '0')) {
                        *out++ = (char)(hex_value(in[1]) * 16 + hex_value(in[2]));
                        in += 2;
                } else
                        *out++ = plus && *in == '+' ? ' ' : *in;
        }
        *out = 0;
        return (size_t)(out - text);
}

size_t form_decode(char *text, bool plus)
{
        return decode(text, plus, true);
}

static FormPair decode_piece(char *piece)
{
        char *value = strchr(piece, '=');
        FormPair pair = { .name = piece };

        if (value)
                *value++ = 0;
        else
                value = piece + strlen(piece);

        pair.value = value;
        pair.value_size = form_decode(value, true);
        (void)decode(piece, true, false); /* a name that ended at a NUL would be another's */
        return pair;
}

int form_split(char *text, FormPair *pairs, size_t max, size_t *ret_n)
{
        size_t n = 0;

        while (text) {
                char *piece = text;

                text = strchr(text, '&');
                if (text)
                        *text++ = 0;
                if (*piece == 0)
                        continue;
                if (n == max)
                        return -E2BIG;
                pairs[n++] = decode_piece(piece);
        }
        *ret_n = n;
        return 0;
}
