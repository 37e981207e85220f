/*
 * Clocks and ISO 8601 time stamps. The arithmetic is done here on the proleptic Gregorian calendar, so that
 * neither TZ nor a locale has a say; only the day's number is left to timegm() and gmtime_r().
 */

#include "basic/time-util.h"

#include <stdio.h>
#include <time.h>

#include "basic/parse.h"

static int64_t read_clock(clockid_t id)
{
        struct timespec ts;

        /* These clocks can't fail on Linux. */
        if (clock_gettime(id, &ts) < 0)
                abort();

        return (int64_t)ts.tv_sec * (int64_t)USEC_PER_SEC + ts.tv_nsec / 1000;
}

int64_t now_realtime(void)
{
        return read_clock(CLOCK_REALTIME);
}

uint64_t now_monotonic(void)
{
        return (uint64_t)read_clock(CLOCK_MONOTONIC);
}

/* Reads between min_digits and max_digits digits at *p and moves it behind them. */
static int take_number(const char **p, int min_digits, int max_digits, int *ret)
{
        int n = 0, v = 0;

        while (n < max_digits && **p >= '0' && **p <= '9') {
                v = v * 10 + (**p - '0');
                (*p)++;
                n++;
        }
        if (n < min_digits)
                return -EINVAL;

        *ret = v;
        return 0;
}

static bool take_char(const char **p, char c)
{
        if (**p != c)
                return false;

        (*p)++;
        return true;
}

static int days_in_month(int year, int month)
{
        static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        return month == 2 && leap ? 29 : days[month - 1];
}

static int take_date(const char **p, struct tm *tm)
{
        int year, month, day;

        if (take_number(p, 4, 4, &year) < 0 || !take_char(p, '-') || take_number(p, 1, 2, &month) < 0 ||
                        !take_char(p, '-') || take_number(p, 1, 2, &day) < 0)
                return -EINVAL;
        if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
                return -EINVAL;

        *tm = (struct tm){ .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day };
        return 0;
}

/* A fraction of a second: `.` or `,` and up to nine digits, in microseconds. */
static int take_fraction(const char **p, int64_t *ret_usec)
{
        int64_t v = 0;
        int n = 0;

        *ret_usec = 0;
        if (!take_char(p, '.') && !take_char(p, ','))
                return 0;

        for (; n < 9 && **p >= '0' && **p <= '9'; n++, (*p)++)
                if (n < 6)
                        v = v * 10 + (**p - '0');
        if (n == 0)
                return -EINVAL;
        for (; n < 6; n++)
                v *= 10;

        *ret_usec = v;
        return 0;
}

static int take_clock(const char **p, struct tm *tm, int64_t *ret_usec)
{
        *ret_usec = 0;

        if (take_number(p, 2, 2, &tm->tm_hour) < 0 || !take_char(p, ':') ||
                        take_number(p, 2, 2, &tm->tm_min) < 0)
                return -EINVAL;
        if (take_char(p, ':') && (take_number(p, 2, 2, &tm->tm_sec) < 0 || take_fraction(p, ret_usec) < 0))
                return -EINVAL;
        if (tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60)
                return -EINVAL;

        return 0;
}

/* The zone's offset in seconds east; nothing at all is UTC. */
static int take_zone(const char **p, int64_t *ret_offset)
{
        int hours, minutes = 0, sign;

        *ret_offset = 0;
        if (**p == 0 || take_char(p, 'Z') || take_char(p, 'z'))
                return 0;

        if (take_char(p, '+') || take_char(p, ' ')) /* a plus that a form decoder took for a space */
                sign = 1;
        else if (take_char(p, '-'))
                sign = -1;
        else
                return -EINVAL;

        if (take_number(p, 2, 2, &hours) < 0)
                return -EINVAL;
        if ((take_char(p, ':') || **p) && take_number(p, 2, 2, &minutes) < 0)
                return -EINVAL;
        if (hours > 23 || minutes > 59)
                return -EINVAL;

        *ret_offset = sign * (hours * 3600 + minutes * 60);
        return 0;
}

