/*
 * Tasks as the API shows them: the list and the single task have exactly its shape, so that what reads from
 * Scale can read from here.
 */

#include <inttypes.h>
#include <stdio.h>

#include "query/local.h"
#include "query/page.h"
#include "query/params.h"
#include "json/encode.h"

#define TASK_TEXT_MAX ((size_t)256 * 1024 * 1024)
#define OFFSET_QUICK  1000U

static int append_task(const TaskDocument *task, Buffer *out)
{
        json_auto_t *value = NULL;
        int r;

        r = task_document_to_json(task, &value);
        return r < 0 ? r : json_encode(value, out);
}

static int append_document(const TaskDocument *task, void *userdata)
{
        return append_task(task, userdata);
}

/* The list. */

typedef struct TaskQuery {
        int64_t start_time, end_time;
        TaskStatus status;
        const char *type;
        int is_test;
        ParamCursor after;
        uint64_t limit, offset;
        ParamMetadata metadata;
} TaskQuery;

const Param tasks_params[] = {
        { "start_time", PARAM_TIME, offsetof(TaskQuery, start_time), 0, 0 },
        { "end_time", PARAM_TIME, offsetof(TaskQuery, end_time), 0, 0 },
        { "status", PARAM_STATUS, offsetof(TaskQuery, status), 0, 0 },
        { "type", PARAM_TEXT, offsetof(TaskQuery, type), 0, CALLBACK_TYPE_MAX },
        { "is_test", PARAM_BOOLEAN, offsetof(TaskQuery, is_test), 0, 0 },
        { "after", PARAM_CURSOR, offsetof(TaskQuery, after), 0, 0 },
        { "limit", PARAM_NUMBER, offsetof(TaskQuery, limit), 1, 100 },
        { "offset", PARAM_NUMBER, offsetof(TaskQuery, offset), 0, INT64_MAX },
        { "metadata", PARAM_METADATA, offsetof(TaskQuery, metadata), 0, 0 },
        {},
};

static TaskFilter filter_of(const TaskQuery *query)
{
        return (TaskFilter){
                .start_time = query->start_time,
                .end_time = query->end_time,
                .status = query->status,
                .type = query->type,
                .is_test = query->is_test,
                .metadata = query->metadata.items,
                .n_metadata = query->metadata.n,
                .has_cursor = query->after.set,
                .cursor = query->after.place,
                .offset = query->offset,
                .limit = (unsigned)query->limit,
        };
}

static int list_task(const TaskDocument *task, void *userdata)
{
        Page *page = userdata;
        int r = page_add(page, 0, task->task_id);

        return r <= 0 ? r : append_task(task, page_text(page));
}

/* A task that was left for later. */
static int render_task(StoreReader *reader, _unused_ const char *subject, const char *key, Buffer *out)
{
        int r;

        r = store_get_task(reader, key, append_document, out);
        return r == 0 ? -ENOENT : MIN(r, 0);
}

static int append_paging(const TaskQuery *query, const TaskPage *page, Buffer *tail)
{
        char cursor[PARAM_CURSOR_SIZE];
        int r;

        r = buffer_append_f(tail,
                        "\"total\":%" PRIu64 ",\"limit\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"has_more\":%s",
                        page->total, query->limit, query->offset, page->has_more ? "true" : "false");
        if (r >= 0 && page->has_more)
                r = buffer_append_f(tail, ",\"next\":\"%s\"", param_cursor_format(&page->next, cursor));
        return r < 0 ? r : buffer_append_str(tail, "}");
}

/* Deep in a list that has no cursor every task before is passed. */
static bool is_long(const TaskQuery *query)
{
        return query->metadata.n > 0 || query->offset > OFFSET_QUICK;
}

/* 0; 1: answered 400; negative errno. */
static int read_task_query(HttpRequest *request, TaskQuery *ret)
{
        *ret = (TaskQuery){
                .start_time = TIME_NONE,
                .end_time = TIME_NONE,
                .status = _TASK_STATUS_INVALID,
                .is_test = -1,
                .limit = 100,
        };
        return params_read(request, ret);
}

