/*
 * The outbox as both daemons show it: lists without parameters, a single submission with them. What isn't
 * there is left out. Answers of the API are shown as the JSON that they are, or as the text of a proxy's
 * page.
 */

#include "query/list.h"
#include "query/local.h"
#include "query/params.h"
#include "json/encode.h"
#include "json/parse.h"

#define TEXT_MAX ((size_t)64 * 1024 * 1024)

typedef struct SubmissionQuery {
        SubmissionState state;
        uint64_t after, limit;
} SubmissionQuery;

const Param submissions_params[] = {
        { "state", PARAM_STATE, offsetof(SubmissionQuery, state), 0, 0 },
        { "after", PARAM_NUMBER, offsetof(SubmissionQuery, after), 0, INT64_MAX },
        { "limit", PARAM_NUMBER, offsetof(SubmissionQuery, limit), 1, 100 },
        {},
};

/* JSON where it is JSON, else the text. */
static int set_json(json_t *o, const char *name, const char *text, size_t size)
{
        json_t *value;
        int r;

        if (!text)
                return 0;
        r = json_parse(text, size, JSON_DECODE_ANY, &value, NULL);
        if (r == -ENOMEM)
                return r;
        return json_object_set_new(o, name, r < 0 ? json_stringn(text, size) : value);
}

static int set_json_text(json_t *o, const char *name, const char *text)
{
        return set_json(o, name, text, text ? strlen(text) : 0);
}

static json_t *submission_to_json(LocalBase *base, const Submission *s)
{
        json_auto_t *o = json_object(), *waiting = base ? base->waiting_of(base, s) : NULL;
        int r;

        r = member_set_text(o, "submission_id", s->id);
        r |= member_set_text(o, "type", s->type);
        r |= member_set_text(o, "state", submission_state_to_string(s->state));
        r |= json_object_set_new(o, "is_test", json_boolean(s->is_test));
        r |= member_set_text(o, "task_id", s->task_id);
        r |= member_set_time(o, "created_at", s->created_at);
        r |= member_set_time(o, "changed_at", s->changed_at);
        r |= member_set_time(o, "next_attempt_at", s->next_at);
        r |= member_set_time(o, "expires_at", s->expires_at);
        r |= json_object_set_new(o, "attempts", json_integer((json_int_t)s->attempts));
        if (s->cancel_wanted)
                r |= json_object_set_new(o, "cancel_requested", json_true());
        r |= member_set_text(o, "idempotency_key", s->idempotency_key);
        if (s->status > 0)
                r |= json_object_set_new(o, "status_code", json_integer((json_int_t)s->status));
        r |= member_set_text(o, "error", s->error);
        if (waiting)
                r |= json_object_set(o, "waiting", waiting);
        r |= set_json_text(o, "answer", s->answer);
        r |= set_json_text(o, "problems", s->problems);
        r |= set_json(o, "params", s->params, s->params_size);

        return r < 0 ? NULL : json_incref(o);
}

/* `base`: why it waits is told; NULL: it isn't. */
static int append(LocalBase *base, const Submission *s, Buffer *text)
{
        json_auto_t *value = submission_to_json(base, s);

        return value ? json_encode(value, text) : -ENOMEM;
}

int submission_append(const Submission *s, void *userdata)
{
        return append(NULL, s, userdata);
}

typedef struct Telling {
        LocalBase *base; /* NULL: nothing is told of why something waits */
        LocalList *list;
        Buffer *text;
} Telling;

/* Whom to ask why something waits, where somebody knows. 0 or negative errno (of reading). */
static int begin_telling(LocalBase *base, Telling *t)
{
        t->base = base->waiting_begin ? base : NULL;
        return t->base ? base->waiting_begin(base) : 0;
}

static int append_one(const Submission *s, void *userdata)
{
        const Telling *t = userdata;

        return append(t->base, s, t->text);
}

static int reply_one(
                HttpRequest *request, StoreReader *reader, LocalBase *base, unsigned status, const char *id)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TEXT_MAX);
        Telling t = { .text = &text };
        int r;

        r = base ? begin_telling(base, &t) : 0;
        if (r >= 0)
                r = store_get_submission(reader, id, true, append_one, &t);
        if (r < 0)
                return local_reply_failure(reader, request, r);
        if (r == 0)
                return local_reply_not_found(request, "Submission not found");
        return http_reply(request, status, "application/json", text.data, text.size);
}

int submission_reply(LocalBase *base, HttpRequest *request, unsigned status, const char *id)
{
        return reply_one(request, base->reader, base, status, id);
}

/* Who knows why submissions wait is the loop, which then answers itself: a page at most. */
static int answer(LocalBase *base, HttpRequest *request, ReadHandler handler)
{
        if (base->waiting_begin)
                return handler(request, base->reader, base);
        return readers_answer(base->readers, request, READ_QUICK, handler, NULL);
}

static int reply_submission(HttpRequest *request, StoreReader *reader, void *userdata)
{
        return reply_one(request, reader, userdata, 200, http_request_path_arg(request, 0));
}

int submissions_on_get(HttpRequest *request, void *userdata)
{
        return answer(userdata, request, reply_submission);
}

/* The list. */

static int list_submission(const Submission *s, void *userdata)
{
        const Telling *t = userdata;
        int r = local_list_next(t->list, s->n);

        return r <= 0 ? r : append(t->base, s, &t->list->text);
}

static int reply_list(HttpRequest *request, StoreReader *reader, void *userdata)
{
        SubmissionQuery q = { .state = _SUBMISSION_STATE_ERRNO, .limit = 100 };
        _cleanup_local_list_ LocalList list = LOCAL_LIST_INIT;
        Telling t = { .list = &list };
        int r;

        r = params_read(request, &q);
        if (r != 0)
                return MIN(r, 0);

        list.limit = q.limit;
        r = userdata ? begin_telling(userdata, &t) : 0;
        if (r >= 0)
                r = store_list_submissions(
                                reader, q.state, q.after, (unsigned)q.limit + 1, list_submission, &t);
        return r < 0 ? local_reply_failure(reader, request, r) : local_list_reply(&list, request);
}

int submissions_on_list(HttpRequest *request, void *userdata)
{
        return answer(userdata, request, reply_list);
}
