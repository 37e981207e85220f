#pragma once

/* Times as people write them. */

#include "basic/macros.h"

/* "now", "today", "yesterday" (both the midnight they began with), a duration that is meant backwards ("2h",
 * "7d", "90m ago"), or ISO 8601; without a zone it is the reader's, or UTC. Microseconds. 0, -EINVAL,
 * -ERANGE for what lies before 1970. */
int when_parse(const char *s, int64_t now, bool utc, int64_t *ret);

/* For messages: what when_parse() takes. */
#define WHEN_FORMS "a time like 2016-06-23T11:09, today, yesterday, or how long ago: 2h, 7d"
