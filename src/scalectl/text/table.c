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

/* Takes a clean cell. */
static void put_cell(Table *t, char *cell)
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

void table_add(Table *t, char *cell)
{
        put_cell(t, cell ? format_clean(cell) : NULL);
        free(cell);
}

void table_add_text(Table *t, const char *text)
{
        put_cell(t, format_clean(text ?: ""));
}

/* What all columns but the last one take. */
static size_t width_before_last(const Table *t, const Layout *l)
{
        size_t used = 0;

        for (size_t c = 0; c + 1 < t->n_columns; c++)
                used += l->shown[c] ? l->widths[c] + GAP : 0;
        return used;
}

static Layout make_layout(const Table *t, const Term *term)
{
        Layout l = { .width = term->width > 0 ? term->width : SIZE_MAX };
        size_t last = t->n_columns - 1, want;

        for (size_t c = 0; c < t->n_columns; c++) {
                l.shown[c] = true;
                l.widths[c] = strlen(t->columns[c].title);
                for (size_t r = 0; r < t->n_rows; r++)
                        l.widths[c] = MAX(l.widths[c], format_width(t->cells[r * t->n_columns + c]));
                if (c < last && term->width > 0) /* one odd cell does not push the others out */
                        l.widths[c] = MIN(l.widths[c], MAX(term->width / 3, CELL_LEAST));
        }

        want = MIN(l.widths[last], LAST_WANT);
        for (size_t c = last; c-- > 0 && l.width != SIZE_MAX && width_before_last(t, &l) + want > l.width;)
                l.shown[c] = !t->columns[c].optional;
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

static void print_row(const Table *t, const Layout *l, char *const *cells)
{
        size_t room = l->width;

        for (size_t c = 0; c < t->n_columns && room > 0; c++) {
                size_t width = MIN(l->widths[c], room);
                bool last = c + 1 == t->n_columns || width + GAP >= room;

                if (!l->shown[c])
                        continue;
                print_cell(cells[c], width, t->columns[c].right, last);
                if (last)
                        break;
                printf("%*s", (int)GAP, "");
                room -= width + GAP;
        }
        fputc('\n', stdout);
}

int table_print(const Table *t, const Term *term)
{
        char *titles[TABLE_COLUMNS_MAX];
        Layout l;

        assert(t->n_columns > 0 && t->n_columns <= TABLE_COLUMNS_MAX);
        if (t->failed)
                return -ENOMEM;

        for (size_t c = 0; c < t->n_columns; c++)
                titles[c] = (char *)(uintptr_t)t->columns[c].title;
        l = make_layout(t, term);
        if (term->colour)
                fputs(SGR_BOLD, stdout);
        print_row(t, &l, titles);
        if (term->colour)
                fputs(SGR_RESET, stdout);
        for (size_t r = 0; r < t->n_rows; r++)
                print_row(t, &l, t->cells + r * t->n_columns);
        return 0;
}
