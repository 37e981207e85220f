#pragma once

/* Clocks and time stamps. Times of day are int64_t microseconds since 1970, UTC. */

#include "basic/macros.h"

#define TIME_STAMP_SIZE sizeof("2016-06-23T09:10:02.798000Z")

/* "No such time", as a value that no parsed or formatted time has. */
#define TIME_NONE INT64_MIN

/* The last microsecond of the year 9999: what lies behind it has no form. */
#define TIME_LAST INT64_C(253402300799999999)

int64_t now_realtime(void);   /* for what people read and the store keeps */
uint64_t now_monotonic(void); /* for deadlines: microseconds, never jumps */

/* ISO 8601 as clients of the API write it: a date alone, or a date, `T` or a space, hours, minutes, and
 * optionally seconds, a fraction of up to nine digits, `Z` or `+hh:mm`, `-hhmm`, `+hh`. Without a zone it is
 * UTC. Months and days may have one digit. Years 1970 to 9999, the end also in UTC: what it takes,
 * time_format() takes too. 0 or -EINVAL. */
int time_parse(const char *s, int64_t *ret);

/* "2016-06-23T09:10:02.798Z", the API's form; six digits when there are microseconds.
 * What lies outside of the years 1000 to 9999 is shown as the nearest time within. Returns buf. */
const char *time_format(int64_t t, char buf[static TIME_STAMP_SIZE]);

/* HTTP's date (IMF-fixdate), "Sun, 06 Nov 1994 08:49:37 GMT", that one form alone: two digits for the day,
 * the right weekday, GMT. A leap second is taken for the second behind it. Years 1970 to 9999. 0 or -EINVAL.
 */
int time_parse_http_date(const char *s, int64_t *ret);
