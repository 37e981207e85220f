/*
 * The task as the API shows it. What is stored are the bodies as they came; the newest `task` among them
 * gives the members and their order, and what has changed since is put in its place: the current response,
 * the status, the time of completion.
 */

#include "task/document.h"

#include "basic/time-util.h"
#include "task/check.h"
#include "json/parse.h"

/* Parses a body of ours leniently (it was accepted once). A new reference. 0, -ENOMEM, -EBADMSG. */
static int parse_body(const void *body, size_t size, json_t **ret)
{
        return json_parse(body, size, 0, ret, NULL);
}

/* A failed attachment says so in a response, or bare. A new reference. */
static int response_of_root(const json_t *root, json_t **ret)
{
        static const char *const members[] = { "error", "attachments" };
        json_t *response = member_get(root, "response");
        json_auto_t *failure = NULL;

        if (response) {
                *ret = json_incref(response);
                return 0;
        }
        if (!member_get(root, "error"))
                return -ENOENT;
        failure = json_object();
        if (!failure)
                return -ENOMEM;
        FOREACH_ARRAY(m, members, ELEMENTSOF(members)) {
                json_t *value = member_get(root, *m);

                if (value && json_object_set(failure, *m, value) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(failure);
        return 0;
}

int task_response_of_body(const void *body, size_t size, json_t **ret)
{
        json_auto_t *root = NULL;
        int r;

        r = parse_body(body, size, &root);
        return r < 0 ? r : response_of_root(root, ret);
}

/* A time that says the same stays as it was written. */
static int set_time(json_t *task, const char *name, int64_t t)
{
        const char *text = json_string_value(json_object_get(task, name));
        char buf[TIME_STAMP_SIZE];
        int64_t before;

        if (t == TIME_NONE || (text && time_parse(text, &before) >= 0 && before == t))
                return 0;
        return json_object_set_new(task, name, json_string(time_format(t, buf)));
}

/* What is known of a task of which no body said more. */
static json_t *make_task(const TaskDocument *document)
{
        return json_pack("{s:s, s:s?, s:s, s:{}}", "task_id", document->task_id, "type", document->type,
                        "status", task_status_to_string(document->status), "metadata");
}

/* The task of the newest body that had one. */
static int load_task(const TaskDocument *document, json_t *root, json_t **ret)
{
        json_t *task = json_object_get(root, "task");

        if (document->document && !json_is_object(task))
                return -EBADMSG;
        *ret = document->document ? json_incref(task) : make_task(document);
        return *ret ? 0 : -ENOMEM;
}

static int load_response(const TaskDocument *document, json_t *root, json_t **ret)
{
        int r;

        if (document->response != document->document)
                return task_response_of_body(document->response, document->response_size, ret);
        r = response_of_root(root, ret);
        return r == -ENOENT ? -EBADMSG : r;
}

int task_document_to_json(const TaskDocument *document, json_t **ret)
{
        json_auto_t *root = NULL, *task = NULL, *response = NULL;
        int r;

        if (document->document) {
                r = parse_body(document->document, document->document_size, &root);
                if (r < 0)
                        return r;
        }
        r = load_task(document, root, &task);
        if (r < 0)
                return r;
        if (document->response) {
                r = load_response(document, root, &response);
                if (r < 0)
                        return r;
        }

        if (json_object_set_new(task, "status", json_string(task_status_to_string(document->status))) < 0 ||
                        set_time(task, "created_at", document->created_at) < 0 ||
                        set_time(task, "completed_at", document->completed_at) < 0 ||
                        (response && json_object_set(task, "response", response) < 0) ||
                        (document->is_test && json_object_set_new(task, "is_test", json_true()) < 0))
                return -ENOMEM;

        *ret = json_incref(task);
        return 0;
}
