#pragma once

/* Tables for people. */

#include "scalectl/text/term.h"

#define TABLE_COLUMNS_MAX 10U
#define TABLE_ROWS_MAX    100000U

typedef struct Column {
        const char *title;
        bool right;    /* numbers */
        bool optional; /* left out of a terminal that is too narrow for all */
} Column;

typedef struct Table {
        const Column *columns;
        size_t n_columns;
        char **cells; /* owned, row by row */
        size_t n_rows, allocated;
        bool failed; /* out of memory */
} Table;

#define TABLE_INIT(c) ((Table){ .columns = (c), .n_columns = ELEMENTSOF(c) })

/* Both add a cell to the row at hand; the cells of a row come in order, and there may be TABLE_ROWS_MAX
 * rows. Whatever it holds is made safe for a terminal. table_add() takes its text (NULL: out of memory) and
 * frees it; to table_add_text() NULL is an empty one. */
void table_add(Table *table, char *cell);
void table_add_text(Table *table, const char *text);

/* Prints all of it; on a terminal no line is wider than that. 0 or -ENOMEM. */
int table_print(const Table *table, const Term *term);
void table_done(Table *table);
