#pragma once

/* What resolve.c and resolve-list.c share. Nobody else includes this. */

#include "submitd/outbox/resolve.h"

typedef struct Unknown Unknown;
struct Unknown {
        Resolver *resolver;
        Unknown *next;
        Save save;
        bool saving;
        bool covered; /* by the listing under way: if that doesn't show it, there is no task */
        bool is_test;
        char id[SUBMISSION_ID_SIZE];
        unsigned attempts, status;
        int64_t sent_at, floor_at, ended_at, grace, expires_at, live_day;
        uint64_t settled_at; /* monotonic */
};

struct Resolver {
        Outbox *outbox;
        Unknown *unknown;
        unsigned n;

        bool listing;
        bool is_test;     /* of the key that lists */
        int64_t floor;    /* what was made before isn't looked for; TIME_NONE: to the end */
        unsigned n_older; /* tasks in a row that were */
        uint64_t offset;
        unsigned limit; /* of the next page */
        unsigned pages;
        bool page_waits; /* for page_at, to be asked for once more */
        unsigned page_failures;
        bool doubts; /* a page that can't be read may show somebody whom the listing covered */
        uint64_t page_at;

        unsigned failures;
        uint64_t list_at; /* not before */
        uint64_t scan_at;
};

/* resolve.c */
Unknown *unknown_find(const Resolver *r, const char *id);
/* There is a task for it. 0, or negative: it stays unknown. */
int unknown_accept(Unknown *u, const json_t *task);
/* There is none: as sure as can be. */
void unknown_conclude_absent(Unknown *u);
/* Nobody will ever know. */
void unknown_expire(Unknown *u, const char *why);

/* resolve-list.c */
/* Begins a listing, if there is anybody whom it would tell about. False: there isn't. */
bool listing_begin(Resolver *r, uint64_t now);
/* The one under way: asks again for a page that failed, when it is time. */
void listing_go_on(Resolver *r, uint64_t now);
