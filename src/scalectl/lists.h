#pragma once

/* Lists of the daemon's, page by page: tables for people, lines of JSON for scripts. */

#include <jansson.h>

#include "scalectl/api.h"
#include "scalectl/text/table.h"

/* Adds the row of a document. */
typedef void (*ListAddFn)(Table *table, const json_t *doc, bool utc);

/* Which documents are taken in, where the daemon's call can't choose them. */
typedef struct ListFilter {
        const char *time;     /* the member that `since` and `until` are about */
        const char *type;     /* NULL: any */
        int64_t since, until; /* TIME_NONE: any */
} ListFilter;

bool list_filter_chooses(const ListFilter *f);

typedef struct List {
        Ctl *ctl;
        const ListFilter *filter; /* NULL: all are taken in */
        uint64_t max;             /* documents to take in; more are passed over */
        Table table;
        ListAddFn add;
        uint64_t n; /* documents so far */
        bool more;  /* there may be another page */
        char *next; /* where it begins; NULL: at the first */
} List;

List list_start(Ctl *ctl, const Column *columns, size_t n_columns, ListAddFn add);
void list_done(List *list);

/* Takes in only those that fit, and `n` of them at most. The filter is borrowed. */
void list_choose(List *list, const ListFilter *filter, uint64_t n);

/* How many documents are still to be fetched of the `n` that are wanted; 0 at the end. */
uint64_t list_left(const List *list, uint64_t n);

/* How many to ask for in one call, which takes `page` at most. */
uint64_t list_limit(const List *list, uint64_t n, uint64_t page);

/* Fetches a page and takes its documents in; with --json they are printed at once. 0, or an exit status. */
int list_page(List *list, ApiUrl *url);
int list_page_of(List *l, ApiSide side, ApiUrl *url); /* of another socket than the query one */

/* Prints the table. 0, or an exit status. */
int list_end(List *list);

/* One object: laid out for people, on one line with --json. 0, or an exit status. */
int show_object(Ctl *ctl, ApiUrl *url);
int show_object_of(Ctl *ctl, ApiSide side, ApiUrl *url);

/* Deliveries stand in several lists. */
extern const Column delivery_columns[];
extern const size_t delivery_columns_size;
void list_add_delivery(Table *table, const json_t *doc, bool utc);
