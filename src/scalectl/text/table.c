/*
 * Tables. All rows are measured before the first is printed, so columns stand under each other. On a
 * terminal no line is wider than that: columns that can be done without go first, then what is left of a row
 * is cut at its end. Elsewhere nothing is lost. There is one door for cells, and what passes it is safe to
 * print, whoever wrote it.
 */

#include "scalectl/text/table.h"

#include <stdio.h>

#include "scalectl/text/format.h"

#define GAP        2U
#define LAST_WANT  20U /* columns of a terminal, for the last one, before others are left out for it */
#define CELL_LEAST 24U /* a cell is not cut below that: the id of a task */
#define DOTS       "\xe2\x80\xa6"

/* What is printed of a table: the columns that are shown, and how wide they are. */
typedef struct Layout {
        size_t widths[TABLE_COLUMNS_MAX];
        bool shown[TABLE_COLUMNS_MAX];
        size_t width; /* of the terminal; SIZE_MAX: none */
} Layout;

void table_done(Table *table)
{
        for (size_t i = 0; i < table->n_rows * table->n_columns + table->n_columns && i < table->allocated;
                        i++)
                free(table->cells[i]);
        free(table->cells);
        table->cells = NULL;
        table->n_rows = table->allocated = 0;
}

/* Where the next cell goes: the first that is empty in the row at hand. */
static char **next_cell(Table *table)
{
        size_t first = table->n_rows * table->n_columns;

        if (first + table->n_columns > table->allocated) {
                size_t n = table->allocated + 256 * table->n_columns;
                char **p;

                if (table->n_rows >= TABLE_ROWS_MAX)
                        return NULL;
                p = realloc(table->cells, n * sizeof(char *));
                if (!p)
                        return NULL;
                memset(p + table->allocated, 0, (n - table->allocated) * sizeof(char *));
                table->cells = p;
                table->allocated = n;
        }
        for (size_t i = 0; i < table->n_columns; i++)
                if (!table->cells[first + i])
                        return &table->cells[first + i];
        return NULL;
}

/* Takes a clean cell. */
static void put_cell(Table *table, char *cell)
{
        char **target = cell && !table->failed ? next_cell(table) : NULL;

        if (!target) {
                free(cell);
                table->failed = true;
                return;
        }
        *target = cell;
        if (target == &table->cells[table->n_rows * table->n_columns + table->n_columns - 1])
                table->n_rows++;
}

void table_add(Table *table, char *cell)
{
        put_cell(table, cell ? format_clean(cell) : NULL);
        free(cell);
}

void table_add_text(Table *table, const char *text)
{
        put_cell(table, format_clean(text ?: ""));
}

/* What all columns but the last one take. */
static size_t width_before_last(const Table *table, const Layout *layout)
{
        size_t used = 0;

        for (size_t c = 0; c + 1 < table->n_columns; c++)
                used += layout->shown[c] ? layout->widths[c] + GAP : 0;
        return used;
}

static Layout make_layout(const Table *table, const Term *term)
{
        Layout l = { .width = term->width > 0 ? term->width : SIZE_MAX };
        size_t last = table->n_columns - 1, want;

        for (size_t c = 0; c < table->n_columns; c++) {
                l.shown[c] = true;
                l.widths[c] = strlen(table->columns[c].title);
                for (size_t r = 0; r < table->n_rows; r++)
                        l.widths[c] = MAX(l.widths[c], format_width(table->cells[r * table->n_columns + c]));
                if (c < last && term->width > 0) /* one odd cell does not push the others out */
                        l.widths[c] = MIN(l.widths[c], MAX(term->width / 3, CELL_LEAST));
        }

        want = MIN(l.widths[last], LAST_WANT);
        for (size_t c = last;
                        c-- > 0 && l.width != SIZE_MAX && width_before_last(table, &l) + want > l.width;)
                l.shown[c] = !table->columns[c].optional;
        return l;
}

/* As much of a text as there is room for. Returns the columns that it took. */
static size_t print_cut(const char *text, size_t room)
{
        size_t have = format_width(text), n;

        if (have <= room) {
                fputs(text, stdout);
                return have;
        }
        if (room == 0)
                return 0;
        n = format_cut(text, room - 1);
        printf("%.*s" DOTS, (int)n, text);
        return have - format_width(text + n) + 1;
}

/* A cell within its column; the last one of a row is not padded. */
static void print_cell(const char *text, size_t width, bool right, bool last)
{
        size_t have;

        if (right && format_width(text) < width)
                printf("%*s", (int)(width - format_width(text)), "");
        have = print_cut(text, width);
        if (!right && !last)
                printf("%*s", (int)(width - have), "");
}

static void print_row(const Table *table, const Layout *layout, char *const *cells)
{
        size_t room = layout->width;

        for (size_t c = 0; c < table->n_columns && room > 0; c++) {
                size_t width = MIN(layout->widths[c], room);
                bool last = c + 1 == table->n_columns || width + GAP >= room;

                if (!layout->shown[c])
                        continue;
                print_cell(cells[c], width, table->columns[c].right, last);
                if (last)
                        break;
                printf("%*s", (int)GAP, "");
                room -= width + GAP;
        }
        fputc('\n', stdout);
}

int table_print(const Table *table, const Term *term)
{
        char *titles[TABLE_COLUMNS_MAX];
        Layout l;

        assert(table->n_columns > 0 && table->n_columns <= TABLE_COLUMNS_MAX);
        if (table->failed)
                return -ENOMEM;

        for (size_t c = 0; c < table->n_columns; c++)
                titles[c] = (char *)(uintptr_t)table->columns[c].title;
        l = make_layout(table, term);
        if (term->colour)
                fputs(SGR_BOLD, stdout);
        print_row(table, &l, titles);
        if (term->colour)
                fputs(SGR_RESET, stdout);
        for (size_t r = 0; r < table->n_rows; r++)
                print_row(table, &l, table->cells + r * table->n_columns);
        return 0;
}
