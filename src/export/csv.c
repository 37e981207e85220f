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

void columns_free(Columns *columns)
{
        for (size_t i = 0; columns && i < columns->n; i++) {
                free(columns->items[i]->name);
                free(columns->items[i]);
        }
        free(columns);
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

static size_t place_of(const Columns *columns, const char *name, bool *ret_found)
{
        size_t low = 0, high = columns->n;

        *ret_found = false;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(columns->items[middle]->name, name);

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

typedef int (*FieldFn)(Columns *columns, const char *name, const json_t *value);

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

static int walk(Columns *columns, const json_t *object, const char *prefix, unsigned depth, FieldFn fn)
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
                                r = walk(columns, value, path, depth - 1, fn);
                } else if (r >= 0)
                        r = fn(columns, path, value);
                if (r != 0)
                        return r;
        }
        return 0;
}

#define DEPTH 2U /* response.fields.x */

/* The first pass. */

/* Whether all of a task's fields find room: one with too many must not take the columns of others. */
static int count_column(Columns *columns, const char *name, _unused_ const json_t *value)
{
        bool found;

        (void)place_of(columns, name, &found);
        columns->n_new += !found;
        return columns->n + columns->n_new > COLUMNS_MAX ? -ENOBUFS : 0;
}

static int add_column(Columns *columns, const char *name, _unused_ const json_t *value)
{
        Column *column;
        bool found;
        size_t at = place_of(columns, name, &found);

        if (found)
                return 0;
        assert(columns->n < COLUMNS_MAX);
        column = calloc(1, sizeof(Column));
        if (!column)
                return -ENOMEM;
        column->rank = rank_of(name);
        column->name = strdup(name);
        if (!column->name) {
                free(column);
                return -ENOMEM;
        }
        memmove(columns->items + at + 1, columns->items + at, (columns->n - at) * sizeof(Column *));
        columns->items[at] = column;
        columns->n++;
        return 0;
}

static int begin_survey(Exporter *exporter)
{
        exporter->columns = calloc(1, sizeof(Columns));
        return exporter->columns ? 0 : -ENOMEM;
}

static int survey(Exporter *exporter, const Row *row)
{
        int r;

        exporter->columns->n_new = 0;
        r = walk(exporter->columns, row->task, "", DEPTH, count_column);
        if (r == 0)
                r = walk(exporter->columns, row->task, "", DEPTH, add_column);
        return r == -ENOBUFS ? EXPORT_TOO_WIDE : r;
}

/* The second. */

static int set_cell(Columns *columns, const char *name, const json_t *value)
{
        bool found;
        size_t at = place_of(columns, name, &found);

        assert(found);
        columns->cells[columns->items[at]->position] = value;
        return 0;
}

static int begin_rows(Exporter *exporter)
{
        Columns *columns = exporter->columns;

        memcpy(columns->header, columns->items, columns->n * sizeof(Column *));
        qsort(columns->header, columns->n, sizeof(Column *), compare_columns);
        for (size_t i = 0; i < columns->n; i++) {
                ((Column *)(uintptr_t)columns->header[i])->position = i;
                put(&exporter->stream, i == 0 ? "" : ",");
                put_csv(&exporter->stream, columns->header[i]->name, strlen(columns->header[i]->name),
                                exporter->options.spreadsheet);
        }
        if (columns->n > 0)
                put(&exporter->stream, "\r\n");
        return 0;
}

static void write_cell(Exporter *exporter, const json_t *value)
{
        Writer text = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };

        if (!value || json_is_null(value))
                return;
        if (json_is_string(value)) {
                put_csv(&exporter->stream, json_string_value(value), json_string_length(value),
                                exporter->options.spreadsheet);
                return;
        }
        put_json(&text, value);
        put_csv(&exporter->stream, buffer_text(&text.text), text.text.size, false);
        if (exporter->stream.error == 0)
                exporter->stream.error = text.error;
        writer_done(&text);
}

static int write_row(Exporter *exporter, const Row *row)
{
        Columns *columns = exporter->columns;
        int r;

        memset(columns->cells, 0, columns->n * sizeof(*columns->cells));
        r = walk(columns, row->task, "", DEPTH, set_cell);
        for (size_t i = 0; r >= 0 && i < columns->n; i++) {
                put(&exporter->stream, i == 0 ? "" : ",");
                write_cell(exporter, columns->cells[i]);
        }
        if (columns->n > 0)
                put(&exporter->stream, "\r\n");
        return r;
}

const ExportFormat export_csv = {
        .name = "csv",
        .select = survey,
        .n_passes = 2,
        .passes = { { .begin = begin_survey }, { begin_rows, write_row, NULL } },
};
