/* Tasks: lists of them, one of them, and what it ever had. */

#include <jansson.h>

#include "basic/time-util.h"
#include "scalectl/api.h"
#include "scalectl/lists.h"
#include "scalectl/text/format.h"
#include "scalectl/text/json-text.h"

#define PAGE 100U

typedef struct TasksOptions {
        const char *status, *type;
        int64_t since, until;
        OptionList metadata;
        uint64_t n;
} TasksOptions;

static const Option tasks_options[] = {
        { "--status", OPTION_TEXT, offsetof(TasksOptions, status) },
        { "--type", OPTION_TEXT, offsetof(TasksOptions, type) },
        { "--since", OPTION_TIME, offsetof(TasksOptions, since) },
        { "--until", OPTION_TIME, offsetof(TasksOptions, until) },
        { "--metadata", OPTION_LIST, offsetof(TasksOptions, metadata) },
        { "-n", OPTION_NUMBER, offsetof(TasksOptions, n) },
};

static const Column task_columns[] = {
        { "TASK", false, false },
        { "CREATED", false, true },
        { "TYPE", false, false },
        { "STATUS", false, false },
        { "RESPONSE", false, false },
};

static void add_task(Table *table, const json_t *doc, bool utc)
{
        char time[FORMAT_TIME_SIZE];

        table_add_text(table, json_string_value(json_object_get(doc, "task_id")));
        table_add_text(table, format_json_time(json_object_get(doc, "created_at"), utc, time));
        table_add_text(table, json_string_value(json_object_get(doc, "type")));
        table_add_text(table, json_string_value(json_object_get(doc, "status")));
        table_add(table, format_response(json_object_get(doc, "response")));
}

static int tasks_url(const TasksOptions *o, uint64_t limit, const char *next, ApiUrl *ret)
{
        ApiUrl u = api_url("/v1/tasks");
        int r;

        api_url_add(&u, "status", o->status);
        api_url_add(&u, "type", o->type);
        api_url_add_time(&u, "start_time", o->since);
        api_url_add_time(&u, "end_time", o->until);
        api_url_add_number(&u, "limit", limit);
        api_url_add(&u, "after", next);
        r = api_url_add_metadata(&u, &o->metadata);
        if (r != 0) {
                api_url_done(&u);
                return r;
        }
        *ret = u;
        return 0;
}

int verb_tasks(Ctl *ctl, int argc, char **argv)
{
        TasksOptions o = { .since = TIME_NONE, .until = TIME_NONE, .n = 20 };
        _cleanup_(list_done) List list = list_start(ctl, task_columns, ELEMENTSOF(task_columns), add_task);
        uint64_t left;
        unsigned n;
        int r;

        r = options_read(ctl, tasks_options, ELEMENTSOF(tasks_options), &o, argc, argv, 0, 0, &n);
        while (r == 0 && (left = list_left(&list, o.n)) > 0) {
                ApiUrl url;

                r = tasks_url(&o, MIN(left, PAGE), list.next, &url);
                if (r == 0)
                        r = list_page(&list, &url);
        }
        return r != 0 ? r : list_end(&list);
}

typedef struct TaskOptions {
        bool revisions, deliveries;
} TaskOptions;

static const Option task_options[] = {
        { "--revisions", OPTION_FLAG, offsetof(TaskOptions, revisions) },
        { "--deliveries", OPTION_FLAG, offsetof(TaskOptions, deliveries) },
};

static const Column revision_columns[] = {
        { "REVISION", true, false },
        { "DELIVERY", true, false },
        { "COMPLETED", false, false },
        { "", false, false },
        { "RESPONSE", false, false },
};

static void add_revision(Table *table, const json_t *doc, bool utc)
{
        char time[FORMAT_TIME_SIZE];

        table_add(table, format_value(json_object_get(doc, "revision")));
        table_add(table, format_value(json_object_get(doc, "delivery")));
        table_add_text(table, format_json_time(json_object_get(doc, "completed_at"), utc, time));
        table_add_text(table, json_is_true(json_object_get(doc, "current")) ? "current" : "");
        table_add(table, format_response(json_object_get(doc, "response")));
}

/* All pages of something that belongs to one task. */
static int list_of_task(Ctl *ctl, const char *id, const char *what, const Column *columns, size_t n_columns,
                ListAddFn add)
{
        _cleanup_(list_done) List list = list_start(ctl, columns, n_columns, add);
        int r = 0;

        while (r == 0 && list_left(&list, UINT64_MAX) > 0) {
                ApiUrl url = api_url("/v1/task");

                api_url_segment(&url, id);
                api_url_segment(&url, what);
                api_url_add(&url, "after", list.next);
                r = list_page(&list, &url);
        }
        return r != 0 ? r : list_end(&list);
}

int verb_task(Ctl *ctl, int argc, char **argv)
{
        TaskOptions o = {};
        ApiUrl url;
        unsigned n;
        int r;

        r = options_read(ctl, task_options, ELEMENTSOF(task_options), &o, argc, argv, 1, 1, &n);
        if (r != 0)
                return r;
        if (o.revisions && o.deliveries)
                return options_complain_usage(ctl);
        if (o.revisions)
                return list_of_task(ctl, argv[1], "revisions", revision_columns,
                                ELEMENTSOF(revision_columns), add_revision);
        if (o.deliveries)
                return list_of_task(ctl, argv[1], "deliveries", delivery_columns, delivery_columns_size,
                                list_add_delivery);

        url = api_url("/v1/task");
        api_url_segment(&url, argv[1]);
        return show_object(ctl, &url);
}