static int reply_tasks(HttpRequest *request, StoreReader *reader, void *userdata)
{
        LocalBase *base = userdata;
        _cleanup_(page_freep) Page *page = NULL;
        _cleanup_buffer_ Buffer tail = BUFFER_INIT(1024);
        TaskFilter filter;
        TaskPage paging;
        TaskQuery query;
        int r;

        r = read_task_query(request, &query);
        if (r != 0)
                return MIN(r, 0);
        r = page_new(query.limit, &page);
        if (r < 0)
                return r;
        r = page_set_render(page, render_task, base->readers, NULL);
        if (r < 0)
                return r;

        filter = filter_of(&query);
        r = store_list_tasks(reader, &filter, list_task, page, &paging);
        if (r < 0)
                return local_reply_failure(reader, request, r);

        r = append_paging(&query, &paging, &tail);
        if (r < 0)
                return r;
        return page_reply_with_tail(request, TAKE_PTR(page), &tail);
}

int tasks_on_list(HttpRequest *request, void *userdata)
{
        LocalBase *base = userdata;
        TaskQuery query;
        int r;

        r = read_task_query(request, &query);
        if (r != 0)
                return MIN(r, 0);
        return readers_answer(
                        base->readers, request, is_long(&query) ? READ_LONG : READ_QUICK, reply_tasks, base);
}

/* One task. */

static int reply_task(HttpRequest *request, StoreReader *reader, _unused_ void *userdata)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TASK_TEXT_MAX);
        int r;

        r = store_get_task(reader, http_request_path_arg(request, 0), append_document, &text);
        if (r < 0)
                return local_reply_failure(reader, request, r);
        if (r == 0)
                return local_reply_not_found(request, "Task not found");
        return local_reply_text(request, &text);
}

int tasks_on_get(HttpRequest *request, void *userdata)
{
        LocalBase *base = userdata;

        return readers_answer(base->readers, request, READ_QUICK, reply_task, NULL);
}

/* Its revisions. */

typedef struct RevisionQuery {
        uint64_t after, limit;
} RevisionQuery;

const Param revisions_params[] = {
        { "after", PARAM_NUMBER, offsetof(RevisionQuery, after), 0, UINT32_MAX },
        { "limit", PARAM_NUMBER, offsetof(RevisionQuery, limit), 1, 100 },
        {},
};

static int append_revision(const StoredRevision *revision, Buffer *out)
{
        json_auto_t *response = NULL;
        char received[TIME_STAMP_SIZE], completed[TIME_STAMP_SIZE];
        int r;

        r = task_response_of_body(revision->body, revision->body_size, &response);
        if (r < 0)
                return r;

        r = buffer_append_f(out,
                        "{\"revision\":%u,\"current\":%s,\"delivery\":%" PRIu64
                        ",\"source\":\"%s\",\"received_at\":\"%s\",\"completed_at\":\"%s\",\"response\":",
                        revision->number, revision->current ? "true" : "false", revision->delivery,
                        source_to_string(revision->source), time_format(revision->received_at, received),
                        time_format(revision->completed_at, completed));
        if (r < 0)
                return r;
        r = json_encode(response, out);
        return r < 0 ? r : buffer_append_str(out, "}");
}

static int list_revision(const StoredRevision *revision, void *userdata)
{
        Page *page = userdata;
        char key[16];
        int r;

        snprintf(key, sizeof(key), "%u", revision->number);
        r = page_add(page, revision->number, key);
        return r <= 0 ? r : append_revision(revision, page_text(page));
}

static int take_revision(const StoredRevision *revision, void *userdata)
{
        return append_revision(revision, userdata);
}

static int render_revision(StoreReader *reader, const char *subject, const char *key, Buffer *out)
{
        int r;

        r = store_list_revisions(
                        reader, subject, (unsigned)strtoul(key, NULL, 10) - 1, 1, take_revision, out);
        return r == 0 ? -ENOENT : MIN(r, 0);
}

static int reply_revisions(HttpRequest *request, StoreReader *reader, void *userdata)
{
        const char *id = http_request_path_arg(request, 0);
        _cleanup_(page_freep) Page *page = NULL;
        RevisionQuery query = { .limit = 100 };
        LocalBase *base = userdata;
        int r;

        r = params_read(request, &query);
        if (r != 0)
                return MIN(r, 0);
        r = page_new(query.limit, &page);
        if (r < 0)
                return r;
        r = page_set_render(page, render_revision, base->readers, id);
        if (r < 0)
                return r;

        r = store_list_revisions(
                        reader, id, (unsigned)query.after, (unsigned)query.limit + 1, list_revision, page);
        if (r < 0)
                return local_reply_failure(reader, request, r);
        if (r == 0)
                return local_reply_not_found(request, "Task not found");
        return page_reply(request, TAKE_PTR(page));
}

int tasks_on_revisions(HttpRequest *request, void *userdata)
{
        LocalBase *base = userdata;

        return readers_answer(base->readers, request, READ_QUICK, reply_revisions, base);
}
