/* queue, cancel: what is in the outbox, and a mail queue's verbs for it. */

#include "basic/time-util.h"
#include "scalectl/bulk.h"
#include "scalectl/lists.h"
#include "scalectl/text/format.h"
#include "scalectl/text/json-text.h"

#define PAGE 100U

typedef struct QueueOptions {
        const char *state;
        ListFilter filter;
        uint64_t n;
        bool dry_run;
} QueueOptions;

static const Option queue_options[] = {
        { "--state", OPTION_TEXT, offsetof(QueueOptions, state) },
        { "--type", OPTION_TEXT, offsetof(QueueOptions, filter.type) },
        { "--since", OPTION_TIME, offsetof(QueueOptions, filter.since) },
        { "--until", OPTION_TIME, offsetof(QueueOptions, filter.until) },
        { "-n", OPTION_NUMBER, offsetof(QueueOptions, n) },
        { "--dry-run", OPTION_FLAG, offsetof(QueueOptions, dry_run) },
};

static const Column columns[] = {
        { "SUBMISSION", false, false },
        { "TYPE", false, true },
        { "STATE", false, false },
        { "CREATED", false, false },
        { "NEXT TRY", false, true },
        { "TRIES", true, true },
        { "TASK", false, true },
        { "WHY", false, false },
};

static void add_submission(Table *table, const json_t *doc, bool utc)
{
        const json_t *waiting = json_object_get(doc, "waiting");
        const json_t *next = waiting ? json_object_get(waiting, "until")
                                     : json_object_get(doc, "next_attempt_at");
        const char *error = json_string_value(json_object_get(doc, "error"));
        char time[FORMAT_TIME_SIZE];

        table_add_text(table, json_string_value(json_object_get(doc, "submission_id")));
        table_add_text(table, json_string_value(json_object_get(doc, "type")));
        table_add_text(table, json_string_value(json_object_get(doc, "state")));
        table_add_text(table, format_json_time(json_object_get(doc, "created_at"), utc, time));
        table_add_text(table, format_json_time(next, utc, time));
        table_add(table, format_value(json_object_get(doc, "attempts")));
        table_add_text(table, json_string_value(json_object_get(doc, "task_id")));
        table_add_text(table, error ?: json_string_value(json_object_get(waiting, "text")));
}

/* All of a state, up to `n` in the list. */
static int list_state(List *list, const char *state, uint64_t n)
{
        int r = 0;

        list->more = true;
        free(TAKE_PTR(list->next));
        while (r == 0 && list_left(list, n) > 0) {
                ApiUrl url = api_url("/v1/submissions");

                api_url_add(&url, "state", state);
                api_url_add(&url, "after", list->next);
                api_url_add_number(&url, "limit", list_limit(list, n, PAGE));
                r = list_page_of(list, API_SUBMIT, &url);
        }
        return r;
}

static json_t *get_queue(const Ctl *ctl, int *ret)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        ApiUrl url = api_url("/v1/queue");
        json_t *queue = NULL;

        *ret = api_call(ctl, API_SUBMIT, "GET", &url, &body);
        if (*ret == 0) {
                queue = api_json(&body);
                if (!queue)
                        *ret = api_complain_broken();
        }
        return queue;
}

/* Says what stops the queue as a whole, but for a hold. */
static void say_waiting(const json_t *queue)
{
        const json_t *waiting = json_object_get(queue, "waiting");
        const char *text = json_string_value(json_object_get(waiting, "text"));
        const char *help = json_string_value(json_object_get(waiting, "help"));

        if (text && !streq_ptr(json_string_value(json_object_get(waiting, "severity")), "info"))
                complain("what is queued waits: %s%s%s", text, help ? "; " : "", help ?: "");
}

/* Says so where the queue is held, or waits for something else: it explains why nothing moves. */
static int say_hold(const Ctl *ctl)
{
        json_auto_t *queue = NULL;
        _cleanup_free_ char *hold = NULL, *reason = NULL;
        char since[FORMAT_TIME_SIZE];
        int r;

        queue = get_queue(ctl, &r);
        if (r != 0)
                return r;
        hold = format_value(json_object_get(queue, "hold"));
        reason = format_value(json_object_get(queue, "reason"));
        if (!hold || !reason)
                return EX_OSERR;
        if (*hold && !streq(hold, "running"))
                complain("the queue is held since %s%s%s; `scalectl queue resume` lets it go on",
                                format_json_time(json_object_get(queue, "since"), ctl->utc, since),
                                *reason ? ": " : "", reason);
        else
                say_waiting(queue);
        return 0;
}