int time_parse(const char *s, int64_t *ret)
{
        int64_t usec = 0, offset = 0, seconds, t;
        const char *p = s;
        struct tm tm;

        if (take_date(&p, &tm) < 0)
                return -EINVAL;
        if (take_char(&p, 'T') || take_char(&p, 't') || take_char(&p, ' ')) {
                if (take_clock(&p, &tm, &usec) < 0 || take_zone(&p, &offset) < 0)
                        return -EINVAL;
        }
        if (*p)
                return -EINVAL;

        /* A zone in the west or a leap second can lead out of the last year. */
        seconds = timegm(&tm) - offset;
        t = seconds * (int64_t)USEC_PER_SEC + usec;
        if (t > TIME_LAST)
                return -EINVAL;

        *ret = t;
        return 0;
}

/* What a damaged or older database holds must not bring anybody down. */
#define TIME_FIRST INT64_C(-30610224000000000) /* the year 1000: before, years have fewer digits */

/* Takes a time apart; the microseconds are returned. */
static int64_t split_time(int64_t t, struct tm *ret)
{
        int64_t usec;
        time_t seconds;

        t = MIN(MAX(t, TIME_FIRST), TIME_LAST);
        usec = t % (int64_t)USEC_PER_SEC;
        seconds = (time_t)(t / (int64_t)USEC_PER_SEC);
        if (usec < 0) {
                usec += (int64_t)USEC_PER_SEC;
                seconds--;
        }

        assert(gmtime_r(&seconds, ret));
        return usec;
}

const char *time_format(int64_t t, char buf[static TIME_STAMP_SIZE])
{
        struct tm tm;
        int64_t usec;
        size_t n;

        usec = split_time(t, &tm);
        n = strftime(buf, TIME_STAMP_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
        assert(n == sizeof("2016-06-23T09:10:02") - 1);

        if (usec % 1000 == 0)
                (void)snprintf(buf + n, TIME_STAMP_SIZE - n, ".%03uZ", (unsigned)(usec / 1000) % 1000U);
        else
                (void)snprintf(buf + n, TIME_STAMP_SIZE - n, ".%06uZ", (unsigned)usec % 1000000U);

        return buf;
}

/* strftime() and strptime() would ask the locale. */
static const char weekdays[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct",
        "Nov", "Dec" };

static int take_name(const char **p, const char names[][4], size_t n, int *ret)
{
        for (size_t i = 0; i < n; i++)
                if (strncmp(*p, names[i], 3) == 0) {
                        *p += 3;
                        *ret = (int)i;
                        return 0;
                }

        return -EINVAL;
}

static bool take_text(const char **p, const char *text)
{
        size_t n = strlen(text);

        if (strncmp(*p, text, n) != 0)
                return false;

        *p += n;
        return true;
}

int time_parse_http_date(const char *s, int64_t *ret)
{
        int weekday, year, clock;
        struct tm tm = {};
        const char *p = s;
        int64_t t;

        if (take_name(&p, weekdays, ELEMENTSOF(weekdays), &weekday) < 0 || !take_text(&p, ", ") ||
                        take_number(&p, 2, 2, &tm.tm_mday) < 0 || !take_char(&p, ' ') ||
                        take_name(&p, months, ELEMENTSOF(months), &tm.tm_mon) < 0 || !take_char(&p, ' ') ||
                        take_number(&p, 4, 4, &year) < 0 || !take_char(&p, ' '))
                return -EINVAL;
        if (take_number(&p, 2, 2, &tm.tm_hour) < 0 || !take_char(&p, ':') ||
                        take_number(&p, 2, 2, &tm.tm_min) < 0 || !take_char(&p, ':') ||
                        take_number(&p, 2, 2, &tm.tm_sec) < 0 || !take_text(&p, " GMT") || *p)
                return -EINVAL;
        if (year < 1970 || tm.tm_mday < 1 || tm.tm_mday > days_in_month(year, tm.tm_mon + 1) ||
                        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
                return -EINVAL;

        tm.tm_year = year - 1900;
        clock = tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec;
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0; /* a leap second would lead into the next weekday */
        t = ((int64_t)timegm(&tm) + clock) * (int64_t)USEC_PER_SEC;
        if (tm.tm_wday != weekday || t > TIME_LAST)
                return -EINVAL;

        *ret = t;
        return 0;
}
