/* What is said in headers, taken strictly: a value that could be read in two ways is read in none. */

#include "http/header.h"

#include <strings.h>

#include "basic/parse.h"
#include "basic/time-util.h"

static const char spaces[] = " \t";

/* Of each header of each callback: strspn() makes a table of its letters every time. */
bool header_is_token(const char *text)
{
        const char *p = text;

        while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                        (*p && strchr("-!#$%&'*+.^_`|~", *p)))
                p++;
        return p > text && *p == 0;
}

/* The type without what is behind it; its length, 0: there is no type, or something that is none. */
static size_t type_of(const char **value)
{
        size_t n;
        const char *rest;

        if (!*value)
                return 0;
        *value += strspn(*value, spaces);
        n = strcspn(*value, "; \t");
        rest = *value + n + strspn(*value + n, spaces);
        return *rest == 0 || *rest == ';' ? n : 0;
}

bool header_type_is(const char *value, const char *type)
{
        size_t n = type_of(&value);

        return n > 0 && n == strlen(type) && strncasecmp(value, type, n) == 0;
}

bool header_type_is_json(const char *value)
{
        static const char suffix[] = "+json";
        const size_t m = sizeof(suffix) - 1;
        size_t n = type_of(&value);

        if (n > m && strncasecmp(value + n - m, suffix, m) == 0)
                return true;
        return header_type_is(value, "application/json");
}

uint64_t header_retry_after(const char *value, int64_t now)
{
        uint64_t seconds;
        int64_t at;
        int r;

        if (!value)
                return UINT64_MAX;
        r = parse_u64(value, 0, HEADER_RETRY_AFTER_MAX / USEC_PER_SEC, &seconds);
        if (r >= 0)
                return seconds * USEC_PER_SEC;
        if (r == -ERANGE) /* digits, perhaps with something behind them */
                return value[strspn(value, "0123456789")] == 0 ? HEADER_RETRY_AFTER_MAX : UINT64_MAX;

        if (time_parse_http_date(value, &at) < 0)
                return UINT64_MAX;
        return at < now ? 0 : MIN((uint64_t)(at - now), HEADER_RETRY_AFTER_MAX);
}
