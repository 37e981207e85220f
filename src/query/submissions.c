/*
 * The outbox as both daemons show it: lists without parameters, a single submission with them. A list from
 * the newest on is for people, and has the front of what was asked. What isn't there is left out. Answers of
 * the API are shown as the JSON that they are, or as the text of a proxy's page.
 */

#include "basic/parse.h"
#include "query/local.h"
#include "query/page.h"
#include "query/params.h"
#include "json/encode.h"
#include "json/parse.h"

#define SUBMISSION_TEXT_MAX ((size_t)64 * 1024 * 1024)
#define INSTRUCTION_MAX     300U                /* bytes of it in a list */
#define INSTRUCTION_OF_MAX  ((size_t)64 * 1024) /* parameters that are looked through for it */

typedef struct SubmissionQuery {
        SubmissionState state;
        bool newest;
        uint64_t after, limit;
} SubmissionQuery;

const Param submissions_params[] = {
        { "state", PARAM_STATE, offsetof(SubmissionQuery, state), 0, 0 },
        { "order", PARAM_ORDER, offsetof(SubmissionQuery, newest), 0, 0 },
        { "after", PARAM_NUMBER, offsetof(SubmissionQuery, after), 0, INT64_MAX },
        { "limit", PARAM_NUMBER, offsetof(SubmissionQuery, limit), 1, 100 },
        {},
};

/* JSON where it is JSON, else the text. */
static int set_json(json_t *object, const char *name, const char *text, size_t size)
{
        json_t *value;
        int r;

        if (!text)
                return 0;
        r = json_parse(text, size, JSON_DECODE_ANY, &value, NULL);
        if (r == -ENOMEM)
                return r;
        return json_object_set_new(object, name, r < 0 ? json_stringn(text, size) : value);
}

static int set_json_text(json_t *object, const char *name, const char *text)
{
        return set_json(object, name, text, text ? strlen(text) : 0);
}

static json_t *submission_to_json(LocalBase *base, const Submission *submission)
{
        json_auto_t *object = json_object(), *waiting = base ? base->waiting_of(base, submission) : NULL;
        int r;

        r = member_set_text(object, "submission_id", submission->id);
        r |= member_set_text(object, "type", submission->type);
        r |= member_set_text(object, "state", submission_state_to_string(submission->state));
        r |= json_object_set_new(object, "is_test", json_boolean(submission->is_test));
        r |= member_set_text(object, "task_id", submission->task_id);
        r |= member_set_time(object, "created_at", submission->created_at);
        r |= member_set_time(object, "changed_at", submission->changed_at);
        r |= member_set_time(object, "next_attempt_at", submission->next_at);
        r |= member_set_time(object, "expires_at", submission->expires_at);
        r |= json_object_set_new(object, "attempts", json_integer((json_int_t)submission->attempts));
        if (submission->cancel_wanted)
                r |= json_object_set_new(object, "cancel_requested", json_true());
        r |= member_set_text(object, "idempotency_key", submission->idempotency_key);
        if (submission->status > 0)
                r |= json_object_set_new(
                                object, "status_code", json_integer((json_int_t)submission->status));
        r |= member_set_text(object, "error", submission->error);
        if (waiting)
                r |= json_object_set(object, "waiting", waiting);
        r |= set_json_text(object, "answer", submission->answer);
        r |= set_json_text(object, "problems", submission->problems);
        r |= set_json(object, "params", submission->params, submission->params_size);

        return r < 0 ? NULL : json_incref(object);
}

/* `base`: why it waits is told; NULL: it isn't. */
static int append(LocalBase *base, const Submission *submission, Buffer *text)
{
        json_auto_t *value = submission_to_json(base, submission);

        return value ? json_encode(value, text) : -ENOMEM;
}

int submission_append(const Submission *submission, void *userdata)
{
        return append(NULL, submission, userdata);
}

typedef struct Telling {
        LocalBase *base; /* NULL: nothing is told of why something waits */
        Page *page;
        Buffer *text;
} Telling;

/* Whom to ask why something waits, where somebody knows. 0 or negative errno (of reading). */
static int begin_telling(LocalBase *base, Telling *telling)
{
        telling->base = base->waiting_begin ? base : NULL;
        return telling->base ? base->waiting_begin(base) : 0;
}