static int list_queue(Ctl *ctl, const QueueOptions *o)
{
        /* What a look at a queue is for comes first. */
        static const char *const states[] = { "unknown", "sending", "queued", "rejected", "expired" };
        List l = list_start(ctl, columns, ELEMENTSOF(columns), add_submission);
        int r;

        list_choose(&l, &o->filter, o->n);
        r = say_hold(ctl);
        if (o->state)
                r = r != 0 ? r : list_state(&l, o->state, o->n);
        else
                for (size_t i = 0; r == 0 && i < ELEMENTSOF(states); i++)
                        r = list_state(&l, states[i], o->n);
        if (r == 0)
                r = list_end(&l);
        list_done(&l);
        return r;
}

/* "ID: state" of a submission, or of a task. */
static int show_state(const Ctl *ctl, const char *id, const Buffer *body)
{
        json_auto_t *answer = api_json(body);
        _cleanup_free_ char *state = format_value(json_object_get(answer, "state"));
        _cleanup_free_ char *status = format_value(json_object_get(answer, "status"));
        bool wanted = json_is_true(json_object_get(answer, "cancel_requested"));

        if (!state || !status)
                return EX_OSERR;
        if (!*state && !*status)
                return api_complain_broken();
        if (ctl->json)
                json_text_print_line(buffer_text(body), body->size, ctl->term.width > 0, stdout);
        else
                printf("%s: %s%s\n", id, *state ? state : status,
                                wanted ? ", to be canceled as soon as that can be done" : "");
        return 0;
}

/* What a call that failed did, as far as that can be told. Nothing is to be added where it came to nobody.
 */
static void say_what_changed(const char *id, int r, unsigned status)
{
        if (status >= 400 && status <= 499)
                complain("%s: nothing was changed", id);
        else if (status >= 500 || r == EX_TEMPFAIL || r == EX_IOERR)
                complain("%s: whether anything was changed is not known", id);
}

static int act(const Ctl *ctl, const char *path, const char *id, const char *action)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        ApiUrl url = api_url(path);
        unsigned status;
        int r;

        api_url_segment(&url, id);
        api_url_segment(&url, action);
        r = api_call_status(ctl, API_SUBMIT, "POST", &url, &body, &status);
        if (r == 0)
                return show_state(ctl, id, &body);
        say_what_changed(id, r, status);
        /* The API's own, handed on: what it says of a completed task, a no like any other. */
        return status == 500 && streq(path, "/v1/task") ? EX_NO : r;
}

static int act_on_submission(const Ctl *ctl, const BulkVerb *verb, const char *id)
{
        return act(ctl, "/v1/submission", id, verb->name);
}

static int act_on_task(const Ctl *ctl, const BulkVerb *verb, const char *id)
{
        return act(ctl, "/v1/task", id, verb->name);
}

static int look_at(const Ctl *ctl, const char *path, const char *id, const char *member, char **ret)
{
        ApiUrl url = api_url(path);

        api_url_segment(&url, id);
        return bulk_get(ctl, API_SUBMIT, &url, member, ret);
}

static int look_at_submission(const Ctl *ctl, const char *id, char **ret_state)
{
        return look_at(ctl, "/v1/submission", id, "state", ret_state);
}

/* The id of a submission has 32 digits, that of a task 24. One that was accepted is its task. */
static int look_at_either(const Ctl *ctl, const char *id, char **ret)
{
        _cleanup_free_ char *state = NULL, *task = NULL;
        int r;

        if (strlen(id) != 32)
                return look_at(ctl, "/v1/task", id, "status", ret);
        r = look_at(ctl, "/v1/submission", id, "state", &state);
        if (r != 0)
                return r;
        if (!streq(state, "accepted")) {
                *ret = TAKE_PTR(state);
                return 0;
        }
        r = look_at(ctl, "/v1/submission", id, "task_id", &task);
        return r != 0 ? r : look_at(ctl, "/v1/task", task, "status", ret);
}

static const char *const submission_members[] = { "submission_id", "submission", NULL };
static const char *const either_members[] = { "submission_id", "task_id", NULL };

static const BulkRule retry_rules[] = {
        { "sending", BULK_REFUSED, "it is under way right now" },
        { "accepted", BULK_REFUSED, "the API has its task, and will not get another" },
        {},
};

