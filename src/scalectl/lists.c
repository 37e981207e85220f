/*
 * Lists. What scripts get are the documents as the daemon wrote them, numbers and all, one a line; what
 * people get is a table of the same.
 */

#include "scalectl/lists.h"

#include "basic/time-util.h"
#include "scalectl/text/format.h"
#include "scalectl/text/json-text.h"

const Column delivery_columns[] = {
        { "DELIVERY", true, false },
        { "RECEIVED", false, false },
        { "VERDICT", false, false },
        { "STATUS", true, true },
        { "KEY", false, true },
        { "FROM", false, true },
        { "TASK", false, false },
        { "PROBLEM", false, false },
};

const size_t delivery_columns_size = ELEMENTSOF(delivery_columns);

/* The first problem, and how many more there are. */
static char *first_problem(const json_t *problems)
{
        const json_t *p = json_array_get(problems, 0);
        const char *path = json_string_value(json_object_get(p, "path"));
        const char *message = json_string_value(json_object_get(p, "message"));
        size_t n = json_array_size(problems);
        char more[48] = "", *text;

        if (n == 0)
                return strdup("");
        if (n > 1)
                snprintf(more, sizeof(more), " (and %zu more)", n - 1);
        return asprintf(&text, "%s%s%s%s", path ?: "", path && *path ? ": " : "", message ?: "", more) < 0
                               ? NULL
                               : text;
}

void list_add_delivery(Table *table, const json_t *doc, bool utc)
{
        char time[FORMAT_TIME_SIZE];

        table_add(table, format_value(json_object_get(doc, "delivery")));
        table_add_text(table, format_json_time(json_object_get(doc, "received_at"), utc, time));
        table_add_text(table, json_string_value(json_object_get(doc, "verdict")));
        table_add(table, format_value(json_object_get(doc, "status_code")));
        table_add_text(table, json_string_value(json_object_get(doc, "key")));
        /* What did not come from a client was brought in by ourselves. */
        table_add_text(table, json_string_value(json_object_get(doc, "remote"))
                                              ?: json_string_value(json_object_get(doc, "source")));
        table_add_text(table, json_string_value(json_object_get(doc, "task_id")));
        table_add(table, first_problem(json_object_get(doc, "problems")));
}

uint64_t list_left(const List *list, uint64_t n)
{
        n = list->ctl->json ? n : MIN(n, TABLE_ROWS_MAX);

        return list->more && list->n < n ? n - list->n : 0;
}

List list_start(Ctl *ctl, const Column *columns, size_t n_columns, ListAddFn add)
{
        return (List){
                .ctl = ctl,
                .table = { .columns = columns, .n_columns = n_columns },
                .add = add,
                .max = UINT64_MAX,
                .more = true,
        };
}

bool list_filter_chooses(const ListFilter *f)
{
        return f->type || f->since != TIME_NONE || f->until != TIME_NONE;
}

void list_choose(List *list, const ListFilter *filter, uint64_t n)
{
        list->filter = list_filter_chooses(filter) ? filter : NULL;
        list->max = n;
}

uint64_t list_limit(const List *list, uint64_t n, uint64_t page)
{
        return list->filter ? page : MIN(list_left(list, n), page);
}

/* As the daemon chooses tasks: from `since` on, up to `until` and with it. */
static bool fits(const ListFilter *f, const json_t *doc)
{
        const char *type = json_string_value(json_object_get(doc, "type"));
        const char *time = json_string_value(json_object_get(doc, f->time));
        int64_t t = TIME_NONE;

        if (f->type && !streq_ptr(type, f->type))
                return false;
        if (f->since == TIME_NONE && f->until == TIME_NONE)
                return true;
        if (!time || time_parse(time, &t) < 0)
                return false;
        return (f->since == TIME_NONE || t >= f->since) && (f->until == TIME_NONE || t <= f->until);
}

void list_done(List *list)
{
        table_done(&list->table);
        free(list->next);
}

static int add_doc(List *list, const JsonItem *item)
{
        json_auto_t *doc = api_json_text(item->text, item->size);

        if (!doc)
                return api_complain_broken();
        if (list->n >= list->max || (list->filter && !fits(list->filter, doc)))
                return 0;

        list->n++;
        if (list->ctl->json)
                json_text_print_line(item->text, item->size, list->ctl->term.width > 0, stdout);
        else
                list->add(&list->table, doc, list->ctl->utc);
        return 0;
}

static int add_docs(List *list, const JsonItem *docs, bool *ret_any)
{
        JsonCursor c;
        JsonItem item;
        bool any = false;
        int r;

        if (json_cursor_init(&c, docs->text, docs->size) < 0)
                return api_complain_broken();
        while ((r = json_cursor_next(&c, &item)) > 0) {
                any = true;
                r = add_doc(list, &item);
                if (r != 0)
                        return r;
        }
        *ret_any = any;
        return r < 0 ? api_complain_broken() : 0;
}

/* Where the next page begins: a number or a text, or nothing. */
static int take_next(List *list, const char *text, size_t size)
{
        JsonItem next;
        int r;

        free(list->next);
        list->next = NULL;
        r = json_text_member(text, size, "next", &next);
        list->more = r > 0;
        if (r <= 0)
                return r < 0 ? api_complain_broken() : 0;

        if (next.size >= 2 && next.text[0] == '"')
                list->next = strndup(next.text + 1, next.size - 2);
        else
                list->next = strndup(next.text, next.size);
        return list->next ? 0 : EX_OSERR;
}

int list_page_of(List *list, ApiSide side, ApiUrl *url)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        bool any = false;
        JsonItem docs;
        int r;

        r = api_call(list->ctl, side, "GET", url, &body);
        if (r != 0)
                return r;
        if (json_text_member(buffer_text(&body), body.size, "docs", &docs) <= 0)
                return api_complain_broken();
        r = add_docs(list, &docs, &any);
        if (r == 0)
                r = take_next(list, buffer_text(&body), body.size);
        if (r == 0 && list->more && !any) /* would go on for ever */
                return api_complain_broken();
        return r;
}

int list_page(List *list, ApiUrl *url)
{
        return list_page_of(list, API_QUERY, url);
}

int list_end(List *list)
{
        if (list->ctl->json)
                return 0;
        if (table_print(&list->table, &list->ctl->term) < 0) {
                complain("out of memory");
                return EX_OSERR;
        }
        if (list->more && list->n >= TABLE_ROWS_MAX)
                complain("there are more: a table ends after %u lines, --json does not", TABLE_ROWS_MAX);
        else if (list->more && list->ctl->term.width > 0)
                complain("there are more: -n says how many to show");
        return 0;
}

int show_object_of(Ctl *ctl, ApiSide side, ApiUrl *url)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        json_auto_t *object = NULL;
        int r;

        r = api_call(ctl, side, "GET", url, &body);
        if (r != 0)
                return r;
        object = api_json(&body);
        if (!object)
                return api_complain_broken();

        if (ctl->json)
                json_text_print_line(buffer_text(&body), body.size, ctl->term.width > 0, stdout);
        else {
                json_text_print(buffer_text(&body), body.size,
                                &(JsonLook){ .colour = ctl->term.colour, .zone = !ctl->utc }, stdout);
                putchar('\n');
        }
        return 0;
}

int show_object(Ctl *ctl, ApiUrl *url)
{
        return show_object_of(ctl, API_QUERY, url);
}
