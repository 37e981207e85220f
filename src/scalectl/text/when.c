/*
 * Times as people write them at a prompt. What they read in a table is in their own zone, so what they write
 * without a zone is too; scripts say Z, or --utc. A midnight is made by the C library, since days with a
 * change of the clock are not 24 hours long.
 */

#include "scalectl/text/when.h"

#include <time.h>

#include "basic/parse.h"
#include "basic/time-util.h"

/* East of Greenwich 1970 begins before there are times: what lies there is at the first one. */
static void from_local(struct tm *tm, int64_t fraction, int64_t *ret)
{
        time_t t;

        tm->tm_isdst = -1;
        t = mktime(tm);
        *ret = t < 0 ? 0 : (int64_t)t * (int64_t)USEC_PER_SEC + fraction;
}

/* Midnight, `days` days before the one that `now` is in. */
static int parse_day(int days, int64_t now, bool utc, int64_t *ret)
{
        time_t seconds = (time_t)(now / (int64_t)USEC_PER_SEC);
        struct tm tm;

        if (!(utc ? gmtime_r(&seconds, &tm) : localtime_r(&seconds, &tm)))
                return -ERANGE;

        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_mday -= days;
        if (!utc)
                from_local(&tm, 0, ret);
        else
                *ret = (int64_t)timegm(&tm) * (int64_t)USEC_PER_SEC;
        return 0;
}

static int parse_ago(const char *s, int64_t now, int64_t *ret)
{
        const char *ago = strstr(s, " ago");
        char text[32];
        size_t n = ago && streq(ago, " ago") ? (size_t)(ago - s) : strlen(s);
        uint64_t usec;
        int r;

        if (n >= sizeof(text))
                return -EINVAL;
        memcpy(text, s, n);
        text[n] = 0;

        r = parse_duration(text, &usec);
        if (r < 0)
                return r;
        if (usec > (uint64_t)now)
                return -ERANGE;

        *ret = now - (int64_t)usec;
        return 0;
}

/* Whether an ISO text says which zone it is in: a Z at its end, or a sign behind the `T`. */
static bool has_zone(const char *s)
{
        const char *time = strpbrk(s, "Tt ");

        return time && strpbrk(time, "Zz+-");
}

static int parse_iso(const char *s, bool utc, int64_t *ret)
{
        time_t seconds;
        struct tm tm;
        int64_t t;
        int r;

        r = time_parse(s, &t);
        if (r < 0)
                return r;
        if (utc || has_zone(s)) {
                if (t < 0)
                        return -ERANGE;
                *ret = t;
                return 0;
        }

        seconds = (time_t)(t / (int64_t)USEC_PER_SEC);
        if (!gmtime_r(&seconds, &tm))
                return -ERANGE;
        from_local(&tm, t % (int64_t)USEC_PER_SEC, ret);
        return 0;
}

int when_parse(const char *s, int64_t now, bool utc, int64_t *ret)
{
        int r;

        if (streq(s, "now")) {
                *ret = now;
                return 0;
        }
        if (streq(s, "today"))
                return parse_day(0, now, utc, ret);
        if (streq(s, "yesterday"))
                return parse_day(1, now, utc, ret);

        r = parse_ago(s, now, ret);
        return r == -EINVAL ? parse_iso(s, utc, ret) : r;
}
