/*
 * A task comes in: what can be told from the headers is told before the body is read, then the parameters
 * are checked, then the submission is written, and only when it is on disk is it answered 202. From there on
 * it is the outbox's matter.
 *
 * The same Idempotency-Key with the same task is the same submission, however often it comes: who got no
 * answer may ask again.
 *
 * A body becomes parameters by the tables of its type, whether it was written as JSON or as a form, and
 * everything that is wrong with them is named at once. The member of the metadata that the submitter ties
 * tasks to submissions with is its own: a task that brings one is refused, because it would be taken for
 * another.
 */

#include "submitd/socket/accept.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "basic/form.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "http/header.h"
#include "store/outbox.h"
#include "submitd/socket/context.h"
#include "task/callback.h"
#include "task/check.h"
#include "task/params.h"
#include "json/encode.h"
#include "json/parse.h"

#define KEY_HEADER      "Idempotency-Key"
#define PARAMS_TEXT_MAX ((size_t)8 * 1024 * 1024) /* a body of 1 MiB, every byte of it escaped */

/* Parameters. */

BodyKind body_kind_of(const char *content_type)
{
        static const struct {
                const char *name;
                BodyKind kind;
        } kinds[] = {
                { "application/json", BODY_JSON },
                { "application/x-www-form-urlencoded", BODY_FORM },
        };

        if (!content_type || content_type[strspn(content_type, " \t")] == 0)
                return BODY_GUESS;
        FOREACH_ARRAY(known, kinds, ELEMENTSOF(kinds))
                if (header_type_is(content_type, known->name))
                        return known->kind;
        return _BODY_KIND_ERRNO;
}

bool accept_key_is_valid(const char *key)
{
        size_t n = strnlen(key, SUBMISSION_KEY_MAX + 1);

        for (size_t i = 0; i < n; i++)
                if ((unsigned char)key[i] <= 0x20 || (unsigned char)key[i] >= 0x7f)
                        return false;
        return n > 0 && n <= SUBMISSION_KEY_MAX;
}

static int parse_json(const TaskType *type, const void *body, size_t size, json_t **ret, Problems *problems)
{
        json_auto_t *params = NULL;
        JsonFindings findings;
        json_error_t error;
        int r;

        if (callback_check_bounds(body, size, problems) != 0)
                return ACCEPT_UNREADABLE;
        r = json_parse_noting(body, size, JSON_REJECT_DUPLICATES, &params, &findings, &error);
        if (r < 0 && r != -EBADMSG)
                return r;
        if (r < 0) {
                problems_add(problems, SEVERITY_ERROR, "", "the body is not JSON: %s, in line %d, column %d",
                                error.text, error.line, error.column);
                return ACCEPT_UNREADABLE;
        }
        if (!json_is_object(params)) {
                problems_add(problems, SEVERITY_ERROR, "", "the body is JSON, but no object");
                return ACCEPT_UNREADABLE;
        }

        problems_add_findings(problems, &findings, body);
        r = task_params_normalise(type, params);
        if (r < 0)
                return r;
        *ret = json_incref(params);
        return 0;
}

static int split_form(char *text, FormPair *pairs, size_t *ret_n, Problems *problems)
{
        int r;

        r = form_split(text, pairs, TASK_FORM_PAIRS_MAX, ret_n);
        if (r == -E2BIG) {
                problems_add(problems, SEVERITY_ERROR, "", "there are more than %u parameters",
                                TASK_FORM_PAIRS_MAX);
                return ACCEPT_UNREADABLE;
        }
        return r;
}

static int parse_form(const TaskType *type, const void *body, size_t size, json_t **ret, Problems *problems)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_free_ FormPair *pairs = NULL;
        size_t n;
        int r;

        if (memchr(body, 0, size)) {
                problems_add(problems, SEVERITY_ERROR, "", "there is a NUL byte in the form");
                return ACCEPT_UNREADABLE;
        }
        text = strndup(body, size);
        pairs = calloc(TASK_FORM_PAIRS_MAX, sizeof(FormPair));
        if (!text || !pairs)
                return -ENOMEM;
        if (*text == '{') {
                problems_add(problems, SEVERITY_ERROR, "",
                                "the body looks like JSON and is called a form: expected Content-Type: application/json");
                return ACCEPT_UNREADABLE;
        }

        r = split_form(text, pairs, &n, problems);
        return r != 0 ? r : task_params_from_form(type, pairs, n, ret, problems);
}

static BodyKind guess(const char *body, size_t size)
{
        size_t i = 0;

        while (i < size && strchr(" \t\r\n", body[i]) && body[i])
                i++;
        return i < size && body[i] == '{' ? BODY_JSON : BODY_FORM;
}

static void check_own(const json_t *params, const char *callback_url, Problems *problems)
{
        const char *given = json_string_value(json_object_get(params, "callback_url"));

        if (callback_url && given && !streq(given, callback_url))
                problems_add(problems, SEVERITY_WARNING, "callback_url",
                                "not used: the callbacks of what is submitted here go to [submit] callback_url");
}

