/*
 * CSV as spreadsheets write it: RFC 4180, with a comma, a semicolon or a tab between the cells (whichever
 * the header has most of), CRLF or LF, and perhaps a byte order mark. Columns are parameters, by the names
 * that a form gives them: `fields[title]`, or `fields.title`, which is easier to type; a column of the same
 * name again is another element of a list. A row is then what a form would be, so that numbers, lists and
 * objects come out as the type's table has them. Empty cells are not there.
 */

#include "scalectl/csv.h"

#include "basic/form.h"
#include "basic/parse.h"
#include "task/params.h"
#include "json/encode.h"
#include "json/parse.h"

#define ROW_MAX     ((size_t)1024 * 1024)
#define COLUMNS_MAX TASK_FORM_PAIRS_MAX

struct Csv {
        FILE *f;
        char separator;
        char **names; /* owned, each of them too: as a form has them; "" for a column without one */
        size_t n_names;
        uint64_t line, bytes;

        Buffer row;                  /* of the cells, a NUL behind each */
        FormPair pairs[COLUMNS_MAX]; /* room for the cells of a row */
        size_t cells;                /* how many there are; those beyond COLUMNS_MAX are counted alone */
        bool too_long, unfinished, has_nul; /* what is wrong with the row */
};

Csv *csv_free(Csv *c)
{
        if (!c)
                return NULL;

        for (size_t i = 0; i < c->n_names; i++)
                free(c->names[i]);
        free(c->names);
        buffer_done(&c->row);
        free(c);
        return NULL;
}

/* Rows. */

static int next_byte(Csv *c)
{
        int byte = getc_unlocked(c->f);

        c->bytes += byte != EOF;
        c->line += byte == '\n';
        return byte;
}

/* -ENOMEM, or 0: what is too long is passed over. */
static int put(Csv *c, char byte)
{
        int r = c->too_long ? 0 : buffer_append(&c->row, &byte, 1);

        c->too_long = c->too_long || r == -ENOBUFS;
        return r == -ENOMEM ? r : 0;
}

/* A cell, with what ends it: the separator, '\n' or EOF. *ret_end. 0, -ENOMEM. */
static int read_cell(Csv *c, int *ret_end)
{
        bool quoted = false, first = true;
        int byte, r = 0;

        for (;; first = false) {
                byte = next_byte(c);
                if (byte == '"' && (first || quoted)) {
                        int next = quoted ? next_byte(c) : '"';

                        if (!quoted) {
                                quoted = true;
                                continue;
                        }
                        if (next != '"') { /* the end of what is in quotes */
                                quoted = false;
                                byte = next;
                        }
                }
                if (byte == EOF || (!quoted && (byte == '\n' || byte == (unsigned char)c->separator)))
                        break;
                c->has_nul = c->has_nul || byte == 0;
                r = r < 0 ? r : put(c, (char)byte);
        }
        c->unfinished = quoted;
        if (byte == '\n' && c->row.size > 0 && c->row.data[c->row.size - 1] == '\r')
                c->row.size--;
        *ret_end = byte;
        return r < 0 ? r : put(c, 0);
}

/* Sets where each cell begins, once the row no longer moves. */
static void set_cells(Csv *c)
{
        const char *cell = c->row.data, *end = c->row.data + c->row.size;

        for (size_t i = 0; i < MIN(c->cells, COLUMNS_MAX) && cell < end; i++) {
                c->pairs[i].value = cell;
                c->pairs[i].value_size = strlen(cell);
                cell += c->pairs[i].value_size + 1;
        }
}

/* 1, 0 at the end, -EIO, -ENOMEM. */
static int read_row(Csv *c)
{
        int end, r;

        buffer_consume(&c->row, c->row.size);
        c->cells = 0;
        c->too_long = c->unfinished = c->has_nul = false;
        do {
                r = read_cell(c, &end);
                if (r < 0)
                        return r;
                c->cells++;
        } while (end != '\n' && end != EOF);
        if (ferror(c->f))
                return -EIO;
        if (end == EOF && c->cells == 1 && c->row.size <= 1)
                return 0;
        set_cells(c);
        return 1;
}

