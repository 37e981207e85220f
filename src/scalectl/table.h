#pragma once

/* Tables for people. */

#include "scalectl/term.h"

#define TABLE_COLUMNS_MAX 10U
#define TABLE_ROWS_MAX    100000U

typedef struct Column {
        const char *title;
        bool right; /* numbers */
} Column;

typedef struct Table {
        const Column *columns;
        size_t n_columns;
        char **cells; /* owned, row by row */
        size_t n_rows, allocated;
        bool failed; /* out of memory */
} Table;

#define TABLE_INIT(c) ((Table){ .columns = (c), .n_columns = ELEMENTSOF(c) })

/* Takes a cell (owned by the table from here on, NULL: out of memory) for the row at hand; the cells of a
 * row come in order. */
void table_add(Table *t, char *cell);
void table_add_text(Table *t, const char *text); /* NULL: empty; made safe for a terminal */

/* Prints all of it; on a terminal the last column is cut to the width. 0 or -ENOMEM. */
int table_print(const Table *t, const Term *term);
void table_done(Table *t);