int accept_parse(const TaskType *type, BodyKind kind, const void *body, size_t size,
                const char *callback_url, json_t **ret, Problems *problems)
{
        static int (*const parsers[_BODY_KIND_MAX])(const TaskType *type, const void *body, size_t size,
                        json_t **ret, Problems *problems) = {
                [BODY_JSON] = parse_json,
                [BODY_FORM] = parse_form,
        };
        json_auto_t *params = NULL;
        int r;

        assert(kind >= 0 && kind < _BODY_KIND_MAX);
        r = parsers[kind == BODY_GUESS ? guess(body, size) : kind](type, body, size, &params, problems);
        if (r != 0)
                return r;

        task_params_check_submitted(type, params, problems);
        check_own(params, callback_url, problems);
        if (problems->failed)
                return -ENOMEM;
        if (problems->n_errors > 0)
                return ACCEPT_INVALID;

        *ret = json_incref(params);
        return 0;
}

/* Requests. */

typedef struct Acceptance {
        CommitJob job;
        SubmitContext *context;
        HttpRequest *request;
        const TaskType *type;
        BodyKind kind;
        json_t *params;
        Problems problems;
        Buffer text;    /* the parameters as JSON */
        char *warnings; /* as JSON */
        const char *attachments[SUBMISSION_ATTACHMENTS_MAX];
        char id[SUBMISSION_ID_SIZE];
        StoreSubmission submission;
} Acceptance;

static void acceptance_free(void *userdata)
{
        Acceptance *acceptance = userdata;

        json_decref(acceptance->params);
        problems_done(&acceptance->problems);
        buffer_done(&acceptance->text);
        free(acceptance->warnings);
        free(acceptance);
}

/* The headers. */

static int refuse_type(HttpRequest *request, const char *name)
{
        const char *meant = task_type_guess(name);
        char known[256] = "";
        size_t n = 0;

        if (meant)
                return http_reply_error(request, 404, NULL, "There is no task type %.64s: is %s meant?",
                                name, meant);
        for (const TaskType *const *t = task_types; *t && n < sizeof(known); t++)
                n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n > 0 ? ", " : "", (*t)->name);
        return http_reply_error(
                        request, 404, NULL, "There is no task type %.64s: expected one of %s.", name, known);
}

static int refuse_content(HttpRequest *request)
{
        return http_reply_error(request, 415, NULL,
                        "Content-Type has to be application/json or application/x-www-form-urlencoded, and Content-Encoding absent.");
}

static int refuse_key(HttpRequest *request)
{
        json_t *problems;

        problems = json_pack("[{s:s, s:s, s:s}]", "path", KEY_HEADER, "message",
                        "expected one header with 1 to 255 visible ASCII characters", "severity", "error");
        return http_reply_error(request, 400, problems,
                        "Bad header " KEY_HEADER ": expected one with 1 to 255 visible ASCII characters.");
}

/* 0; 1: answered; negative errno. Not asked before the body is read: a client on a Unix socket that is cut
 * while it sends doesn't get to see why. */
static int check_headers(HttpRequest *request, Acceptance *acceptance)
{
        const char *encoding = http_request_header(request, "Content-Encoding");
        const char *key = http_request_header(request, KEY_HEADER);
        int r = 0;

        acceptance->type = task_type_find(http_request_path_arg(request, 0));
        acceptance->kind = body_kind_of(http_request_header(request, "Content-Type"));
        if (!acceptance->type)
                r = refuse_type(request, http_request_path_arg(request, 0));
        else if ((int)acceptance->kind < 0 || (encoding && *encoding))
                r = refuse_content(request);
        else if (key && (http_request_header_count(request, KEY_HEADER) > 1 || !accept_key_is_valid(key)))
                r = refuse_key(request);
        else
                return 0;
        return r < 0 ? r : 1;
}

/* The submission. */

/* Ids sort by time, and tell nothing but that. */
static int make_id(int64_t now, char ret[static SUBMISSION_ID_SIZE])
{
        uint8_t random[10];
        int n;

        if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
                return -EIO;
        n = snprintf(ret, SUBMISSION_ID_SIZE, "%012" PRIx64,
                        (uint64_t)(now / (int64_t)USEC_PER_MSEC) & UINT64_C(0xffffffffffff));
        FOREACH_ARRAY(byte, random, sizeof(random))
                n += snprintf(ret + n, SUBMISSION_ID_SIZE - (size_t)n, "%02x", *byte);
        return 0;
}

/* What the same key has to bring again: the type and the parameters, in whatever form they are written. */
static int make_digest(const Acceptance *acceptance, uint8_t ret[static CALLBACK_DIGEST_SIZE])
{
        json_auto_t *task = NULL;

        task = json_pack("[s, O]", acceptance->type->name, acceptance->params);
        return task ? json_digest(task, ret) : -ENOMEM;
}

static int take_attachment(const char *url, void *userdata)
{
        Acceptance *acceptance = userdata;

        if (acceptance->submission.n_attachments == SUBMISSION_ATTACHMENTS_MAX)
                return 1;
        acceptance->attachments[acceptance->submission.n_attachments++] = url;
        return 0;
}

