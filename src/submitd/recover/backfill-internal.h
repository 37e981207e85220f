#pragma once

/* The walk over the API's list, and what becomes of the tasks on a page. */

#include <jansson.h>

#include "submitd/recover/backfill.h"

/* One task of a page, at the port. */
typedef struct Handed {
        Backfill *b;
        bool busy;
        bool is_pending;
} Handed;

struct Backfill {
        BackfillOptions options;
        BackfillReport report;
        BackfillStats stats; /* of what came to its end before this one */
        bool stopped;
        bool ending; /* no further */

        /* Where the walk is. */
        int64_t end_time;    /* TIME_NONE: open */
        uint64_t offset;     /* from there */
        unsigned limit;      /* of the next page */
        bool is_last;        /* the page at hand has none behind it */
        bool asked;          /* for the next page */
        unsigned tries;      /* of that page, or of handing over a task */
        unsigned unreadable; /* pages of one task, in a row */
        uint64_t at;         /* not to be tried before; also while storing */

        /* The page at hand. */
        json_t *docs; /* owned; NULL: none */
        size_t next_doc;
        int64_t oldest; /* created_at of the last task on it; TIME_NONE: see find_oldest() */
        Handed handed[BACKFILL_IN_FLIGHT_MAX];
        unsigned n_handed;
};

uint64_t backfill_monotonic(const Backfill *b);

/* No further, for this reason; the first one counts. */
void backfill_fail(Backfill *b, const char *format, ...) _printf_(2, 3);
void backfill_changed(const Backfill *b);

/* Asks for the next page, or again for the one that failed. */
void page_ask(Backfill *b);

/* Lets go of the page at hand, and moves on behind it. */
void page_advance(Backfill *b);

/* Hands over what there is room for. */
void page_store(Backfill *b, uint64_t now);