static bool is_blank(const Csv *c)
{
        for (size_t i = 0; i < c->row.size; i++)
                if (c->row.data[i] && !strchr(" \t", c->row.data[i]))
                        return false;
        return true;
}

/* The header. */

/* The separator of which the first line has most, outside of quotes. It is read and put back. */
static int guess_separator(Csv *c)
{
        static const char separators[] = ",;\t";
        size_t counts[sizeof(separators) - 1] = {}, best = 0;
        bool quoted = false;
        int byte;

        while ((byte = getc_unlocked(c->f)) != EOF && (byte != '\n' || quoted)) {
                const char *at = byte ? strchr(separators, byte) : NULL;

                quoted = quoted != (byte == '"');
                if (at && !quoted)
                        counts[at - separators]++;
        }
        for (size_t i = 1; i < ELEMENTSOF(counts); i++)
                if (counts[i] > counts[best])
                        best = i;
        c->separator = separators[best];
        return fseeko(c->f, 0, SEEK_SET) < 0 ? -errno : 0;
}

static void skip_mark(Csv *c)
{
        static const char mark[] = "\xef\xbb\xbf";
        char front[3];

        if (fread(front, 1, sizeof(front), c->f) == sizeof(front) && memcmp(front, mark, sizeof(front)) == 0)
                c->bytes = sizeof(front);
        else
                (void)fseeko(c->f, 0, SEEK_SET);
}

/* `a.b.c` as `a[b][c]`; what has brackets stays. NULL: no memory. */
static char *form_name(const char *name)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(3 * strlen(name) + 1);
        bool within = false;

        for (; *name == ' '; name++)
                ;
        if (strchr(name, '[') || !strchr(name, '.'))
                return strndup(name, strlen(name));
        for (; *name; name++)
                if (*name != '.') {
                        if (buffer_append(&b, name, 1) < 0)
                                return NULL;
                } else {
                        if (buffer_append_str(&b, within ? "][" : "[") < 0)
                                return NULL;
                        within = true;
                }
        return buffer_append_str(&b, "]") < 0 ? NULL : buffer_take(&b, NULL);
}

static int read_header(Csv *c, Problems *problems)
{
        bool has_type = false;
        int r;

        r = read_row(c);
        if (r < 0)
                return r;
        if (r == 0 || c->too_long || c->unfinished || c->has_nul || c->cells > COLUMNS_MAX) {
                problems_add(problems, SEVERITY_ERROR, "", "expected a header with at most %u columns",
                                COLUMNS_MAX);
                return -EBADMSG;
        }
        c->names = calloc(c->cells, sizeof(char *));
        if (!c->names)
                return -ENOMEM;
        for (; c->n_names < c->cells; c->n_names++) {
                c->names[c->n_names] = form_name(c->pairs[c->n_names].value);
                if (!c->names[c->n_names])
                        return -ENOMEM;
                has_type = has_type || streq(c->names[c->n_names], "type");
        }
        if (has_type)
                return 0;
        problems_add(problems, SEVERITY_ERROR, "type",
                        "expected a header with this column, and others named for the parameters");
        return -EBADMSG;
}

