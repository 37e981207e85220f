/* Lists: newest first, and of the same time in the order of creation. A filter that can't be read is 400. */

#include "sandbox/world-internal.h"

#include <stdio.h>

#include "basic/form.h"

#define PAIRS_MAX 64U

typedef struct ListQuery {
        int64_t start_time, end_time;
        TaskStatus status; /* _TASK_STATUS_INVALID: any */
        const char *type;  /* NULL: any */
        uint64_t limit, offset;
} ListQuery;

static bool read_time(const char *text, int64_t *ret)
{
        return time_parse(text, ret) >= 0;
}

static bool read_start(ListQuery *q, const char *text)
{
        return read_time(text, &q->start_time);
}

static bool read_end(ListQuery *q, const char *text)
{
        return read_time(text, &q->end_time);
}

static bool read_status(ListQuery *q, const char *text)
{
        q->status = task_status_from_string(text);
        return q->status >= 0;
}

static bool read_type(ListQuery *q, const char *text)
{
        const TaskType *type = type_find(text);

        q->type = type ? type->name : text;
        return true;
}

static bool read_limit(ListQuery *q, const char *text)
{
        return parse_u64(text, 1, 100, &q->limit) >= 0;
}

static bool read_offset(ListQuery *q, const char *text)
{
        return parse_u64(text, 0, INT64_MAX, &q->offset) >= 0;
}

static const struct {
        const char *name;
        bool (*read)(ListQuery *q, const char *text);
        const char *wanted;
} list_params[] = {
        { "start_time", read_start, "a date in ISO 8601" },
        { "end_time", read_end, "a date in ISO 8601" },
        { "status", read_status, "one of pending, completed, canceled" },
        { "type", read_type, "a type of task" },
        { "limit", read_limit, "a number from 1 to 100" },
        { "offset", read_offset, "a number from 0" },
};

/* 0; 1: answered 400; -ENOMEM. */
static int read_pair(ListQuery *q, const FormPair *pair, WorldAnswer *a)
{
        int r;

        if (pair->value_size == 0)
                return 0;
        FOREACH_ARRAY(p, list_params, ELEMENTSOF(list_params)) {
                if (!streq(p->name, pair->name))
                        continue;
                if (strlen(pair->value) == pair->value_size && p->read(q, pair->value))
                        return 0;
                r = answer_error(a, 400, NULL, "%s: wanted is %s.", p->name, p->wanted);
                return r < 0 ? r : 1;
        }
        return 0;
}

/* Likewise. What the query points to is in `text`. */
static int read_query(ListQuery *q, char *text, WorldAnswer *a)
{
        FormPair pairs[PAIRS_MAX];
        size_t n = 0;
        int r;

        if (form_split(text, pairs, ELEMENTSOF(pairs), &n) < 0) {
                r = answer_error(a, 400, NULL, "There are more than %u parameters.", PAIRS_MAX);
                return r < 0 ? r : 1;
        }
        FOREACH_ARRAY(pair, pairs, n) {
                r = read_pair(q, pair, a);
                if (r != 0)
                        return r;
        }
        return 0;
}

static bool fits(const World *w, const ListQuery *q, const Task *t)
{
        return t->visible_at <= w->now && t->created_at >= q->start_time && t->created_at <= q->end_time &&
               (q->status < 0 || t->status == q->status) && (!q->type || streq(q->type, t->type->name));
}

static int append(json_t *docs, const Task *t)
{
        json_t *task;
        int r;

        r = task_show(t, &task);
        if (r < 0)
                return r;
        return json_array_append_new(docs, task) < 0 ? -ENOMEM : 0;
}

int list_on_tasks(World *w, const WorldRequest *request, _unused_ const char *arg, WorldAnswer *a)
{
        ListQuery q = {
                .start_time = INT64_MIN,
                .end_time = INT64_MAX,
                .status = _TASK_STATUS_INVALID,
                .limit = 100,
        };
        _cleanup_free_ char *text = strdup(request->query ?: "");
        json_auto_t *docs = json_array();
        uint64_t total = 0;
        int r;

        if (!text || !docs)
                return -ENOMEM;
        r = read_query(&q, text, a);
        if (r != 0)
                return MIN(r, 0);

        for (size_t i = w->n_tasks; i-- > 0;) {
                if (!fits(w, &q, w->tasks[i]))
                        continue;
                if (total >= q.offset && total - q.offset < q.limit) {
                        r = append(docs, w->tasks[i]);
                        if (r < 0)
                                return r;
                }
                total++;
        }
        return answer_json(a, 200,
                        json_pack("{s:O, s:I, s:I, s:I, s:b}", "docs", docs, "total", (json_int_t)total,
                                        "limit", (json_int_t)q.limit, "offset", (json_int_t)q.offset,
                                        "has_more", total > q.offset && total - q.offset > q.limit));
}
