/*
 * CSV (RFC 4180): a row a task, a column a field. Members of `params`, `metadata`, `response` and of its
 * `fields` have columns of their own, named by their path; what is nested deeper is JSON in one cell. The
 * first pass learns the columns, the second writes the rows.
 *
 * Two members never share a column: where a name could be taken for a path, its dots get a backslash. The
 * order of columns depends on the names alone, so two exports with the same fields have the same header.
 */

#include "export/format.h"

#define COLUMNS_MAX     4096U
#define COLUMN_NAME_MAX 512U /* bytes */

typedef struct Column {
        char *name;      /* owned */
        unsigned rank;   /* of its group, see rank_of() */
        size_t position; /* in a row */
} Column;

struct Columns {
        Column *items[COLUMNS_MAX]; /* by name */
        size_t n, n_new;
        const json_t *cells[COLUMNS_MAX]; /* of the current row, by position */
        const Column *header[COLUMNS_MAX];
};

void columns_free(Columns *c)
{
        for (size_t i = 0; c && i < c->n; i++) {
                free(c->items[i]->name);
                free(c->items[i]);
        }
        free(c);
}

/* Members that always come first, in this order; the others of a task, and then those within the groups. */
static unsigned rank_of(const char *name)
{
        static const char *const first[] = { "task_id", "type", "status", "is_test", "created_at",
                "completed_at", "urgency", "instruction" };
        static const char *const groups[] = { "params.", "metadata.", "response.", "response.fields." };
        unsigned rank = ELEMENTSOF(first);

        for (unsigned i = 0; i < ELEMENTSOF(first); i++)
                if (streq(name, first[i]))
                        return i;
        for (unsigned i = 0; i < ELEMENTSOF(groups); i++)
                if (strncmp(name, groups[i], strlen(groups[i])) == 0)
                        rank = (unsigned)ELEMENTSOF(first) + 1 + i;
        return rank;
}

static int compare_columns(const void *a, const void *b)
{
        const Column *x = *(const Column *const *)a, *y = *(const Column *const *)b;

        return x->rank != y->rank ? (x->rank < y->rank ? -1 : 1) : strcmp(x->name, y->name);
}

static size_t place_of(const Columns *c, const char *name, bool *ret_found)
{
        size_t low = 0, high = c->n;

        *ret_found = false;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(c->items[middle]->name, name);

                if (order == 0)
                        *ret_found = true;
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

/* Walking through a task: each field with the name of its column. */

typedef int (*FieldFn)(Columns *c, const char *name, const json_t *value);

/* Appends a part of a path. 0, -ENOBUFS: too long. */
static int append_part(char *path, size_t *size, const char *part, bool escape)
{
        for (; *part; part++) {
                if (*size + 3 > COLUMN_NAME_MAX)
                        return -ENOBUFS;
                if (escape && *part == '.')
                        path[(*size)++] = '\\';
                path[(*size)++] = *part;
        }
        path[*size] = 0;
        return 0;
}

static bool is_group(const char *path)
{
        static const char *const groups[] = { "params", "metadata", "response", "response.fields" };

        FOREACH_ARRAY(g, groups, ELEMENTSOF(groups))
                if (streq(path, *g))
                        return true;
        return false;
}

static int walk(Columns *c, const json_t *object, const char *prefix, unsigned depth, FieldFn fn)
{
        char path[COLUMN_NAME_MAX + 1];
        json_t *value;
        const char *name;
        int r;

        json_object_foreach((json_t *)(uintptr_t)object, name, value) {
                size_t size = 0;
                bool ambiguous = *prefix == 0 || streq(prefix, "response.");

                r = append_part(path, &size, prefix, false);
                if (r >= 0)
                        r = append_part(path, &size, name, ambiguous);
                if (r >= 0 && json_is_object(value) && depth > 0 && is_group(path)) {
                        r = append_part(path, &size, ".", false);
                        if (r >= 0)
                                r = walk(c, value, path, depth - 1, fn);
                } else if (r >= 0)
                        r = fn(c, path, value);
                if (r != 0)
                        return r;
        }
        return 0;
}

#define DEPTH 2U /* response.fields.x */

/* The first pass. */

/* Whether all of a task's fields find room: one with too many must not take the columns of others. */
static int count_column(Columns *c, const char *name, _unused_ const json_t *value)
{
        bool found;

        (void)place_of(c, name, &found);
        c->n_new += !found;
        return c->n + c->n_new > COLUMNS_MAX ? -ENOBUFS : 0;
}

static int add_column(Columns *c, const char *name, _unused_ const json_t *value)
{
        Column *column;
        bool found;
        size_t at = place_of(c, name, &found);

        if (found)
                return 0;
        assert(c->n < COLUMNS_MAX);
        column = calloc(1, sizeof(Column));
        if (!column)
                return -ENOMEM;
        column->rank = rank_of(name);
        column->name = strdup(name);
        if (!column->name) {
                free(column);
                return -ENOMEM;
        }
        memmove(c->items + at + 1, c->items + at, (c->n - at) * sizeof(Column *));
        c->items[at] = column;
        c->n++;
        return 0;
}

static int begin_survey(Exporter *x)
{
        x->columns = calloc(1, sizeof(Columns));
        return x->columns ? 0 : -ENOMEM;
}

static int survey(Exporter *x, const Row *row)
{
        int r;

        x->columns->n_new = 0;
        r = walk(x->columns, row->task, "", DEPTH, count_column);
        if (r == 0)
                r = walk(x->columns, row->task, "", DEPTH, add_column);
        return r == -ENOBUFS ? EXPORT_TOO_WIDE : r;
}

/* The second. */

static int set_cell(Columns *c, const char *name, const json_t *value)
{
        bool found;
        size_t at = place_of(c, name, &found);

        assert(found);
        c->cells[c->items[at]->position] = value;
        return 0;
}

static int begin_rows(Exporter *x)
{
        Columns *c = x->columns;

        memcpy(c->header, c->items, c->n * sizeof(Column *));
        qsort(c->header, c->n, sizeof(Column *), compare_columns);
        for (size_t i = 0; i < c->n; i++) {
                ((Column *)(uintptr_t)c->header[i])->position = i;
                put(&x->stream, i == 0 ? "" : ",");
                put_csv(&x->stream, c->header[i]->name, strlen(c->header[i]->name), x->options.spreadsheet);
        }
        if (c->n > 0)
                put(&x->stream, "\r\n");
        return 0;
}

static void write_cell(Exporter *x, const json_t *value)
{
        Writer text = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };

        if (!value || json_is_null(value))
                return;
        if (json_is_string(value)) {
                put_csv(&x->stream, json_string_value(value), json_string_length(value),
                                x->options.spreadsheet);
                return;
        }
        put_json(&text, value);
        put_csv(&x->stream, buffer_text(&text.text), text.text.size, false);
        if (x->stream.error == 0)
                x->stream.error = text.error;
        writer_done(&text);
}

static int write_row(Exporter *x, const Row *row)
{
        Columns *c = x->columns;
        int r;

        memset(c->cells, 0, c->n * sizeof(*c->cells));
        r = walk(c, row->task, "", DEPTH, set_cell);
        for (size_t i = 0; r >= 0 && i < c->n; i++) {
                put(&x->stream, i == 0 ? "" : ",");
                write_cell(x, c->cells[i]);
        }
        if (c->n > 0)
                put(&x->stream, "\r\n");
        return r;
}

const ExportFormat export_csv = {
        .name = "csv",
        .select = survey,
        .n_passes = 2,
        .passes = { { .begin = begin_survey }, { begin_rows, write_row, NULL } },
};
