#pragma once

/* The same for many: ids as arguments or from standard input, done or only looked at. */

#include <jansson.h>

#include "scalectl/api.h"

#define BULK_IDS_MAX  100000U
#define BULK_LINE_MAX ((size_t)16 * 1024 * 1024) /* a task with its transcript, as --json prints it */

typedef enum BulkOutcome {
        BULK_DONE,
        BULK_NOTHING, /* to do */
        BULK_REFUSED,
} BulkOutcome;

/* What would become of one that is `now` like this; the row without a name is for all others. */
typedef struct BulkRule {
        const char *now;
        BulkOutcome outcome;
        const char *why; /* of a refusal */
} BulkRule;

/* One verb for many. `userdata` is nobody's: tables do without. */
typedef struct BulkVerb {
        const char *name, *done;     /* "retry", "retried" */
        const char *const *members;  /* of a line of JSON: the first that is there is the id; up to a NULL */
        const char *wanted;          /* what an id is; for messages */
        bool (*check)(const char *); /* whether it can be one; NULL: anything can */

        /* Does it and says what became of it; an exit status. */
        int (*act)(const Ctl *ctl, const struct BulkVerb *verb, const char *id);
        /* How it stands with it, in a word that is allocated; an exit status (said). */
        int (*look)(const Ctl *ctl, const char *id, char **ret_now);
        const BulkRule *rules;
} BulkVerb;

/* Does it for each, or with `dry_run` says what would become of each. "-" among the ids stands for those on
 * standard input. All are looked at before the first is done: 64 if one can't be an id. A no to one is no
 * reason to leave out the next, anything else is. Of several, a summary is told. An exit status: the worst.
 */
int bulk_run(const Ctl *ctl, const BulkVerb *verb, bool dry_run, char *const *ids, unsigned n);

/* The member of an object that the daemon is asked for, as text. 0, or an exit status (said). */
int bulk_get(const Ctl *ctl, ApiSide side, ApiUrl *url, const char *member, char **ret);