static int append_one(const Submission *submission, void *userdata)
{
        const Telling *telling = userdata;

        return append(telling->base, submission, telling->text);
}

static int reply_one(
                HttpRequest *request, StoreReader *reader, LocalBase *base, unsigned status, const char *id)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(SUBMISSION_TEXT_MAX);
        Telling telling = { .text = &text };
        int r;

        r = base ? begin_telling(base, &telling) : 0;
        if (r >= 0)
                r = store_get_submission(reader, id, true, append_one, &telling);
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

int submission_reply_added(LocalBase *base, HttpRequest *request, const Submission *s)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(SUBMISSION_TEXT_MAX);
        Submission without = *s;
        Telling telling;
        int r;

        without.params = NULL;
        r = begin_telling(base, &telling);
        if (r < 0)
                return local_reply_failure(base->reader, request, r);
        r = append(telling.base, &without, &text);
        if (r < 0)
                return r;
        text.size--; /* the brace */
        r = buffer_append_str(&text, ",\"params\":");
        if (r >= 0)
                r = buffer_append(&text, s->params, s->params_size);
        if (r >= 0)
                r = buffer_append_str(&text, "}");
        return r < 0 ? r : http_reply(request, 202, "application/json", text.data, text.size);
}

/* Who knows why submissions wait is the loop, which then answers itself: a page at most. */
static int answer_submission(LocalBase *base, HttpRequest *request, ReadHandler handler)
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
        return answer_submission(userdata, request, reply_submission);
}

/* The list. */

static int list_submission(const Submission *submission, void *userdata)
{
        const Telling *telling = userdata;
        int r = page_add(telling->page, submission->n, NULL);

        return r <= 0 ? r : append(telling->base, submission, page_text(telling->page));
}

/* The front of a text, and whole characters of it. */
static json_t *front_of(const char *text)
{
        const char *end = text + strlen(text), *p = text;

        for (size_t n; p < end && (n = utf8_measure(p, end)) > 0 &&
                        (size_t)(p - text) + n <= INSTRUCTION_MAX;)
                p += n;
        return json_stringn(text, (size_t)(p - text));
}

/* In the place of its parameters the front of the instruction among them. */
static int list_with_instruction(const Submission *submission, void *userdata)
{
        const Telling *telling = userdata;
        Submission without = *submission;
        json_auto_t *value = NULL, *params = NULL;
        const char *instruction;
        int r;

        r = page_add(telling->page, submission->n, NULL);
        if (r <= 0)
                return r;
        without.params = NULL;
        value = submission_to_json(telling->base, &without);
        if (!value)
                return -ENOMEM;
        if (submission->params && submission->params_size <= INSTRUCTION_OF_MAX &&
                        json_parse(submission->params, submission->params_size, 0, &params, NULL) == -ENOMEM)
                return -ENOMEM;
        instruction = json_string_value(json_object_get(params, "instruction"));
        if (instruction && json_object_set_new(value, "instruction", front_of(instruction)) < 0)
                return -ENOMEM;
        return json_encode(value, page_text(telling->page));
}

static int reply_submissions(HttpRequest *request, StoreReader *reader, void *userdata)
{
        SubmissionQuery query = { .state = _SUBMISSION_STATE_ERRNO, .limit = 100 };
        _cleanup_(page_freep) Page *page = NULL;
        Telling telling = {};
        int r;

        r = params_read(request, &query);
        if (r != 0)
                return MIN(r, 0);

        r = page_new(query.limit, &page);
        if (r < 0)
                return r;
        telling.page = page;
        r = userdata ? begin_telling(userdata, &telling) : 0;
        if (r >= 0)
                r = (query.newest ? store_list_submissions_back : store_list_submissions)(reader,
                                query.state, query.after, (unsigned)query.limit + 1,
                                query.newest ? list_with_instruction : list_submission, &telling);
        return r < 0 ? local_reply_failure(reader, request, r) : page_reply(request, TAKE_PTR(page));
}

int submissions_on_list(HttpRequest *request, void *userdata)
{
        return answer_submission(userdata, request, reply_submissions);
}
