/* queue, cancel: what is in the outbox, and a mail queue's verbs for it. */

#include "scalectl/format.h"
#include "scalectl/json-text.h"
#include "scalectl/lists.h"

#define PAGE 100U

typedef struct QueueOptions {
        const char *state;
        uint64_t n;
} QueueOptions;

static const Option queue_options[] = {
        { "--state", OPTION_TEXT, offsetof(QueueOptions, state) },
        { "-n", OPTION_NUMBER, offsetof(QueueOptions, n) },
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

static void add_submission(Table *t, const json_t *doc, bool utc)
{
        char time[FORMAT_TIME_SIZE];

        table_add_text(t, json_string_value(json_object_get(doc, "submission_id")));
        table_add_text(t, json_string_value(json_object_get(doc, "type")));
        table_add_text(t, json_string_value(json_object_get(doc, "state")));
        table_add_text(t, format_json_time(json_object_get(doc, "created_at"), utc, time));
        table_add_text(t, format_json_time(json_object_get(doc, "next_attempt_at"), utc, time));
        table_add(t, format_value(json_object_get(doc, "attempts")));
        table_add_text(t, json_string_value(json_object_get(doc, "task_id")));
        table_add_text(t, json_string_value(json_object_get(doc, "error")));
}

/* All of a state, up to `n` in the list. */
static int list_state(List *l, const char *state, uint64_t n)
{
        int r = 0;

        l->more = true;
        free(TAKE_PTR(l->next));
        for (uint64_t left = list_left(l, n); r == 0 && left > 0; left = list_left(l, n)) {
                ApiUrl url = api_url("/v1/submissions");

                api_url_add(&url, "state", state);
                api_url_add(&url, "after", l->next);
                api_url_add_number(&url, "limit", MIN(left, (uint64_t)PAGE));
                r = list_page_of(l, API_SUBMIT, &url);
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
                queue = json_loadb(buffer_text(&body), body.size, JSON_ALLOW_NUL, NULL);
                if (!queue)
                        *ret = api_complain_broken();
        }
        return queue;
}

/* Says so where the queue is held: it explains why nothing moves. */
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
                                format_json_time(json_object_get(queue, "held_since"), ctl->utc, since),
                                *reason ? ": " : "", reason);
        return 0;
}

static int list_queue(Ctl *ctl, const QueueOptions *o)
{
        /* What a look at a queue is for comes first. */
        static const char *const states[] = { "unknown", "sending", "queued", "rejected", "expired" };
        List l = list_start(ctl, columns, ELEMENTSOF(columns), add_submission);
        int r;

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
        json_auto_t *answer = json_loadb(buffer_text(body), body->size, JSON_ALLOW_NUL, NULL);
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

static int act(const Ctl *ctl, const char *path, const char *id, const char *action)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        ApiUrl url = api_url(path);
        int r;

        api_url_segment(&url, id);
        api_url_segment(&url, action);
        r = api_call(ctl, API_SUBMIT, "POST", &url, &body);
        if (r == EX_NO)
                complain("%s: nothing was changed", id);
        return r != 0 ? r : show_state(ctl, id, &body);
}

/* A no to one is no reason to leave out the next, anything else is. */
static int act_on_all(const Ctl *ctl, const char *path, char **ids, unsigned n, const char *action)
{
        int worst = 0, r;

        for (unsigned i = 0; i < n && (worst == 0 || worst == EX_NO); i++) {
                r = act(ctl, path, ids[i], action);
                worst = MAX(worst, r);
        }
        return worst;
}

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
        answer = json_loadb(buffer_text(&body), body.size, JSON_ALLOW_NUL, NULL);
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

int verb_queue(Ctl *ctl, int argc, char **argv)
{
        const Verb *verb = verb_find("queue");
        QueueOptions o = { .n = UINT64_MAX };
        const char *action;
        ApiUrl url;
        unsigned n;
        int r;

        r = options_read(ctl, verb, queue_options, ELEMENTSOF(queue_options), &o, argc, argv, 0, 10000, &n);
        if (r != 0)
                return r;
        action = n > 0 ? argv[1] : "list";
        if (streq(action, "list") && n <= 1)
                return list_queue(ctl, &o);
        if (streq(action, "show") && n == 2) {
                url = api_url("/v1/submission");
                api_url_segment(&url, argv[2]);
                return show_object_of(ctl, API_SUBMIT, &url);
        }
        if ((streq(action, "retry") || streq(action, "drop")) && n >= 2)
                return act_on_all(ctl, "/v1/submission", argv + 2, n - 1, action);
        if ((streq(action, "hold") && n <= 2) ||
                        ((streq(action, "resume") || streq(action, "flush")) && n == 1))
                return act_on_queue(ctl, action, n == 2 ? argv[2] : NULL);

        complain("usage: scalectl queue %s", verb->arguments);
        return EX_USAGE;
}

int verb_cancel(Ctl *ctl, int argc, char **argv)
{
        unsigned n;
        int r;

        r = options_read(ctl, verb_find("cancel"), NULL, 0, NULL, argc, argv, 1, 10000, &n);
        return r != 0 ? r : act_on_all(ctl, "/v1/task", argv + 1, n, "cancel");
}
