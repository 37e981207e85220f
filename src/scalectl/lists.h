#pragma once

/* Lists of the daemon's, page by page: tables for people, lines of JSON for scripts. */

#include <jansson.h>

#include "scalectl/api.h"
#include "scalectl/table.h"

/* Adds the row of a document. */
typedef void (*ListAddFn)(Table *t, const json_t *doc, bool utc);

typedef struct List {
        Ctl *ctl;
        Table table;
        ListAddFn add;
        uint64_t n; /* documents so far */
        bool more;  /* there may be another page */
        char *next; /* where it begins; NULL: at the first */
} List;

List list_start(Ctl *ctl, const Column *columns, size_t n_columns, ListAddFn add);
void list_done(List *l);

/* How many documents are still to be fetched of the `n` that are wanted; 0 at the end. */
uint64_t list_left(const List *l, uint64_t n);

/* Fetches a page and takes its documents in; with --json they are printed at once. 0, or an exit status. */
int list_page(List *l, ApiUrl *url);
int list_page_of(List *l, ApiSide side, ApiUrl *url); /* of another socket than the query one */

/* Prints the table. 0, or an exit status. */
int list_end(List *l);

/* One object: laid out for people, on one line with --json. 0, or an exit status. */
int show_object(Ctl *ctl, ApiUrl *url);
int show_object_of(Ctl *ctl, ApiSide side, ApiUrl *url);

/* Deliveries stand in several lists. */
extern const Column delivery_columns[];
extern const size_t delivery_columns_size;
void list_add_delivery(Table *t, const json_t *doc, bool utc);