static const BulkRule drop_rules[] = {
        { "sending", BULK_REFUSED, "it is under way right now; cancel it" },
        { "unknown", BULK_REFUSED, "the API may have a task for it; cancel it" },
        { "accepted", BULK_REFUSED, "the API has its task; cancel that" },
        { "canceled", BULK_NOTHING, NULL },
        {},
};

static const BulkRule cancel_rules[] = {
        { "completed", BULK_REFUSED, "what is completed can't be canceled" },
        { "error", BULK_REFUSED, "it has come to its end" },
        { "canceled", BULK_NOTHING, NULL },
        {},
};

static const BulkVerb queue_verbs[] = {
        { "retry", "retried", submission_members, "the id of a submission", NULL, act_on_submission,
                        look_at_submission, retry_rules },
        { "drop", "dropped", submission_members, "the id of a submission", NULL, act_on_submission,
                        look_at_submission, drop_rules },
};

static const BulkVerb cancel_verb = {
        "cancel",
        "canceled",
        either_members,
        "the id of a task or a submission",
        NULL,
        act_on_task,
        look_at_either,
        cancel_rules,
};

/* hold, resume, flush: the queue as a whole. */
static int act_on_queue(const Ctl *ctl, const char *action, const char *reason)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        json_auto_t *answer = NULL;
        _cleanup_free_ char *hold = NULL;
        ApiUrl url = api_url("/v1/queue");
        const json_t *flushed;
        int r;

        api_url_segment(&url, action);
        api_url_add(&url, "reason", reason);
        r = api_call(ctl, API_SUBMIT, "POST", &url, &body);
        if (r != 0)
                return r;
        answer = api_json(&body);
        hold = format_value(json_object_get(answer, "hold"));
        flushed = json_object_get(answer, "flushed");
        if (!hold || !*hold)
                return hold ? api_complain_broken() : EX_OSERR;

        if (ctl->json)
                json_text_print_line(buffer_text(&body), body.size, ctl->term.width > 0, stdout);
        else if (flushed)
                printf("%" JSON_INTEGER_FORMAT " are tried now\n", json_integer_value(flushed));
        else
                printf("the queue is %s\n", hold);
        return 0;
}

static int show_submission(Ctl *ctl, const char *id)
{
        ApiUrl url = api_url("/v1/submission");

        api_url_segment(&url, id);
        return show_object_of(ctl, API_SUBMIT, &url);
}

/* Whether only the list can take what was given. */
static bool is_chosen(const QueueOptions *o)
{
        return o->state || list_filter_chooses(&o->filter) || o->n != UINT64_MAX;
}

/* All but the list; `n` words are there. */
static int run_action(Ctl *ctl, char **words, unsigned n, bool dry_run)
{
        const char *action = words[0];

        FOREACH_ARRAY(v, queue_verbs, ELEMENTSOF(queue_verbs))
                if (streq(action, v->name) && n >= 2)
                        return bulk_run(ctl, v, dry_run, words + 1, n - 1);
        if (dry_run)
                return options_complain_usage(ctl);
        if (streq(action, "show") && n == 2)
                return show_submission(ctl, words[1]);
        if ((streq(action, "hold") && n <= 2) ||
                        ((streq(action, "resume") || streq(action, "flush")) && n == 1))
                return act_on_queue(ctl, action, n == 2 ? words[1] : NULL);
        return options_complain_usage(ctl);
}

int verb_queue(Ctl *ctl, int argc, char **argv)
{
        QueueOptions o = { .filter = { "created_at", NULL, TIME_NONE, TIME_NONE }, .n = UINT64_MAX };
        unsigned n;
        int r;

        r = options_read(ctl, queue_options, ELEMENTSOF(queue_options), &o, argc, argv, 0, 10000, &n);
        if (r != 0)
                return r;
        if (n == 0 || streq(argv[1], "list"))
                return n <= 1 && !o.dry_run ? list_queue(ctl, &o) : options_complain_usage(ctl);
        return is_chosen(&o) ? options_complain_usage(ctl) : run_action(ctl, argv + 1, n, o.dry_run);
}

typedef struct CancelOptions {
        bool dry_run;
} CancelOptions;

static const Option cancel_options[] = {
        { "--dry-run", OPTION_FLAG, offsetof(CancelOptions, dry_run) },
};

int verb_cancel(Ctl *ctl, int argc, char **argv)
{
        CancelOptions o = {};
        unsigned n;
        int r;

        r = options_read(ctl, cancel_options, ELEMENTSOF(cancel_options), &o, argc, argv, 1, 10000, &n);
        return r != 0 ? r : bulk_run(ctl, &cancel_verb, o.dry_run, argv + 1, n);
}
