/*
 * Names of files. A URL is somebody else's text, and so is a task's id: what becomes of them is one part of
 * a path, that can't climb out of its folder, can't hide, can't be an option's look-alike, and is a name on
 * other systems too.
 */

#include "export/name.h"

#include "export/text.h"

#define EXTENSION_MAX 8U /* with its dot */
#define DECODED_MAX   4096U

static int digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The last part of the path, `%XX` undone. */
static size_t decode(const char *url, char buf[static DECODED_MAX])
{
        const char *scheme = strstr(url, "://"), *path = scheme ? scheme + 3 : url, *begin = path, *end;
        size_t n = 0;

        end = path + strcspn(path, "?#");
        for (const char *p = path; p < end; p++)
                if (*p == '/')
                        begin = p + 1;
        if (scheme && begin == path)
                return 0; /* nothing but a host */

        for (const char *p = begin; p < end && n < DECODED_MAX; p++) {
                int high = *p == '%' && end - p > 2 ? digit(p[1]) : -1;
                int low = high >= 0 ? digit(p[2]) : -1;

                buf[n++] = low >= 0 ? (char)(high << 4 | low) : *p;
                p += low >= 0 ? 2 : 0;
        }
        return n;
}

static bool is_safe(uint32_t c, bool first)
{
        if (text_is_control(c) || c == 0xfffd || (c < 0x80 && strchr("/\\:*?\"<>|", (int)c)))
                return false;
        return !first || (c != '.' && c != '-' && c != ' ');
}

/* At most `max` bytes of it, each character that is not safe as `_`. */
static size_t make_safe(const char *text, size_t size, size_t max, bool first, char *to)
{
        size_t used = 0;

        for (size_t i = 0, n; i < size; i += n) {
                uint32_t c;
                bool safe;

                n = text_char(text + i, size - i, &c);
                safe = is_safe(c, first && i == 0);
                if (used + (safe ? n : 1) > max)
                        break;
                memcpy(to + used, safe ? text + i : "_", safe ? n : 1);
                used += safe ? n : 1;
        }
        return used;
}

/* Where the extension begins; `size`: there is none. */
static size_t find_extension(const char *text, size_t size)
{
        size_t at = size;

        while (at > 1 && size - at < EXTENSION_MAX && text[at - 1] != '.')
                at--;
        return at > 1 && at < size && text[at - 1] == '.' ? at - 1 : size;
}

static bool make_name(const char *text, size_t size, size_t max, char buf[static NAME_SIZE])
{
        size_t at = find_extension(text, size), n;

        n = make_safe(text, at, max - EXTENSION_MAX, true, buf);
        n += make_safe(text + at, size - at, EXTENSION_MAX, n == 0, buf + n);
        while (n > 0 && (buf[n - 1] == ' ' || buf[n - 1] == '.'))
                n--;
        buf[n] = 0;
        return n > 0;
}

const char *name_of_text(const char *text, char buf[static NAME_SIZE])
{
        if (!make_name(text, strlen(text), NAME_ID_MAX, buf))
                memcpy(buf, "_", 2);
        return buf;
}

const char *name_of_url(const char *url, const char *otherwise, char buf[static NAME_SIZE])
{
        char decoded[DECODED_MAX];
        size_t n = decode(url, decoded);

        return make_name(decoded, n, NAME_SIZE - 1, buf) ? buf : name_of_text(otherwise, buf);
}

size_t name_stem(const char *name)
{
        return find_extension(name, strlen(name));
}