int csv_new(FILE *f, Problems *problems, Csv **ret)
{
        _cleanup_(csv_freep) Csv *c = calloc(1, sizeof(Csv));
        int r;

        if (!c)
                return -ENOMEM;
        c->f = f;
        c->row = BUFFER_INIT(ROW_MAX);
        r = guess_separator(c);
        if (r < 0)
                return r;
        skip_mark(c);
        r = read_header(c, problems);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

/* What the cells say. */

/* Leaves those that have a name and a value, and takes out what is not a parameter. */
static int choose_cells(Csv *c, const char **type, const char **key, size_t *ret_n, Problems *problems)
{
        size_t n = 0;

        *type = *key = NULL;
        for (size_t i = 0; i < c->cells && i < COLUMNS_MAX; i++) {
                FormPair cell = c->pairs[i];

                if (cell.value_size == 0)
                        continue;
                if (i >= c->n_names || !*c->names[i]) {
                        problems_add(problems, SEVERITY_ERROR, "",
                                        "cell %zu has no name in the header: are there quotes missing?",
                                        i + 1);
                        return -EBADMSG;
                }
                cell.name = c->names[i];
                if (streq(cell.name, "type"))
                        *type = cell.value;
                else if (streq(cell.name, "idempotency_key"))
                        *key = cell.value;
                else
                        c->pairs[n++] = cell;
        }
        *ret_n = n;
        return 0;
}

static const TaskType *find_type(const char *name, Problems *problems)
{
        const TaskType *type = name ? task_type_find(name) : NULL;

        if (!type)
                problems_add(problems, SEVERITY_ERROR, "type", "expected the name of a type as %s, got %s",
                                task_types[0]->name, name ?: "nothing");
        return type;
}

/* Whether the cell is the JSON of a list or an object, where one is wanted; then it is added to `given`. 1,
 * 0 or -ENOMEM. */
static int take_json(const TaskType *type, const FormPair *cell, json_t *given)
{
        const Rows rows = rows_of_type(type);
        const Field *field = rows_find(&rows, cell->name);
        json_t *value;
        int r;

        if (!field || !((field_is_list(field) && *cell->value == '[') ||
                                      (field_is_object(field) && *cell->value == '{')))
                return 0;
        r = json_parse(cell->value, cell->value_size, JSON_REJECT_DUPLICATES, &value, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return json_object_set_new(given, cell->name, value) < 0 ? -ENOMEM : 1;
}

/* Makes the parameters of `n` cells. 0 or negative. */
static int make_params(Csv *c, const TaskType *type, size_t n, json_t **ret, Problems *problems)
{
        json_auto_t *given = json_object();
        const char *name;
        json_t *value;
        size_t left = 0;
        int r = given ? 0 : -ENOMEM;

        for (size_t i = 0; i < n && r >= 0; i++) {
                r = take_json(type, &c->pairs[i], given);
                if (r == 0)
                        c->pairs[left++] = c->pairs[i];
        }
        if (r >= 0)
                r = task_params_from_form(type, c->pairs, left, ret, problems);
        if (r < 0)
                return r;
        json_object_foreach(given, name, value) {
                if (json_object_get(*ret, name))
                        problems_add(problems, SEVERITY_ERROR, name,
                                        "given as JSON, and in other columns too");
                else if (json_object_set(*ret, name, value) < 0)
                        return -ENOMEM;
        }
        return problems->n_errors > 0 ? -EBADMSG : 0;
}

/* 1 or negative. */
static int encode_row(Csv *c, Buffer *ret, Problems *problems)
{
        json_auto_t *params = NULL;
        const TaskType *type;
        const char *name, *key;
        size_t n;
        int r;

        r = choose_cells(c, &name, &key, &n, problems);
        if (r < 0)
                return r;
        type = find_type(name, problems);
        if (!type)
                return -EBADMSG;
        r = make_params(c, type, n, &params, problems);
        if (r < 0)
                return r;
        if (json_object_set_new(params, "type", json_string(type->name)) < 0 ||
                        (key && json_object_set_new(params, "idempotency_key", json_string(key)) < 0))
                return -ENOMEM;
        r = json_encode(params, ret);
        if (r == -ENOBUFS) {
                problems_add(problems, SEVERITY_ERROR, "", "expected a task of at most %zu MiB",
                                ret->max / 1024 / 1024);
                return -EBADMSG;
        }
        return r < 0 ? r : 1;
}

int csv_next(Csv *c, Buffer *ret, uint64_t *number, uint64_t *bytes, Problems *problems)
{
        int r;

        do {
                *number = c->line + 1;
                r = read_row(c);
                *bytes = c->bytes;
        } while (r > 0 && is_blank(c) && !c->unfinished);
        if (r <= 0)
                return r;
        if (c->too_long)
                problems_add(problems, SEVERITY_ERROR, "", "expected a row of at most %zu MiB",
                                ROW_MAX / 1024 / 1024);
        else if (c->unfinished)
                problems_add(problems, SEVERITY_ERROR, "",
                                "a cell begins with a quote and never ends: expected another quote behind "
                                "it");
        else if (c->has_nul || !text_is_utf8(c->row.data, c->row.size))
                problems_add(problems, SEVERITY_ERROR, "", "expected UTF-8 text");
        if (problems->n_errors > 0)
                return -EBADMSG;
        buffer_consume(ret, ret->size);
        return encode_row(c, ret, problems);
}