static int describe_submission(Acceptance *acceptance)
{
        int64_t now = now_realtime();
        int r;

        r = make_id(now, acceptance->id);
        if (r >= 0)
                r = json_encode(acceptance->params, &acceptance->text);
        if (r >= 0)
                r = problems_encode(&acceptance->problems, &acceptance->warnings);
        if (r < 0)
                return r;

        acceptance->submission = (StoreSubmission){
                .id = acceptance->id,
                .type = acceptance->type->name,
                .created_at = now,
                .next_at = now,
                .expires_at = now + SUBMISSION_LIFE_USEC,
                .idempotency_key = http_request_header(acceptance->request, KEY_HEADER),
                .params = acceptance->text.data,
                .params_size = acceptance->text.size,
                .problems = acceptance->warnings,
                .attachments = acceptance->attachments,
        };
        r = task_params_each_attachment(acceptance->type, acceptance->params, take_attachment, acceptance);
        return r < 0 ? r : make_digest(acceptance, acceptance->submission.digest);
}

/* The answer. */

static int reply_added(Acceptance *acceptance)
{
        const StoreSubmission *added = &acceptance->submission;

        metrics_count_type(&acceptance->context->metrics, acceptance->type);
        log_debug("Submission %s: a %s task is in the outbox.", added->id, added->type);
        return submission_reply_added(&acceptance->context->base, acceptance->request,
                        &(Submission){
                                        .id = added->id,
                                        .type = added->type,
                                        .state = SUBMISSION_QUEUED,
                                        .created_at = added->created_at,
                                        .changed_at = added->created_at,
                                        .expires_at = added->expires_at,
                                        .next_at = added->next_at,
                                        .idempotency_key = added->idempotency_key,
                                        .problems = added->problems,
                                        .params = added->params,
                                        .params_size = added->params_size,
                        });
}

static int reply(Acceptance *acceptance)
{
        Metrics *counted = &acceptance->context->metrics;
        const StoreAdded *added = &acceptance->job.change.added;
        int r;

        if (added->addition == STORE_CONFLICT) {
                counted->conflicts++;
                return http_reply_error(acceptance->request, 409, NULL,
                                "This " KEY_HEADER " came with another task before: it is submission %s.",
                                added->id);
        }
        if (added->addition == STORE_ADDED)
                return reply_added(acceptance);
        counted->replayed++;
        r = http_reply_header(acceptance->request, "Idempotency-Replayed", "true");
        return r < 0 ? r : submission_reply(&acceptance->context->base, acceptance->request, 202, added->id);
}

static void on_added(CommitJob *job, int result)
{
        Acceptance *acceptance = container_of(job, Acceptance, job);
        SubmitContext *context = acceptance->context;
        int r;

        if (result < 0)
                r = receipt_reply_unavailable(acceptance->request, result);
        else
                r = reply(acceptance); /* ends the request, and with it the acceptance */
        if (r < 0)
                http_request_fail(acceptance->request, r);
        submit_kick(context);
}

static int refuse_params(Acceptance *acceptance)
{
        const Problem *first = NULL;

        acceptance->context->metrics.invalid++;
        FOREACH_ARRAY(problem, acceptance->problems.items, acceptance->problems.n)
                if (problem->severity == SEVERITY_ERROR) {
                        first = problem;
                        break;
                }
        return http_reply_error(acceptance->request, 400, problems_to_json(&acceptance->problems),
                        "Not taken: %s%s%s", first ? first->path : "", first && *first->path ? ": " : "",
                        first ? first->message : "see problems");
}

/* Checks the parameters and hands the submission to the writer. */
static int submit(Acceptance *acceptance)
{
        SubmitContext *context = acceptance->context;
        const void *body;
        size_t size;
        int r;

        body = http_request_body(acceptance->request, &size);
        if (!http_request_hold(acceptance->request, callback_weight(body, size)))
                return http_reply_no_memory(acceptance->request);
        r = accept_parse(acceptance->type, acceptance->kind, body, size,
                        context->settings->submit.callback_url, &acceptance->params, &acceptance->problems);
        if (r > 0)
                return refuse_params(acceptance);
        if (r >= 0)
                r = describe_submission(acceptance);
        if (r < 0)
                return r;

        acceptance->job = (CommitJob){ .change = { .kind = STORE_SUBMISSION,
                                                       .submission = &acceptance->submission },
                .done = on_added };
        r = commit_submit(context->port, &acceptance->job);
        return r < 0 ? receipt_reply_unavailable(acceptance->request, r) : 0;
}

int accept_on_task(HttpRequest *request, void *userdata)
{
        Acceptance *acceptance;
        int r;

        acceptance = calloc(1, sizeof(Acceptance));
        if (!acceptance)
                return -ENOMEM;
        acceptance->context = userdata;
        acceptance->request = request;
        acceptance->text = BUFFER_INIT(PARAMS_TEXT_MAX);
        http_request_set_userdata(request, acceptance, acceptance_free);

        r = check_headers(request, acceptance);
        return r != 0 ? MIN(r, 0) : submit(acceptance);
}
