/*
 * Tables. All rows are measured before the first is printed, so columns stand under each other. On a
 * terminal a row is cut at its end, elsewhere nothing is lost.
 */

#include "scalectl/table.h"

#include <stdio.h>

#include "scalectl/format.h"

#define GAP 2U

void table_done(Table *t)
{
        for (size_t i = 0; i < t->n_rows * t->n_columns + t->n_columns && i < t->allocated; i++)
                free(t->cells[i]);
        free(t->cells);
        t->cells = NULL;
        t->n_rows = t->allocated = 0;
}

/* Where the next cell goes: the first that is empty in the row at hand. */
static char **next_cell(Table *t)
{
        size_t first = t->n_rows * t->n_columns;

        if (first + t->n_columns > t->allocated) {
                size_t n = t->allocated + 256 * t->n_columns;
                char **p;

                if (t->n_rows >= TABLE_ROWS_MAX)
                        return NULL;
                p = realloc(t->cells, n * sizeof(char *));
                if (!p)
                        return NULL;
                memset(p + t->allocated, 0, (n - t->allocated) * sizeof(char *));
                t->cells = p;
                t->allocated = n;
        }
        for (size_t i = 0; i < t->n_columns; i++)
                if (!t->cells[first + i])
                        return &t->cells[first + i];
        return NULL;
}

void table_add(Table *t, char *cell)
{
        char **target = cell && !t->failed ? next_cell(t) : NULL;

        if (!target) {
                free(cell);
                t->failed = true;
                return;
        }
        *target = cell;
        if (target == &t->cells[t->n_rows * t->n_columns + t->n_columns - 1])
                t->n_rows++;
}

void table_add_text(Table *t, const char *text)
{
        table_add(t, format_clean(text ?: ""));
}

static void print_padded(const char *text, size_t width, bool right, bool last)
{
        size_t have = format_width(text), pad = have < width ? width - have : 0;

        if (right)
                printf("%*s", (int)pad, "");
        fputs(text, stdout);
        if (!right && !last)
                printf("%*s", (int)pad, "");
        if (!last)
                printf("%*s", (int)GAP, "");
}

static void print_row(const Table *t, const Term *term, char *const *cells, const size_t *widths)
{
        size_t used = 0;

        for (size_t i = 0; i < t->n_columns; i++) {
                bool last = i + 1 == t->n_columns;
                const char *text = cells[i];

                if (last && term->width > 0 && used + format_width(text) > term->width) {
                        size_t room = term->width > used + 1 ? term->width - used - 1 : 1;

                        printf("%.*s\xe2\x80\xa6", (int)format_cut(text, room), text);
                } else
                        print_padded(text, widths[i], t->columns[i].right, last);
                used += widths[i] + GAP;
        }
        fputc('\n', stdout);
}

int table_print(const Table *t, const Term *term)
{
        char *titles[TABLE_COLUMNS_MAX];
        size_t widths[TABLE_COLUMNS_MAX];

        assert(t->n_columns <= TABLE_COLUMNS_MAX);
        if (t->failed)
                return -ENOMEM;

        for (size_t c = 0; c < t->n_columns; c++) {
                titles[c] = (char *)(uintptr_t)t->columns[c].title;
                widths[c] = strlen(titles[c]);
                for (size_t r = 0; r < t->n_rows; r++)
                        widths[c] = MAX(widths[c], format_width(t->cells[r * t->n_columns + c]));
        }
        if (term->colour)
                fputs(SGR_BOLD, stdout);
        print_row(t, term, titles, widths);
        if (term->colour)
                fputs(SGR_RESET, stdout);
        for (size_t r = 0; r < t->n_rows; r++)
                print_row(t, term, t->cells + r * t->n_columns, widths);
        return 0;
}
